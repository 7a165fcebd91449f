package ledger

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"go.uber.org/zap"
)

func (l *Ledger) load() error {
	for _, d := range directories() {
		if err := l.o.FS.Mkdir(l.path(d)); err != nil {
			return err
		}
	}
	if l.o.OverflowDir != "" {
		if err := openDir(l.o.FS, l.o.OverflowDir); err != nil {
			return fmt.Errorf("overflow directory: %w", err)
		}
		if err := l.o.FS.SyncDir(l.o.OverflowDir); err != nil {
			return fmt.Errorf("overflow directory: %w", err)
		}
	}
	if err := l.syncDirs(); err != nil {
		return err
	}
	var state []byte
	var err error
	if l.durable, state, err = l.openSlots(l.dir, "durable"); err != nil {
		return err
	}
	if err := l.openDead(); err != nil {
		return err
	}
	if err := l.holdReserve(); err != nil {
		l.o.Log.Warn("cannot keep a reserve of room on the disk", zap.Error(err))
	}
	if err := l.loadSnapshots(); err != nil {
		return err
	}
	known, err := l.loadSegments()
	if err != nil {
		return err
	}
	last, err := l.parkCursors()
	if err != nil {
		return err
	}
	if len(state) == 8 {
		last = max(last, binary.LittleEndian.Uint64(state))
	}
	if n := len(l.snaps); n > 0 {
		last = max(last, l.snaps[n-1])
	}
	if last > l.last { // numbers that were seen are never given again
		l.broken(chainBreak{l.last + 1, fmt.Sprintf("frames %d to %d were durable and are gone", l.last+1, last)})
		l.last = last
	}
	l.next = l.last + 1
	if known {
		l.next = max(l.next, l.identity.since)
		l.last = l.next - 1
	}
	return l.keepIdentity(known)
}

// broken tells that frames are missing, or do not follow each other.
func (l *Ledger) broken(b chainBreak) {
	l.metrics.breaks.Inc()
	l.o.Log.Error("the chain of frames is broken", zap.Uint64("lsn", b.lsn), zap.String("reason", b.text))
	l.alarm(fmt.Sprintf("ledger_damage/chain-%d", b.lsn), b.text, true)
}

// syncDirs makes durable what a process that was killed made and did not sync:
// from here on it counts.
func (l *Ledger) syncDirs() error {
	for _, d := range append(directories(), ".") {
		if err := l.o.FS.SyncDir(l.path(d)); err != nil {
			return err
		}
	}
	return nil
}

func directories() []string {
	return []string{"segments", alertCursors, eventCursors, "snapshots", "corrupt", "torn", "deadletter"}
}

// parkCursors reads every cursor on disk, so that what a reader needs is kept
// before it opens; it returns the last frame that one of them has seen.
func (l *Ledger) parkCursors() (last uint64, err error) {
	names, err := l.cursorFiles(alertCursors)
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		b, err := peekSlots(l.o.FS, l.path(alertCursors), name)
		if err != nil {
			return 0, err
		}
		if c, err := decodeCursor(b); err == nil {
			l.parked[name] = c
			l.alerts = max(l.alerts, c.ordinal)
			if c.pos.Index == 0 && c.pos.LSN > 0 {
				c.pos.LSN-- // of the last frame that is settled
			}
			last = max(last, c.pos.LSN)
		}
	}
	return last, nil
}

// cursorFiles are the names of all cursors in a directory; what a process left behind that was
// killed while it wrote one anew is none.
func (l *Ledger) cursorFiles(dir string) ([]string, error) {
	names, err := l.o.FS.List(l.path(dir))
	return slices.DeleteFunc(names, func(name string) bool { return strings.HasSuffix(name, tmpSuffix) }), err
}

func (l *Ledger) loadSegments() (known bool, err error) {
	if err := l.openSegments(false); err != nil {
		return false, err
	}
	if known, err = l.readIdentity(); err != nil {
		return false, err
	}
	err = l.scanSegments(func(s *segment, f findings) error {
		for _, b := range f.breaks {
			l.broken(b)
		}
		if err := l.mend(s, f.damaged); err != nil {
			return err
		}
		if s.last >= s.first {
			l.alerts, l.sum = s.alertEnd, s.lastSum
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	for i, s := range l.segments {
		// poisoned before its footer, the footer is rotten, or written by an older release: nothing is appended to it
		s.closed = s.closed || i+1 < len(l.segments) || s.format.version != version
	}
	if n := len(l.segments); n > 0 {
		l.last = max(l.last, l.segments[n-1].first-1)
		if err := l.segments[n-1].f.Sync(); err != nil { // what a killed process wrote and did not sync counts from here on
			return false, err
		}
	}
	return known, nil
}

// openSegments opens all segments in order; vanish is for a reader beside the
// daemon, which may give one up after it was listed.
func (l *Ledger) openSegments(vanish bool) error {
	for _, moved := range []bool{false, true} {
		if moved && l.o.OverflowDir == "" {
			break
		}
		if err := l.openIn(moved, vanish); err != nil {
			return err
		}
	}
	slices.SortFunc(l.segments, func(a, b *segment) int { return cmp.Compare(a.first, b.first) })
	return nil
}

func (l *Ledger) openIn(moved, vanish bool) error {
	dir := l.place(&segment{moved: moved})
	names, err := l.o.FS.List(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		first, ok := parseSegmentName(name)
		if !ok {
			continue
		}
		if moved && slices.ContainsFunc(l.segments, func(s *segment) bool { return s.first == first }) {
			if !vanish { // it was copied and not deleted: it will be copied again
				_ = l.o.FS.Remove(dir + "/" + name)
			}
			continue
		}
		f, err := l.o.FS.Open(dir+"/"+name, false)
		if vanish && errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		l.segments = append(l.segments, &segment{name: name, f: f, first: first, moved: moved, newest: l.o.Now()})
	}
	return nil
}

// scanSegments finds the frames of all segments; each gets what is wrong with one.
// Closed ones with a good footer are not read: what is rotten in them is told
// when it is read.
func (l *Ledger) scanSegments(each func(*segment, findings) error) error {
	var before *segment
	for i, s := range l.segments {
		size, err := s.f.Size()
		if err != nil {
			return err
		}
		limit := l.limit(i)
		var f findings
		if !s.trust(size, limit) {
			if f, err = s.scan(size, limit); err != nil {
				return err
			}
		}
		if before != nil {
			before.join(s, &f)
		}
		if err := each(s, f); err != nil {
			return err
		}
		l.last = max(l.last, s.last)
		before = s
	}
	return nil
}

// limit is the first frame of the segment behind number i, 0 = there is none.
func (l *Ledger) limit(i int) uint64 {
	if i+1 < len(l.segments) {
		return l.segments[i+1].first
	}
	return 0
}

// join notes where next does not follow s.
func (s *segment) join(next *segment, f *findings) {
	switch {
	case next.first > s.last+1:
		f.missing(s.last+1, next.first-1)
	case next.last >= next.first && len(next.bad) == 0 && s.last >= s.first && next.firstPrevious != s.lastSum:
		f.breaks = append(f.breaks, chainBreak{next.first, fmt.Sprintf("segment %s does not follow %s", next.name, s.name)})
	}
}

// mend keeps a copy of every damaged part; a torn tail is cut off, so that
// appending goes on behind the last whole frame.
func (l *Ledger) mend(s *segment, found []damage) error {
	for _, d := range found {
		dir, name := "torn", fmt.Sprintf("%s-%d", s.name, d.Offset)
		if !d.Torn {
			dir = "corrupt"
			if l.alarm("ledger_damage/"+name, fmt.Sprintf("%d bytes of %s are rotten (%s); a copy is in corrupt/%s", d.Bytes, s.name, d.Reason, name), true) {
				l.metrics.corrupt.Inc()
			}
		}
		if err := l.keep(dir, name, d.content); err != nil {
			return err
		}
		l.o.Log.Warn("damaged part of the ledger kept aside", zap.String("segment", s.name), zap.Int64("offset", d.Offset), zap.Int64("bytes", d.Bytes), zap.Bool("torn", d.Torn), zap.String("reason", d.Reason))
		if !d.Torn {
			continue
		}
		if err := errors.Join(s.f.Truncate(d.Offset), s.f.Sync()); err != nil {
			return err
		}
		l.metrics.torn.Inc()
	}
	return nil
}

// rotten tells that a frame is skipped for good, and keeps a copy of it.
func (l *Ledger) rotten(s *segment, off int64, h header, cause error) {
	d := s.damage(off, off+headerBytes+int64(h.length), 0, cause.Error())
	if err := l.mend(s, []damage{d}); err != nil {
		l.o.Log.Error("cannot keep a copy of a rotten frame", zap.Uint64("lsn", h.lsn), zap.Error(err))
	}
}

// recheck looks for what is rotten in a segment that turned out not to be whole.
// It reports whether the frame at off is known to be rotten now. Called with the
// lock held.
func (l *Ledger) recheck(s *segment, off int64) bool {
	if !slices.Contains(l.segments, s) {
		return false // deleted meanwhile
	}
	c := &segment{name: s.name, f: s.f, first: s.first, format: s.format}
	found, err := c.scan(s.synced, s.last+1)
	if err != nil {
		l.o.Log.Error("cannot read a segment", zap.String("segment", s.name), zap.Error(err))
		return false
	}
	if err := l.mend(s, found.damaged); err != nil {
		l.o.Log.Error("cannot keep a copy of a rotten part", zap.String("segment", s.name), zap.Error(err))
	}
	s.bad = c.bad
	return s.skip(off) > off
}

// keep writes a copy of damaged bytes; an older copy of the same place stays.
func (l *Ledger) keep(dir, name string, content []byte) error {
	f, err := l.o.FS.Open(l.path(dir, name), true)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.WriteAt(content, 0)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = l.o.FS.SyncDir(l.path(dir))
	}
	return errors.Join(err, f.Close())
}
