package detect

import (
	"cmp"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/rule"
)

// ruleState is what one rule remembers.
type ruleState struct {
	Revision string            // rule.Rule.State of the rule that it belongs to
	Mode     rule.Mode         // what it has open was opened in this mode
	Since    int64             `json:",omitempty"` // time of the swap that began it
	Warming  bool              `json:",omitempty"` // it is silent until the history is known
	Seen     *seen             `json:",omitempty"`
	Quiet    map[text]*quiet   `json:",omitempty"` // suppression
	Upstream map[text]*carried `json:",omitempty"` // the provider's alerts, by event id

	windows  []lists[hit] // of each threshold
	baseline *baseline
	sequence *sequence
	absence  *absence
}

func newRuleState(r *rule.Rule, at time.Time) *ruleState {
	s := &ruleState{Revision: r.State, Mode: r.Mode, Since: nanos(at), Quiet: map[text]*quiet{}, Upstream: map[text]*carried{}}
	s.fit(r)
	return s
}

// evaluate runs the candidates for e. A later version of a known event is not
// counted again, except where it carries the provider's own alert on.
func (m *Machine) evaluate(e *event.Event) {
	m.sum.Events++
	if m.set == nil || e.Version > 0 && e.Upstream == nil {
		return
	}
	lane := m.lanes[e.Action]
	if lane == nil {
		return
	}
	m.look(e)
	m.turn++
	lane.events, lane.last, lane.turn = lane.events+1, e.Time, m.turn
	lane.seen.N, lane.seen.Last = lane.seen.N+1, max(lane.seen.Last, nanos(e.Time))
	if e.Upstream != nil { // what is carried on is followed whatever the rule says
		for _, r := range m.set.Candidates(e.Action) {
			m.try(r, e)
		}
		return
	}
	lane.learn(m, nanos(e.Time))
	m.fired = m.fired[:0]
	for _, r := range m.candidates(e.Action) {
		m.timed(r, e)
	}
	m.compareShadows()
}

// candidates are the rules to try for the event at hand: all of its action, for
// who watches.
func (m *Machine) candidates(action string) []*rule.Rule {
	if !m.indexed() {
		return m.set.Candidates(action)
	}
	return m.matcher.Candidates(&m.env)
}

func (m *Machine) indexed() bool {
	return !m.unindexed && m.opt.Watch.Look == nil && m.opt.Watch.Stop == nil
}

// holds tells whether the event at hand is one of r.
func (m *Machine) holds(r *rule.Rule) bool {
	if m.env.Event.Upstream == nil && m.indexed() {
		return r.Holds(&m.env)
	}
	return r.Match(&m.env) == rule.True
}

// look fills m.env for e.
func (m *Machine) look(e *event.Event) {
	m.env = rule.Env{Event: e, Now: e.Time, AppOrigin: m.inv.Origin(e.App.OwnerTenant), Usage: m.inv}
	if key := e.App.Key(); key != "" && !m.aside {
		m.env.Risk, m.env.RiskKnown = m.AppRisk(key, e.Time), true
	}
	m.env.App = m.inv.LookFor(e.App)
	if e.Actor.Type == event.TypeApp {
		m.env.Actor = m.inv.LookFor(event.App{ID: e.Actor.ID, AppID: e.Actor.AppID})
	}
}

func (m *Machine) try(r *rule.Rule, e *event.Event) {
	if e.Upstream != nil {
		st := m.state.Rules[r.ID]
		if m.follow(r, st, e) {
			return
		}
		if st.Seen != nil {
			m.teach(r, st.Seen, nanos(e.Time))
		}
	}
	m.looks(r.ID)
	if !m.holds(r) {
		m.stopped(r, "where", nil)
		return
	}
	st, count := m.state.Rules[r.ID], m.stats[r.ID]
	if st.Warming {
		m.stopped(r, "warming", nil)
		return
	}
	count.Matches++
	count.LastMatch = e.Time
	m.matched(r.ID, e.Time)
	if x := m.spare(r.ID, r.Exceptions); x != nil {
		m.stopped(r, "exception", func() string { return x.ID + ": " + x.Reason })
		return
	}
	if e.Upstream != nil {
		m.carry(r, st, e)
		return
	}
	if r.Sequence != nil {
		m.sequenceOf(r, st, e)
		return
	}
	if r.Absence != nil {
		m.active(r, st, e)
		return
	}
	if !m.firstTime(r, st, e) {
		m.stopped(r, "first_seen", nil)
		return
	}
	n, ok := m.exceeds(r, st, e)
	if !ok {
		m.stopped(r, "compare", nil)
		return
	}
	if hits, ok := m.overThreshold(r, st, e); ok {
		m.fire(r, st, e, hits, max(n, len(hits)))
	} else {
		m.stopped(r, "threshold", nil)
	}
}

func (m *Machine) limit(keys int) int {
	if keys > 0 {
		return keys
	}
	return m.opt.MaxKeys
}

// keyOf evaluates k for the event at hand; nil is the one empty key.
func (m *Machine) keyOf(k rule.Key) (text, bool) {
	if k == nil {
		return "", true
	}
	b, ok := k.Append(m.key[:0], &m.env)
	m.key = b
	return encodeKey(b), ok
}

// hashOf evaluates k for the event at hand, as the key of a table.
func (m *Machine) hashOf(k rule.Key) (hash, bool) {
	if k == nil {
		return hash{}, true
	}
	b, ok := k.Append(m.key[:0], &m.env)
	m.key = b
	if !ok {
		return hash{}, false
	}
	return hashOf(b), true
}

// fire opens an alert for e, or counts it on the open one that suppresses it.
// It is made of n matches, of which hits are known.
func (m *Machine) fire(r *rule.Rule, st *ruleState, e *event.Event, hits []hit, n int) {
	if len(m.set.Shadows) > 0 {
		m.fired = append(m.fired, r.ID)
	}
	by, during, keyed := m.suppression(r)
	if keyed {
		if q := st.Quiet[by]; q != nil && q.covers(nanos(e.Time), int64(during)) {
			m.again(r, q, e)
			return
		}
	}
	dedupe := m.dedupeKey(r, by, keyed, e)
	a := m.alert(r, e)
	a.DedupeKey = dedupe
	a.ID = event.NewID("alert", m.opt.Tenant, r.ID, dedupe, e.ID.String())
	a.State, a.Opened, a.Count = event.AlertNew, e.Time, max(1, n)
	m.addEvidence(&a, r, e, hits)
	if keyed {
		m.silence(r, st, by, &quiet{ID: a.ID, Dedupe: dedupe, Opened: a.Opened.UnixNano(), For: int64(during), Count: a.Count, App: e.App.Clone(),
			Title: strings.Clone(changed(a.Title, r.Title)), Severity: changed(a.Severity, r.Severity)})
	}
	m.stopped(r, "alert", a.ID.String)
	m.emitRule(r, a)
}

// changed is what an alert says other than its rule; zero = the same.
func changed[T comparable](said, usual T) T {
	if said == usual {
		var none T
		return none
	}
	return said
}

// silence begins the suppression of q. An alert that comes late, but no later
// than records may, widens the one in force to the past: the newest stays.
func (m *Machine) silence(r *rule.Rule, st *ruleState, by text, q *quiet) {
	if newer := st.Quiet[by]; newer != nil && q.Opened < newer.Opened && newer.Opened-q.Opened <= q.For+int64(m.opt.Lateness) {
		newer.From = min(newer.from(), q.Opened)
		return
	}
	st.Quiet[by] = q
	m.evicted(r.ID, evict(st.Quiet, m.opt.MaxKeys, func(q *quiet) int64 { return q.Opened }))
}

// again counts a suppressed match. The tenth, the hundredth and so on are told.
func (m *Machine) again(r *rule.Rule, q *quiet, e *event.Event) {
	q.Count++
	m.stopped(r, "suppress", q.since)
	m.stats[r.ID].Suppressed++
	if !powerOfTen(q.Count) {
		return
	}
	q.Seq++
	a := m.alert(r, e)
	a.ID, a.Sequence, a.State, a.DedupeKey = q.ID, q.Seq, event.AlertUpdated, q.Dedupe
	a.Opened, a.Count = moment(q.Opened), q.Count
	m.addEvidence(&a, r, e, nil)
	m.emitRule(r, a)
}

func powerOfTen(n int) bool {
	for n >= 10 && n%10 == 0 {
		n /= 10
	}
	return n == 1
}

// suppression returns the key and time of the rule's suppression.
func (m *Machine) suppression(r *rule.Rule) (by text, during time.Duration, ok bool) {
	switch {
	case r.Suppress != nil:
		by, ok = m.keyOf(r.Suppress.By)
		return by, r.Suppress.For, ok
	case r.Sequence != nil:
		return m.group, r.Sequence.Within, true
	default:
		return "", 0, false
	}
}

// dedupeKey is the printable identity of the group that e falls into.
func (m *Machine) dedupeKey(r *rule.Rule, by text, keyed bool, e *event.Event) string {
	if r.DedupeBy != nil {
		if key, ok := m.keyOf(r.DedupeBy); ok {
			return event.NewID("dedupe", string(key)).String()
		}
	}
	if keyed {
		return event.NewID("dedupe", string(by)).String()
	}
	return e.ID.String()
}

// alert begins an alert of r about e.
func (m *Machine) alert(r *rule.Rule, e *event.Event) event.Alert {
	a := event.Alert{
		Kind: event.AlertDetection, Provider: e.Provider, Tenant: m.opt.Tenant,
		RuleID: r.ID, RuleRevision: r.Revision, Title: r.TitleOf(&m.env), Summary: r.Summary(&m.env),
		Severity: r.SeverityOf(&m.env), Score: r.Score(&m.env), Techniques: r.Techniques, References: r.References,
		Time: e.Time, Backfill: e.Backfill,
		App: e.App, Actor: e.Actor, Target: e.Target, Resource: e.Resource, Origin: e.Origin, Action: e.Action,
	}
	a.AppOrigin = m.env.AppOrigin
	if v := m.env.App; v != nil {
		a.AppOrigin, a.AppTier = cmp.Or(v.Origin, a.AppOrigin), v.Tier
	}
	return a
}

// addEvidence names e and the other hits of its window, the newest first.
func (m *Machine) addEvidence(a *event.Alert, r *rule.Rule, e *event.Event, hits []hit) {
	most := cmp.Or(r.Evidence, m.opt.MaxEvidence)
	a.Evidence = append(a.Evidence, event.Evidence{
		EventID: e.ID, UpstreamID: e.UpstreamID, Time: e.Time, Action: e.Action, Activity: e.Activity})
	a.EvidenceTotal = max(1, len(hits))
	for i := len(hits) - 1; i >= 0 && len(a.Evidence) < most; i-- {
		if hits[i].ID != e.ID {
			a.Evidence = append(a.Evidence, event.Evidence{EventID: hits[i].ID, Time: moment(hits[i].T)})
		}
	}
}

// emitRule lets an alert of a rule leave, unless the rule only watches.
func (m *Machine) emitRule(r *rule.Rule, a event.Alert) {
	m.stats[r.ID].Fired++
	if m.aside {
		return
	}
	crossed := m.award(r.Points, r.State, r.Mode, &a)
	if r.Mode == rule.ModeActive {
		m.emit(a)
	}
	for _, x := range crossed {
		m.emit(x)
	}
}

// emit lets an alert leave, with the risk of its app as it is behind it.
func (m *Machine) emit(a event.Alert) {
	if key := a.App.Key(); key != "" {
		a.AppRisk = m.AppRisk(key, moment(min(nanos(a.Time), m.frame)))
	}
	a.SetDelivery()
	if m.alerts == nil {
		m.alerts = make([]event.Alert, 0, m.usual)
	}
	m.alerts = append(m.alerts, a)
}
