package detect

import (
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/rule"
)

// exceptionState is what one exception remembers: how much it spared. It is kept
// as long as there is an exception of that id.
type exceptionState struct {
	Hits uint64 // events of rules, and looks of policies at an app
	Last int64  `json:",omitempty"` // time of the newest
}

// ExceptionStats is one exception in force, or past its end.
type ExceptionStats struct {
	ID      string    `json:"id"`
	Rules   []string  `json:"rules"`
	Reason  string    `json:"reason"`
	Owner   string    `json:"owner"`
	Until   time.Time `json:"until,omitzero"`
	Hits    uint64    `json:"hits"`
	LastHit time.Time `json:"last_hit,omitzero"`
}

// covered is the first exception of the list that covers m.env; nil = none.
func (m *Machine) covered(list []*rule.Exception) *rule.Exception {
	for _, e := range list {
		if e.Covers(&m.env) {
			return e
		}
	}
	return nil
}

// spare counts what the exceptions of a rule or policy take out of what it
// matched; nil = it stands.
func (m *Machine) spare(id string, list []*rule.Exception) *rule.Exception {
	e := m.covered(list)
	if e == nil {
		return nil
	}
	st := m.state.Exceptions[e.ID]
	st.Hits++
	st.Last = max(st.Last, nanos(m.env.Now))
	m.stats[id].Excepted++
	return e
}

// installExceptions gives each exception a state and drops those that are gone.
func (m *Machine) installExceptions() {
	next := map[string]*exceptionState{}
	for _, e := range m.set.Exceptions {
		if next[e.ID] = m.state.Exceptions[e.ID]; next[e.ID] == nil {
			next[e.ID] = &exceptionState{}
		}
	}
	m.state.Exceptions = next
}

// exceptOpen resolves the open alerts of rules that an exception covers by the app
// alone: the event behind them is not at hand. Policies see to it at their next
// look at all apps.
func (m *Machine) exceptOpen(at time.Time) {
	for _, r := range m.set.Rules {
		if st := m.state.Rules[r.ID]; st != nil && len(r.Exceptions) > 0 {
			m.exceptRule(r, st, at)
		}
	}
}

func (m *Machine) exceptRule(r *rule.Rule, st *ruleState, at time.Time) {
	for _, key := range sortedKeys(st.Quiet) {
		q := st.Quiet[key]
		if e := m.coveredApp(r, q.App, at); e != nil {
			delete(st.Quiet, key)
			if q.Opened+q.For > nanos(at) {
				m.resolveQuiet(r, q, at, excepted(e))
			}
		}
	}
	for _, key := range sortedKeys(st.Upstream) {
		c := st.Upstream[key]
		if e := m.coveredApp(r, c.App, at); e != nil {
			delete(st.Upstream, key)
			if !c.Resolved {
				m.resolveUpstream(r, c, at, excepted(e))
			}
		}
	}
}

func (m *Machine) coveredApp(r *rule.Rule, a event.App, at time.Time) *rule.Exception {
	if m.app = m.inv.LookFor(a); m.app == nil {
		return nil
	}
	m.lookAt(at)
	return m.covered(r.Exceptions)
}

// excepted is why an alert was resolved. The words of the exception are its
// author's: data.
func excepted(e *rule.Exception) string { return "excepted by " + e.ID + ": " + oneLine(e.Reason) }

// Exceptions lists the exceptions in force by id, ended ones included.
func (m *Machine) Exceptions() []ExceptionStats {
	if m.set == nil {
		return nil
	}
	out := make([]ExceptionStats, 0, len(m.set.Exceptions))
	for _, e := range m.set.Exceptions {
		st := m.state.Exceptions[e.ID]
		out = append(out, ExceptionStats{ID: e.ID, Rules: e.Rules, Reason: e.Reason, Owner: e.Owner, Until: e.Until, Hits: st.Hits, LastHit: moment(st.Last)})
	}
	return out
}
