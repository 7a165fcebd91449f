package detect

import (
	"fmt"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/rule"
)

// Status is what may be wrong with a rule or policy.
type Status string

// Statuses of rules.
const (
	NeverSeen     Status = "never_seen"     // none of its actions came while all their sources were collected
	NeverMatched  Status = "never_matched"  // it was never true although it had what it looks at
	AlwaysMatched Status = "always_matched" // it was true of every event: its condition decides nothing
	Slow          Status = "slow"           // its evaluation takes long
	Evicting      Status = "evicting"       // it forgets keys, since there are too many
	Warming       Status = "warming"        // it is silent until it knows the history
)

// When a status is one.
const (
	neverSeenAfter    = 7 * 24 * time.Hour
	neverMatchedAfter = 30 * 24 * time.Hour
	alwaysSample      = 100
	slowSample        = 200
	slowNanos         = 200_000
	timedEvery        = 64 // events of which one is timed
)

// healthState is what tells dead rules from quiet ones, over restarts.
type healthState struct {
	Rules   map[string]*ruleHealth `json:",omitempty"`
	Actions map[string]*lastSeen   `json:",omitempty"` // those that rules in force look at
	Sources map[string]*collected  `json:",omitempty"`
}

type ruleHealth struct {
	State     string // of the rule that it belongs to
	Since     int64  // when the rule began
	Base      uint64 // events of its actions before
	Matches   uint64
	LastMatch int64
	Evicted   uint64
	LastEvict int64
	Shadow    ShadowHealth `json:",omitzero"`
}

type lastSeen struct {
	N    uint64
	Last int64
}

// collected is what was read of a source without an end in between.
type collected struct{ Since, Through int64 }

// RuleHealth is how one rule or policy fares. Counts are of the time since Since,
// but Evaluations, Alerts, Suppressed, Excepted and WarmingUp, which are of this start.
type RuleHealth struct {
	ID          string        `json:"id"`
	Kind        string        `json:"kind"` // rule or policy
	Mode        string        `json:"mode"`
	Since       time.Time     `json:"since,omitzero"`
	Seen        uint64        `json:"seen"` // events of its actions
	LastSeen    time.Time     `json:"last_seen,omitzero"`
	Evaluations uint64        `json:"evaluations"`
	Matches     uint64        `json:"matches"`
	LastMatch   time.Time     `json:"last_match,omitzero"`
	Alerts      uint64        `json:"alerts"`
	Suppressed  uint64        `json:"suppressed"`
	Excepted    uint64        `json:"excepted"`
	Evicted     uint64        `json:"evicted"`
	Keys        int           `json:"keys"`
	Estimated   int           `json:"estimated"`  // windows whose different values are estimated, since there are many
	WarmingUp   uint64        `json:"warming_up"` // matches not judged since this start: their baseline had too few samples
	Mean        time.Duration `json:"mean_ns"`    // of an evaluation, by samples
	Statuses    []Status      `json:"statuses"`
	Shadow      *ShadowHealth `json:"shadow,omitempty"` // of a shadow
}

func (s *healthState) sound() bool {
	s.Rules, s.Actions, s.Sources = filled(s.Rules), filled(s.Actions), filled(s.Sources)
	return whole(s.Rules) && whole(s.Actions) && whole(s.Sources)
}

// installHealth begins the account of rules that are new or changed and drops that
// of what is gone.
func (m *Machine) installHealth(at time.Time) {
	old := m.state.Health
	next := healthState{Rules: map[string]*ruleHealth{}, Actions: map[string]*lastSeen{}, Sources: filled(old.Sources)}
	for action, l := range m.lanes {
		if next.Actions[action] = old.Actions[action]; next.Actions[action] == nil {
			next.Actions[action] = &lastSeen{}
		}
		l.seen = next.Actions[action]
	}
	keep := func(id, state string, on []string) {
		if next.Rules[id] = old.Rules[id]; next.Rules[id] == nil || next.Rules[id].State != state {
			next.Rules[id] = &ruleHealth{State: state, Since: nanos(at), Base: seenOf(next.Actions, on).N}
		}
	}
	beside := map[string]string{}
	for _, s := range m.set.Shadows {
		beside[s.Rule.ID] = s.Live.ID + " " + s.Live.State
	}
	for _, r := range m.set.Rules {
		keep(r.ID, r.State+beside[r.ID], r.On)
	}
	for _, p := range m.set.Policies {
		keep(p.ID, p.Revision, nil)
	}
	m.state.Health = next
}

// seenOf is what was seen of some actions.
func seenOf(all map[string]*lastSeen, on []string) lastSeen {
	var sum lastSeen
	for _, action := range on {
		if s := all[action]; s != nil {
			sum.N, sum.Last = sum.N+s.N, max(sum.Last, s.Last)
		}
	}
	return sum
}

func (m *Machine) matched(id string, at time.Time) {
	h := m.state.Health.Rules[id]
	h.Matches, h.LastMatch = h.Matches+1, max(h.LastMatch, nanos(at))
}

// collect notes how far sources are complete. One that ends and begins again later
// goes on from where it was: it reads what it missed.
func (m *Machine) collect(f *event.Frame) {
	for _, c := range f.CompleteThrough {
		s := m.state.Health.Sources[c.Source]
		if s == nil {
			s = &collected{Since: nanos(c.Time)}
			m.state.Health.Sources[c.Source] = s
		}
		s.Through = max(s.Through, nanos(c.Time))
	}
}

// evicted notes that a rule forgot n keys.
func (m *Machine) evicted(id string, n uint64) {
	if n == 0 {
		return
	}
	m.stats[id].Evicted += n
	h := m.state.Health.Rules[id]
	h.Evicted, h.LastEvict = h.Evicted+n, m.frame
}

// timed is try, timed for one event in some.
func (m *Machine) timed(r *rule.Rule, e *event.Event) {
	if m.opt.Elapsed == nil || m.turn%timedEvery != 0 {
		m.try(r, e)
		return
	}
	before := m.opt.Elapsed()
	m.try(r, e)
	s := m.stats[r.ID]
	spent := min(m.opt.Elapsed()-before, 10*slowNanos) // a machine that stood still makes no rule slow
	s.Samples, s.Spent = s.Samples+1, s.Spent+spent
}

// Health says how the rules and policies in force fare, by id: rules, then policies.
func (m *Machine) Health(now time.Time) []RuleHealth {
	if m.set == nil {
		return nil
	}
	out := make([]RuleHealth, 0, len(m.set.Rules)+len(m.set.Policies))
	stats := map[string]RuleStats{}
	for _, s := range m.Stats().Rules {
		stats[s.ID] = s
	}
	for _, r := range m.set.Rules {
		h := m.healthOf(r.ID, stats[r.ID])
		seen := seenOf(m.state.Health.Actions, r.On)
		h.Kind, h.Mode, h.LastSeen = "rule", r.Mode.String(), moment(seen.Last)
		h.Seen = seen.N - min(seen.N, m.state.Health.Rules[r.ID].Base)
		h.Statuses = m.statuses(r, &h, now)
		if r.ShadowOf != "" {
			shadow := m.state.Health.Rules[r.ID].Shadow
			shadow.Of, h.Shadow = r.ShadowOf, &shadow
		}
		out = append(out, h)
	}
	for _, p := range m.set.Policies {
		h := m.healthOf(p.ID, stats[p.ID])
		h.Kind, h.Mode = "policy", p.Mode.String()
		if p.Mode != rule.ModeOff && h.Matches == 0 && m.state.Ready && !h.Since.IsZero() && now.Sub(h.Since) >= neverMatchedAfter {
			h.Statuses = append(h.Statuses, NeverMatched)
		}
		if p.ShadowOf != "" {
			h.Shadow = m.comparePolicies(p)
		}
		out = append(out, h)
	}
	return out
}

func (m *Machine) healthOf(id string, s RuleStats) RuleHealth {
	x := m.state.Health.Rules[id]
	h := RuleHealth{
		ID: id, Since: moment(x.Since), Evaluations: s.Evaluations, Matches: x.Matches, LastMatch: moment(x.LastMatch),
		Alerts: s.Fired, Suppressed: s.Suppressed, Excepted: s.Excepted, Evicted: x.Evicted, Keys: s.Keys,
		Estimated: s.Estimated, WarmingUp: s.WarmingUp, Statuses: []Status{},
	}
	if s.Samples > 0 {
		h.Mean = s.Spent / time.Duration(s.Samples)
	}
	if s.Samples >= slowSample && h.Mean >= slowNanos {
		h.Statuses = append(h.Statuses, Slow)
	}
	return h
}

func (m *Machine) statuses(r *rule.Rule, h *RuleHealth, now time.Time) []Status {
	out := h.Statuses
	if r.Mode == rule.ModeOff {
		return out
	}
	if m.state.Rules[r.ID].Warming {
		out = append(out, Warming)
	}
	x := m.state.Health.Rules[r.ID]
	switch {
	case h.Seen == 0 && m.collectedFor(r, x.Since, neverSeenAfter):
		out = append(out, NeverSeen)
	case h.Seen >= alwaysSample && h.Matches >= h.Seen && !r.Unconditional():
		out = append(out, AlwaysMatched)
	case h.Seen > 0 && h.Matches == 0 && m.collectedFor(r, x.Since, neverMatchedAfter):
		out = append(out, NeverMatched)
	}
	if x.LastEvict != 0 && now.Sub(moment(x.LastEvict)) < 24*time.Hour {
		out = append(out, Evicting)
	}
	return out
}

// collectedFor reports whether every source of a rule is complete over a time since
// the rule began, of which there is one at least. What the inventory derives has no
// source of its own: that it never came proves nothing.
func (m *Machine) collectedFor(r *rule.Rule, since int64, d time.Duration) bool {
	any := false
	for source, c := range m.state.Health.Sources {
		if !feeds(source, r) || strings.HasSuffix(source, "inventory") {
			continue
		}
		if c.Through-max(c.Since, since) < int64(d) {
			return false
		}
		any = true
	}
	for _, action := range r.On {
		if classOf(action) == event.ClassInventory {
			return false
		}
	}
	return any
}

// Describe is what an operator reads of a status.
func (s Status) Describe() string {
	switch s {
	case NeverSeen:
		return fmt.Sprintf("none of their actions came in %d days although the sources were complete", neverSeenAfter/(24*time.Hour))
	case NeverMatched:
		return fmt.Sprintf("never true in %d days; right where what they look for did not happen, else their conditions ask for what no event has", neverMatchedAfter/(24*time.Hour))
	case AlwaysMatched:
		return "true of every event that they looked at"
	case Slow:
		return fmt.Sprintf("their evaluation takes more than %s", time.Duration(slowNanos))
	case Warming:
		return "silent until they know the history"
	case Evicting:
		return "there are more keys than they may hold, so that they forget some"
	}
	return string(s)
}
