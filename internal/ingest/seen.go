package ingest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"sort"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// Seen is the persistent id set of one source: which records were read, with
// which content. An id is forgotten Keep after the later of its event time and
// the time it was first read; Keep must be longer than the source's sweep.
// Everything it knows comes from frames, so a replay rebuilds it exactly. It is
// used under the lane's lock.
type Seen struct {
	keep    time.Duration
	entries map[event.ID]entry
	expired time.Time // at what time the last clean-up was
}

type entry struct {
	content event.ID
	version uint32
	until   int64 // Unix seconds
}

// NewSeen returns an empty set.
func NewSeen(keep time.Duration) *Seen {
	return &Seen{keep: keep, entries: map[event.ID]entry{}}
}

// Len is the number of ids kept.
func (s *Seen) Len() int { return len(s.entries) }

// Filter returns the events that are new or a new version of a known id (with
// Version set) and counts the others. It reuses the array of events. at is how
// far the source is: ids expire by it; zero = unchanged.
func (s *Seen) Filter(events []event.Event, at time.Time) (kept []event.Event, seen int) {
	kept = events[:0]
	for i := range events {
		ev := &events[i]
		if old, ok := s.entries[ev.ID]; ok {
			if old.content == ev.Content {
				seen++
				continue
			}
			ev.Version = old.version + 1
		}
		s.add(ev, at)
		kept = append(kept, *ev)
	}
	s.expire(at)
	return kept, seen
}

// FilterQuarantined returns the records that were not quarantined before, told by
// their bytes, and counts the others. at is the frame's time.
func (s *Seen) FilterQuarantined(qs []event.Quarantine, at time.Time) (kept []event.Quarantine, seen int) {
	kept = qs[:0]
	for _, q := range qs {
		if _, ok := s.entries[quarantineID(&q)]; ok && len(q.Raw) > 0 {
			seen++
			continue
		}
		s.addQuarantined(&q, at)
		kept = append(kept, q)
	}
	return kept, seen
}

func quarantineID(q *event.Quarantine) event.ID {
	return event.NewID("quarantine", q.Reason, string(q.Raw))
}

func (s *Seen) addQuarantined(q *event.Quarantine, at time.Time) {
	s.entries[quarantineID(q)] = entry{until: at.Add(s.keep).Unix()}
}

// through is how far the source of a page is: the time by which ids expire. A
// wrong clock of this machine does not move it.
func through(f *event.Frame) time.Time {
	if len(f.CompleteThrough) == 0 {
		return time.Time{}
	}
	return f.CompleteThrough[0].Time
}

// Observe takes over the events of a frame in a replay.
func (s *Seen) Observe(f *event.Frame) {
	for i := range f.Quarantined {
		s.addQuarantined(&f.Quarantined[i], f.Time)
	}
	for i := range f.Events {
		if !f.Events[i].Derived {
			s.add(&f.Events[i], through(f))
		}
	}
	s.expire(through(f))
}

func (s *Seen) add(ev *event.Event, at time.Time) {
	until := ev.Time
	for _, t := range []time.Time{at, ev.Observed} {
		if t.After(until) {
			until = t
		}
	}
	s.entries[ev.ID] = entry{content: ev.Content, version: ev.Version, until: until.Add(s.keep).Unix()}
}

const expireEvery = 10 * time.Minute

func (s *Seen) expire(at time.Time) {
	if at.Sub(s.expired) < expireEvery {
		return
	}
	s.expired = at
	for id, e := range s.entries {
		if e.until < at.Unix() {
			delete(s.entries, id)
		}
	}
}

const entryBytes = 16 + 16 + 4 + 8

// Snapshot writes the set, sorted by id, length first.
func (s *Seen) Snapshot(w io.Writer) error { return s.Freeze()(w) }

// Freeze keeps the set as it is now; write writes it, and may be called while the
// set goes on.
func (s *Seen) Freeze() (write func(io.Writer) error) {
	frozen := &Seen{entries: maps.Clone(s.entries), expired: s.expired}
	return frozen.write
}

func (s *Seen) write(w io.Writer) error {
	ids := make([]event.ID, 0, len(s.entries))
	for id := range s.entries {
		ids = append(ids, id)
	}
	sort.Slice(ids, func(i, j int) bool { return bytes.Compare(ids[i][:], ids[j][:]) < 0 })
	b := make([]byte, 0, 16+len(ids)*entryBytes)
	b = binary.BigEndian.AppendUint64(b, uint64(len(ids)))
	b = binary.BigEndian.AppendUint64(b, uint64(s.expired.Unix()))
	for _, id := range ids {
		e := s.entries[id]
		b = append(b, id[:]...)
		b = append(b, e.content[:]...)
		b = binary.BigEndian.AppendUint32(b, e.version)
		b = binary.BigEndian.AppendUint64(b, uint64(e.until))
	}
	_, err := w.Write(b)
	return err
}

// Restore replaces the set by what Snapshot wrote.
func (s *Seen) Restore(r io.Reader) error {
	var head [16]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return fmt.Errorf("restore id set: %w", err)
	}
	n := binary.BigEndian.Uint64(head[:8])
	s.expired = time.Unix(int64(binary.BigEndian.Uint64(head[8:])), 0)
	s.entries = map[event.ID]entry{}
	var b [entryBytes]byte
	for range n {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return fmt.Errorf("restore id set: %w", err)
		}
		e := entry{version: binary.BigEndian.Uint32(b[32:]), until: int64(binary.BigEndian.Uint64(b[36:]))}
		copy(e.content[:], b[16:32])
		s.entries[event.ID(b[:16])] = e
	}
	return nil
}
