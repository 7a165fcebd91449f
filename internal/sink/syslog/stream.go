package syslog

import (
	"context"
	"errors"
	"io"
	"iter"
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
func (s *stream) send(ctx context.Context, messages iter.Seq[[]byte]) error {
	if s.link != nil && s.link.ended() {
		if errors.Is(s.link.err, io.EOF) && s.now().Sub(s.wrote) >= s.believe {
			s.window = nil
		}
		s.drop()
	}
	was := s.link
	sent, err := s.attempt(ctx, messages)
	if err != nil {
		s.drop()
		return err
	}
	if len(sent) == 0 && s.link == was { // there was nothing to send
		return nil
	}
	s.wrote = s.now()
	s.window = append(s.window, sent...)
	if n := len(s.window) - s.limit; n > 0 {
		s.window = append([][]byte(nil), s.window[n:]...)
	}
	return nil
}

// attempt sends what there is, if anything, and connects for that where it has to.
func (s *stream) attempt(ctx context.Context, messages iter.Seq[[]byte]) (sent [][]byte, err error) {
	fresh := s.link == nil
	if fresh && len(s.window) > 0 {
		if err := s.connect(ctx); err != nil {
			return nil, err
		}
	}
	f := frames{ctx: ctx, timeout: s.timeout}
	defer f.end()
	if fresh {
		err = f.write(s.link, s.window...)
	}
	for m := range messages {
		if err == nil && s.link == nil {
			err = s.connect(ctx)
		}
		if err == nil {
			err = f.write(s.link, m)
		}
		if err != nil {
			return nil, err
		}
		sent = append(sent, m)
	}
	if err == nil {
		err = f.settle()
	}
	if err == nil && fresh && s.link != nil {
		err = s.link.outlive(ctx, s.grace)
	}
	return sent, err
}

func (s *stream) connect(ctx context.Context) error {
	conn, err := s.dial(ctx)
	if err != nil {
		return err
	}
	s.link = newLink(conn, s.lost)
	return nil
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

// frames writes one frame per message to a link. The time limit holds as long as nothing
// moves. https://www.rfc-editor.org/rfc/rfc6587#section-3.4.1
type frames struct {
	ctx     context.Context
	timeout time.Duration
	link    *link
	stop    func() bool // of what ends a write with ctx
	b       []byte      // not written yet
}

// write takes messages for l, and writes what fills a chunk.
func (f *frames) write(l *link, messages ...[]byte) error {
	if f.link == nil && len(messages) > 0 {
		f.link, f.b = l, make([]byte, 0, chunk+4<<10)
		f.stop = context.AfterFunc(f.ctx, func() { _ = l.conn.SetWriteDeadline(time.Unix(1, 0)) })
	}
	for _, m := range messages {
		f.b = append(strconv.AppendInt(f.b, int64(len(m)), 10), ' ')
		f.b = append(f.b, m...)
		if len(f.b) >= chunk {
			if err := f.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *frames) flush() error {
	if err := f.link.conn.SetWriteDeadline(time.Now().Add(f.timeout)); err != nil {
		return f.link.reason(f.ctx, err)
	}
	if f.ctx.Err() != nil { // it may have ended before the limit was set
		return f.ctx.Err()
	}
	if _, err := f.link.conn.Write(f.b); err != nil {
		return f.link.reason(f.ctx, err)
	}
	f.b = f.b[:0]
	return nil
}

// settle writes what is left and waits until the peer's TCP has acknowledged everything.
func (f *frames) settle() error {
	if f.link == nil {
		return nil
	}
	if len(f.b) > 0 {
		if err := f.flush(); err != nil {
			return err
		}
	}
	return f.link.settle(f.ctx, f.timeout)
}

func (f *frames) end() {
	if f.stop != nil {
		f.stop()
	}
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
	begin := time.Now()
	for before, limit := -1, begin.Add(timeout); ; {
		left, err := unacknowledged(l.conn)
		if err != nil || left == 0 {
			return err
		}
		now := time.Now()
		if left != before {
			before, limit = left, now.Add(timeout)
		}
		if now.After(limit) {
			return os.ErrDeadlineExceeded
		}
		if err := l.pause(ctx, min(max(now.Sub(begin)/4, 50*time.Microsecond), 20*time.Millisecond)); err != nil {
			return err
		}
	}
}

// pause is outlive for short times, too: a timer of the runtime may be late by a
// millisecond, in which the peer takes a batch.
func (l *link) pause(ctx context.Context, d time.Duration) error {
	if d >= time.Millisecond {
		return l.outlive(ctx, d)
	}
	nap(d)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case l.ended():
		return l.err
	}
	return nil
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
