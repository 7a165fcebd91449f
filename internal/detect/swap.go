package detect

import (
	"time"

	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/rule"
)

// swap puts the rules of a FrameRules in force. Rules whose revision is equal
// keep their state; others begin anew; what is open of rules that are gone is
// resolved. A blob that does not compile changes nothing: it was checked before
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
	m.state.Rules, m.state.Policies = m.carryOver(set)
	m.retire(old, set, f.Time)
	m.state.Blob = f.Rules
	m.install(set)
	m.state.Inspected = 0 // the next tick looks at all apps
}

// install makes set the rules in force and gives each rule a state.
func (m *Machine) install(set *rule.Set) {
	m.set = set
	m.inv.SetTier(m.tier)
	m.waiting = nil
	if set == nil {
		return
	}
	for _, r := range set.Rules {
		if m.state.Rules[r.ID] == nil {
			m.state.Rules[r.ID] = newRuleState(r)
		}
		if st := m.state.Rules[r.ID]; st.Seen != nil && st.Seen.Began == 0 {
			m.waiting = append(m.waiting, r)
		}
		m.count(r.ID)
	}
	for _, p := range set.Policies {
		if p.Mode != rule.ModeOff && m.state.Policies[p.ID] == nil {
			m.state.Policies[p.ID] = newPolicyState(p)
		}
		m.count(p.ID)
	}
}

func (m *Machine) count(id string) {
	if m.stats[id] == nil {
		m.stats[id] = &RuleStats{ID: id}
	}
}

// carryOver picks the state that survives in set. m.state still holds all of it.
func (m *Machine) carryOver(set *rule.Set) (map[string]*ruleState, map[string]*policyState) {
	rules, policies := map[string]*ruleState{}, map[string]*policyState{}
	for _, r := range set.Rules {
		old := m.state.Rules[r.ID]
		switch {
		case old == nil || r.Mode == rule.ModeOff:
		case old.Revision == r.Revision:
			rules[r.ID] = old
		default: // alerts of the provider keep their identity over edits
			rules[r.ID] = newRuleState(r)
			rules[r.ID].Upstream = old.Upstream
		}
	}
	for _, p := range set.Policies {
		if old := m.state.Policies[p.ID]; old != nil && p.Mode != rule.ModeOff {
			old.Revision = p.Revision // what is open stays open until it no longer holds
			policies[p.ID] = old
		}
	}
	m.retired.rules, m.retired.policies = m.state.Rules, m.state.Policies
	return rules, policies
}

// retire resolves what is open of the rules in old that have no state any more.
func (m *Machine) retire(old, set *rule.Set, at time.Time) {
	gone := m.retired
	m.retired = retired{}
	if old == nil {
		return
	}
	for _, r := range old.Rules {
		if m.state.Rules[r.ID] == nil && gone.rules[r.ID] != nil && !has(set, r.ID) {
			m.retireRule(r, gone.rules[r.ID], at)
		}
	}
	for _, p := range old.Policies {
		if m.state.Policies[p.ID] == nil && gone.policies[p.ID] != nil {
			m.retirePolicy(p, gone.policies[p.ID], at)
		}
	}
}

// retired is the state before a swap, while it happens.
type retired struct {
	rules    map[string]*ruleState
	policies map[string]*policyState
}

// has reports whether set holds an active or auditing rule of that id.
func has(set *rule.Set, id string) bool {
	for _, r := range set.Rules {
		if r.ID == id && r.Mode != rule.ModeOff {
			return true
		}
	}
	return false
}

const ruleGone = "the rule is no longer in force"

func (m *Machine) retireRule(r *rule.Rule, st *ruleState, at time.Time) {
	for _, key := range sortedKeys(st.Quiet) {
		if q := st.Quiet[key]; q.Opened+q.For > nanos(at) {
			a := m.retiredAlert(r, q.ID, q.Seq+1, q.App, at)
			a.Opened, a.Count, a.DedupeKey = moment(q.Opened), q.Count, q.Dedupe
			m.emitRule(r, a)
		}
	}
	for _, key := range sortedKeys(st.Upstream) {
		if c := st.Upstream[key]; !c.Resolved {
			a := m.retiredAlert(r, c.ID, c.Seq+1, c.App, at)
			a.Kind, a.Opened, a.Count, a.DedupeKey = event.AlertUpstream, moment(c.Opened), 1, c.Upstream
			if c.Title != "" {
				a.Title = c.Title
			}
			m.emitRule(r, a)
		}
	}
}

func (m *Machine) retiredAlert(r *rule.Rule, id event.ID, seq uint32, app event.App, at time.Time) event.Alert {
	return event.Alert{
		ID: id, Sequence: seq, State: event.AlertResolved, Kind: event.AlertDetection,
		Provider: m.opt.Provider, Tenant: m.opt.Tenant, RuleID: r.ID, RuleRevision: r.Revision,
		Title: r.Title, Summary: r.Title, Severity: r.Severity, Techniques: r.Techniques, References: r.References,
		Time: at.UTC(), App: app, Reason: ruleGone,
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
