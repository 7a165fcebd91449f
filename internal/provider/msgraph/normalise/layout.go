package normalise

import (
	"bytes"
	"slices"
)

// layout is how records of one kind are written: the names of the outermost
// object's members in order of the text. A service writes its records alike, so
// that most names are known before they are read; a record that differs is read
// without one.
type layout struct {
	members []layoutMember
	order   []uint16          // members in order of the canonical form
	places  [indexSize]uint16 // 1 + the member, by hash of its name; 0 = none
	titled  int               // the member displayName, -1 for none
	upper   bool              // a name begins with a capital letter
}

type layoutMember struct {
	quoted string // with the quotes and the colon that stand in the text
	hidden bool   // never kept
	value  bool   // not kept where it is the value of a credential
}

func (m *layoutMember) name() string { return m.quoted[1 : len(m.quoted)-2] }

// continues reports whether text goes on with the name of member k.
func (l *layout) continues(k int, text []byte) bool {
	if k >= len(l.members) {
		return false
	}
	q := l.members[k].quoted
	return len(text) > len(q) && string(text[:len(q)]) == q
}

// find is the member of that name, -1 for none.
func (l *layout) find(name string) int {
	if !l.upper && isUpper(name) { // the other name of a field, which only rows have
		return -1
	}
	for h := hashName(name); l.places[h] != 0; h = (h + 1) % indexSize {
		if k := int(l.places[h]) - 1; l.members[k].name() == name {
			return k
		}
	}
	return -1
}

// layouts are those of the records that came last.
type layouts struct {
	all    []*layout
	last   *layout
	oldest int // the one that makes room for another
	credit int // is earned by records that fit and spent to learn: records that are never alike are not learnt for ever
}

const (
	maxLayouts  = 8
	layoutNames = 32 << 10 // bytes of names, of one layout
	learnCost   = 16
	maxCredit   = 8 * learnCost
)

// other is a layout that begins with the first k members of l and continues with
// text, nil for none.
func (ls *layouts) other(l *layout, k int, text []byte) *layout {
	for _, o := range ls.all {
		if o != l && o.continues(k, text) && slices.EqualFunc(o.members[:k], l.members[:k], func(a, b layoutMember) bool { return a.quoted == b.quoted }) {
			return o
		}
	}
	return nil
}

// fits notes that a record was written by l.
func (ls *layouts) fits(l *layout) {
	ls.last = l
	ls.credit = min(ls.credit+1, maxCredit)
}

// learn makes a layout of the outermost object of t, which fits none; nil where
// that is not worth it, or where a name needs more than a look.
func (ls *layouts) learn(t *tape) *layout {
	if ls.all == nil {
		ls.credit = maxCredit
	}
	if ls.credit < learnCost {
		return nil
	}
	ls.credit -= learnCost
	l := layoutOf(t)
	if l == nil {
		return nil
	}
	if len(ls.all) < maxLayouts {
		ls.all = append(ls.all, l)
	} else {
		ls.all[ls.oldest] = l
		ls.oldest = (ls.oldest + 1) % maxLayouts
	}
	ls.last = l
	return l
}

func layoutOf(t *tape) *layout {
	l, size := &layout{titled: -1}, 0
	for i := uint32(1); i < t.nodes[0].next; i = t.nodes[i].next {
		n := &t.nodes[i]
		name := t.name(n)
		size += len(name)
		if n.nameEscaped || t.text[n.nameTo+1] != ':' || len(l.members) == indexTo || size > layoutNames || l.find(string(name)) >= 0 {
			return nil
		}
		l.upper = l.upper || isUpper(string(name))
		if string(name) == "displayName" {
			l.titled = len(l.members)
		}
		l.members = append(l.members, layoutMember{quoted: string(t.text[n.nameFrom-1 : n.nameTo+2]), hidden: secret(name, false), value: secret(name, true)})
		l.place(len(l.members) - 1)
	}
	for k := range l.members {
		l.order = append(l.order, uint16(k))
	}
	slices.SortFunc(l.order, func(a, b uint16) int { return bytes.Compare([]byte(l.members[a].name()), []byte(l.members[b].name())) })
	return l
}

func isUpper(name string) bool { return name != "" && name[0]-'A' < 26 }

func (l *layout) place(k int) {
	h := hashName(l.members[k].name())
	for l.places[h] != 0 {
		h = (h + 1) % indexSize
	}
	l.places[h] = uint16(k + 1)
}
