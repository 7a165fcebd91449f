package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// EventReader is one sink's way through the events of the ledger, as they lie in it:
// enriched, and with those that the inventory derived. It is used by one goroutine;
// Stats of the ledger may be asked at any time.
//
// It holds frames back only while less than half of the ledger's room is used: what a
// slow sink of events has not read then goes before an alert does. Frames that went are
// counted (ReaderStats.Missing).
type EventReader struct {
	seeker
	name  string
	slots *slots

	owes bool // what was handed out is not acknowledged

	// under l.mu
	cur     eventCursor // as stored
	acked   time.Time
	missing uint64 // frames that were gone, since the last Ack
}

// eventCursor is what the slot of an EventReader holds.
type eventCursor struct {
	pos                           event.Position
	accepted, deadLetter, skipped uint64
	missing                       uint64 // frames that were gone before they were read
}

func (c eventCursor) encode() []byte {
	var b []byte
	for _, v := range []uint64{c.pos.LSN, uint64(c.pos.Index), c.accepted, c.deadLetter, c.skipped, c.missing} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

func decodeEventCursor(b []byte) (eventCursor, error) {
	if len(b) < 48 {
		return eventCursor{}, errors.New("cursor too short")
	}
	u := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
	return eventCursor{pos: event.Position{LSN: u(0), Index: uint32(u(1))}, accepted: u(2), deadLetter: u(3), skipped: u(4), missing: u(5)}, nil
}

// The directories of cursors.
const (
	alertCursors = "cursors"
	eventCursors = "forwards"
)

// maxPassed is how many frames without events are passed over before that is noted.
const maxPassed = 1024

// EventReader opens the event cursor called name, or makes one that begins with the next
// frame. A damaged one begins with the oldest frame: better twice than never. Call it
// after Recover.
func (l *Ledger) EventReader(name string) (*EventReader, error) {
	s, b, err := l.cursorSlots(eventCursors, name)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.eventReaders[name] != nil {
		return nil, errors.Join(fmt.Errorf("open cursor %s: already open", name), s.close())
	}
	r := &EventReader{seeker: seeker{l: l}, name: name, slots: s}
	if r.cur, err = decodeEventCursor(b); err != nil {
		r.cur = eventCursor{pos: event.Position{LSN: l.next}}
		if s.begun {
			r.cur.pos.LSN = l.first()
			l.damagedCursor(name)
		}
		if err := s.begin(r.cur.encode()); err != nil {
			return nil, errors.Join(fmt.Errorf("open cursor %s: %w", name, err), s.close())
		}
	}
	r.at = r.cur.pos
	l.eventReaders[name] = r
	return r, nil
}

// Next returns up to limit events behind the last ones handed out, and the position behind
// them: those of one frame, and of some behind it that are there already. It blocks until
// there is one, ctx ends or the ledger closes.
func (r *EventReader) Next(ctx context.Context, limit int) ([]event.Event, event.Position, error) {
	stop := context.AfterFunc(ctx, r.l.wake)
	defer stop()
	for {
		if !r.owes && r.at.LSN > r.cur.pos.LSN+maxPassed { // frames without events; what came before them is settled
			if err := r.Ack(r.at, event.Settled{}); err != nil {
				return nil, event.Position{}, err
			}
		}
		h, s, off, err := r.await(ctx)
		if err != nil {
			return nil, event.Position{}, err
		}
		batch, err := r.events(s, off, h, limit)
		switch {
		case isRotten(err):
			r.l.rotten(s, off, h, err)
			r.rotten(h)
			continue
		case errors.Is(err, os.ErrClosed) && !r.l.holds(s): // moved or dropped meanwhile
			continue
		case err != nil:
			return nil, event.Position{}, fmt.Errorf("read ledger: %w", err)
		}
		if pos := r.pass(h, len(batch), r.open == nil); len(batch) > 0 {
			batch, pos = r.fill(batch, pos, limit)
			r.owes = true
			return batch, pos, nil
		}
	}
}

// maxFilled is how many frames may be looked at to fill a batch: many have no events.
const maxFilled = 64

// fill adds to a batch the events of frames behind it that are there already, up to limit
// in all.
func (r *EventReader) fill(batch []event.Event, pos event.Position, limit int) ([]event.Event, event.Position) {
	for range maxFilled {
		if len(batch) == limit {
			break
		}
		h, s, off, ok := r.ready()
		if !ok {
			break
		}
		next, err := r.events(s, off, h, limit-len(batch))
		if err != nil {
			break // Next meets it again, and does what there is to do
		}
		batch, pos = append(batch, next...), r.pass(h, len(next), r.open == nil)
	}
	return batch, pos
}

// ready is the next frame, where it is there.
func (r *EventReader) ready() (header, *segment, int64, bool) {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	if r.l.fatal != nil || r.l.closed {
		return header{}, nil, 0, false
	}
	h, s, off, found, err := r.following()
	return h, s, off, found && err == nil
}

// following finds the next frame, and counts those before it that are gone. Called with
// the lock held.
func (r *EventReader) following() (header, *segment, int64, bool, error) {
	from := r.at.LSN
	h, s, off, found, err := r.find(func(header) bool { return true })
	if found && h.lsn > from {
		r.missing += h.lsn - from
	}
	return h, s, off, found, err
}

// await finds the next durable frame at or behind r.at, and counts those that are gone.
func (r *EventReader) await(ctx context.Context) (header, *segment, int64, error) {
	l := r.l
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if err := errors.Join(ctx.Err(), l.fatal); err != nil {
			return header{}, nil, 0, err
		}
		h, s, off, found, err := r.following()
		if err != nil || found {
			return h, s, off, err
		}
		if l.closed {
			return header{}, nil, 0, errClosed
		}
		l.changed.Wait()
	}
}

// events decodes what comes next of the frame at off. A frame that is not done with stays
// open until it is.
func (r *EventReader) events(s *segment, off int64, h header, limit int) (list []event.Event, err error) {
	if err := r.unpack(s, off, h); err != nil {
		return nil, err
	}
	from := int(r.at.Index)
	if list, err = r.open.EventsIn(from, from+limit); err != nil {
		err = &rottenError{err}
	}
	if err != nil || from+len(list) >= r.open.Events() {
		r.shut()
	}
	return list, err
}

// pass notes that n events of the frame are handed out, all that were left of it where it
// is done, and returns the position behind them.
func (r *EventReader) pass(h header, n int, done bool) event.Position {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	if r.at.Index += uint32(n); done {
		r.at = event.Position{LSN: h.lsn + 1}
	}
	return r.at
}

// rotten leaves a frame behind that cannot be read.
func (r *EventReader) rotten(h header) {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	r.missing++
	r.at = event.Position{LSN: h.lsn + 1}
}

// Ack makes durable that everything before pos is settled, with the counts since the last
// Ack.
func (r *EventReader) Ack(pos event.Position, n event.Settled) error {
	r.l.mu.Lock()
	c, missing := r.cur, r.missing
	r.l.mu.Unlock()
	c.pos = pos
	c.accepted, c.deadLetter, c.skipped, c.missing = c.accepted+n.Accepted, c.deadLetter+n.DeadLetter, c.skipped+n.Skipped, c.missing+missing
	if err := r.slots.store(c.encode(), true); err != nil {
		return fmt.Errorf("store cursor %s: %w", r.name, err)
	}
	r.owes = false
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	r.cur, r.acked = c, r.l.o.Now()
	r.missing -= missing
	r.l.retain()
	return nil
}

// More is false: each batch is acknowledged by itself, so that what Next passes over may be
// noted.
func (r *EventReader) More() bool { return false }

// Again is false: what is handed out was never settled before.
func (r *EventReader) Again() bool { return false }

func (r *EventReader) stats() ReaderStats {
	c := r.cur
	x := ReaderStats{LSN: c.pos.LSN, Accepted: c.accepted, DeadLetter: c.deadLetter, Skipped: c.skipped, LastAck: r.acked, Missing: c.missing + r.missing}
	if r.l.last >= r.at.LSN {
		x.Frames = r.l.last + 1 - r.at.LSN
	}
	return x
}

// unread is the oldest frame whose events a reader has not settled. Called with the lock
// held.
func (l *Ledger) unread() uint64 {
	oldest := l.last + 1
	for _, r := range l.eventReaders {
		oldest = min(oldest, r.cur.pos.LSN)
	}
	return oldest
}
