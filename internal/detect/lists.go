package detect

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"slices"
	"unsafe"
)

// hash is a key in 128 bits of SHA-256: the same in every process, and nobody
// who chooses names can make two keys meet.
type hash [16]byte

func hashOf(b []byte) hash {
	sum := sha256.Sum256(b)
	return hash(sum[:16])
}

// small is the hash as a number, where a few thousand values are told apart.
func (h hash) small() uint64 { return binary.LittleEndian.Uint64(h[8:]) }

// lists holds a short list of items per key, without a pointer in it: an
// open-addressed table of keys, and one pool that the lists lie in, each in a block
// of a power of two. The zero value is empty.
type lists[T any] struct {
	slots []slot // a power of two; probed one by one
	used  int
	total int // items of all lists
	pool  []T
	free  [32][]uint32 // blocks of each size that were given back
}

// slot is one key with the place of its list. meta is 0 where nothing is, else
// the length of the list, with the size class of the block in the low five bits.
type slot struct {
	key  hash
	off  uint32
	meta uint32
}

const classBits = 5

// maxList is the longest list of a key.
const maxList = 1<<(32-classBits-1) - 1

func (s *slot) len() int   { return int(s.meta >> classBits) }
func (s *slot) class() int { return int(s.meta & (1<<classBits - 1)) }
func (s *slot) set(n, class int) {
	s.meta = uint32(n)<<classBits | uint32(class)
}

// home is where the search for a key begins.
func (l *lists[T]) home(k hash) int {
	return int(binary.LittleEndian.Uint64(k[:8]) & uint64(len(l.slots)-1))
}

// find is the index of the key's slot, or of the empty one where it belongs.
func (l *lists[T]) find(k hash) int {
	i := l.home(k)
	for l.slots[i].meta != 0 && l.slots[i].key != k {
		i = (i + 1) & (len(l.slots) - 1)
	}
	return i
}

// get is the list of a key, nil when there is none. It may be changed in place
// until the next put or drop.
func (l *lists[T]) get(k hash) []T {
	if l.used == 0 {
		return nil
	}
	return l.at(&l.slots[l.find(k)])
}

func (l *lists[T]) at(s *slot) []T {
	if s.meta == 0 {
		return nil
	}
	return l.pool[s.off : int(s.off)+s.len()]
}

// put sets the list of a key; items may be a part of the list itself. An empty
// list is no list, and of one that is too long the end is kept.
func (l *lists[T]) put(k hash, items []T) {
	if len(items) == 0 {
		l.drop(k)
		return
	}
	items = items[max(0, len(items)-maxList):]
	if 4*(l.used+1) > 3*len(l.slots) {
		l.rehash(max(8, 2*len(l.slots)))
	}
	s := &l.slots[l.find(k)]
	class := bits.Len(uint(len(items) - 1))
	l.total += len(items) - s.len()
	switch {
	case s.meta == 0:
		l.used++
		s.key, s.off = k, l.take(class)
	case s.class() < class, s.class() > class+1:
		old, size := s.off, s.class()
		s.off = l.take(class)
		copy(l.pool[s.off:], items)
		l.free[size] = append(l.free[size], old)
		s.set(len(items), class)
		return
	default:
		class = s.class()
	}
	copy(l.pool[s.off:], items)
	s.set(len(items), class)
}

// push appends items to the list of a key and returns it.
func (l *lists[T]) push(k hash, item T) []T {
	old := l.get(k)
	if n := len(old); n > 0 {
		s := &l.slots[l.find(k)]
		if n < 1<<s.class() && n < maxList {
			s.set(n+1, s.class())
			l.total++
			l.pool[int(s.off)+n] = item
			return l.at(s)
		}
	}
	grown := append(slices.Clone(old), item)
	l.put(k, grown)
	return l.get(k)
}

// take finds a block of 1<<class items.
func (l *lists[T]) take(class int) uint32 {
	if n := len(l.free[class]); n > 0 {
		off := l.free[class][n-1]
		l.free[class] = l.free[class][:n-1]
		return off
	}
	off := len(l.pool)
	l.pool = slices.Grow(l.pool, 1<<class)[:off+1<<class]
	return uint32(off)
}

// drop forgets a key.
func (l *lists[T]) drop(k hash) {
	if l.used == 0 {
		return
	}
	i := l.find(k)
	s := &l.slots[i]
	if s.meta == 0 {
		return
	}
	l.free[s.class()] = append(l.free[s.class()], s.off)
	l.used--
	l.total -= s.len()
	for j := (i + 1) & (len(l.slots) - 1); l.slots[j].meta != 0; j = (j + 1) & (len(l.slots) - 1) {
		if away, gap := (j-l.home(l.slots[j].key))&(len(l.slots)-1), (j-i)&(len(l.slots)-1); away >= gap {
			l.slots[i] = l.slots[j]
			i = j
		}
	}
	l.slots[i] = slot{}
}

func (l *lists[T]) rehash(size int) {
	old := l.slots
	l.slots = make([]slot, size)
	for i := range old {
		if old[i].meta != 0 {
			l.slots[l.find(old[i].key)] = old[i]
		}
	}
}

// dropIf forgets the keys whose list meets a condition, and gives memory back
// when most of it is free.
func (l *lists[T]) dropIf(old func([]T) bool) {
	var gone []hash
	for i := range l.slots {
		if s := &l.slots[i]; s.meta != 0 && old(l.at(s)) {
			gone = append(gone, s.key)
		}
	}
	for _, k := range gone {
		l.drop(k)
	}
	if len(gone) > 0 && 8*l.used < len(l.slots) {
		l.compact()
	}
}

func (l *lists[T]) compact() {
	var fresh lists[T]
	for i := range l.slots {
		if s := &l.slots[i]; s.meta != 0 {
			fresh.put(s.key, l.at(s))
		}
	}
	*l = fresh
}

// maxMemory bounds the lists of one table together, in bytes.
const maxMemory = 128 << 20

// evict forgets the oldest keys, a tenth at once, when there are more than limit
// or their lists are too long together, and returns how many. The order is that
// of age, then of key.
func (l *lists[T]) evict(limit int, age func([]T) int64) uint64 {
	n := l.used - limit + limit/10
	switch {
	case l.used > limit:
	case l.total > maxMemory/l.size():
		n = (l.used + 9) / 10
	default:
		return 0
	}
	ages := make([]int64, 0, l.used)
	for i := range l.slots {
		if s := &l.slots[i]; s.meta != 0 {
			ages = append(ages, age(l.at(s)))
		}
	}
	slices.Sort(ages)
	last := ages[n-1]
	var gone, equal []hash
	for i := range l.slots {
		s := &l.slots[i]
		if s.meta == 0 {
			continue
		}
		switch c := cmp.Compare(age(l.at(s)), last); {
		case c < 0:
			gone = append(gone, s.key)
		case c == 0:
			equal = append(equal, s.key)
		}
	}
	slices.SortFunc(equal, func(a, b hash) int { return bytes.Compare(a[:], b[:]) })
	gone = append(gone, equal[:n-len(gone)]...)
	for _, k := range gone {
		l.drop(k)
	}
	return uint64(n)
}

func (l *lists[T]) size() int {
	var item T
	return int(unsafe.Sizeof(item))
}

// sorted is the keys in order.
func (l *lists[T]) sorted() []hash {
	out := make([]hash, 0, l.used)
	for i := range l.slots {
		if l.slots[i].meta != 0 {
			out = append(out, l.slots[i].key)
		}
	}
	slices.SortFunc(out, func(a, b hash) int { return bytes.Compare(a[:], b[:]) })
	return out
}
