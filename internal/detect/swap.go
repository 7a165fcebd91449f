package detect

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/rule"
)

// swap puts the rules of a FrameRules in force. Rules whose conditions are equal
// keep their state; others begin anew; what is open of rules that are gone, or
// whose mode is another, is resolved. A blob that does not compile changes nothing: it was checked before
// it was appended, so only another version of the engine can refuse it.
func (m *Machine) swap(f *event.Frame) {
	if f.Rules == nil {
		return
	}
	set, err := m.opt.Compile(f.Rules)
	if err != nil {
		m.sum.RefusedRules++
		m.opt.Log.Error("rules of the ledger do not compile; the former stay in force", zap.Error(err))
		return
	}
	old := m.set
	m.retire(set, f.Time)
	m.state.Blob = f.Rules
	m.install(set, f.Time)
	m.exceptOpen(f.Time)
	m.swapRisk(old, f.Time)
	m.state.Inspected = 0 // the next tick looks at all apps
}

// install makes set the rules in force and gives each rule a state; at is when
// those that have none begin.
func (m *Machine) install(set *rule.Set, at time.Time) {
	m.closeLanes()
	m.set = set
	m.inv.SetTier(m.tier)
	if set == nil {
		return
	}
	m.inv.SetOwn(set.Own())
	m.matcher, m.lanes = set.Matcher(), newLanes(set)
	m.installHealth(at)
	m.installExceptions()
	for _, r := range set.Rules {
		m.count(r.ID)
		if r.Mode == rule.ModeOff {
			continue
		}
		if m.state.Rules[r.ID] == nil {
			m.state.Rules[r.ID] = m.begin(r, at)
		}
		st := m.state.Rules[r.ID]
		st.Mode = r.Mode
		st.fit(r)
	}
	m.await()
	for _, p := range set.Policies {
		m.count(p.ID)
		if p.Mode == rule.ModeOff {
			continue
		}
		if m.state.Policies[p.ID] == nil {
			m.state.Policies[p.ID] = newPolicyState(p)
		}
		m.state.Policies[p.ID].Mode = p.Mode
	}
}

// begin is the state of a rule that is new, or not what it was. Where there was
// something to learn from, the rule is silent until it has.
func (m *Machine) begin(r *rule.Rule, at time.Time) *ruleState {
	st := newRuleState(r, at)
	st.Warming = m.state.Started != 0 && r.Remembers() && !slices.Contains(r.On, event.ActionUpstreamAlert)
	return st
}

// await notes the rules of first_seen that have not begun to look.
func (m *Machine) await() {
	m.waiting = nil
	for _, r := range m.set.Rules {
		if st := m.state.Rules[r.ID]; st != nil && st.Seen != nil && st.Seen.Began == 0 {
			m.waiting = append(m.waiting, r)
		}
	}
}

func (m *Machine) count(id string) {
	if m.stats[id] == nil {
		m.stats[id] = &RuleStats{ID: id}
	}
}

// retire drops the state that does not survive in set, and resolves what is open
// of it through the mode that it was opened in.
func (m *Machine) retire(set *rule.Set, at time.Time) {
	old := m.set
	if old == nil {
		old = &rule.Set{} // the rules of a snapshot did not compile: their ids must do
	}
	for _, id := range sortedKeys(m.state.Rules) {
		m.count(id)
		m.succeed(ruleOf(old, id), ruleOf(set, id), m.state.Rules[id], at)
	}
	for _, id := range sortedKeys(m.state.Policies) {
		m.count(id)
		m.succeedPolicy(policyOf(old, id), policyOf(set, id), m.state.Policies[id], at)
	}
}

// succeed passes the state of a rule on to next, as far as it means the same.
// Another mode keeps what was learned and begins alerts anew.
func (m *Machine) succeed(old, next rule.Rule, st *ruleState, at time.Time) {
	if next.Mode != st.Mode {
		old.Mode, old.Title = st.Mode, cmp.Or(old.Title, next.Title, old.ID)
		m.retireRule(&old, st, at)
		st.Quiet, st.Upstream = map[text]*quiet{}, map[text]*carried{}
		st.Since = nanos(at)
	}
	switch {
	case next.Mode == rule.ModeOff:
		delete(m.state.Rules, old.ID)
	case next.State != st.Revision: // alerts of the provider keep their identity over edits
		fresh := m.begin(&next, at)
		fresh.Upstream = st.Upstream
		m.state.Rules[old.ID] = fresh
	}
}

// succeedPolicy keeps what an edited policy has open until it no longer holds;
// another mode looks anew, as for the first time.
func (m *Machine) succeedPolicy(old, next rule.Policy, st *policyState, at time.Time) {
	if next.Mode == st.Mode {
		st.Revision = next.Revision
		return
	}
	old.Mode, old.Title = st.Mode, cmp.Or(old.Title, next.Title, old.ID)
	m.retirePolicy(&old, st, at)
	delete(m.state.Policies, old.ID)
}

// ruleOf is the rule of that id in set; one that is not there is off.
func ruleOf(set *rule.Set, id string) rule.Rule {
	i, ok := slices.BinarySearchFunc(set.Rules, id, func(r *rule.Rule, id string) int { return strings.Compare(r.ID, id) })
	if !ok {
		return rule.Rule{ID: id, Severity: event.SeverityMedium, Mode: rule.ModeOff}
	}
	return *set.Rules[i]
}

func policyOf(set *rule.Set, id string) rule.Policy {
	i, ok := slices.BinarySearchFunc(set.Policies, id, func(p *rule.Policy, id string) int { return strings.Compare(p.ID, id) })
	if !ok {
		return rule.Policy{ID: id, Severity: event.SeverityMedium, Mode: rule.ModeOff}
	}
	return *set.Policies[i]
}

const ruleGone = "the rule is no longer in force"

func (m *Machine) retireRule(r *rule.Rule, st *ruleState, at time.Time) {
	for _, key := range sortedKeys(st.Quiet) {
		if q := st.Quiet[key]; q.Opened+q.For > nanos(at) {
			m.resolveQuiet(r, q, at, ruleGone)
		}
	}
	for _, key := range sortedKeys(st.Upstream) {
		if c := st.Upstream[key]; !c.Resolved {
			m.resolveUpstream(r, c, at, ruleGone)
		}
	}
}

func (m *Machine) resolveQuiet(r *rule.Rule, q *quiet, at time.Time, why string) {
	a := m.retiredAlert(r, q.ID, q.Seq+1, q.App, at)
	a.Opened, a.Count, a.DedupeKey, a.Reason = moment(q.Opened), q.Count, q.Dedupe, why
	a.Title, a.Severity = cmp.Or(q.Title, a.Title), cmp.Or(q.Severity, a.Severity)
	m.emitRule(r, a)
}

func (m *Machine) resolveUpstream(r *rule.Rule, c *carried, at time.Time, why string) {
	a := m.retiredAlert(r, c.ID, c.Seq+1, c.App, at)
	a.Kind, a.Opened, a.Count, a.DedupeKey, a.Reason = event.AlertUpstream, moment(c.Opened), 1, c.Upstream, why
	if c.Title != "" {
		a.Title = c.Title
	}
	m.emitRule(r, a)
}

func (m *Machine) retiredAlert(r *rule.Rule, id event.ID, seq uint32, app event.App, at time.Time) event.Alert {
	return event.Alert{
		ID: id, Sequence: seq, State: event.AlertResolved, Kind: event.AlertDetection,
		Provider: m.opt.Provider, Tenant: m.opt.Tenant, RuleID: r.ID, RuleRevision: r.Revision,
		Title: r.Title, Summary: r.Title, Severity: r.Severity, Techniques: r.Techniques, References: r.References,
		Time: at.UTC(), App: app,
	}
}

func (m *Machine) retirePolicy(p *rule.Policy, st *policyState, at time.Time) {
	for _, key := range sortedKeys(st.Open) {
		m.resolve(p, st.Open[key], at, ruleGone)
	}
	if st.Summary != nil {
		m.resolveSummary(p, st.Summary, at, ruleGone)
	}
}
