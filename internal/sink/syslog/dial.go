package syslog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/outbound"
)

// dialer makes connections over TCP, with TLS where the protocol says so.
func dialer(c Config, timeout time.Duration) (func(context.Context) (net.Conn, error), error) {
	tcp := func(ctx context.Context) (net.Conn, error) {
		d := net.Dialer{Timeout: timeout, KeepAlive: 15 * time.Second}
		return d.DialContext(ctx, "tcp", c.Address)
	}
	if c.protocol() != protocolTLS {
		return tcp, nil
	}
	conf, err := tlsConfig(c)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (net.Conn, error) {
		conn, err := tcp(ctx)
		if err != nil {
			return nil, err
		}
		limited, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		t := tls.Client(conn, conf)
		if err := t.HandshakeContext(limited); err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("shake hands: %w", err)
		}
		return t, nil
	}, nil
}

func tlsConfig(c Config) (*tls.Config, error) {
	o := outbound.Options{}
	if c.TLS != nil {
		o.CAFile, o.CertFile, o.KeyFile, o.ServerName = c.TLS.CAFile, c.TLS.CertFile, c.TLS.KeyFile, c.TLS.ServerName
	}
	if o.ServerName == "" {
		host, _, err := net.SplitHostPort(c.Address)
		if err != nil {
			return nil, err
		}
		o.ServerName = host
	}
	return outbound.TLS(o)
}

// bare is the connection below TLS.
func bare(conn net.Conn) net.Conn {
	if t, ok := conn.(*tls.Conn); ok {
		return t.NetConn()
	}
	return conn
}

// unacknowledged is how many bytes the peer's TCP has not acknowledged (tcp(7),
// SIOCOUTQ); 0 where conn is not TCP.
func unacknowledged(conn net.Conn) (int, error) {
	t, ok := bare(conn).(*net.TCPConn)
	if !ok {
		return 0, nil
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return 0, err
	}
	left := 0
	var asked error
	err = raw.Control(func(fd uintptr) { left, asked = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	return left, errors.Join(err, asked)
}

// nap blocks the thread for d, or for less where a signal comes.
func nap(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil)
}

// datagrams sends one message per datagram, and knows of no loss.
// https://www.rfc-editor.org/rfc/rfc5426
type datagrams struct {
	address string
	timeout time.Duration
	conn    net.Conn
}

func (d *datagrams) send(ctx context.Context, messages iter.Seq[[]byte]) error {
	for m := range messages {
		if d.conn == nil {
			conn, err := (&net.Dialer{Timeout: d.timeout}).DialContext(ctx, "udp", d.address)
			if err != nil {
				return err
			}
			d.conn = conn
		}
		if _, err := d.conn.Write(m); err != nil {
			return errors.Join(err, d.close())
		}
	}
	return nil
}

func (d *datagrams) close() error {
	if d.conn == nil {
		return nil
	}
	err := d.conn.Close()
	d.conn = nil
	return err
}

// explain classifies a failure and says what an operator can do.
func explain(ctx context.Context, err error) error {
	var slow net.Error
	switch {
	case ctx.Err() != nil:
		return err
	case errors.Is(err, syscall.EMSGSIZE):
		return fault.WithHint(fault.NewPermanent(err), "a datagram of this size cannot be sent: use tcp or tls")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fault.WithHint(err, "the receiver closed the connection: it may be restarting, or it wants TLS, a client certificate or another sender; its log knows")
	case errors.As(err, &slow) && slow.Timeout():
		return fault.WithHint(err, "the receiver does not answer or has stopped reading: check address and protocol, the firewall before it, and whether it is overloaded")
	default:
		return outbound.Explain(err)
	}
}
