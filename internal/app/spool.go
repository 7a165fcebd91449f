package app

import (
	"cmp"
	"fmt"
	"os"
	"slices"

	"github.com/appgovd/appgovd/internal/event"
)

// spoolMemory is how many bytes of events a spool holds before it writes them to
// a temporary file.
const spoolMemory = 16 << 20

// spool brings events into order of time. It costs 24 bytes of memory per event;
// the events themselves, some 500 bytes each, lie in memory up to a bound and
// then in a temporary file, which has no name and dies with the process.
type spool struct {
	limit   int
	index   []place
	memory  []byte
	written int64
	file    *os.File
}

type place struct {
	time   int64 // unix nanoseconds
	offset int64
	size   int
}

func newSpool(limit int) *spool { return &spool{limit: limit} }

// add keeps e without its raw record, which nothing reads before detection.
func (s *spool) add(e *event.Event) error {
	e.Raw = nil
	from := len(s.memory)
	s.memory = event.AppendEvent(s.memory, e)
	s.index = append(s.index, place{e.Time.UnixNano(), s.written + int64(from), len(s.memory) - from})
	if len(s.memory) < s.limit {
		return nil
	}
	return s.flush()
}

func (s *spool) flush() error {
	if s.file == nil {
		f, err := os.CreateTemp("", "appgovd-replay-*")
		if err != nil {
			return fmt.Errorf("spool events: %w", err)
		}
		s.file = f
		if err := os.Remove(f.Name()); err != nil {
			return fmt.Errorf("spool events: %w", err)
		}
	}
	n, err := s.file.Write(s.memory)
	if err != nil {
		return fmt.Errorf("spool events: %w", err)
	}
	s.written += int64(n)
	s.memory = s.memory[:0]
	return nil
}

// each calls fn for every event, in order of time, those of one time in the order
// in which they came.
func (s *spool) each(fn func(*event.Event) error) error {
	slices.SortStableFunc(s.index, func(a, b place) int { return cmp.Compare(a.time, b.time) })
	var scratch []byte
	for _, p := range s.index {
		b, err := s.at(p, &scratch)
		if err != nil {
			return err
		}
		e, err := event.DecodeEvent(b)
		if err != nil {
			return fmt.Errorf("read spooled event: %w", err)
		}
		if err := fn(e); err != nil {
			return err
		}
	}
	return nil
}

func (s *spool) at(p place, scratch *[]byte) ([]byte, error) {
	if p.offset >= s.written {
		from := int(p.offset - s.written)
		return s.memory[from : from+p.size], nil
	}
	*scratch = slices.Grow((*scratch)[:0], p.size)[:p.size]
	if _, err := s.file.ReadAt(*scratch, p.offset); err != nil {
		return nil, fmt.Errorf("read spooled event: %w", err)
	}
	return *scratch, nil
}

func (s *spool) len() int { return len(s.index) }

func (s *spool) close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}
