package rule

import (
	"cmp"
	"slices"
)

// index finds the rules of one action that an event can match. It only
// over-approximates: what it leaves out does not hold, what it gives is evaluated
// as a whole. It is built from the constants of rules, and immutable. A rule has a
// place, which is a bit, for each question that it may ask: place p of level n is
// n*words*64+p, and one that it does not ask is marked in always.
type index struct {
	rules  []*Rule // of the action, sorted by ID
	words  int     // of a bit per rule
	levels int     // questions of the rule with most of them
	always []uint64
	probes []*probe
}

// probe answers the questions of all rules about one subject.
type probe struct {
	*subject
	memo int // its memo's place, -1 = the answers are as quickly found anew

	equal   map[string][]mask // by folded text
	ascii   table             // the same, of those that are ASCII
	parts   *automaton
	filed   [][]filing // by pattern of parts
	lists   []listed
	number  map[int64][]mask
	atMost  bounds // of numbers negated, bit by bit
	atLeast bounds
	is      [2][]mask

	draft draft // while the index is built
}

// draft is what becomes a probe.
type draft struct {
	equal  map[string][]int32
	number map[int64][]int32
	is     [2][]int32
	texts  map[string]int // pattern -> its number
}

// filing is a place under a part of a text.
type filing struct {
	place int32
	op    termOp
	test  func(string) bool
}

type listed struct {
	list   *list
	places []int32
	masks  []mask
}

// builder makes the index of one action.
type builder struct {
	index
	by map[string]*probe
}

// newIndex files each rule under what asks gives of its access; memos counts the
// memos of the set.
func newIndex(rules []*Rule, memos *int, asks func(*Rule) []*access) *index {
	b := &builder{index: index{rules: rules, words: (len(rules) + 63) / 64, levels: 1}, by: map[string]*probe{}}
	for _, r := range rules {
		b.levels = max(b.levels, len(asks(r)))
	}
	b.always = make([]uint64, b.levels*b.words)
	for i, r := range rules {
		asked := asks(r)
		for level := range b.levels {
			if place := b.place(i, level); level < len(asked) {
				b.file(place, asked[level])
			} else {
				b.always[place>>6] |= 1 << (place & 63)
			}
		}
	}
	for _, p := range b.probes {
		b.finish(p, memos)
	}
	return &b.index
}

func (x *index) place(rule, level int) int32 { return int32(level*x.words*64 + rule) }

// everywhere reports whether a rule is a candidate of every event.
func (x *index) everywhere(rule int) bool {
	for level := range x.levels {
		if p := x.place(rule, level); x.always[p>>6]&(1<<(p&63)) == 0 {
			return false
		}
	}
	return true
}

func (b *builder) probe(s *subject) *probe {
	p := b.by[s.id]
	if p == nil {
		p = &probe{subject: s, memo: -1, draft: draft{equal: map[string][]int32{}, number: map[int64][]int32{}, texts: map[string]int{}}}
		b.by[s.id] = p
		b.probes = append(b.probes, p)
	}
	return p
}

func (b *builder) file(place int32, a *access) {
	for i := range a.terms {
		t := &a.terms[i]
		p := b.probe(t.on)
		d := &p.draft
		switch t.op {
		case opEqual:
			d.equal[t.text] = append(d.equal[t.text], place)
		case opPart, opPrefix, opSuffix:
			p.file(place, t)
		case opList:
			p.fileList(place, t.list)
		case opNumber:
			d.number[t.num] = append(d.number[t.num], place)
		case opAtMost:
			p.atMost.list = append(p.atMost.list, bound{^t.num, place})
		case opAtLeast:
			p.atLeast.list = append(p.atLeast.list, bound{t.num, place})
		case opTruth:
			d.is[t.num] = append(d.is[t.num], place)
		}
	}
}

func (p *probe) file(place int32, t *term) {
	text := part(t)
	n, known := p.draft.texts[text]
	if !known {
		n = len(p.filed)
		p.draft.texts[text] = n
		p.filed = append(p.filed, nil)
	}
	p.filed[n] = append(p.filed[n], filing{place: place, op: t.op, test: t.test})
}

func (p *probe) fileList(place int32, l *list) {
	for i := range p.lists {
		if p.lists[i].list == l {
			p.lists[i].places = append(p.lists[i].places, place)
			return
		}
	}
	p.lists = append(p.lists, listed{list: l, places: []int32{place}})
}

// finish makes a probe of its draft. Rules whose texts do not fit into an automaton
// are candidates always.
func (b *builder) finish(p *probe, memos *int) {
	d := p.draft
	p.draft = draft{}
	p.equal, p.number = masked(d.equal), masked(d.number)
	p.ascii = newTable(p.equal)
	for i := range p.lists {
		p.lists[i].masks, p.lists[i].places = masksOf(p.lists[i].places), nil
	}
	p.is = [2][]mask{masksOf(d.is[0]), masksOf(d.is[1])}
	p.atMost.finish()
	p.atLeast.finish()
	if len(p.filed) == 0 {
		return
	}
	patterns := make([]string, len(p.filed))
	for text, n := range d.texts {
		patterns[n] = text
	}
	var ok bool
	if p.parts, ok = newAutomaton(patterns); ok {
		p.memo = *memos
		*memos++
		return
	}
	for _, list := range p.filed {
		for _, f := range list {
			b.always[f.place>>6] |= 1 << (f.place & 63)
			r := b.rules[int(f.place)%(b.words*64)]
			r.rest = r.where
		}
	}
	p.filed = nil
}

func masked[K comparable](places map[K][]int32) map[K][]mask {
	out := make(map[K][]mask, len(places))
	for k, list := range places {
		out[k] = masksOf(list)
	}
	return out
}

// Placement is how one rule is found among those of its actions.
type Placement struct {
	ID      string
	Path    string // what is asked of an event, with the number of constants; "" = not indexed
	Reason  string // why it is not indexed: it is evaluated for every event of its actions
	Actions []string
}

// Placements tells of each rule in force how it is found, sorted by ID.
func (s *Set) Placements() []Placement {
	var out []Placement
	for _, r := range s.Rules {
		if r.Mode == ModeOff {
			continue
		}
		out = append(out, s.placement(r))
	}
	return out
}

func (s *Set) placement(r *Rule) Placement {
	p := Placement{ID: r.ID, Actions: r.On}
	switch {
	case r.found == nil && r.free:
		p.Reason = "it has no condition"
	case r.found == nil:
		p.Reason = "no part of its condition that must hold compares a field with a constant"
	case len(r.found.terms) == 0:
		p.Path = "it never holds"
	case s.overflows(r):
		p.Reason = "the texts of all rules about its field are too many"
	default:
		p.Path = r.found.path()
	}
	return p
}

// overflows reports whether r did not fit into the index of one of its actions.
func (s *Set) overflows(r *Rule) bool {
	for _, action := range r.On {
		x := s.byAction[action]
		i, ok := slices.BinarySearchFunc(x.rules, r.ID, func(r *Rule, id string) int { return cmp.Compare(r.ID, id) })
		if ok && x.everywhere(i) {
			return true
		}
	}
	return false
}
