package ledger

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/event"
)

// WhenFull is what becomes of the alerts that a reader has not settled when the
// ledger is full and they are what it holds.
type WhenFull uint8

// Kinds of WhenFull.
const (
	Block      WhenFull = iota // Reserve waits
	DropOldest                 // the oldest are dropped; the reader gets a counted gap in their place
	Overflow                   // their segments move to Options.OverflowDir
)

// GapRule is the rule id of the alert that stands in place of what was dropped.
const GapRule = "health.ledger_dropped"

const reserveName = "reserve"

// reserveBytes is the size of the file that is given up on a full disk, so that
// cursors can be stored and the process can end in order.
func (o *Options) reserveBytes() int64 { return min(4<<20, o.MaxBytes/256) }

// holdReserve takes the space of the reserve file. An error that full knows means
// that the disk has not even that.
func (l *Ledger) holdReserve() error {
	if l.reserve == nil {
		f, err := openOrMake(l.o.FS, l.dir, reserveName)
		if err != nil {
			return err
		}
		l.reserve = f
	}
	return l.reserve.Allocate(l.o.reserveBytes())
}

func (l *Ledger) freeReserve() {
	if l.reserve == nil {
		return
	}
	if err := l.reserve.Truncate(0); err != nil {
		l.o.Log.Warn("cannot release the reserve file", zap.Error(err))
	}
}

// awaitRoom returns when a full disk may have room again, or the ledger closes.
func (l *Ledger) awaitRoom() {
	l.freeReserve()
	for {
		<-time.After(diskFullPause)
		if l.isClosed() {
			return
		}
		l.mu.Lock()
		l.retain()
		l.mu.Unlock()
		if !full(l.holdReserve()) {
			return
		}
	}
}

// makeRoom lets go of the oldest segment in a full ledger where those that hold
// it say so. It reports whether there is more room now. Called with the lock
// held, which it gives up meanwhile.
func (l *Ledger) makeRoom() bool {
	s := l.oldestHere()
	if s == nil || l.making {
		return false
	}
	holders, policy := l.holders(s)
	if len(holders) == 0 || policy == Block {
		return false
	}
	if policy == DropOldest && (len(l.snaps) == 0 || l.snaps[0] < s.last) {
		return false // a snapshot still needs it
	}
	last, alertEnd := s.last, s.alertEnd
	l.making = true
	l.mu.Unlock()
	var err error
	if policy == Overflow {
		err = l.moveOut(s)
	} else {
		for _, r := range holders {
			err = errors.Join(err, r.drop(last+1, alertEnd))
		}
	}
	l.mu.Lock()
	l.making = false
	l.retain()
	l.changed.Broadcast()
	if err != nil {
		l.o.Log.Error("cannot make room in the ledger", zap.Error(err))
	}
	return err == nil
}

// oldestHere is the oldest closed segment that is not in the overflow.
func (l *Ledger) oldestHere() *segment {
	for _, s := range l.segments {
		if !s.moved {
			if !s.closed {
				return nil
			}
			return s
		}
	}
	return nil
}

// holders are the readers that have not settled s, and what they agree on: Block
// if one says so, else Overflow if one says so and there is room.
func (l *Ledger) holders(s *segment) (list []*Reader, policy WhenFull) {
	for _, c := range l.parked {
		if c.pos.LSN <= s.last && !l.expired(c) {
			return nil, Block
		}
	}
	policy = DropOldest
	for _, r := range l.readers {
		if r.holds() > s.last {
			continue
		}
		list = append(list, r)
		if r.whenFull == Block {
			return list, Block
		}
		if r.whenFull == Overflow {
			policy = Overflow
		}
	}
	if policy == Overflow && l.overflowed()+s.size > l.o.OverflowBytes {
		policy = Block
	}
	return list, policy
}

// overflowed is the size of what was moved out.
func (l *Ledger) overflowed() (n int64) {
	for _, s := range l.segments {
		if s.moved {
			n += s.size
		}
	}
	return n
}

// moveOut copies a closed segment to the overflow directory, and deletes it here
// once the copy is durable.
func (l *Ledger) moveOut(s *segment) error {
	dir := l.o.OverflowDir
	tmp, name := dir+"/"+s.name+".tmp", dir+"/"+s.name
	_ = l.o.FS.Remove(tmp)
	f, err := l.o.FS.Open(tmp, true)
	if err != nil {
		return fmt.Errorf("overflow: %w", err)
	}
	err = copyFile(f, s.f, s.size)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = l.o.FS.Rename(tmp, name)
	}
	if err == nil {
		err = l.o.FS.SyncDir(dir)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("overflow: %w", err), f.Close(), l.o.FS.Remove(tmp))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	moved := *s
	moved.f, moved.moved = f, true
	for i, old := range l.segments {
		if old == s {
			l.segments[i] = &moved
		}
	}
	_ = s.f.Close() // a reader that is within finds it in the overflow
	err = l.o.FS.Remove(l.path("segments", s.name))
	return errors.Join(err, l.o.FS.SyncDir(l.path("segments")))
}

func copyFile(to io.WriterAt, from io.ReaderAt, size int64) error {
	buf := make([]byte, min(window, size))
	for off := int64(0); off < size; off += int64(len(buf)) {
		buf = buf[:min(int64(len(buf)), size-off)]
		if _, err := from.ReadAt(buf, off); err != nil {
			return err
		}
		if _, err := to.WriteAt(buf, off); err != nil {
			return err
		}
	}
	return nil
}

// drop moves the cursor to frame lsn, before which alertEnd alerts lie; what it
// passes is dropped and counted, durably. What the reader has in its hands is
// counted too: it may arrive all the same.
func (r *Reader) drop(lsn, alertEnd uint64) error {
	r.storing.Lock()
	defer r.storing.Unlock()
	r.l.mu.Lock()
	c := r.cur
	r.l.mu.Unlock()
	if alertEnd > c.ordinal {
		n := alertEnd - c.ordinal
		c.ordinal, c.dropped, c.gap = alertEnd, c.dropped+n, c.gap+n
	}
	c.pos = event.Position{LSN: max(lsn, c.pos.LSN)}
	if err := r.slots.store(c.encode(), true); err != nil {
		return fmt.Errorf("drop for %s: %w", r.name, err)
	}
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	if r.at.LSN < lsn {
		r.at = event.Position{LSN: lsn}
	}
	if r.handed > alertEnd && alertEnd > r.cur.ordinal {
		r.overlap += alertEnd - r.cur.ordinal
	}
	r.cur, r.handed = c, max(r.handed, alertEnd)
	r.l.alarm(r.gapKey(), fmt.Sprintf("%d alerts for %s were dropped: the ledger is full", c.gap, r.name), true)
	return nil
}

func (r *Reader) gapKey() string { return "ledger_dropped/" + strings.ReplaceAll(r.name, "/", "-") }

// gap is the record that stands in place of what was dropped; ok is false when
// there is none to tell. It is settled with the next Ack.
func (r *Reader) gap() (a event.Alert, pos event.Position, ok bool) {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	if !r.untold() {
		return a, pos, false
	}
	n := r.cur.gap
	r.telling = n
	now := r.l.o.Now().UTC()
	id := event.NewID("alert", "ledger_dropped", r.name, fmt.Sprint(r.cur.dropped))
	return event.Alert{
		ID: id, DeliveryID: event.NewID("delivery", id.String(), "0"), State: event.AlertNew, Kind: event.AlertHealth, RuleID: GapRule,
		Provider: "appgovd", Title: fmt.Sprintf("%d alerts were dropped", n), Severity: event.SeverityHigh, DedupeKey: r.gapKey(),
		Summary: fmt.Sprintf("The ledger was full and %s was behind: %d alerts were dropped before this one (when_full = drop_oldest).", r.name, n),
		Time:    now, Opened: now, Count: int(min(n, math.MaxInt32)),
	}, r.at, true
}

// untold reports whether the sink is to hear of what was dropped: once what it has in
// its hands is settled. Called with the lock held.
func (r *Reader) untold() bool { return r.cur.gap > 0 && r.handed <= r.cur.ordinal }

// told settles the gap that was handed out.
func (r *Reader) told() error {
	r.l.mu.Lock()
	c := r.cur
	r.l.mu.Unlock()
	c.gap -= r.telling
	r.telling = 0
	if err := r.slots.store(c.encode(), true); err != nil {
		return fmt.Errorf("store cursor %s: %w", r.name, err)
	}
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	r.cur, r.acked = c, r.l.o.Now()
	if c.gap == 0 {
		r.l.alarm(r.gapKey(), "the sink was told of the alerts that were dropped", false)
	}
	return nil
}

// expired tells that the reader of a cursor left so long ago that nothing is kept for it.
func (l *Ledger) expired(c cursor) bool {
	return c.left != 0 && l.o.Now().Sub(time.Unix(int64(c.left), 0)) >= l.o.ReaderGrace
}

// ReleaseUnused notes for cursors that no reader opened since the start that their
// sinks left the configuration. It returns the names of those that left longer
// than Options.ReaderGrace ago: nothing is kept for them any more.
func (l *Ledger) ReleaseUnused() (released []string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range sortedKeys(l.parked) {
		c := l.parked[name]
		if c.left == 0 {
			c.left = max(1, uint64(l.o.Now().Unix()))
			l.parked[name] = c
			s, _, openErr := l.openSlots(l.path(alertCursors), name)
			if openErr != nil {
				err = errors.Join(err, openErr)
				continue
			}
			err = errors.Join(err, s.store(c.encode(), true), s.close())
		}
		if l.expired(c) {
			released = append(released, name)
			delete(l.parked, name)
		}
	}
	return released, err
}
