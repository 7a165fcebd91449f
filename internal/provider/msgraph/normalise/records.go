package normalise

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

const (
	maxRecord = 16 << 20 // one record of a file
	maxNested = 3        // pages within arrays within pages
	maxDepth  = 64       // objects and lists within one record
	readSize  = 64 << 10
)

// Records splits an exported file into records: JSON lines, concatenated
// values, an array, a page with "value", a blob with "records", an answer with
// "tables", an answer of advanced hunting with "schema" and "results", a CSV file of a portal; in UTF-8, or in UTF-16 with its byte-order
// mark. A row becomes an object, its cells named by the columns. Memory is bounded
// by one record, however long an array is.
//
// fn gets each record, which it must not keep. What is no JSON costs itself
// alone: fn gets its first line with the reason (see ReasonOf) as bad, and
// reading goes on behind that line. The error is that of r or of fn.
func Records(r io.Reader, fn func(raw []byte, bad error) error) error {
	in := bufio.NewReaderSize(transform.NewReader(r, unicode.BOMOverride(transform.Nop)), maxHeader)
	if !beginsJSON(in) {
		if s, err := sheetOf(in); s != nil || err != nil {
			if err != nil {
				return err
			}
			return s.rows(in, fn)
		}
	}
	s := splitter{in: window{r: in}, fn: fn}
	for {
		s.dec = jsontext.NewDecoder(&s.in, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
		s.in.rewind()
		err := s.values()
		var own stop
		switch {
		case errors.As(err, &own):
			return own.error
		case s.in.err != nil && !errors.Is(s.in.err, io.EOF):
			return s.cutOff()
		}
		if more, err := s.passBroken(err); err != nil || !more {
			return err
		}
	}
}

// beginsJSON reads past white space and tells whether an object or a list begins.
func beginsJSON(in *bufio.Reader) bool {
	for {
		b, err := in.Peek(1)
		if err != nil || !bytes.Contains([]byte(" \t\r\n"), b) {
			return err != nil || b[0] == '{' || b[0] == '['
		}
		_, _ = in.Discard(1)
	}
}

// stop is an error of the caller's function.
type stop struct{ error }

// splitter reads values until one is broken; then a new decoder begins behind
// the broken line.
type splitter struct {
	in      window
	dec     *jsontext.Decoder
	fn      func([]byte, error) error
	broken  bool // nothing good was read since the last broken line
	salvage bool // some line was broken: what closes an array may stand alone
}

func (s *splitter) values() error {
	for {
		s.in.drop(s.dec.InputOffset())
		if err := s.value(0); err != nil {
			return err
		}
	}
}

func (s *splitter) value(depth int) error {
	switch kind := s.dec.PeekKind(); {
	case kind == '[' && depth < maxNested:
		return s.array(depth)
	case kind == '{':
		return s.object(depth)
	default:
		from := s.dec.InputOffset()
		if err := s.skip(); err != nil || s.broken && depth == 0 {
			return err // a scalar behind a broken line is a part of it
		}
		return s.record(from)
	}
}

// skip reads over one value. Its depth is bounded, so that a file of opening
// brackets is not read anew from each of them to its end.
func (s *splitter) skip() error {
	for depth := s.dec.StackDepth(); ; {
		if _, err := s.dec.ReadToken(); err != nil {
			return err
		}
		switch now := s.dec.StackDepth(); {
		case now <= depth:
			return nil
		case now > maxDepth:
			return fmt.Errorf("nested more than %d levels deep", maxDepth)
		}
	}
}

func (s *splitter) array(depth int) error {
	if _, err := s.dec.ReadToken(); err != nil {
		return err
	}
	for s.dec.PeekKind() != ']' {
		s.in.drop(s.dec.InputOffset())
		if err := s.value(depth + 1); err != nil {
			return err
		}
	}
	_, err := s.dec.ReadToken()
	return err
}

// object reads a record, or the records of a page.
func (s *splitter) object(depth int) error {
	from, page, schema, more := s.dec.InputOffset(), false, false, false
	if _, err := s.dec.ReadToken(); err != nil {
		return err
	}
	for s.dec.PeekKind() != '}' {
		name, err := s.dec.ReadToken()
		if err != nil {
			return err
		}
		member := name.String()
		switch isList := s.dec.PeekKind() == '[' && depth < maxNested; {
		case isList && (member == "value" || member == "records"):
			page, err = true, s.array(depth+1)
		case isList && (member == "tables" || member == "Tables"):
			page, err = true, s.tables()
		case isList && (member == "schema" || member == "Schema"): // of an answer of advanced hunting
			schema, err = true, s.skip()
		case isList && schema && (member == "results" || member == "Results"):
			page, err = true, s.array(depth+1)
		default:
			more = more || member[:min(1, len(member))] != "@" && member != "Stats"
			err = s.skip()
		}
		if err != nil {
			return err
		}
	}
	if _, err := s.dec.ReadToken(); err != nil || page || schema && !more { // an answer without rows may have no list
		return err
	}
	s.broken = false
	return s.record(from)
}

// record hands on what was read since an offset.
func (s *splitter) record(from int64) error {
	raw := bytes.TrimLeft(s.in.between(from, s.dec.InputOffset()), ", \t\r\n")
	if err := s.fn(raw, nil); err != nil {
		return stop{err}
	}
	return nil
}

// passBroken hands on the first line of the value that cannot be read; more is
// false at the end of the input.
func (s *splitter) passBroken(cause error) (more bool, err error) {
	rest := bytes.TrimLeft(s.in.rest(), " \t\r\n")
	s.in.skip(len(s.in.rest()) - len(rest))
	switch {
	case len(rest) == 0:
		return s.in.err == nil, nil
	case rest[0] == ',' || s.salvage && (rest[0] == ']' || rest[0] == '}'):
		s.in.skip(1) // the value around what was broken goes on
		return true, nil
	}
	again := s.broken && rest[0] != '{' && rest[0] != '['
	s.broken, s.salvage = true, true
	line, whole := s.in.line()
	bad := refuse("not_json", "%v", cause)
	if !whole || s.in.full {
		bad = refuse("too_large", "a value of more than %d bytes", maxRecord)
	}
	if !again {
		err = s.fn(bytes.TrimRight(line, "\r\n"), bad)
	}
	s.in.skipLine(line, whole)
	return err == nil, err
}

// cutOff is the end of an input that failed: what was begun is handed on.
func (s *splitter) cutOff() error {
	cause := fmt.Errorf("read records: %w", s.in.err)
	if rest := bytes.TrimSpace(s.in.rest()); len(rest) > 0 {
		if err := s.fn(rest, refuse("not_json", "cut off: %v", s.in.err)); err != nil {
			return err
		}
	}
	return cause
}

// window is a reader that keeps what was read since the last drop, so that it
// can be read again.
type window struct {
	r     io.Reader
	buf   []byte
	start int   // of what is kept
	next  int   // what the decoder gets next
	base  int64 // the decoder's offset of start
	err   error
	full  bool // a value was longer than maxRecord
}

// Read serves what is kept, then more.
func (w *window) Read(p []byte) (int, error) {
	if w.next == len(w.buf) {
		if w.next-w.start > maxRecord {
			w.full = true
			return 0, errors.New("the value is too long")
		}
		if err := w.more(); err != nil {
			return 0, err
		}
	}
	n := copy(p, w.buf[w.next:])
	w.next += n
	return n, nil
}

// more reads at least one byte, or fails with the reader's error for good.
func (w *window) more() error {
	if w.err != nil {
		return w.err
	}
	kept := copy(w.buf, w.buf[w.start:])
	w.next -= w.start
	w.start = 0
	w.buf = append(w.buf[:kept], make([]byte, readSize)...)
	n := 0
	for tries := 0; n == 0 && w.err == nil && tries < 100; tries++ {
		n, w.err = w.r.Read(w.buf[kept:])
	}
	w.buf = w.buf[:kept+n]
	if n == 0 && w.err == nil {
		w.err = io.ErrNoProgress
	}
	if n > 0 {
		return nil
	}
	return w.err
}

func (w *window) rewind() { w.next, w.base, w.full = w.start, 0, false }

// drop forgets what lies before the decoder's offset.
func (w *window) drop(offset int64) {
	w.start += int(offset - w.base)
	w.base = offset
}

func (w *window) between(from, to int64) []byte {
	return w.buf[w.start+int(from-w.base) : w.start+int(to-w.base)]
}

func (w *window) rest() []byte { return w.buf[w.start:] }

func (w *window) skip(n int) { w.start += n }

// line is what is kept up to the end of the line; whole is false where the line
// is longer than may be kept.
func (w *window) line() (line []byte, whole bool) {
	for {
		if i := bytes.IndexByte(w.rest(), '\n'); i >= 0 {
			return w.rest()[:i+1], true
		}
		if len(w.rest()) > maxRecord {
			return w.rest(), false
		}
		w.next = len(w.buf)
		if w.more() != nil {
			return w.rest(), true
		}
	}
}

// skipLine forgets a line, and what follows of one that was not whole.
func (w *window) skipLine(line []byte, whole bool) {
	w.skip(len(line))
	for !whole {
		w.next = len(w.buf)
		if w.more() != nil {
			return // the next read says why
		}
		if i := bytes.IndexByte(w.rest(), '\n'); i >= 0 {
			w.skip(i + 1)
			return
		}
		w.skip(len(w.rest()))
	}
}
