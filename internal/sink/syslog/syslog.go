// Package syslog owns the sink that sends alerts as RFC 5424 messages over UDP
// (RFC 5426), TCP (RFC 6587, octet counting) or TLS (RFC 5425).
//
// Syslog acknowledges nothing. Over TCP and TLS a write counts once the peer's
// TCP has every byte; what its program had not read by the time it died is
// lost all the same. So the sink keeps the last messages, as many as
// resend_window says, and sends them again, first, on every new connection; and
// the ledger's reader goes back by as many alerts at every start. Each comes
// with the ids that it had. Nothing is lost as long as the window is larger
// than everything that the receiver holds in memory: its socket's buffer and
// its queues. UDP promises nothing.
package syslog

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/event"
)

// Sink sends to one receiver over one connection.
type Sink struct {
	enc      *encoder
	maxBytes int

	mu     sync.Mutex
	closed bool
	out    transport
	lost   <-chan struct{}
	dial   func(context.Context) (net.Conn, error) // nil over UDP
}

// transport sends messages whole or says that it does not know.
type transport interface {
	send(ctx context.Context, messages iter.Seq[[]byte]) error
	close() error
}

// New checks the configuration; it connects to nothing.
func New(c Config) (*Sink, error) {
	if err := c.Validate().Err(); err != nil {
		return nil, err
	}
	enc, err := newEncoder(c)
	if err != nil {
		return nil, err
	}
	s := &Sink{enc: enc, maxBytes: c.MaxMessageBytes}
	if s.maxBytes == 0 {
		s.maxBytes = defaultMaxBytes
	}
	timeout := deliver.DurationOr(c.Timeout, defaultTimeout)
	if c.Protocol == protocolUDP {
		s.out = &datagrams{address: c.Address, timeout: timeout}
		return s, nil
	}
	dial, err := dialer(c, timeout)
	if err != nil {
		return nil, fmt.Errorf("build syslog sink: %w", err)
	}
	out := newStream(dial, timeout, int(c.Window()))
	s.out, s.lost, s.dial = out, out.lost, dial
	return s, nil
}

// Write sends the batch. A message that is larger than max_message_bytes is
// refused, never cut. An empty batch sends again what may be lost, see Lost.
func (s *Sink) Write(ctx context.Context, batch []event.Alert) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("write to syslog: the sink is closed")
	}
	rejected := deliver.Rejected{}
	e := s.encode(batch)
	defer e.wait()
	err := s.out.send(ctx, func(yield func([]byte) bool) {
		for i := range batch {
			m := e.message(i)
			if len(m) > s.maxBytes {
				reason := fmt.Sprintf("the message of %d bytes is larger than max_message_bytes (%d): raise it where the receiver takes as much", len(m), s.maxBytes)
				rejected.Items = append(rejected.Items, deliver.Rejection{Index: i, Reason: reason})
			} else if !yield(m) {
				return
			}
		}
	})
	if err != nil {
		return explain(ctx, fmt.Errorf("write to syslog: %w", err))
	}
	if len(rejected.Items) > 0 {
		return &rejected
	}
	return nil
}

const (
	// typical is how many bytes a message takes.
	typical = 2 << 10
	// perPart is how many messages are encoded at a time, on one piece of memory.
	perPart = 64
)

// encoding are the messages of a batch in parts: the first are on their way while others
// are still being encoded.
type encoding struct {
	messages [][]byte
	ready    []chan struct{} // by part, closed when it is encoded
	done     sync.WaitGroup
}

// encode begins to encode batch on all processors; wait must be called before the batch is
// given back.
func (s *Sink) encode(batch []event.Alert) *encoding {
	e := &encoding{messages: make([][]byte, len(batch)), ready: make([]chan struct{}, (len(batch)+perPart-1)/perPart)}
	for i := range e.ready {
		e.ready[i] = make(chan struct{})
	}
	var next atomic.Int64
	for range min(len(e.ready), runtime.GOMAXPROCS(0)) {
		e.done.Go(func() {
			for part := int(next.Add(1)) - 1; part < len(e.ready); part = int(next.Add(1)) - 1 {
				from, to := part*perPart, min((part+1)*perPart, len(batch))
				b := make([]byte, 0, (to-from)*typical)
				for i := from; i < to; i++ {
					start := len(b)
					b = s.enc.within(b, &batch[i], s.maxBytes)
					e.messages[i] = b[start:len(b):len(b)]
				}
				close(e.ready[part])
			}
		})
	}
	return e
}

// message is number i, once it is encoded.
func (e *encoding) message(i int) []byte {
	<-e.ready[i/perPart]
	return e.messages[i]
}

func (e *encoding) wait() { e.done.Wait() }

// Lost gets a value when the connection broke behind alerts that may not have
// arrived; nil over UDP.
func (s *Sink) Lost() <-chan struct{} { return s.lost }

// Close ends the connection; more than once is harmless.
func (s *Sink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.out.close()
}

// Probe connects, over TLS with the handshake, and gives up the connection; found is
// what is there. Over UDP nothing can be found out.
func (s *Sink) Probe(ctx context.Context) (found string, err error) {
	if s.dial == nil {
		return "over UDP nobody answers: nothing was tried", nil
	}
	conn, err := s.dial(ctx)
	if err != nil {
		return "", explain(ctx, fmt.Errorf("connect to syslog: %w", err))
	}
	return "the receiver takes connections", conn.Close()
}
