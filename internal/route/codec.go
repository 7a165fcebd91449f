package route

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// encoder appends values one after the other: numbers as uvarint, texts and lists with
// their length before them.
type encoder struct{ b []byte }

func (e *encoder) uint(n uint64)  { e.b = binary.AppendUvarint(e.b, n) }
func (e *encoder) int(n int64)    { e.b = binary.AppendVarint(e.b, n) }
func (e *encoder) id(id event.ID) { e.b = append(e.b, id[:]...) }
func (e *encoder) word(n uint64)  { e.b = binary.LittleEndian.AppendUint64(e.b, n) }
func (e *encoder) str(s string)   { e.uint(uint64(len(s))); e.b = append(e.b, s...) }
func (e *encoder) bytes(s []byte) { e.uint(uint64(len(s))); e.b = append(e.b, s...) }

func (e *encoder) details(list []event.Detail) {
	e.uint(uint64(len(list)))
	for _, d := range list {
		e.str(d.Name)
		e.str(d.Value)
	}
}

func (e *encoder) bool(v bool) {
	if v {
		e.b = append(e.b, 1)
	} else {
		e.b = append(e.b, 0)
	}
}

// decoder reads what an encoder wrote. After the first error everything is empty.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
	}
	d.b = nil
}

func (d *decoder) end() error {
	if d.err == nil && len(d.b) > 0 {
		d.fail("%d bytes too many", len(d.b))
	}
	return d.err
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail("a number is cut short")
		return 0
	}
	d.b = d.b[n:]
	return v
}

// upTo is a number of at most high.
func (d *decoder) upTo(high uint64, what string) uint64 {
	v := d.uint()
	if v > high {
		d.fail("%s is %d, at most %d is possible", what, v, high)
		return 0
	}
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail("a number is cut short")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail("%d bytes are left of %d", len(d.b), n)
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) id() (id event.ID) {
	copy(id[:], d.take(uint64(len(id))))
	return id
}

func (d *decoder) word() uint64 {
	if b := d.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) str() string { return string(d.take(d.uint())) }

// bytes is a copy; nil where it is empty.
func (d *decoder) bytes() []byte {
	b := d.take(d.uint())
	if len(b) == 0 {
		return nil
	}
	return append(make([]byte, 0, len(b)), b...)
}

func (d *decoder) bool() bool { return d.upTo(1, "a truth") == 1 }

// count is the length of a list whose elements take at least so many bytes each.
func (d *decoder) count(least int) int {
	n := d.uint()
	if n > uint64(len(d.b)/least) {
		d.fail("a list of %d does not fit into %d bytes", n, len(d.b))
		return 0
	}
	return int(n)
}

func (d *decoder) details() []event.Detail {
	n := d.count(2)
	if n == 0 {
		return nil
	}
	list := make([]event.Detail, n)
	for i := range list {
		list[i] = event.Detail{Name: d.str(), Value: d.str()}
	}
	return list
}

// version reads the number that every encoding begins with.
func (d *decoder) version(known uint64) {
	if v := d.uint(); d.err == nil && v != known {
		d.fail("version %d is not known", v)
	}
}

var errTwice = errors.New("a list is out of order or has something twice")

// nanos is a time in nanoseconds since 1970, 0 for the zero time and for what does not fit.
func nanos(t time.Time) int64 {
	if y := t.Year(); t.IsZero() || y < 1678 || y > 2261 {
		return 0
	}
	return t.UnixNano()
}

func at(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
