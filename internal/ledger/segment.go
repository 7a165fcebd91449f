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
	moved    bool   // it is in the overflow directory
	bad      []span // quarantined ranges: readers jump over them

	format        format
	firstPrevious uint32 // what the first frame says of the one before it
	parts         parts
}

// parts are where a frame of several parts begins whose last part is still to
// come, and the index before it.
type parts struct {
	open     bool
	off      int64
	last     uint64
	lastSum  uint32
	alertEnd uint64
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

	unreadable bool // the disk does not give it: it may be whole
}

// findings are what a scan tells beside the index.
type findings struct {
	damaged []damage
	breaks  []chainBreak
}

// chainBreak is a place where frames are missing or do not follow each other.
type chainBreak struct {
	lsn  uint64 // of the frame or footer that tells
	text string
}

func (f *findings) missing(from, to uint64) {
	f.breaks = append(f.breaks, chainBreak{from, fmt.Sprintf("frames %d to %d are missing", from, to)})
}

// trust fills the index from the footer of a closed segment, without a look at the
// frames; what is rotten in them is found when they are read. It reports whether
// the footer and the first frame are whole and fit each other.
func (s *segment) trust(size int64, limit uint64) bool {
	if size < 2*headerBytes || limit == 0 {
		return false
	}
	h, err := s.header(size - headerBytes)
	if err != nil || h.magic != footerMagic || h.lsn < s.first || h.lsn >= limit || uint64(h.rawLength) != h.lsn-s.first+1 {
		return false
	}
	first, err := s.header(0)
	if err != nil || first.magic != frameMagic || first.lsn != s.first {
		return false
	}
	s.firstPrevious, s.last, s.lastSum, s.alertEnd = first.previous, h.lsn, h.previous, h.alertBase
	s.size, s.synced = size, size
	s.close(h)
	return true
}

// close takes what a footer tells.
func (s *segment) close(footer header) {
	s.closed = true
	if footer.alerts != 0 { // version 1 did not say when
		s.newest = time.Unix(int64(footer.alerts), 0)
	}
}

// scan reads a segment from its start to size, checks every checksum and the
// chain, and fills the index. limit is the first lsn of the next segment:
// frames from there on were written again and are void (0 = no next one).
func (s *segment) scan(size int64, limit uint64) (f findings, err error) {
	s.last = s.first - 1
	off, rotten := int64(0), false // rotten: something is lost before off, which is told already
	for off < size {
		h, n, reason := s.check(off, size)
		if reason == laterRelease {
			return f, fmt.Errorf("read segment %s: %s", s.name, reason)
		}
		if reason == "" && h.magic == frameMagic && h.lsn <= s.last {
			reason = "number out of order"
		}
		if reason == "" && limit != 0 && h.magic == frameMagic && h.lsn >= limit {
			break // void
		}
		if reason == "" {
			if !rotten {
				s.follow(h, &f)
			}
			s.take(h, off)
			off, rotten = off+n, false
			continue
		}
		next := s.resync(off+1, size, limit)
		d := s.damage(off, next, size, reason)
		if d.Torn = next < 0 && limit == 0 && !d.unreadable; d.Torn {
			f.damaged = append(f.damaged, d)
			break
		}
		f.damaged = append(f.damaged, d)
		s.bad = append(s.bad, span{off, off + d.Bytes})
		s.closed = s.closed || next < 0 // nothing is appended behind what cannot be read
		off, rotten = off+d.Bytes, true
	}
	if s.parts.open && limit == 0 {
		f.damaged = s.uncover(f.damaged, off)
		off = s.parts.off
	}
	s.size, s.synced = off, off
	return f, nil
}

// uncover gives up the first parts of a frame whose last part is not there: they
// were never acknowledged, and count as torn with what stands behind them.
func (s *segment) uncover(found []damage, end int64) []damage {
	d := s.damage(s.parts.off, -1, end, "the last part of a frame is missing")
	d.Torn = true
	if n := len(found); n > 0 && found[n-1].Torn {
		d.content, d.Bytes = append(d.content, found[n-1].content...), d.Bytes+found[n-1].Bytes
		found = found[:n-1]
	}
	s.last, s.lastSum, s.alertEnd = s.parts.last, s.parts.lastSum, s.parts.alertEnd
	return append(found, d)
}

const laterRelease = "written by a later release"

// follow notes where h is not what must come next.
func (s *segment) follow(h header, f *findings) {
	next := s.last + 1
	if h.magic == footerMagic {
		next = s.last
	}
	switch {
	case h.lsn > next:
		f.missing(s.last+1, h.lsn-uint64(btoi(h.magic == frameMagic)))
	case s.last >= s.first && h.previous != s.lastSum:
		f.breaks = append(f.breaks, chainBreak{h.lsn, fmt.Sprintf("frame %d does not follow the one before it", h.lsn)})
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (s *segment) take(h header, off int64) {
	if h.magic == footerMagic {
		s.close(h)
		return
	}
	if s.last < s.first {
		s.firstPrevious = h.previous
	}
	if h.flags&flagMore != 0 && !s.parts.open {
		s.parts = parts{true, off, s.last, s.lastSum, s.alertEnd}
	} else if h.flags&flagMore == 0 {
		s.parts.open = false
	}
	s.last, s.lastSum, s.alertEnd = h.lsn, h.sum, h.alertBase+uint64(h.alerts)
}

// header reads the header at off.
func (s *segment) header(off int64) (header, error) {
	var b [headerBytes]byte
	if _, err := s.f.ReadAt(b[:], off); err != nil {
		return header{}, err
	}
	return parseHeader(b[:], s.format)
}

// check reads the frame at off; reason is "" when it is whole.
func (s *segment) check(off, size int64) (h header, n int64, reason string) {
	if size-off < headerBytes {
		return h, 0, "shorter than a header"
	}
	h, err := s.header(off)
	switch {
	case errors.Is(err, errLater):
		return h, 0, laterRelease
	case errors.Is(err, errHeader):
		return h, 0, err.Error()
	case err != nil:
		return h, 0, unreadable + err.Error()
	}
	n = headerBytes + int64(h.length)
	if size-off < n {
		return h, 0, "shorter than its header says"
	}
	payload := make([]byte, h.length)
	if _, err := s.f.ReadAt(payload, off+headerBytes); err != nil {
		return h, 0, unreadable + err.Error()
	}
	if castagnoli(payload) != h.payload {
		return h, 0, "payload checksum differs"
	}
	return h, n, ""
}

const (
	window     = 1 << 20
	sector     = 4096 // what a disk loses at once
	unreadable = "unreadable: "
)

// resync finds the next whole frame from off on, -1 if there is none.
func (s *segment) resync(off, size int64, limit uint64) int64 {
	var magic [4]byte
	binary.LittleEndian.PutUint32(magic[:], frameMagic)
	buf := make([]byte, min(window, size-off))
	for off < size {
		want := min(int64(len(buf)), size-off)
		n, err := s.f.ReadAt(buf[:want], off)
		for i := 0; i < n; {
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
		switch {
		case err != nil && int64(n) < want: // a bad sector: go on behind it
			off = (off + int64(n) + sector) / sector * sector
		case n < len(magic):
			return -1
		default:
			off += int64(n - len(magic) + 1)
		}
	}
	return -1
}

// damage is the part from off to next, -1 = to size, with what can be read of it.
func (s *segment) damage(off, next, size int64, reason string) damage {
	end := next
	if end < 0 {
		end = size
	}
	d := damage{Segment: s.name, Offset: off, Bytes: end - off, Reason: reason, content: make([]byte, end-off)}
	if _, err := s.f.ReadAt(d.content, off); err == nil {
		return d
	}
	d.unreadable = true
	for at := off; at < end; { // zeros stand for what cannot be read
		to := min(end, (at+sector)/sector*sector)
		_, _ = s.f.ReadAt(d.content[at-off:to-off], at)
		at = to
	}
	return d
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
