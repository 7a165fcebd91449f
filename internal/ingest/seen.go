package ingest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
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
	expired time.Time // frame time of the last clean-up
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
// Version set) and counts the others. It reuses the array of events.
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

// Observe takes over the events of a frame in a replay.
func (s *Seen) Observe(f *event.Frame) {
	for i := range f.Events {
		if !f.Events[i].Derived {
			s.add(&f.Events[i], f.Time)
		}
	}
	s.expire(f.Time)
}

func (s *Seen) add(ev *event.Event, at time.Time) {
	until := at
	if ev.Time.After(until) {
		until = ev.Time
	}
	s.entries[ev.ID] = entry{content: ev.Content, version: ev.Version, until: until.Add(s.keep).Unix()}
}

const expireEvery = 10 * time.Minute

func (s *Seen) expire(at time.Time) {
	if at.Sub(s.expired) < expireEvery && !at.Before(s.expired) {
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
func (s *Seen) Snapshot(w io.Writer) error {
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
