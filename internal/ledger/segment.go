package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// segment is one file of frames with consecutive numbers. Offsets below synced
// never change; readers stay below it.
type segment struct {
	name     string
	f        File
	first    uint64 // lsn of the first frame
	last     uint64 // lsn of the last durable frame; first-1 when empty
	size     int64  // bytes written
	synced   int64  // bytes durable
	lastSum  uint32 // header checksum of the last frame: the chain
	alertEnd uint64 // alerts in the whole ledger up to the end of this segment
	newest   time.Time
	closed   bool
	bad      []span // quarantined ranges: readers jump over them
}

type span struct {
	from, to int64
}

func segmentName(first uint64) string { return fmt.Sprintf("%016x.seg", first) }

func parseSegmentName(name string) (uint64, bool) {
	var first uint64
	n, err := fmt.Sscanf(name, "%016x.seg", &first)
	return first, err == nil && n == 1 && name == segmentName(first)
}

// damage is what a scan found wrong.
type damage struct {
	Segment string
	Offset  int64
	Bytes   int64
	Torn    bool // nothing valid behind it in the newest segment
	Reason  string
	content []byte
}

// scan reads a segment from its start, checks every header and payload
// checksum, and fills the index. limit is the first lsn of the next segment: frames from there on
// were written again and are void (0 = no next one).
func (s *segment) scan(limit uint64) ([]damage, error) {
	size, err := s.f.Size()
	if err != nil {
		return nil, err
	}
	var found []damage
	s.last = s.first - 1
	off := int64(0)
	for off < size {
		h, n, reason := s.check(off, size)
		if reason == "" && h.magic == frameMagic && h.lsn <= s.last {
			reason = "number out of order"
		}
		if reason == "" && limit != 0 && h.magic == frameMagic && h.lsn >= limit {
			break // void
		}
		if reason == "" {
			s.take(h)
			off += n
			continue
		}
		if reason == laterRelease {
			return found, fmt.Errorf("read segment %s: %s", s.name, reason)
		}
		next := s.resync(off+1, size, limit)
		d, err := s.damage(off, next, size, reason)
		if err != nil {
			return found, err
		}
		found = append(found, d)
		if next < 0 {
			if limit == 0 {
				d := &found[len(found)-1]
				d.Torn = true
				s.size, s.synced = off, off
				return found, nil
			}
			break
		}
		s.bad = append(s.bad, span{off, next})
		off = next
	}
	s.size, s.synced = off, off
	return found, nil
}

const laterRelease = "written by a later release"

func (s *segment) take(h header) {
	if h.magic == footerMagic {
		s.closed = true
		return
	}
	s.last, s.lastSum, s.alertEnd = h.lsn, h.sum, h.alertBase+uint64(h.alerts)
}

// check reads the frame at off; reason is "" when it is whole.
func (s *segment) check(off, size int64) (h header, n int64, reason string) {
	var b [headerBytes]byte
	if size-off < headerBytes {
		return h, 0, "shorter than a header"
	}
	if _, err := s.f.ReadAt(b[:], off); err != nil {
		return h, 0, "unreadable: " + err.Error()
	}
	h, err := parseHeader(b[:])
	if err != nil {
		if !errors.Is(err, errHeader) {
			return h, 0, laterRelease
		}
		return h, 0, err.Error()
	}
	n = headerBytes + int64(h.length)
	if size-off < n {
		return h, 0, "shorter than its header says"
	}
	payload := make([]byte, h.length)
	if _, err := s.f.ReadAt(payload, off+headerBytes); err != nil {
		return h, 0, "unreadable: " + err.Error()
	}
	if castagnoli(payload) != h.payload {
		return h, 0, "payload checksum differs"
	}
	return h, n, ""
}

const window = 1 << 20

// resync finds the next whole frame from off on, -1 if there is none.
func (s *segment) resync(off, size int64, limit uint64) int64 {
	var magic [4]byte
	binary.LittleEndian.PutUint32(magic[:], frameMagic)
	buf := make([]byte, min(window, size-off))
	for off < size {
		n, _ := s.f.ReadAt(buf[:min(int64(len(buf)), size-off)], off)
		if n < len(magic) {
			return -1
		}
		for i := 0; ; {
			j := bytes.Index(buf[i:n], magic[:])
			if j < 0 {
				break
			}
			at := off + int64(i+j)
			if h, _, reason := s.check(at, size); reason == "" && h.lsn > s.last && (limit == 0 || h.lsn < limit) {
				return at
			}
			i += j + 1
		}
		off += int64(n - len(magic) + 1)
	}
	return -1
}

func (s *segment) damage(off, next, size int64, reason string) (damage, error) {
	end := next
	if end < 0 {
		end = size
	}
	content := make([]byte, end-off)
	if _, err := s.f.ReadAt(content, off); err != nil {
		return damage{}, fmt.Errorf("read damaged part of %s: %w", s.name, err)
	}
	return damage{Segment: s.name, Offset: off, Bytes: end - off, Reason: reason, content: content}, nil
}

// skip moves off over quarantined ranges.
func (s *segment) skip(off int64) int64 {
	for _, b := range s.bad {
		if off >= b.from && off < b.to {
			off = b.to
		}
	}
	return off
}
