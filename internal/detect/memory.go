package detect

import (
	"slices"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/rule"
)

// fit gives the state the parts that a rule with these blocks needs.
func (r *ruleState) fit(of *rule.Rule) {
	if of.FirstSeen != nil && r.Seen == nil {
		r.Seen = &seen{}
	}
	for len(r.windows) < len(of.Thresholds) {
		r.windows = append(r.windows, lists[hit]{})
	}
	if of.Compare != nil && r.baseline == nil {
		r.baseline = &baseline{}
	}
	if of.Absence != nil && r.absence == nil {
		r.absence = &absence{}
	}
	if of.Sequence != nil && r.sequence == nil {
		r.sequence = &sequence{}
	}
	if of.Sequence != nil {
		for len(r.sequence.seen) < len(of.Sequence.Steps) {
			r.sequence.seen = append(r.sequence.seen, seen{})
		}
	}
}

// keys is how many keys the state holds.
func (r *ruleState) keys() int {
	n := len(r.Quiet) + len(r.Upstream)
	if r.Seen != nil {
		n += r.Seen.keys.used
	}
	for i := range r.windows {
		n += r.windows[i].used
	}
	if r.baseline != nil {
		n += r.baseline.keys()
	}
	if r.sequence != nil {
		n += r.sequence.keys()
	}
	if r.absence != nil {
		n += r.absence.last.used
	}
	return n
}

// firstTime reports whether e passes the rule's first_seen, which it records.
func (m *Machine) firstTime(r *rule.Rule, st *ruleState, e *event.Event) bool {
	f := r.FirstSeen
	if f == nil {
		return true
	}
	key, ok := m.hashOf(f.Key)
	if !ok {
		m.tells(r, "first_seen", func() string { return unknownKey })
		return false
	}
	m.tells(r, "first_seen", func() string { return st.Seen.describe(key, nanos(e.Time), f) })
	isNew := st.Seen.add(key, nanos(e.Time), int64(f.History), int64(f.MinHistory), f.AtMost)
	m.evicted(r.ID, st.Seen.keys.evict(m.limit(f.MaxKeys), latest))
	return isNew
}

// overThreshold counts e in the rule's windows. It reports whether e completes or
// continues a full one while all others hold, and the hits of the first that counts
// up; nil where the rule has no threshold.
func (m *Machine) overThreshold(r *rule.Rule, st *ruleState, e *event.Event) ([]hit, bool) {
	if len(r.Thresholds) == 0 {
		return nil, true
	}
	var evidence []hit
	all, fills := true, false
	for i, t := range r.Thresholds {
		key, ok := m.hashOf(t.By)
		if !ok {
			m.tells(r, "threshold", func() string { return unknownKey })
			all = false
			continue
		}
		hits, n, counted := m.addUp(r, t, &st.windows[i], key, e)
		m.tells(r, "threshold", func() string { return describe(t, n, counted) })
		switch {
		case t.AtMost >= 0:
			all = all && n <= int64(t.AtMost)
			continue
		case n < int64(t.Count):
			all = false
		default:
			fills = fills || counted
		}
		if evidence == nil {
			evidence = hits
		}
	}
	if !all || !fills {
		return nil, false
	}
	return slices.Clone(evidence), true
}

// addUp is what the window of key amounts to around e, which is counted if it is
// what the threshold looks at.
func (m *Machine) addUp(r *rule.Rule, t *rule.Threshold, l *lists[hit], key hash, e *event.Event) ([]hit, int64, bool) {
	s := spanOf(t, int64(m.opt.Lateness))
	h := hit{T: nanos(e.Time), ID: e.ID}
	if t.Counts(&m.env) == rule.True && m.valueOf(t, &h) {
		hits, n := count(l, key, h, s)
		m.evicted(r.ID, l.evict(m.limit(t.MaxKeys), newest))
		return hits, n, true
	}
	hits, n := ending(l.get(key), h.T, s)
	return hits, n, false
}

// valueOf sets what h adds to its window; false = unknown.
func (m *Machine) valueOf(t *rule.Threshold, h *hit) bool {
	switch {
	case t.Distinct != nil:
		v, ok := m.hashOf(t.Distinct)
		h.V = v.small()
		return ok
	case t.Sums:
		v, ok := t.Value(&m.env)
		h.V = uint64(max(0, v))
		return ok
	default:
		return true
	}
}

// maxSummed is how many hits of a sum are kept per key.
const maxSummed = 4096

func spanOf(t *rule.Threshold, late int64) span {
	n := max(t.Count, t.AtMost)
	s := span{within: int64(t.Within), late: late, keep: n + min(3*n+64, 4096)}
	switch {
	case t.Distinct != nil:
		s.of = distinct
	case t.Sums:
		s.of, s.keep = summed, maxSummed
	}
	return s
}
