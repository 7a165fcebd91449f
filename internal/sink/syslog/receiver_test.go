package syslog

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leodido/go-syslog/v4/rfc5424"
)

// receiver takes octet-counted frames on any listener and parses each message
// with a parser that is not ours.
type receiver struct {
	t  *testing.T
	l  net.Listener
	on func(r *receiver, n int, c net.Conn) // what to do with the n-th connection, from 1; nil = read

	mu    sync.Mutex
	conns []net.Conn
	got   []*rfc5424.SyslogMessage
}

func listen(t *testing.T, on func(*receiver, int, net.Conn)) *receiver {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, l, on)
}

func serve(t *testing.T, l net.Listener, on func(*receiver, int, net.Conn)) *receiver {
	t.Helper()
	r := &receiver{t: t, l: l, on: on}
	var handlers sync.WaitGroup
	handlers.Go(func() {
		for n := 1; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.conns = append(r.conns, c)
			r.mu.Unlock()
			handlers.Go(func() {
				defer func() { _ = c.Close() }()
				if r.on != nil {
					r.on(r, n, c)
				} else {
					_ = r.read(c)
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		r.hangUp()
		handlers.Wait()
	})
	return r
}

// datagramReceiver is a receiver on UDP with its address.
func datagramReceiver(t *testing.T) (string, *receiver) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r, done := &receiver{t: t}, make(chan struct{})
	go func() {
		defer close(done)
		for b := make([]byte, 1<<16); ; {
			n, _, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			r.take(append([]byte(nil), b[:n]...))
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	return conn.LocalAddr().String(), r
}

func (r *receiver) address() string { return r.l.Addr().String() }

// hangUp closes every connection.
func (r *receiver) hangUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		_ = c.Close()
	}
	r.conns = nil
}

// read reads frames until the connection ends; a frame that ends early is not
// a message.
func (r *receiver) read(c io.Reader) error {
	b := bufio.NewReader(c)
	for {
		m, err := frame(b)
		if err != nil {
			return err
		}
		r.take(m)
	}
}

func frame(b *bufio.Reader) ([]byte, error) {
	head, err := b.ReadString(' ')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(head, " "))
	if err != nil || n <= 0 || n > 1<<20 {
		return nil, fmt.Errorf("%q is no length", head)
	}
	m := make([]byte, n)
	_, err = io.ReadFull(b, m)
	return m, err
}

func (r *receiver) take(m []byte) {
	parsed, err := parse(m)
	if err != nil {
		r.t.Errorf("%v: %q", err, m)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, parsed)
}

func parse(m []byte) (*rfc5424.SyslogMessage, error) {
	p, err := rfc5424.NewParser().Parse(m)
	if err != nil {
		return nil, err
	}
	parsed, ok := p.(*rfc5424.SyslogMessage)
	if !ok || parsed.StructuredData == nil || parsed.Message == nil {
		return nil, errors.New("no structured data or no message")
	}
	return parsed, nil
}

// ids are the delivery ids in order of arrival, once there are n of them or a
// minute is over.
func (r *receiver) ids(n int) []string {
	limit := time.After(time.Minute)
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		r.mu.Lock()
		ids := make([]string, 0, len(r.got))
		for _, m := range r.got {
			ids = append(ids, value(m, "delivery_id"))
		}
		r.mu.Unlock()
		if len(ids) >= n {
			tick.Stop()
			return ids
		}
		select {
		case <-limit:
			tick.Stop()
			return ids
		case <-tick.C:
		}
	}
}

func value(m *rfc5424.SyslogMessage, name string) string {
	return (*m.StructuredData)["appgov@32473"][name]
}

// distinct are ids without those that came again, in order of first arrival.
func distinct(ids []string) []string {
	seen, first := map[string]bool{}, []string{}
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			first = append(first, id)
		}
	}
	return first
}
