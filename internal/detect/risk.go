package detect

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/rule"
)

// riskState is the risk of entities, by kind and key.
type riskState struct {
	Kinds   map[string]map[text]*entity `json:",omitempty"`
	Evicted uint64                      `json:",omitempty"` // entities dropped because there were too many
	Pruned  int64                       `json:",omitempty"` // tick at which what has decayed was last dropped
}

// entity is one app or actor with points.
type entity struct {
	App     event.App
	Actor   event.Actor
	Factors map[string]*factor // by rule
	Open    *finding           `json:",omitempty"` // the alert while its sum is high
}

// factor is what one rule holds of an entity. Points are millionths, as of At, so
// that decay is exact on every machine.
type factor struct {
	Points int64
	At     int64
	Last   int64  // time of the newest alert
	Count  int    // alerts
	State  string // of the rule that gave them
}

const (
	millionth = 1_000_000
	pruned    = millionth / 100 // what is less than a hundredth of a point is forgotten
	topShown  = 10
)

// decay is v after a time, halved every halfLife, which is cut into 65,536 parts.
// It is made of integers alone; time that goes back changes nothing.
func decay(v, after, halfLife int64) int64 {
	if after <= 0 || halfLife <= 0 {
		return v
	}
	halves := [...]uint64{ // 2^-(1/2^i) for i = 1, 2 ... as 32-bit fractions
		3037000500, 3611622603, 3938502376, 4112874773, 4202935003, 4248701965, 4271771996, 4283353945,
		4289156690, 4292061010, 4293513907, 4294240540, 4294603903, 4294785595, 4294876445, 4294921870,
	}
	whole := after / halfLife
	if whole >= 63 {
		return 0
	}
	out := uint64(v) >> whole
	hi, lo := bits.Mul64(uint64(after%halfLife), 1<<16)
	part, _ := bits.Div64(hi, lo, uint64(halfLife))
	for i, half := range halves {
		if part&(1<<(15-i)) != 0 {
			out = out * half >> 32
		}
	}
	return int64(out)
}

// sum is the risk of an entity at a time, in millionths.
func (e *entity) sum(k *rule.Risk, at int64) int64 {
	var sum int64
	for _, f := range e.Factors {
		sum += decay(f.Points, at-f.At, int64(k.HalfLife))
	}
	return min(sum, rule.MaxRisk*millionth)
}

// add adds points that a rule gave at a time, late ones as decayed by then.
func (f *factor) add(points, limit, at, halfLife int64) {
	if at >= f.At {
		f.Points, f.At = decay(f.Points, at-f.At, halfLife)+points, at
	} else {
		f.Points += decay(points, f.At-at, halfLife)
	}
	f.Points = min(f.Points, limit)
	f.Last = max(f.Last, at)
	f.Count++
}

// risk is how the risk of a kind of entity is kept; nil = it is not.
func (m *Machine) risk(kind string) *rule.Risk {
	if m.set == nil {
		return nil
	}
	for _, k := range m.set.Risks {
		if k.Entity == kind {
			return k
		}
	}
	return nil
}

// AppRisk is the risk of an app at a time, 0-100.
func (m *Machine) AppRisk(key string, at time.Time) int {
	e, k := m.appRisk(key)
	if e == nil || k == nil {
		return 0
	}
	return int(e.sum(k, nanos(at)) / millionth)
}

// appRisk is the entity of an app and how its risk is reckoned, each nil where there
// is none.
func (m *Machine) appRisk(key string) (*entity, *rule.Risk) {
	return m.state.Risk.Kinds[rule.RiskApp][text(key)], m.risk(rule.RiskApp)
}

// lookAt fills m.env for an app, m.app.
func (m *Machine) lookAt(at time.Time) {
	m.env = rule.Env{App: m.app, Now: at, Usage: m.inv}
	m.env.Risk, m.env.RiskKnown = m.AppRisk(viewRef(m.app).Key(), at), true
}

// award adds the points of a new alert to its entities and returns the alerts on
// their risk. A rule in audit mode gives none.
func (m *Machine) award(p rule.Points, state string, mode rule.Mode, a *event.Alert) []event.Alert {
	if a.State != event.AlertNew || mode != rule.ModeActive && mode != rule.ModeScore {
		return nil
	}
	points := p.Of(&m.env, a.Score)
	var out []event.Alert
	for _, kind := range p.Entities {
		key := a.App.Key()
		if kind == rule.RiskActor {
			key = a.Actor.ID
		}
		if k := m.risk(kind); k != nil && key != "" && points > 0 {
			out = append(out, m.awardTo(k, text(strings.ToValidUTF8(key, "?")), points, p.Cap, state, a)...)
		}
	}
	return out
}

func (m *Machine) awardTo(k *rule.Risk, key text, points, limit int, state string, a *event.Alert) []event.Alert {
	all := m.state.Risk.Kinds[k.Entity]
	if all == nil {
		all = map[text]*entity{}
		m.state.Risk.Kinds[k.Entity] = all
	}
	e := all[key]
	if e == nil {
		e = &entity{Factors: map[string]*factor{}}
		all[key] = e
	}
	if k.Entity == rule.RiskApp {
		e.App = a.App.Clone()
	} else {
		e.Actor = a.Actor.Clone()
	}
	f := e.Factors[a.RuleID]
	isNew := f == nil
	if isNew {
		f = &factor{State: state}
		e.Factors[a.RuleID] = f
	}
	at := min(nanos(a.Time), m.frame) // a clock that is wrong must not outlast others' points
	f.add(int64(points)*millionth, int64(min(k.RuleCap, cmp.Or(limit, k.RuleCap)))*millionth, at, int64(k.HalfLife))
	out := m.cross(k, key, e, isNew, at, a)
	if len(all) > k.MaxEntities {
		m.state.Risk.Evicted += evict(all, k.MaxEntities, func(e *entity) int64 {
			if e.Open != nil {
				return 1 << 62
			}
			return e.sum(k, m.frame)
		})
	}
	return out
}

// cross opens the alert of an entity whose sum reaches the line; while it is open,
// each further rule that adds to it is told.
func (m *Machine) cross(k *rule.Risk, key text, e *entity, isNew bool, at int64, a *event.Alert) []event.Alert {
	sum := e.sum(k, at)
	switch {
	case k.AlertAt == 0 || e.Open == nil && sum < int64(k.AlertAt)*millionth || e.Open != nil && !isNew:
		return nil
	case e.Open == nil:
		e.Open = &finding{ID: event.NewID("alert", m.opt.Tenant, k.ID(), string(key), a.ID.String()), Opened: at, Key: string(key)}
		out := m.riskAlert(k, e, at)
		out.Backfill, out.Evidence, out.EvidenceTotal = a.Backfill, a.Evidence, a.EvidenceTotal
		return []event.Alert{out}
	}
	e.Open.Seq++
	out := m.riskAlert(k, e, at)
	out.State, out.Backfill, out.Evidence, out.EvidenceTotal = event.AlertUpdated, a.Backfill, a.Evidence, a.EvidenceTotal
	return []event.Alert{out}
}

// riskAlert names the rules that made the sum, the most first.
func (m *Machine) riskAlert(k *rule.Risk, e *entity, at int64) event.Alert {
	score := int(e.sum(k, at) / millionth)
	a := event.Alert{
		ID: e.Open.ID, Sequence: e.Open.Seq, State: event.AlertNew, Kind: event.AlertRisk, Provider: m.opt.Provider, Tenant: m.opt.Tenant,
		RuleID: k.ID(), RuleRevision: k.Revision, Title: k.Title, Severity: k.Severity, Score: score,
		Time: moment(at), Opened: moment(e.Open.Opened), App: e.App, Actor: e.Actor, DedupeKey: e.Open.Key,
	}
	name := cmp.Or(oneLine(e.App.Name), oneLine(e.Actor.Name), e.Open.Key)
	factors := e.factors(k, at)
	var parts []string
	for i, f := range factors {
		a.Count += f.Count
		if i < topShown {
			parts = append(parts, fmt.Sprintf("%s (%d)", f.Rule, f.Points))
			a.Labels = append(a.Labels, event.Detail{Name: "factor", Value: fmt.Sprintf("%s: %d points of %d alerts, the last at %s", f.Rule, f.Points, f.Count, stamp(f.Last))})
		}
	}
	a.Summary = fmt.Sprintf("%s: risk %d of %d by %s", name, score, rule.MaxRisk, strings.Join(parts, ", "))
	if more := len(factors) - topShown; more > 0 {
		a.Summary += fmt.Sprintf(" and %d more", more)
	}
	return a
}

// Factor is what one rule adds to the risk of an entity.
type Factor struct {
	Rule   string    `json:"rule"`
	Points int       `json:"points"` // what is left of them
	Count  int       `json:"count"`
	Last   time.Time `json:"last"`
}

// factors are those of an entity, the most points first.
func (e *entity) factors(k *rule.Risk, at int64) []Factor {
	var out []Factor
	for _, id := range sortedKeys(e.Factors) {
		f := e.Factors[id]
		out = append(out, Factor{id, int(decay(f.Points, at-f.At, int64(k.HalfLife)) / millionth), f.Count, moment(f.Last)})
	}
	slices.SortStableFunc(out, func(a, b Factor) int { return b.Points - a.Points })
	return out
}

// settleRisk resolves alerts whose sum has decayed, and once per PolicyEvery forgets
// what is next to nothing.
func (m *Machine) settleRisk(at time.Time) {
	now := nanos(at)
	since := now - m.state.Risk.Pruned
	prune := m.state.Risk.Pruned == 0 || since < 0 || since >= int64(m.opt.PolicyEvery)
	if prune {
		m.state.Risk.Pruned = now
	}
	for _, kind := range sortedKeys(m.state.Risk.Kinds) {
		k := m.risk(kind)
		if k == nil {
			continue
		}
		all := m.state.Risk.Kinds[kind]
		for _, key := range openOf(all) {
			if e := all[key]; e.sum(k, now) < int64(k.ResolveAt)*millionth || k.AlertAt == 0 {
				m.endRisk(k, e, at, "the risk has gone down")
			}
		}
		if prune {
			forget(all, k, now)
		}
	}
}

// openOf lists the entities with an open alert, in order.
func openOf(all map[text]*entity) []text {
	var open []text
	for key, e := range all {
		if e.Open != nil {
			open = append(open, key)
		}
	}
	slices.Sort(open)
	return open
}

func forget(all map[text]*entity, k *rule.Risk, now int64) {
	for key, e := range all {
		for id, f := range e.Factors {
			if decay(f.Points, now-f.At, int64(k.HalfLife)) < pruned {
				delete(e.Factors, id)
			}
		}
		if len(e.Factors) == 0 && e.Open == nil {
			delete(all, key)
		}
	}
}

func (m *Machine) endRisk(k *rule.Risk, e *entity, at time.Time, why string) {
	e.Open.Seq++
	a := m.riskAlert(k, e, nanos(at))
	a.State, a.Reason = event.AlertResolved, why
	e.Open = nil
	m.emit(a)
}

// swapRisk drops the points of rules that are gone, give none any more, or look for
// something else, and what is open where risk is no longer kept. old may be nil.
func (m *Machine) swapRisk(old *rule.Set, at time.Time) {
	states := map[string]string{}
	for _, r := range m.set.Rules {
		if r.Mode == rule.ModeActive || r.Mode == rule.ModeScore {
			states[r.ID] = r.State
		}
	}
	for _, p := range m.set.Policies {
		if p.Mode == rule.ModeActive || p.Mode == rule.ModeScore {
			states[p.ID] = policyPoints
		}
	}
	for _, kind := range sortedKeys(m.state.Risk.Kinds) {
		all := m.state.Risk.Kinds[kind]
		for _, e := range all {
			for id, f := range e.Factors {
				if states[id] != f.State {
					delete(e.Factors, id)
				}
			}
		}
		if m.risk(kind) != nil {
			continue
		}
		k := &rule.Risk{Entity: kind, Title: "Risk of an " + kind, Severity: event.SeverityMedium, HalfLife: 1}
		if old != nil {
			if i := slices.IndexFunc(old.Risks, func(k *rule.Risk) bool { return k.Entity == kind }); i >= 0 {
				k = old.Risks[i]
			}
		}
		for _, key := range openOf(all) {
			m.endRisk(k, all[key], at, "the risk of such entities is no longer kept")
		}
		delete(m.state.Risk.Kinds, kind)
	}
}

// policyPoints marks the points of policies: they outlive an edit, as what a policy
// has open does.
const policyPoints = "policy"

func (s *riskState) sound() bool {
	s.Kinds = filled(s.Kinds)
	for _, all := range s.Kinds {
		if !whole(all) {
			return false
		}
		for _, e := range all {
			if e.Factors = filled(e.Factors); !whole(e.Factors) {
				return false
			}
		}
	}
	return true
}

// EntityRisk is an app or actor with its risk.
type EntityRisk struct {
	Entity  string   `json:"entity"`
	Key     string   `json:"key"`
	Name    string   `json:"name"`
	Risk    int      `json:"risk"`
	Alert   bool     `json:"alert"` // whether an alert on it is open
	Factors []Factor `json:"factors"`
}

// AppFactors are what the risk of an app is made of, the most points first.
func (m *Machine) AppFactors(key string, at time.Time) []Factor {
	e, k := m.appRisk(key)
	if e == nil || k == nil {
		return nil
	}
	return e.factors(k, nanos(at))
}

// TopRisks are the n entities of a kind with the highest risk at a time.
func (m *Machine) TopRisks(kind string, n int, at time.Time) []EntityRisk {
	k, now := m.risk(kind), nanos(at)
	if k == nil {
		return nil
	}
	all := m.state.Risk.Kinds[kind]
	keys := sortedKeys(all)
	sums := make(map[text]int64, len(keys))
	for key, e := range all {
		sums[key] = e.sum(k, now)
	}
	slices.SortStableFunc(keys, func(a, b text) int { return cmp.Compare(sums[b], sums[a]) })
	var out []EntityRisk
	for _, key := range keys[:min(n, len(keys))] {
		e := all[key]
		if sums[key] >= millionth {
			out = append(out, EntityRisk{kind, string(key), cmp.Or(e.App.Name, e.Actor.Name), int(sums[key] / millionth), e.Open != nil, e.factors(k, now)})
		}
	}
	return out
}
