package syslog

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"time"
)

// stream sends octet-counted frames over one connection at a time, and keeps
// what may not have arrived. Its methods are called one at a time.
type stream struct {
	dial    func(context.Context) (net.Conn, error)
	timeout time.Duration // without any progress
	grace   time.Duration
	believe time.Duration
	limit   int           // messages of window
	lost    chan struct{} // capacity 1
	now     func() time.Time

	link   *link
	window [][]byte // the last messages sent, oldest first
	wrote  time.Time
}

const (
	// grace is how long a new connection must live after the first write before
	// that counts: one that is refused (a certificate, an access list, a proxy
	// without a server behind it) takes what is written, and hangs up.
	grace = 500 * time.Millisecond
	// believe is how long before an orderly end the last write must lie for the
	// receiver to count as having taken everything: it read all there was, and
	// had the time to work on it.
	believe = time.Minute
)

func newStream(dial func(context.Context) (net.Conn, error), timeout time.Duration, window int) *stream {
	return &stream{dial: dial, timeout: timeout, grace: grace, believe: believe, limit: window, lost: make(chan struct{}, 1), now: time.Now}
}

// send returns nil once the peer's TCP has every byte of messages and, on a
// connection that is new, of the window before them. After an error the
// connection is gone, and the same messages must come again.
func (s *stream) send(ctx context.Context, messages [][]byte) error {
	if s.link != nil && s.link.ended() {
		if errors.Is(s.link.err, io.EOF) && s.now().Sub(s.wrote) >= s.believe {
			s.window = nil
		}
		s.drop()
	}
	if len(messages) == 0 && (s.link != nil || len(s.window) == 0) {
		return nil
	}
	if err := s.attempt(ctx, messages); err != nil {
		s.drop()
		return err
	}
	s.wrote = s.now()
	s.window = append(s.window, messages...)
	if n := len(s.window) - s.limit; n > 0 {
		s.window = append([][]byte(nil), s.window[n:]...)
	}
	return nil
}

func (s *stream) attempt(ctx context.Context, messages [][]byte) error {
	if s.link != nil {
		return s.link.write(ctx, messages, s.timeout)
	}
	conn, err := s.dial(ctx)
	if err != nil {
		return err
	}
	s.link = newLink(conn, s.lost)
	if err := s.link.write(ctx, append(s.window[:len(s.window):len(s.window)], messages...), s.timeout); err != nil {
		return err
	}
	return s.link.outlive(ctx, s.grace)
}

// drop lets go of the connection without a last word: it ended, or a write hangs.
func (s *stream) drop() {
	if s.link != nil {
		s.link.close(bare(s.link.conn))
		s.link = nil
	}
}

// close ends the connection in order, as far as the peer takes part.
func (s *stream) close() error {
	if s.link != nil {
		s.link.close(s.link.conn)
		s.link = nil
	}
	return nil
}

// link is one connection with a goroutine that reads: a syslog receiver says
// nothing, but that is how its end is seen. close ends the goroutine.
type link struct {
	conn net.Conn
	done chan struct{} // closed when the peer has ended it, or close was called
	err  error         // why; read it after done
}

func newLink(conn net.Conn, lost chan<- struct{}) *link {
	l := &link{conn: conn, done: make(chan struct{})}
	go func() {
		if _, l.err = io.Copy(io.Discard, conn); l.err == nil {
			l.err = io.EOF
		}
		close(l.done)
		select {
		case lost <- struct{}{}:
		default:
		}
	}()
	return l
}

func (l *link) ended() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// close closes conn, all of the connection or what is below TLS, and waits for
// the reader. Whether the peer heard of it matters to nobody.
func (l *link) close(conn io.Closer) {
	_ = conn.Close()
	<-l.done
}

// chunk is how much is written under one time limit.
const chunk = 64 << 10

// write writes one frame per message and waits until the peer's TCP has
// acknowledged them. The time limit holds as long as nothing moves.
// https://www.rfc-editor.org/rfc/rfc6587#section-3.4.1
func (l *link) write(ctx context.Context, messages [][]byte, timeout time.Duration) error {
	stop := context.AfterFunc(ctx, func() { _ = l.conn.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	b := make([]byte, 0, chunk+4<<10)
	for i, m := range messages {
		b = append(strconv.AppendInt(b, int64(len(m)), 10), ' ')
		b = append(b, m...)
		if len(b) < chunk && i < len(messages)-1 {
			continue
		}
		if err := l.conn.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
			return l.reason(ctx, err)
		}
		if ctx.Err() != nil { // it may have ended before the limit was set
			return ctx.Err()
		}
		if _, err := l.conn.Write(b); err != nil {
			return l.reason(ctx, err)
		}
		b = b[:0]
	}
	return l.settle(ctx, timeout)
}

// reason prefers why the peer ended the connection over what a write says.
func (l *link) reason(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	select {
	case <-l.done:
		return l.err
	case <-time.After(10 * time.Millisecond): // the reader may be about to see it
		return err
	}
}

// settle waits until nothing that was written lies in our own kernel. A peer
// that has stopped reading, or is gone, is seen here.
func (l *link) settle(ctx context.Context, timeout time.Duration) error {
	before, limit := -1, time.Now().Add(timeout)
	for pause := 100 * time.Microsecond; ; pause = min(2*pause, 20*time.Millisecond) {
		left, err := unacknowledged(l.conn)
		if err != nil || left == 0 {
			return err
		}
		if left != before {
			before, limit = left, time.Now().Add(timeout)
		}
		if time.Now().After(limit) {
			return os.ErrDeadlineExceeded
		}
		if err := l.outlive(ctx, pause); err != nil {
			return err
		}
	}
}

// outlive waits for d; the connection must be there all the while.
func (l *link) outlive(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-l.done:
		return l.err
	case <-t.C:
		return nil
	}
}
