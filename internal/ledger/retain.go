package ledger

import (
	"fmt"
	"math"
	"sort"
	"time"
)

// bytes is the size of all segments but those in the overflow. Called with the
// lock held.
func (l *Ledger) bytes() int64 {
	var n int64
	for _, s := range l.segments {
		if !s.moved {
			n += s.size
		}
	}
	return n
}

// place is the directory of a segment.
func (l *Ledger) place(s *segment) string {
	if s.moved {
		return l.o.OverflowDir
	}
	return l.path("segments")
}

// retain deletes closed segments from the oldest on that no reader, no kept
// snapshot and no history window needs. History, and events that were not handed on,
// are given up first when more than half of the room is used or the disk is full.
// Called with the lock held.
func (l *Ledger) retain() {
	needed := l.needed()
	for len(l.segments) > 1 {
		s := l.segments[0]
		if !s.closed || s.last >= needed {
			return
		}
		roomy := l.bytes() < l.o.MaxBytes/2 && !l.diskFull && !s.moved
		if roomy && (l.o.Now().Sub(s.newest) < l.o.History || s.last >= l.unread()) {
			return
		}
		crashPoint("segment_delete")
		if err := l.o.FS.Remove(l.place(s) + "/" + s.name); err != nil {
			l.o.Log.Warn("cannot delete segment: " + err.Error())
			return
		}
		_ = s.f.Close()
		crashPoint("segment_deleted")
		_ = l.o.FS.SyncDir(l.place(s)) // a segment that comes back is deleted again
		l.segments = l.segments[1:]
		l.changed.Broadcast()
	}
}

// needed is the oldest frame that somebody may still want: everything behind
// the oldest kept snapshot, and what a reader has not settled.
func (l *Ledger) needed() uint64 {
	if len(l.snaps) == 0 {
		return 0
	}
	return min(l.snaps[0]+1, l.unsettled())
}

// unsettled is the oldest frame that a reader has not settled. Called with the
// lock held.
func (l *Ledger) unsettled() uint64 {
	oldest := uint64(math.MaxUint64)
	for _, r := range l.readers {
		oldest = min(oldest, r.holds())
	}
	for _, c := range l.parked {
		if !l.expired(c) {
			oldest = min(oldest, c.pos.LSN)
		}
	}
	return oldest
}

func sortedKeys[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// levels raises and clears the alarms of a ledger that fills up, naming the
// reader that holds it. Called with the lock held.
func (l *Ledger) levels(used int64) {
	who, lsn := "no snapshot yet", uint64(math.MaxUint64)
	if len(l.snaps) > 0 {
		who = "the history"
	}
	for name, r := range l.readers {
		if h := r.holds(); h < lsn && h <= l.last {
			who, lsn = "sink "+name, h
		}
	}
	for name, c := range l.parked {
		if c.pos.LSN < lsn && c.pos.LSN <= l.last && !l.expired(c) {
			who, lsn = "the cursor "+name+", whose sink left the configuration", c.pos.LSN
		}
	}
	for _, level := range []struct {
		key     string
		percent int64
	}{{"ledger_half_full", 50}, {"ledger_nearly_full", 80}, {"ledger_full", 100}} {
		active := used >= l.o.MaxBytes/100*level.percent
		l.alarm(level.key, fmt.Sprintf("the ledger holds %d of %d bytes (%d %% and more); held by %s", used, l.o.MaxBytes, level.percent, who), active)
	}
}

// Stats is what an operator sees of the ledger.
type Stats struct {
	LastLSN   uint64                 `json:"last_lsn"`
	Alerts    uint64                 `json:"alerts"`
	Bytes     int64                  `json:"bytes"`
	MaxBytes  int64                  `json:"max_bytes"`
	Segments  int                    `json:"segments"`
	Snapshots []uint64               `json:"snapshots"`
	DiskFull  bool                   `json:"disk_full,omitempty"`
	Readers   map[string]ReaderStats `json:"readers"`
	Error     string                 `json:"error,omitempty"`
}

// ReaderStats is what an operator sees of one reader.
type ReaderStats struct {
	LSN        uint64    `json:"lsn"`
	Waiting    uint64    `json:"waiting"` // alerts behind the cursor
	Accepted   uint64    `json:"accepted"`
	DeadLetter uint64    `json:"dead_letter"`
	Skipped    uint64    `json:"skipped"`
	Grouped    uint64    `json:"grouped"`           // joined groups, which are told by notices
	Dropped    uint64    `json:"dropped,omitempty"` // when the ledger was full
	Lost       uint64    `json:"lost,omitempty"`    // in frames that became rotten before they were handed out
	Frames     uint64    `json:"frames,omitempty"`  // of a reader of events: frames that it has not read
	Missing    uint64    `json:"missing,omitempty"` // of a reader of events: frames that were gone before it read them
	LastAck    time.Time `json:"last_ack,omitzero"`
	Balance    string    `json:"balance,omitempty"` // "" or how the account does not add up
}

// Stats returns a picture of now.
func (l *Ledger) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Stats{LastLSN: l.last, Alerts: l.alerts, Bytes: l.bytes(), MaxBytes: l.o.MaxBytes, Segments: len(l.segments), Snapshots: append([]uint64(nil), l.snaps...), DiskFull: l.diskFull, Readers: map[string]ReaderStats{}}
	if l.fatal != nil {
		s.Error = l.fatal.Error()
	}
	for name, r := range l.readers {
		s.Readers[name] = r.stats()
	}
	for name, r := range l.eventReaders {
		s.Readers[name] = r.stats()
	}
	return s
}

// Head is the number of the newest frame appended, durable or not.
func (l *Ledger) Head() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next - 1
}
