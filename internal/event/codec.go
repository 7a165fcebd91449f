package event

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"
)

// The canonical encoding: protobuf's wire format (docs/format.md lists the
// numbers), fields in ascending order, empty ones left out, so that equal
// values have equal bytes. A decoder skips numbers that it does not know. One
// description per type (fields methods in codec_fields.go) serves both
// directions.

// AppendFrame appends the canonical encoding of f, without LSN and AlertBase,
// which the ledger keeps outside the payload.
func AppendFrame(dst []byte, f *Frame) []byte { return appendMessage(dst, f) }

// WriteFrame writes what AppendFrame appends, in pieces, so that a large page is
// never held as a whole.
func WriteFrame(w io.Writer, f *Frame) error {
	c := coder{encoding: true, w: w}
	f.fields(&c)
	c.flush(0)
	return c.err
}

// Roughly is about how many bytes the encoding takes.
func (f *Frame) Roughly() int {
	n := 1<<10 + len(f.Objects)*512 + len(f.Alerts)*2048 + len(f.Rollups)*256
	for i := range f.Events {
		n += len(f.Events[i].Raw) + 1<<10
	}
	return n
}

// DecodeFrame reads what AppendFrame wrote, all of it. Garbage is an error, never a
// panic; memory is bounded by the length of b.
func DecodeFrame(b []byte) (*Frame, error) {
	var p Packed
	if err := p.Unpack(b); err != nil {
		return nil, err
	}
	return p.Frame()
}

// AppendEvent appends the canonical encoding of e.
func AppendEvent(dst []byte, e *Event) []byte { return appendMessage(dst, e) }

// DecodeEvent reads what AppendEvent wrote.
func DecodeEvent(b []byte) (*Event, error) { return decodeMessage[Event](b, "event") }

// AppendObject appends the canonical encoding of o.
func AppendObject(dst []byte, o *Object) []byte { return appendMessage(dst, o) }

// Encoder encodes many objects one after the other without an allocation for each.
// The zero value is ready; it is used by one goroutine.
type Encoder struct{ c coder }

// AppendObject appends what the function of this name appends.
func (e *Encoder) AppendObject(dst []byte, o *Object) []byte {
	e.c = coder{encoding: true, out: dst}
	o.fields(&e.c)
	dst, e.c.out = e.c.out, nil
	return dst
}

// DecodeObject reads what AppendObject wrote.
func DecodeObject(b []byte) (*Object, error) { return decodeMessage[Object](b, "object") }

// ViewGrant is DecodeObject into o without copies: the texts of the object lie in b,
// which must not change for as long as one of them is used. A grant in it is put into
// room, which may be that of an object that is used no more.
func ViewGrant(o *Object, room *GrantObject, b []byte) error {
	*o, *room = Object{}, GrantObject{Scopes: room.Scopes[:0]}
	c := coder{at: at{in: b}, lies: true, grant: room}
	if c.message(o); c.err != nil {
		return fmt.Errorf("decode object: %w", c.err)
	}
	return nil
}

// AppendAlert appends the canonical encoding of a.
func AppendAlert(dst []byte, a *Alert) []byte { return appendMessage(dst, a) }

// DecodeAlert reads what AppendAlert wrote.
func DecodeAlert(b []byte) (*Alert, error) { return decodeMessage[Alert](b, "alert") }

// AppendDeadLetter appends the canonical encoding of d.
func AppendDeadLetter(dst []byte, d *DeadLetter) []byte { return appendMessage(dst, d) }

// DecodeDeadLetter reads what AppendDeadLetter wrote.
func DecodeDeadLetter(b []byte) (*DeadLetter, error) {
	return decodeMessage[DeadLetter](b, "dead letter")
}

// message is a type that describes its fields to a coder, in ascending order
// of number.
type message interface{ fields(c *coder) }

func appendMessage(dst []byte, m message) []byte {
	c := coder{encoding: true, out: dst}
	m.fields(&c)
	return c.out
}

func decodeMessage[T any, P interface {
	*T
	message
}](b []byte, what string) (*T, error) {
	v := new(T)
	c := coder{at: at{in: b}}
	if c.message(P(v)); c.err != nil {
		return nil, fmt.Errorf("decode %s: %w", what, c.err)
	}
	return v, nil
}

const maxNesting = 16

// message decodes all that is left of the message at hand.
func (c *coder) message(m message) {
	c.advance()
	m.fields(c)
	for c.err == nil && c.num != 0 {
		c.advance()
	}
}

// enter decodes the embedded message at hand, and comes back to the one around it.
func (c *coder) enter(m message) {
	if c.depth == maxNesting {
		c.err = errors.New("nested too deeply")
		return
	}
	around := c.at
	c.at = at{in: c.b}
	c.depth++
	c.message(m)
	c.depth--
	c.at = around
}

// coder walks one message. Encoding appends to out; decoding holds one field
// of in at a time: fields come in ascending order, so that a number below the
// one asked for is an unknown one and skipped.
type coder struct {
	encoding bool
	out      []byte
	w        io.Writer // takes out from time to time; may be nil
	width    int       // of the length of the last message that is not nested

	at
	depth int
	instant
	lies  bool         // texts are parts of in, which never changes, and no copies
	index *Packed      // of the frame that is decoded
	grant *GrantObject // where a grant of an object is put; nil = memory of its own
	err   error
}

// at is a place in a message that is decoded.
type at struct {
	in  []byte
	num protowire.Number // 0 = end
	typ protowire.Type
	u   uint64
	b   []byte
}

// piece is about how much is written at once.
const piece = 64 << 10

// flush writes out when it holds at least so many bytes. Not within a nested
// message, whose length is still to come.
func (c *coder) flush(least int) {
	if c.w == nil || c.depth > 0 || len(c.out) < least {
		return
	}
	if c.err == nil {
		_, c.err = c.w.Write(c.out)
	}
	c.out = c.out[:0]
}

func (c *coder) advance() {
	last := c.num
	c.num = 0
	if c.err != nil || len(c.in) == 0 {
		return
	}
	if c.short(last) {
		return
	}
	num, typ, n := protowire.ConsumeTag(c.in)
	if n < 0 {
		c.err = protowire.ParseError(n)
		return
	}
	if num < last {
		c.err = fmt.Errorf("field %d after field %d", num, last)
		return
	}
	c.in = c.in[n:]
	switch typ {
	case protowire.VarintType:
		c.u, n = protowire.ConsumeVarint(c.in)
	case protowire.BytesType:
		c.b, n = protowire.ConsumeBytes(c.in)
	default:
		n = protowire.ConsumeFieldValue(num, typ, c.in)
	}
	if n < 0 {
		c.err = protowire.ParseError(n)
		return
	}
	c.in = c.in[n:]
	c.num, c.typ = num, typ
}

// short takes a field as most are: number and length in a byte each, bytes.
func (c *coder) short(last protowire.Number) bool {
	if len(c.in) < 2 || c.in[0] >= 0x80 || c.in[1] >= 0x80 || protowire.Type(c.in[0]&7) != protowire.BytesType {
		return false
	}
	num, end := protowire.Number(c.in[0]>>3), 2+int(c.in[1])
	if num < max(last, 1) || end > len(c.in) {
		return false
	}
	c.num, c.typ = num, protowire.BytesType
	c.b, c.in = c.in[2:end], c.in[end:]
	return true
}

// find reports whether the field at hand is number n, skipping smaller ones.
func (c *coder) find(n protowire.Number, typ protowire.Type) bool {
	for c.err == nil && c.num != 0 && c.num < n {
		c.advance()
	}
	if c.err != nil || c.num != n {
		return false
	}
	if c.typ != typ {
		c.err = fmt.Errorf("field %d has wire type %d, want %d", n, c.typ, typ)
		return false
	}
	return true
}

func (c *coder) bytes(n protowire.Number, v *[]byte) {
	if c.encoding {
		if len(*v) > 0 {
			c.out = protowire.AppendBytes(protowire.AppendTag(c.out, n, protowire.BytesType), *v)
		}
		return
	}
	if c.find(n, protowire.BytesType) {
		if *v = c.b[:len(c.b):len(c.b)]; !c.lies {
			*v = append([]byte(nil), c.b...)
		}
		c.advance()
	}
}

// text is the text at hand.
func (c *coder) text() string {
	if c.lies {
		return unsafe.String(unsafe.SliceData(c.b), len(c.b)) //nolint:gosec // it is never changed
	}
	return string(c.b)
}

func (c *coder) str(n protowire.Number, v *string) {
	if c.encoding {
		if *v != "" {
			c.out = protowire.AppendString(protowire.AppendTag(c.out, n, protowire.BytesType), *v)
		}
		return
	}
	if c.find(n, protowire.BytesType) {
		*v = c.text()
		c.advance()
	}
}

func (c *coder) strs(n protowire.Number, v *[]string) {
	if c.encoding {
		for _, s := range *v {
			c.out = protowire.AppendString(protowire.AppendTag(c.out, n, protowire.BytesType), s)
		}
		return
	}
	for c.find(n, protowire.BytesType) {
		if *v == nil {
			*v = make([]string, 0, c.count())
		}
		*v = append(*v, c.text())
		c.advance()
	}
}

func (c *coder) uint(n protowire.Number, v *uint64) {
	if c.encoding {
		if *v != 0 {
			c.out = protowire.AppendVarint(protowire.AppendTag(c.out, n, protowire.VarintType), *v)
		}
		return
	}
	if c.find(n, protowire.VarintType) {
		*v = c.u
		c.advance()
	}
}

// fixed codes numbers of eight bytes each, little endian.
func (c *coder) fixed(n protowire.Number, v *[]uint64) {
	if c.encoding {
		if len(*v) > 0 {
			c.out = protowire.AppendVarint(protowire.AppendTag(c.out, n, protowire.BytesType), uint64(8*len(*v)))
			for _, x := range *v {
				c.out = binary.LittleEndian.AppendUint64(c.out, x)
			}
		}
		return
	}
	if !c.find(n, protowire.BytesType) {
		return
	}
	if len(c.b)%8 != 0 {
		c.err = fmt.Errorf("field %d has %d bytes, want eight for each number", n, len(c.b))
		return
	}
	if len(c.b) > 0 {
		*v = make([]uint64, len(c.b)/8)
	}
	for i := range *v {
		(*v)[i] = binary.LittleEndian.Uint64(c.b[8*i:])
	}
	c.advance()
}

func (c *coder) id(n protowire.Number, v *ID) {
	if c.encoding {
		if !v.IsZero() {
			c.out = protowire.AppendBytes(protowire.AppendTag(c.out, n, protowire.BytesType), v[:])
		}
		return
	}
	if c.find(n, protowire.BytesType) {
		if len(c.b) != len(v) {
			c.err = fmt.Errorf("field %d has %d bytes, want an id of %d", n, len(c.b), len(v))
			return
		}
		copy(v[:], c.b)
		c.advance()
	}
}

// time is a message of seconds since 1970 and nanoseconds: credentials that end
// in the year 9999 are common and do not fit 64 bits of nanoseconds. The zero
// time is left out, 1970 itself is an empty message.
func (c *coder) time(n protowire.Number, v *time.Time) {
	if c.encoding {
		if !v.IsZero() {
			c.instant = instant{seconds: v.Unix(), nanos: uint32(v.Nanosecond())}
			c.nest(n, &c.instant)
		}
		return
	}
	if !c.find(n, protowire.BytesType) {
		return
	}
	c.instant = instant{}
	c.enter(&c.instant)
	switch {
	case c.err != nil:
	case c.instant.nanos > 999_999_999:
		c.err = fmt.Errorf("field %d has %d nanoseconds", n, c.instant.nanos)
	default:
		*v = time.Unix(c.instant.seconds, int64(c.instant.nanos)).UTC()
		c.advance()
	}
}

type instant struct {
	seconds int64
	nanos   uint32
}

func (i *instant) fields(c *coder) {
	number(c, 1, &i.seconds)
	number(c, 2, &i.nanos)
}

func (c *coder) bool(n protowire.Number, v *bool) {
	var u uint64
	if *v {
		u = 1
	}
	c.uint(n, &u)
	*v = u != 0
}

// number codes any integer type; negative numbers in zigzag.
func number[T ~int | ~int8 | ~int64 | ~uint8 | ~uint32 | ~uint64](c *coder, n protowire.Number, v *T) {
	u := protowire.EncodeZigZag(int64(*v))
	c.uint(n, &u)
	got := protowire.DecodeZigZag(u)
	if *v = T(got); int64(*v) != got && c.err == nil {
		c.err = fmt.Errorf("field %d has %d, out of range", n, got)
	}
}

// text codes any string type.
func text[T ~string](c *coder, n protowire.Number, v *T) {
	s := string(*v)
	c.str(n, &s)
	*v = T(s)
}

// nest appends m as field n in place and returns the length of its encoding:
// the length that stands before it is known only behind it, and is taken to be as
// wide as that of the message before, which saves moving all of a large one.
func (c *coder) nest(n protowire.Number, m message) int {
	c.out = protowire.AppendTag(c.out, n, protowire.BytesType)
	var head [binary.MaxVarintLen64]byte
	guess := 1
	if c.depth == 0 {
		guess = max(1, c.width)
	}
	start := len(c.out)
	c.out = append(c.out, head[:guess]...)
	c.depth++
	m.fields(c)
	c.depth--
	size := len(c.out) - start - guess
	k := binary.PutUvarint(head[:], uint64(size))
	if k != guess {
		c.out = append(c.out, head[:k]...)
		copy(c.out[start+k:], c.out[start+guess:start+guess+size])
		c.out = c.out[:start+k+size]
	}
	copy(c.out[start:], head[:k])
	if c.depth == 0 {
		c.width = k
	}
	return size
}

// sub codes an embedded message, left out when all its fields are.
func (c *coder) sub(n protowire.Number, m message) {
	if c.encoding {
		before := len(c.out)
		if c.nest(n, m) == 0 {
			c.out = c.out[:before]
		}
		return
	}
	if c.find(n, protowire.BytesType) {
		c.enter(m)
		c.advance()
	}
}

// opt codes an optional message: present even when all its fields are empty.
func opt[T any, P interface {
	*T
	message
}](c *coder, n protowire.Number, v **T) {
	optIn[T, P](c, n, v, nil)
}

// optIn decodes into room, where there is one.
func optIn[T any, P interface {
	*T
	message
}](c *coder, n protowire.Number, v **T, room *T) {
	if c.encoding {
		if *v != nil {
			c.nest(n, P(*v))
		}
		return
	}
	if c.find(n, protowire.BytesType) {
		if *v = room; room == nil {
			*v = new(T)
		}
		c.enter(P(*v))
		c.advance()
	}
}

// list codes a repeated message.
func list[T any, P interface {
	*T
	message
}](c *coder, n protowire.Number, v *[]T) {
	if c.encoding {
		for i := range *v {
			c.nest(n, P(&(*v)[i]))
			c.flush(piece)
		}
		return
	}
	if !c.find(n, protowire.BytesType) {
		return
	}
	*v = make([]T, c.count())
	for i := range *v {
		if !c.find(n, protowire.BytesType) {
			return
		}
		c.enter(P(&(*v)[i]))
		c.advance()
	}
}

// records codes the records of a frame. Decoding notes where each lies.
func records[T any, P interface {
	*T
	message
}](c *coder, n protowire.Number, v *[]T, index func(*Packed) *[][]byte) {
	if c.encoding {
		list[T, P](c, n, v)
		return
	}
	if !c.find(n, protowire.BytesType) {
		return
	}
	at := index(c.index)
	*at = slices.Grow(*at, c.count())
	for c.find(n, protowire.BytesType) {
		*at = append(*at, c.b)
		c.advance()
	}
}

// count is how many fields of the number at hand stand in a row.
func (c *coder) count() int {
	k := 1
	for in := c.in; len(in) > 0; k++ {
		num, typ, n := protowire.ConsumeTag(in)
		if n < 0 || num != c.num || typ != c.typ {
			break
		}
		size := protowire.ConsumeFieldValue(num, typ, in[n:])
		if size < 0 {
			break
		}
		in = in[n+size:]
	}
	return k
}
