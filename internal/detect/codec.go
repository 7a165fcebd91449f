package detect

import (
	"encoding/binary"
	"errors"

	"github.com/appgovd/appgovd/internal/event"
)

var errShort = errors.New("the state ends within a value")

// writer and reader are the binary form of what rules remember: variable-length
// numbers, and keys in order. A reader notes the first error and then gives zeros.
type writer struct{ b []byte }

func (w *writer) uint(v uint64) { w.b = binary.AppendUvarint(w.b, v) }
func (w *writer) int(v int64)   { w.b = binary.AppendVarint(w.b, v) }
func (w *writer) raw(b []byte)  { w.b = append(w.b, b...) }
func (w *writer) bytes(b []byte) {
	w.uint(uint64(len(b)))
	w.raw(b)
}

type reader struct {
	b   []byte
	err error
}

func (r *reader) fail() {
	if r.err == nil {
		r.err = errShort
	}
	r.b = nil
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) raw(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.fail()
		return make([]byte, min(max(n, 0), 64))
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) bytes() []byte {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	return r.raw(int(n))
}

// count reads a number of things of which each takes a byte at least.
func (r *reader) count() int {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail()
		return 0
	}
	return int(n)
}

func writeLists[T any](w *writer, l *lists[T], item func(*writer, *T)) {
	w.uint(uint64(l.used))
	for _, k := range l.sorted() {
		items := l.get(k)
		w.raw(k[:])
		w.uint(uint64(len(items)))
		for i := range items {
			item(w, &items[i])
		}
	}
}

func readLists[T any](r *reader, item func(*reader) T) lists[T] {
	var l lists[T]
	for range r.count() {
		k := hash(r.raw(len(hash{})))
		items := make([]T, r.count())
		for i := range items {
			items[i] = item(r)
		}
		if r.err != nil {
			return lists[T]{}
		}
		l.put(k, items)
	}
	return l
}

func writeHit(w *writer, h *hit) {
	w.int(h.T)
	w.raw(h.ID[:])
	w.raw(binary.LittleEndian.AppendUint64(nil, h.V))
}

func readHit(r *reader) hit {
	return hit{T: r.int(), ID: event.ID(r.raw(len(event.ID{}))), V: binary.LittleEndian.Uint64(r.raw(8))}
}

func writeTime(w *writer, t *int64) { w.int(*t) }
func readTime(r *reader) int64      { return r.int() }

func writeBucket(w *writer, b *bucket) {
	w.int(int64(b.At))
	w.uint(uint64(b.N))
	w.int(b.V)
}

func readBucket(r *reader) bucket {
	return bucket{At: int32(r.int()), N: uint32(r.uint()), V: r.int()}
}

func writeValue(w *writer, v *uint64) { w.raw(binary.LittleEndian.AppendUint64(nil, *v)) }
func readValue(r *reader) uint64      { return binary.LittleEndian.Uint64(r.raw(8)) }

func writeSketch(w *writer, s *sketch) {
	w.int(int64(s.At))
	w.raw(s.Registers[:])
}

func readSketch(r *reader) sketch {
	s := sketch{At: int32(r.int())}
	copy(s.Registers[:], r.raw(len(s.Registers)))
	return s
}
