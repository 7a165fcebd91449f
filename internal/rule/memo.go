package rule

import (
	"slices"
	"strings"
)

// Bounds of a memo.
const (
	memoValues = 512     // values remembered
	memoValue  = 512     // bytes of one
	memoRules  = 256     // masks of one
	memoPeriod = 1024    // questions after which its use is judged
	memoRest   = 1 << 16 // questions for which a memo without use is off
)

// memo remembers which rules the text conditions on a field allow, per value of the
// field: a client has few user agents and asks with the same ones again and again.
// It switches itself off where fewer than half of the questions were asked before,
// and tries again later. It changes no answer.
type memo struct {
	known      map[string][]mask
	asked, hit int
	rest       int
}

// on reports whether s is worth asking for.
func (m *memo) on(s string) bool {
	if m.rest > 0 {
		m.rest--
		return false
	}
	return len(s) <= memoValue
}

func (m *memo) get(s string) ([]mask, bool) {
	rules, known := m.known[s]
	m.asked++
	if known {
		m.hit++
	}
	if m.asked == memoPeriod {
		if m.hit*2 < m.asked {
			m.known, m.rest = nil, memoRest
		}
		m.asked, m.hit = 0, 0
	}
	return rules, known
}

// put keeps copies, since s may be a piece of a whole page.
func (m *memo) put(s string, rules []mask) {
	if m.rest > 0 || len(m.known) == memoValues || len(rules) > memoRules {
		return
	}
	if m.known == nil {
		m.known = map[string][]mask{}
	}
	m.known[strings.Clone(s)] = slices.Clone(rules)
}
