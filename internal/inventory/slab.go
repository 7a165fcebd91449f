package inventory

import (
	"hash/maphash"
	"iter"
	"slices"
	"strings"
	"unsafe"
)

// grants holds grants in pages, with their indexes. Nothing in them is a pointer, so
// that a million costs the garbage collector nothing. A page that a frozen state
// shares is copied before it is written.
type grants struct {
	pages    pages
	shared   []bool // by page
	used     uint32 // places given out so far
	free     []uint32
	byID     index
	byClient map[sym][]uint32
}

const grantPage = 1 << 10

type pages []page

// page is a part of the grants. Text holds their ids and is only ever appended to,
// until too much of it is of grants that are gone.
type page struct {
	slots []slot
	text  []byte
	dead  int // bytes of text
}

// slot is a grant at its place; its id is a part of the page's text, empty = free.
type slot struct {
	at, length uint32
	packed
}

func newGrants() grants {
	return grants{byID: index{seed: maphash.MakeSeed()}, byClient: map[sym][]uint32{}}
}

// id is the id of the grant at a place. It never changes, whatever comes there.
func (p pages) id(i uint32) string {
	page := &p[i/grantPage]
	s := &page.slots[i%grantPage]
	if s.length == 0 {
		return ""
	}
	return unsafe.String(&page.text[s.at], s.length) //nolint:gosec // only appended to
}

func (p pages) grant(i uint32) grant {
	return grant{id: p.id(i), packed: p[i/grantPage].slots[i%grantPage].packed}
}

// all are the places of all grants.
func (p pages) all() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for k := range p {
			for j := range p[k].slots {
				if p[k].slots[j].length > 0 && !yield(uint32(k*grantPage+j)) {
					return
				}
			}
		}
	}
}

// sorted are the places of all grants in order of id.
func (p pages) sorted() []uint32 {
	places := make([]uint32, 0, len(p)*grantPage)
	for i := range p.all() {
		places = append(places, i)
	}
	slices.SortFunc(places, func(a, b uint32) int { return strings.Compare(p.id(a), p.id(b)) })
	return places
}

// freeze returns all grants as they are now; they stay so.
func (g *grants) freeze() pages {
	for i := range g.shared {
		g.shared[i] = true
	}
	return slices.Clone(g.pages)
}

func (g *grants) len() int { return g.byID.used }

// find returns a copy of the grant, nil = there is none.
func (g *grants) find(id string) *grant {
	i, ok := g.byID.find(id, g.pages)
	if !ok {
		return nil
	}
	found := g.pages.grant(i)
	return &found
}

func (g *grants) add(n grant) {
	var i uint32
	if k := len(g.free); k > 0 {
		i, g.free = g.free[k-1], g.free[:k-1]
	} else {
		if i = g.used; i%grantPage == 0 {
			g.pages, g.shared = append(g.pages, page{slots: make([]slot, grantPage)}), append(g.shared, false)
		}
		g.used++
	}
	p := g.own(i)
	p.slots[i%grantPage] = slot{at: uint32(len(p.text)), length: uint32(len(n.id)), packed: n.packed}
	if p.text == nil {
		p.text = make([]byte, 0, grantPage*len(n.id)) // ids of one kind are of one length
	}
	p.text = append(p.text, n.id...)
	g.byID.add(n.id, i)
	g.byClient[n.client] = append(g.byClient[n.client], i)
}

// replace puts n where the grant of its id is, of the same client.
func (g *grants) replace(n grant) {
	if i, ok := g.byID.find(n.id, g.pages); ok {
		g.own(i).slots[i%grantPage].packed = n.packed
	}
}

func (g *grants) remove(id string) {
	i, ok := g.byID.find(id, g.pages)
	if !ok {
		return
	}
	client := g.pages.grant(i).client
	g.byID.remove(id, i)
	list := g.byClient[client]
	if k := slices.Index(list, i); k >= 0 {
		list[k] = list[len(list)-1]
		list = list[:len(list)-1]
	}
	if g.byClient[client] = list; len(list) == 0 {
		delete(g.byClient, client)
	}
	p := g.own(i)
	p.dead += int(p.slots[i%grantPage].length)
	p.slots[i%grantPage] = slot{}
	if p.dead > len(p.text)/2 {
		p.tidy()
	}
	g.free = append(g.free, i)
}

// own is the page of a place, which nothing frozen shares.
func (g *grants) own(i uint32) *page {
	k := i / grantPage
	if g.shared[k] {
		g.pages[k].slots, g.shared[k] = slices.Clone(g.pages[k].slots), false
	}
	return &g.pages[k]
}

// tidy makes the text anew from the ids that are left.
func (p *page) tidy() {
	text := make([]byte, 0, len(p.text)-p.dead)
	for i := range p.slots {
		s := &p.slots[i]
		at := uint32(len(text))
		text = append(text, p.text[s.at:s.at+s.length]...)
		s.at = at
	}
	p.text, p.dead = text, 0
}

// index finds places by id: a table with open addressing of hashes and places plus
// one, so that other ids are rarely looked at.
type index struct {
	seed  maphash.Seed
	table []uint64 // hash, place + 1; a power of two, at most three quarters full
	used  int
}

func (x *index) hash(id string) uint64 { return maphash.String(x.seed, id) << 32 }

func (x *index) home(e uint64) int { return int(e>>32) & (len(x.table) - 1) }

func (x *index) next(k int) int { return (k + 1) & (len(x.table) - 1) }

func (x *index) find(id string, p pages) (place uint32, ok bool) {
	if x.used == 0 || id == "" {
		return 0, false
	}
	h := x.hash(id)
	for k := x.home(h); x.table[k] != 0; k = x.next(k) {
		if e := x.table[k]; e>>32 == h>>32 && p.id(uint32(e)-1) == id {
			return uint32(e) - 1, true
		}
	}
	return 0, false
}

// add takes in a place whose id is not there.
func (x *index) add(id string, place uint32) {
	if 4*(x.used+1) > 3*len(x.table) {
		old := x.table
		x.table = make([]uint64, max(64, 2*len(old)))
		for _, e := range old {
			if e != 0 {
				x.put(e)
			}
		}
	}
	x.put(x.hash(id) | uint64(place+1))
	x.used++
}

func (x *index) put(e uint64) {
	k := x.home(e)
	for x.table[k] != 0 {
		k = x.next(k)
	}
	x.table[k] = e
}

// remove takes out an id that is there, and moves up those behind it that may not
// stand behind an empty one.
func (x *index) remove(id string, place uint32) {
	e := x.hash(id) | uint64(place+1)
	k := x.home(e)
	for x.table[k] != e {
		k = x.next(k)
	}
	x.table[k] = 0
	x.used--
	for k = x.next(k); x.table[k] != 0; k = x.next(k) {
		e := x.table[k]
		x.table[k] = 0
		x.put(e)
	}
}
