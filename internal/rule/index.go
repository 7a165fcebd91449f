package rule

import (
	"cmp"
	"slices"
)

// index finds the rules of one action that an event can match. It only
// over-approximates: what it leaves out does not hold, what it gives is evaluated
// as a whole. It is built from the constants of rules, and immutable.
type index struct {
	rules  []*Rule  // of the action, sorted by ID
	always []uint64 // bit per rule: candidates of every event
	probes []*probe
}

// probe answers the questions of all rules about one subject. Rules are given by
// their place in index.rules.
type probe struct {
	*subject
	memo int // its memo's place, -1 = the answers are as quickly found anew

	equal   map[string][]int32 // by folded text
	parts   *automaton
	filed   [][]filing // by pattern of parts
	lists   []listed
	number  map[int64][]int32
	atMost  []bound // the highest first
	atLeast []bound // the lowest first
	is      [2][]int32

	texts map[string]int // pattern -> its number, while the index is built
}

// filing is a rule under a part of a text.
type filing struct {
	rule int32
	op   termOp
	test func(string) bool
}

type bound struct {
	num  int64
	rule int32
}

type listed struct {
	list  *list
	rules []int32
}

// placement says how a rule is found, for Stats.
type placement struct {
	path, reason string
}

// builder makes the index of one action.
type builder struct {
	index
	by map[string]*probe
}

// newIndex files each rule under its access; memos counts the memos of the set.
func newIndex(action string, rules []*Rule, memos *int) *index {
	b := &builder{index: index{rules: rules, always: make([]uint64, (len(rules)+63)/64)}, by: map[string]*probe{}}
	for i, r := range rules {
		if a := r.access(action); a != nil {
			b.file(int32(i), a)
		} else {
			b.always[i/64] |= 1 << (i % 64)
		}
	}
	for _, p := range b.probes {
		b.finish(p, memos)
	}
	return &b.index
}

func (b *builder) probe(s *subject) *probe {
	p := b.by[s.id]
	if p == nil {
		p = &probe{subject: s, memo: -1, equal: map[string][]int32{}, number: map[int64][]int32{}, texts: map[string]int{}}
		b.by[s.id] = p
		b.probes = append(b.probes, p)
	}
	return p
}

func (b *builder) file(rule int32, a *access) {
	for i := range a.terms {
		t := &a.terms[i]
		p := b.probe(t.on)
		switch t.op {
		case opEqual:
			p.equal[t.text] = once(p.equal[t.text], rule)
		case opPart, opPrefix, opSuffix:
			p.file(rule, t)
		case opList:
			p.fileList(rule, t.list)
		case opNumber:
			p.number[t.num] = once(p.number[t.num], rule)
		case opAtMost:
			p.atMost = append(p.atMost, bound{t.num, rule})
		case opAtLeast:
			p.atLeast = append(p.atLeast, bound{t.num, rule})
		case opTruth:
			p.is[t.num] = once(p.is[t.num], rule)
		}
	}
}

// once appends a rule that is not the last one already.
func once(rules []int32, rule int32) []int32 {
	if n := len(rules); n > 0 && rules[n-1] == rule {
		return rules
	}
	return append(rules, rule)
}

func (p *probe) file(rule int32, t *term) {
	text := part(t)
	n, known := p.texts[text]
	if !known {
		n = len(p.filed)
		p.texts[text] = n
		p.filed = append(p.filed, nil)
	}
	p.filed[n] = append(p.filed[n], filing{rule: rule, op: t.op, test: t.test})
}

func (p *probe) fileList(rule int32, l *list) {
	for i := range p.lists {
		if p.lists[i].list == l {
			p.lists[i].rules = once(p.lists[i].rules, rule)
			return
		}
	}
	p.lists = append(p.lists, listed{l, []int32{rule}})
}

// finish sorts the bounds and builds the automaton. Rules whose texts do not fit
// into one are candidates always.
func (b *builder) finish(p *probe, memos *int) {
	slices.SortStableFunc(p.atMost, func(x, y bound) int { return cmp.Compare(y.num, x.num) })
	slices.SortStableFunc(p.atLeast, func(x, y bound) int { return cmp.Compare(x.num, y.num) })
	patterns := make([]string, len(p.filed))
	for text, n := range p.texts {
		patterns[n] = text
	}
	p.texts = nil
	if len(patterns) == 0 {
		return
	}
	var ok bool
	if p.parts, ok = newAutomaton(patterns); ok {
		p.memo = *memos
		*memos++
		return
	}
	for _, list := range p.filed {
		for _, f := range list {
			b.always[f.rule/64] |= 1 << (f.rule % 64)
		}
	}
	p.filed = nil
}

// access is where events of an action that r needs can be found by; nil = r needs
// all of them.
func (r *Rule) access(string) *access { return r.found }

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
		if ok && x.always[i/64]&(1<<(i%64)) != 0 {
			return true
		}
	}
	return false
}
