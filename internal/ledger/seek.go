package ledger

import (
	"fmt"

	"github.com/appgovd/appgovd/internal/event"
)

// seeker is how far a reader got, and finds what comes next.
type seeker struct {
	l    *Ledger
	open *unpacked      // the frame that was handed out in part, nil = none; of the reader's goroutine
	at   event.Position // next record to hand out
	hint place          // where the last search ended
}

// place is a known frame boundary: frames before it are below lsn.
type place struct {
	s   *segment
	off int64
	lsn uint64
}

func (h header) hasAlerts() bool { return h.alerts > 0 }

// find walks headers from at on, up to a durable frame that is wanted: headers are in the
// page cache, and payloads are not read here. Called with the ledger's lock held.
func (r *seeker) find(wanted func(header) bool) (header, *segment, int64, bool, error) {
	for _, s := range r.l.segments {
		if s.last < r.at.LSN || s.last < s.first {
			continue
		}
		off := s.skip(0)
		if r.hint.s == s && r.hint.lsn <= r.at.LSN {
			off = s.skip(r.hint.off)
		}
		for ; off < s.synced; off = s.skip(off) {
			h, err := s.header(off)
			if err != nil {
				if r.l.recheck(s, off) {
					continue
				}
				return header{}, nil, 0, false, fmt.Errorf("read segment %s: %w", s.name, err)
			}
			if h.magic == frameMagic && h.lsn >= r.at.LSN && wanted(h) {
				if h.lsn > r.at.LSN {
					r.at = event.Position{LSN: h.lsn}
				}
				r.hint = place{s, off, h.lsn}
				return h, s, off, true, nil
			}
			off += headerBytes + int64(h.length)
			if h.magic == frameMagic {
				r.hint = place{s, off, h.lsn + 1}
			}
		}
	}
	return header{}, nil, 0, false, nil
}

// unpack opens the frame at off, unless it is open.
func (r *seeker) unpack(s *segment, off int64, h header) (err error) {
	if r.open != nil && r.open.Head.LSN != h.lsn {
		r.shut()
	}
	if r.open == nil {
		r.open, err = r.l.open(s, off, h)
	}
	return err
}

func (r *seeker) shut() {
	r.l.codec.release(r.open)
	r.open = nil
}
