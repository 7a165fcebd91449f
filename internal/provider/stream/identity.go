package stream

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// places is the cursor of files.
type places struct {
	Version int         `json:"v"`
	Begun   time.Time   `json:"begun"` // when the source was first read
	Files   []filePlace `json:"files,omitempty"`
}

func (p places) encode() []byte {
	b, _ := json.Marshal(p) // texts, times and numbers always can be
	return b
}

// filePlace is how far a file was read, and what it is known by: where it lies, what it
// begins with, and what stands before the place, so that a copy is told from another
// file that begins alike.
type filePlace struct {
	Path     string   `json:"path"`
	Dev      uint64   `json:"dev"`
	Inode    uint64   `json:"inode"`
	Head     event.ID `json:"head"` // hash of the first N bytes
	N        int      `json:"n"`
	Tail     event.ID `json:"tail,omitzero"` // hash of the last T bytes before At, of lines
	T        int      `json:"t,omitempty"`
	At       int64    `json:"at"` // of the text, not of its compressed form
	Size     int64    `json:"size"`
	Gzip     bool     `json:"gzip,omitempty"`
	Document bool     `json:"document,omitempty"`
	Done     bool     `json:"done,omitempty"` // a compressed file that was read whole
}

// unread reports whether there is more behind the place.
func (p *filePlace) unread() bool { return !p.Done && (p.Gzip || p.At < p.Size) }

const (
	headBytes = 1024
	tailBytes = 256
)

// advance goes on behind a line.
func (p *filePlace) advance(n int, line []byte) {
	p.At += int64(n)
	p.T = min(len(line), tailBytes)
	p.Tail = event.HashContent(line[len(line)-p.T:])
	if len(line) < n { // of a line that is too long the end is not known
		p.T = 0
	}
}

// found is a file that there is, with its place.
type found struct {
	path    string
	info    os.FileInfo
	changed time.Time
	gzip    bool
	head    []byte // the beginning of its text
	at      *filePlace
	damage  error // why a compressed file ends where it does; nil = it is whole as far as is known
	waits   bool  // there is more, which is not whole yet
}

// find looks for the files of paths and for those that rotation took out of them, and
// gives each its place in at. What went away before it was read to its end is a gap.
func (s *Files) find(at *places, b *Batch, now time.Time) (all []*found, errs []error) {
	names, errs := s.names()
	old := slices.Clone(at.Files)
	claimed := make([]bool, len(old))
	list := s.look(names, &errs)
	for _, same := range []func(*found, *filePlace) bool{s.isSame, s.isMoved} {
		match(list, old, claimed, same)
	}
	for i := range old {
		if !claimed[i] {
			list = append(list, s.rotated(&old[i], list, &errs)...)
		}
	}
	match(list, old, claimed, s.isMoved)
	for i := range old {
		if !claimed[i] && old[i].unread() {
			b.gaps = append(b.gaps, event.Gap{Source: s.o.Key, From: now, To: now, Reason: fmt.Sprintf("%s went away when %d of its %d bytes were read", old[i].Path, old[i].At, old[i].Size), Advice: elsewhere})
		}
	}
	at.Files = make([]filePlace, 0, len(list))
	kept := list[:0]
	for _, f := range s.placed(list, old, b, now) {
		f.refresh()
		if !slices.Contains(names, f.path) && !f.at.unread() && now.Sub(f.changed) > leaves {
			continue
		}
		kept = append(kept, f)
		at.Files = append(at.Files, *f.at)
	}
	for i, f := range kept {
		f.at = &at.Files[i]
	}
	return kept, errs
}

// placed are the files that have a place, with those that get one. A copy of another
// file has none while that is there, and neither has a compressed file of which there is
// no text yet.
func (s *Files) placed(list []*found, old []filePlace, b *Batch, now time.Time) (out []*found) {
	for i, f := range list {
		switch {
		case f.at != nil:
		case f.damage != nil && len(f.head) == 0:
			if s.mayGrow(f, now) {
				continue
			}
			s.damaged(f, b, now)
			f.at = &filePlace{Done: true}
		case s.isCopy(f, i, list):
			continue
		default:
			f.at = s.anew(f, old)
		}
		out = append(out, f)
	}
	return out
}

// mayGrow reports whether somebody may still write to a file.
func (s *Files) mayGrow(f *found, now time.Time) bool {
	return !s.cfg.Once && now.Sub(f.changed) <= leaves
}

// damaged notes that a compressed file ends too early.
func (s *Files) damaged(f *found, b *Batch, now time.Time) {
	from := f.changed.UTC()
	if from.After(now) {
		from = now
	}
	b.gaps = append(b.gaps, event.Gap{Source: s.o.Key, From: from, To: now, Reason: fmt.Sprintf("%s is damaged, what stands behind is not read: %v", f.path, f.damage), Advice: "send a whole copy of the file, or " + elsewhere})
}

// leaves is after what time without a change nobody writes to a file any more that
// rotation took away.
const leaves = time.Minute

// match gives places to files that are the same.
func match(list []*found, old []filePlace, claimed []bool, same func(*found, *filePlace) bool) {
	for _, f := range list {
		for i := range old {
			if f.at == nil && !claimed[i] && same(f, &old[i]) {
				p := old[i]
				f.at, claimed[i] = &p, true
			}
		}
	}
}

// look opens files; empty ones are none yet.
func (s *Files) look(names []string, errs *[]error) (list []*found) {
	for _, name := range names {
		f, err := s.peek(name)
		switch {
		case err != nil:
			*errs = append(*errs, err)
		case f != nil:
			list = append(list, f)
		}
	}
	return list
}

func (s *Files) peek(name string) (*found, error) {
	info, err := os.Stat(name)
	if err != nil || info.Size() == 0 {
		return nil, nil //nolint:nilerr // it went away between two looks
	}
	h, err := s.open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = h.Close() }()
	f := &found{path: name, info: info, changed: info.ModTime(), gzip: isGzip(h)}
	r, err := textOf(h, f.gzip, 0)
	if err == nil {
		f.head, err = io.ReadAll(io.LimitReader(r, headBytes))
	}
	if f.gzip && isDamage(err) {
		f.damage, err = err, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

// isDamage reports whether an error says that a compressed text is cut off, or none.
func isDamage(err error) bool {
	var corrupt flate.CorruptInputError
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.As(err, &corrupt)
}

// isCopy reports whether list[i] holds nothing but the beginning of another file, or
// all of it: rotation copies and compresses a file before it cuts or removes it. Of two
// that are the same the first is none.
func (s *Files) isCopy(f *found, i int, list []*found) bool {
	for k, g := range list {
		if k != i && len(f.head) <= len(g.head) && bytes.Equal(f.head, g.head[:len(f.head)]) && s.within(f, g, g.at != nil || k < i) {
			return true
		}
	}
	return false
}

// within reports whether the text of f is the beginning of that of g, or, as equal says,
// the same. What was found out once holds while f does not change: g only grows.
func (s *Files) within(f, g *found, equal bool) bool {
	var key copyKey
	key.dev, key.inode = id(f.info)
	key.ofDev, key.of = id(g.info)
	key.size, key.changed = f.info.Size(), f.changed
	if !s.copies[key] {
		same, longer := s.compare(f, g)
		if !same || !equal && !longer {
			return false
		}
		if len(s.copies) > mostCopies {
			clear(s.copies)
		}
		s.copies[key] = true
	}
	return true
}

// mostCopies bounds what is known of copies.
const mostCopies = 1000

// copyKey is a copy as it was, and what it is a copy of.
type copyKey struct {
	dev, inode, ofDev, of uint64
	size                  int64
	changed               time.Time
}

// compare reads f beside g, up to the end of f.
func (s *Files) compare(f, g *found) (same, longer bool) {
	x, err := s.open(f.path)
	if err != nil {
		return false, false
	}
	defer func() { _ = x.Close() }()
	y, err := s.open(g.path)
	if err != nil {
		return false, false
	}
	defer func() { _ = y.Close() }()
	a, errA := textOf(x, f.gzip, 0)
	b, errB := textOf(y, g.gzip, 0)
	if errA != nil || errB != nil {
		return false, false
	}
	mine, theirs := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(a, mine)
		m, _ := io.ReadFull(b, theirs[:n])
		if m < n || !bytes.Equal(mine[:n], theirs[:m]) {
			return false, false
		}
		if err != nil { // its end, or all that there is of it
			m, _ := io.ReadFull(b, theirs[:1])
			return true, m == 1
		}
	}
}

// isGzip decides by the first two bytes, never by a name.
func isGzip(h io.ReadSeeker) bool {
	var magic [2]byte
	_, err := io.ReadFull(h, magic[:])
	return err == nil && magic == [2]byte{0x1f, 0x8b}
}

// textOf is the text of a file from an offset on.
func textOf(h io.ReadSeeker, compressed bool, at int64) (io.Reader, error) {
	if !compressed {
		_, err := h.Seek(at, io.SeekStart)
		return h, err
	}
	if _, err := h.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(bufio.NewReader(h))
	if err != nil {
		return nil, err
	}
	if _, err := io.CopyN(io.Discard, z, at); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return z, nil
}

// id is where a file lies on disk, whatever its name.
func id(info os.FileInfo) (dev, inode uint64) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Dev), st.Ino //nolint:unconvert // of another width elsewhere
	}
	return 0, 0
}

func (p *filePlace) beginsLike(f *found) bool {
	return p.N > 0 && len(f.head) >= p.N && event.HashContent(f.head[:p.N]) == p.Head
}

// isSame: the file lies where it lay, and was neither cut nor written anew.
func (s *Files) isSame(f *found, p *filePlace) bool {
	dev, inode := id(f.info)
	if p.N == 0 && p.Done && len(f.head) == 0 { // of a damaged file
		return dev == p.Dev && inode == p.Inode && f.info.Size() == p.Size
	}
	return dev == p.Dev && inode == p.Inode && p.beginsLike(f) && (p.Gzip || p.Document || f.info.Size() >= p.At)
}

// isMoved: another file has what was read, as a copy or in compressed form.
func (s *Files) isMoved(f *found, p *filePlace) bool {
	return !p.Document && p.beginsLike(f) && s.endsLike(f, p)
}

// endsLike reports whether the same stands before the place.
func (s *Files) endsLike(f *found, p *filePlace) bool {
	h, err := s.open(f.path)
	if err != nil {
		return false
	}
	defer func() { _ = h.Close() }()
	r, err := textOf(h, isGzip(h), max(p.At-int64(p.T), 0))
	if err != nil {
		return false
	}
	b, err := io.ReadAll(io.LimitReader(r, int64(p.T)))
	return err == nil && len(b) == p.T && (p.T == 0 || event.HashContent(b) == p.Tail)
}

// rotated looks beside a file that is no longer found for one that goes on with its
// text under a longer name.
func (s *Files) rotated(p *filePlace, known []*found, errs *[]error) []*found {
	siblings, err := filepath.Glob(escape(p.Path) + "*")
	if base := strings.TrimSuffix(p.Path, filepath.Ext(p.Path)); base != p.Path {
		more, bad := filepath.Glob(escape(base) + `[.\-_]*`) // app.log -> app-20260504.log
		siblings, err = append(siblings, more...), errors.Join(err, bad)
	}
	if err != nil {
		*errs = append(*errs, err)
	}
	slices.Sort(siblings)
	var names []string
	for _, name := range slices.Compact(siblings) {
		if !slices.ContainsFunc(known, func(f *found) bool { return f.path == name }) {
			names = append(names, name)
		}
	}
	for _, f := range s.look(names, errs) {
		if s.isMoved(f, p) {
			return []*found{f}
		}
	}
	return nil
}

// escape makes a pattern that matches a path as it is.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// anew is the place of a file that is not known: the beginning, or, of a copy of a file
// that is read, where that is.
func (s *Files) anew(f *found, old []filePlace) *filePlace {
	for i := range old {
		if old[i].N == headBytes && s.isMoved(f, &old[i]) {
			p := old[i]
			return &p
		}
	}
	return &filePlace{Document: !ofLines(f.head)}
}

// refresh notes what the file is now.
func (f *found) refresh() {
	p := f.at
	if p.N > 0 && f.gzip && f.info.Size() != p.Size {
		p.Done = false // there is more of it
	}
	p.Path, p.Size = f.path, f.info.Size()
	p.Dev, p.Inode = id(f.info)
	p.Gzip = f.gzip
	p.N, p.Head = len(f.head), event.HashContent(f.head)
}

// ofLines reports whether a text that begins so has one record to a line, or is one
// line altogether.
func ofLines(head []byte) bool {
	first, rest, ended := bytes.Cut(bytes.TrimLeft(head, " \t\r\n"), []byte("\n"))
	first = bytes.TrimSpace(first)
	switch {
	case len(first) == 0 || first[0] != '{' && first[0] != '[':
		return false
	case !ended || json.Valid(first):
		return true
	}
	second, _, _ := bytes.Cut(rest, []byte("\n"))
	return len(first) > 1 && json.Valid(second) // the first line is broken
}
