package ledger

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/appgovd/appgovd/internal/event"
)

// unpacked is a frame that was read: verified, decompressed, and indexed. Its checksum
// shows that the bytes are those that were written; what does not decode all the same
// is rotten, as if it had failed.
type unpacked struct {
	event.Packed
	frame        *event.Frame // decoded, nil = not yet
	payload, raw []byte
}

// open reads the frame behind the header at off. release gives back what it holds.
func (l *Ledger) open(s *segment, off int64, h header) (*unpacked, error) {
	o, ok := l.codec.frames.Get().(*unpacked)
	if !ok {
		o = &unpacked{}
	}
	err := o.read(l.codec, s, off, h)
	if err != nil {
		l.codec.release(o)
		return nil, err
	}
	return o, nil
}

func (o *unpacked) read(c *codec, s *segment, off int64, h header) error {
	o.payload = slices.Grow(o.payload[:0], int(h.length))[:h.length]
	_, err := s.f.ReadAt(o.payload, off+headerBytes)
	switch {
	case errors.Is(err, unix.EIO) || errors.Is(err, io.EOF):
		return &rottenError{fmt.Errorf("frame %d: %w", h.lsn, err)}
	case err != nil:
		return err
	}
	raw, err := c.unpack(h, o.payload, &o.raw)
	if err != nil {
		return err
	}
	if err = o.Unpack(raw); err == nil && o.Alerts() != int(h.alerts) {
		err = fmt.Errorf("%d alerts, want %d", o.Alerts(), h.alerts)
	}
	if err != nil {
		return &rottenError{fmt.Errorf("frame %d: %w", h.lsn, err)}
	}
	o.Head.LSN, o.Head.AlertBase = h.lsn, h.alertBase
	return nil
}

// whole decodes all of the frame, once. It outlives o.
func (o *unpacked) whole() (*event.Frame, error) {
	if o.frame == nil {
		f, err := o.Frame()
		if err != nil {
			return nil, &rottenError{err}
		}
		o.frame = f
	}
	return o.frame, nil
}

// join adds the next part of a frame.
func (o *unpacked) join(next *unpacked) {
	o.frame = nil
	o.Join(&next.Packed)
}

// release takes back a frame that nobody uses any more.
func (c *codec) release(o *unpacked) {
	o.frame, o.Head = nil, event.Frame{}
	if cap(o.raw)+cap(o.payload) <= 16*largeFrame {
		c.frames.Put(o)
	}
}
