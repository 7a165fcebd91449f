package rule

import "math/bits"

// Matcher finds the rules that an event can match. It has room for the event at
// hand and remembers values, so it belongs to one goroutine at a time, while many
// share the Set.
type Matcher struct {
	set   *Set
	marks []uint64 // bit per place of the action's index
	own   []uint64 // of the value at hand alone
	seen  []uint64 // bit per pattern found in the value at hand
	list  []mask
	fold  []byte
	out   []*Rule
	memos []memo
}

// Matcher makes a matcher of the rules in force.
func (s *Set) Matcher() *Matcher {
	return &Matcher{set: s, memos: make([]memo, s.memos), fold: make([]byte, 0, 256)}
}

// Candidates returns the rules that can match env, sorted by ID: a part of
// Set.Candidates that has all for which Match is True. It is valid until the next
// call.
func (m *Matcher) Candidates(env *Env) []*Rule {
	x := m.set.byAction[env.Event.Action]
	if x == nil {
		return nil
	}
	m.marks = append(m.marks[:0], x.always...)
	for _, p := range x.probes {
		m.ask(p, env)
	}
	m.out = m.out[:0]
	for w := range x.words {
		word := m.marks[w]
		for at := w + x.words; at < len(m.marks); at += x.words {
			word &= m.marks[at]
		}
		for ; word != 0; word &= word - 1 {
			m.out = append(m.out, x.rules[w*64+bits.TrailingZeros64(word)])
		}
	}
	return m.out
}

func (m *Matcher) mark(masks []mask) {
	for _, x := range masks {
		m.marks[x.word] |= x.bits
	}
}

func (m *Matcher) one(place int32) { m.marks[place>>6] |= 1 << (place & 63) }

// ask marks the rules that p's subject allows.
func (m *Matcher) ask(p *probe, env *Env) {
	switch {
	case p.str != nil:
		if s, ok := p.str(env); ok {
			m.text(p, s)
		}
	case p.set != nil:
		s, ok := p.set(env)
		if !ok {
			return
		}
		for i := range s.len() {
			if v, ok := s.at(i); ok {
				m.text(p, v)
			}
		}
	case p.num != nil:
		if v, ok := p.num(env); ok {
			m.number(p, v)
		}
	default:
		if t := p.truth(env); t != Unknown {
			m.mark(p.is[t])
		}
	}
}

func (m *Matcher) number(p *probe, v int64) {
	if len(p.number) > 0 {
		m.mark(p.number[v])
	}
	p.atMost.reach(m, ^v)
	p.atLeast.reach(m, v)
}

// text marks the rules that a value allows, from the memo where it is known.
func (m *Matcher) text(p *probe, s string) {
	if p.memo < 0 || !m.memos[p.memo].on(s) {
		m.find(p, s, false)
		return
	}
	memo := &m.memos[p.memo]
	if rules, known := memo.get(s); known {
		m.mark(rules)
		return
	}
	m.marks, m.own = append(m.own[:0], make([]uint64, len(m.marks))...), m.marks
	m.find(p, s, true)
	m.marks, m.own = m.own, m.marks
	m.list = m.list[:0]
	for w, word := range m.own {
		if word != 0 {
			m.marks[w] |= word
			m.list = append(m.list, mask{int32(w), word})
		}
	}
	memo.put(s, m.list)
}

// find marks the rules that a value allows; exactly, if the answer is kept.
func (m *Matcher) find(p *probe, s string, exactly bool) {
	if len(p.equal)+len(p.lists) > 0 {
		masks, ascii := p.ascii.get(s)
		if m.mark(masks); !ascii || len(p.lists) > 0 {
			m.folded(p, s, ascii)
		}
	}
	if p.parts == nil {
		return
	}
	m.seen = append(m.seen[:0], make([]uint64, (len(p.filed)+63)/64)...)
	p.parts.scan(s, func(pattern int32, first, last bool) {
		bit := uint64(1) << (pattern & 63)
		if m.seen[pattern>>6]&bit != 0 && !first && !last {
			return
		}
		m.seen[pattern>>6] |= bit
		for i := range p.filed[pattern] {
			f := &p.filed[pattern][i]
			if f.op == opPrefix && !first || f.op == opSuffix && !last || exactly && f.test != nil && !f.test(s) {
				continue
			}
			m.one(f.place)
		}
	})
}

// folded looks for a value as it is when folded, in lists and where it is not ASCII.
func (m *Matcher) folded(p *probe, s string, ascii bool) {
	m.fold = appendFold(m.fold[:0], s)
	if !ascii {
		m.mark(p.equal[string(m.fold)])
	}
	for i := range p.lists {
		if _, in := p.lists[i].list.entries[string(m.fold)]; in {
			m.mark(p.lists[i].masks)
		}
	}
}
