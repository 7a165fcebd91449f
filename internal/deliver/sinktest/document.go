package sinktest

import (
	"errors"
	"fmt"
	"strconv"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Document is one JSON document, read by a parser that shares nothing with the encoders:
// stricter than RFC 8259, and cheap enough for millions of documents. It is used again
// and again by one goroutine.
type Document struct {
	// Invisible tells that a string holds a character nobody sees (Cc, Cf, Zl, Zp) that is
	// not escaped.
	Invisible bool

	b      []byte
	i      int
	values []value
}

// value is one value; the document itself is the first. Others are linked by index, 0 is
// none.
type value struct {
	parent, last, before, index int32 // last value within it, sibling before it, place in an array
	kind                        byte  // the first character: { [ " t f n, 0 for a number
	name, text                  []byte
}

// maxDepth bounds how deep values may lie in one another.
const maxDepth = 32

// Read reads b, which must stay as it is while the document is used. The error says what
// it is but one document on one line: broken UTF-8, a control character, half a
// surrogate, a name twice in one object, white space between the values, anything behind
// the end.
func (d *Document) Read(b []byte) error {
	d.b, d.i, d.values, d.Invisible = b, 0, append(d.values[:0], value{}), false
	err := d.value(0, 0)
	if err == nil && d.i < len(b) {
		err = errors.New("more behind the document")
	}
	if err != nil {
		return fmt.Errorf("byte %d of %d: %w", d.i, len(b), err)
	}
	return nil
}

// Text is the string at path, names of members and places in arrays ("0"), and whether
// there is one.
func (d *Document) Text(path ...string) (string, bool) {
	at := d.find(path)
	if at < 0 || d.values[at].kind != '"' {
		return "", false
	}
	return unescaped(d.values[at].text), true
}

// Number is the number at path as it is written, "" where there is none.
func (d *Document) Number(path ...string) string {
	at := d.find(path)
	if at < 0 || d.values[at].kind != '0' {
		return ""
	}
	return string(d.values[at].text)
}

// Len is how many values the object or array at path holds, -1 where there is none.
func (d *Document) Len(path ...string) int {
	at := d.find(path)
	if at < 0 || d.values[at].kind != '{' && d.values[at].kind != '[' {
		return -1
	}
	n := 0
	for child := d.values[at].last; child != 0; child = d.values[child].before {
		n++
	}
	return n
}

// Each calls f with every string within the object at path, last first.
func (d *Document) Each(f func(name, text string), path ...string) {
	at := d.find(path)
	if at < 0 {
		return
	}
	for child := d.values[at].last; child != 0; child = d.values[child].before {
		if v := &d.values[child]; v.kind == '"' {
			f(unescaped(v.name), unescaped(v.text))
		}
	}
}

// find is the index of the value at path, -1 where there is none.
func (d *Document) find(path []string) int32 {
	at := int32(0)
	for _, name := range path {
		child := d.values[at].last
		for ; child != 0; child = d.values[child].before {
			if v := &d.values[child]; d.values[at].kind == '{' && string(v.name) == name || d.values[at].kind == '[' && strconv.Itoa(int(v.index)) == name {
				break
			}
		}
		if child == 0 {
			return -1
		}
		at = child
	}
	return at
}

func (d *Document) peek() byte {
	if d.i < len(d.b) {
		return d.b[d.i]
	}
	return 0
}

// value reads the value that begins here into the one at index at.
func (d *Document) value(at int32, depth int) (err error) {
	if depth > maxDepth {
		return errors.New("too deep")
	}
	from, c := d.i, d.peek()
	d.values[at].kind = c
	switch {
	case c == '{', c == '[':
		return d.container(at, depth, c+2)
	case c == '"':
		d.values[at].text, err = d.quoted()
		return err
	case c == 't':
		return d.word("true")
	case c == 'f':
		return d.word("false")
	case c == 'n':
		return d.word("null")
	case c == '-', c >= '0' && c <= '9':
		err = d.number()
		d.values[at].kind, d.values[at].text = '0', d.b[from:d.i]
		return err
	}
	return errors.New("no value")
}

// container reads an object or an array.
func (d *Document) container(at int32, depth int, end byte) error {
	d.i++
	for index := int32(0); d.peek() != end || index > 0; index++ {
		v := value{parent: at, before: d.values[at].last, index: index}
		if end == '}' {
			var err error
			if v.name, err = d.quoted(); err != nil {
				return err
			}
			if d.peek() != ':' {
				return errors.New("no colon")
			}
			d.i++
			for other := v.before; other != 0; other = d.values[other].before {
				if string(d.values[other].name) == string(v.name) {
					return fmt.Errorf("%q comes twice", v.name)
				}
			}
		}
		child := int32(len(d.values))
		d.values = append(d.values, v)
		d.values[at].last = child
		if err := d.value(child, depth+1); err != nil {
			return err
		}
		if d.peek() == end {
			break
		}
		if d.peek() != ',' {
			return errors.New("no comma")
		}
		d.i++
	}
	d.i++
	return nil
}

func (d *Document) word(w string) error {
	if len(d.b)-d.i < len(w) || string(d.b[d.i:d.i+len(w)]) != w {
		return errors.New("no value")
	}
	d.i += len(w)
	return nil
}

func (d *Document) number() error {
	if d.peek() == '-' {
		d.i++
	}
	zero := d.peek() == '0'
	if n := d.digits(); n == 0 || zero && n > 1 {
		return errors.New("no number")
	}
	if d.peek() == '.' {
		d.i++
		if d.digits() == 0 {
			return errors.New("no fraction")
		}
	}
	if d.peek() != 'e' && d.peek() != 'E' {
		return nil
	}
	d.i++
	if d.peek() == '+' || d.peek() == '-' {
		d.i++
	}
	if d.digits() == 0 {
		return errors.New("no exponent")
	}
	return nil
}

func (d *Document) digits() (n int) {
	for ; d.peek() >= '0' && d.peek() <= '9'; n++ {
		d.i++
	}
	return n
}

// quoted reads a string and returns what stands between its quotes.
func (d *Document) quoted() ([]byte, error) {
	if d.peek() != '"' {
		return nil, errors.New("no string")
	}
	d.i++
	from := d.i
	for d.i < len(d.b) {
		switch c := d.b[d.i]; {
		case c == '"':
			d.i++
			return d.b[from : d.i-1], nil
		case c < ' ':
			return nil, errors.New("a control character")
		case c == '\\':
			if err := d.escape(); err != nil {
				return nil, err
			}
		case c < 0x7f:
			d.i++
		default:
			r, n := utf8.DecodeRune(d.b[d.i:])
			if r == utf8.RuneError && n == 1 {
				return nil, errors.New("broken UTF-8")
			}
			d.Invisible = d.Invisible || Hidden(r)
			d.i += n
		}
	}
	return nil, errors.New("a string without an end")
}

// Hidden tells a character that nobody sees, but that ends a line, steers a terminal or
// turns the direction of writing (Cc, Cf, Zl, Zp).
func Hidden(r rune) bool {
	return r < ' ' || r >= 0x7f && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

func (d *Document) escape() error {
	r, n := escaped(d.b[d.i:])
	if n == 0 {
		return errors.New("an escape that is none")
	}
	if d.i += n; !utf16.IsSurrogate(r) {
		return nil
	}
	low, n := escaped(d.b[d.i:])
	if n == 0 || utf16.DecodeRune(r, low) == utf8.RuneError {
		return errors.New("half a surrogate")
	}
	d.i += n
	return nil
}

// escaped is the character that the escape at the beginning of b stands for, and its
// length, 0 where there is none.
func escaped(b []byte) (rune, int) {
	if len(b) < 2 || b[0] != '\\' {
		return 0, 0
	}
	switch c := b[1]; c {
	case '"', '\\', '/':
		return rune(c), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		if len(b) < 6 {
			return 0, 0
		}
		r := rune(0)
		for _, h := range b[2:6] {
			switch {
			case h >= '0' && h <= '9':
				r = r<<4 | rune(h-'0')
			case h|0x20 >= 'a' && h|0x20 <= 'f':
				r = r<<4 | rune(h|0x20-'a'+10)
			default:
				return 0, 0
			}
		}
		return r, 6
	}
	return 0, 0
}

// unescaped is what b, read before, says.
func unescaped(b []byte) string {
	plain := true
	for _, c := range b {
		plain = plain && c != '\\'
	}
	if plain {
		return string(b)
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); {
		r, n := escaped(b[i:])
		if n == 0 {
			out, i = append(out, b[i]), i+1
			continue
		}
		if i += n; utf16.IsSurrogate(r) {
			low, n := escaped(b[i:])
			r, i = utf16.DecodeRune(r, low), i+n
		}
		out = utf8.AppendRune(out, r)
	}
	return string(out)
}
