package detect

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/inventory"
	"github.com/appgovd/appgovd/internal/rule"
)

// maxExamples bounds the apps that a summary names.
const maxExamples = 10

// policyState is what one policy remembers: the apps that it found, each with
// an open alert of its own or covered by the summary of the first look.
type policyState struct {
	Revision string
	Mode     rule.Mode            // what it has open was opened in this mode
	Looked   bool                 // whether the policy has looked at all apps once
	Open     map[string]*finding  `json:",omitempty"` // by app key
	Covered  map[string]event.App `json:",omitempty"`
	Summary  *finding             `json:",omitempty"`
	Untold   bool                 `json:",omitempty"` // Covered holds apps that the summary has not told
}

// finding is an open alert of a policy.
type finding struct {
	ID     event.ID
	Seq    uint32
	Opened int64
	Key    string
	App    event.App
	Score  int
	Count  int

	Title    string         `json:",omitempty"` // where they are not the policy's own
	Severity event.Severity `json:",omitempty"`
}

func newPolicyState(p *rule.Policy) *policyState {
	return &policyState{Revision: p.Revision, Mode: p.Mode, Open: map[string]*finding{}, Covered: map[string]event.App{}}
}

// becomeReady decides whether the first syncs are behind us: policies look at
// nothing before.
func (m *Machine) becomeReady(at time.Time) {
	s := &m.state
	if s.Ready {
		return
	}
	if s.Started == 0 {
		s.Started = nanos(at)
	}
	b := m.inv.Baseline(m.opt.Kinds)
	apps := b.Apps || m.opt.Kinds != nil && !slices.Contains(m.opt.Kinds, event.ObjectServicePrincipal)
	waited := nanos(at)-s.Started >= int64(m.opt.BaselineWait)
	s.Ready = apps && m.settled(b, at) && (b.Done || waited)
}

// settled reports whether no page of a first read came of late.
func (m *Machine) settled(b inventory.BaselineState, at time.Time) bool {
	calm := at.Sub(b.Last)
	return calm >= m.opt.Settle || calm < 0 // the wall clock may jump
}

// inspect looks at all apps when it is time to.
func (m *Machine) inspect(at time.Time) {
	s := &m.state
	since := nanos(at) - s.Inspected
	if !s.Ready || m.set == nil || s.Inspected != 0 && since >= 0 && since < int64(m.opt.PolicyEvery) {
		return
	}
	s.Inspected = nanos(at)
	keys := m.inv.Keys()
	for _, p := range m.set.Policies {
		if st := m.state.Policies[p.ID]; st != nil && !st.Looked {
			m.firstLook(p, st, keys, at)
		}
	}
	for _, key := range keys {
		m.check(key, at, m.open)
	}
	m.inv.TakeDirty()
}

// changed looks at the apps that the frame changed. What a first read shows,
// however late it begins, was there before: summaries tell it.
func (m *Machine) changed(f *event.Frame) {
	dirty := m.inv.TakeDirty()
	if !m.state.Ready || m.set == nil {
		return
	}
	found := m.open
	if f.Sync != nil && f.Sync.Baseline {
		found = m.cover
	}
	for _, key := range dirty {
		m.check(key, f.Time, found)
	}
}

// found takes in an app, m.app, for which a policy holds.
type found func(*rule.Policy, *policyState, string, time.Time)

// check evaluates all policies for one app.
func (m *Machine) check(key string, at time.Time, found found) {
	m.app = m.inv.Look(key)
	known := m.app != nil && viewRef(m.app).Key() == key // an app may get another key
	if known {
		m.lookAt(at)
	}
	for _, p := range m.set.Policies {
		st := m.state.Policies[p.ID]
		if st == nil || !st.Looked {
			continue
		}
		if !known {
			m.close(p, st, key, at, "the app is gone")
			continue
		}
		m.sum.PolicyChecks++
		m.looks(p.ID)
		switch p.Match(&m.env) {
		case rule.True:
			if e := m.spare(p.ID, p.Exceptions); e != nil {
				m.close(p, st, key, at, excepted(e))
				continue
			}
			found(p, st, key, at)
		case rule.False:
			m.close(p, st, key, at, "the condition no longer holds")
		}
	}
}

// open opens an alert for an app, unless one is open or the summary covers it.
func (m *Machine) open(p *rule.Policy, st *policyState, key string, at time.Time) {
	if _, covered := st.Covered[key]; covered || st.Open[key] != nil {
		return
	}
	f := &finding{Key: key, Opened: nanos(at), App: viewRef(m.app), Score: p.Score(&m.env), Count: 1,
		Title: changed(p.TitleOf(&m.env), p.Title), Severity: changed(p.SeverityOf(&m.env), p.Severity)}
	f.ID = event.NewID("alert", m.opt.Tenant, p.ID, key, stamp(at))
	st.Open[key] = f
	a := m.policyAlert(p, f, at)
	a.Summary = p.Summary(&m.env)
	a.AppOrigin, a.AppTier = m.app.Origin, m.app.Tier
	m.emitPolicy(p, a)
}

// cover counts an app to those that the summary tells, unless an alert is open.
func (m *Machine) cover(_ *rule.Policy, st *policyState, key string, _ time.Time) {
	if _, covered := st.Covered[key]; covered || st.Open[key] != nil {
		return
	}
	st.Covered[key] = viewRef(m.app)
	st.Untold = true
}

// close resolves the alert of an app, or the summary when it was the last app
// that the summary covered.
func (m *Machine) close(p *rule.Policy, st *policyState, key string, at time.Time, why string) {
	if f := st.Open[key]; f != nil {
		delete(st.Open, key)
		m.resolve(p, f, at, why)
	}
	if _, ok := st.Covered[key]; !ok {
		return
	}
	delete(st.Covered, key)
	if len(st.Covered) == 0 && st.Summary != nil {
		m.resolveSummary(p, st.Summary, at, "none of the apps found on the first look is left")
		st.Summary = nil
	}
}

// firstLook finds what is wrong already and tells it in one alert.
func (m *Machine) firstLook(p *rule.Policy, st *policyState, keys []string, at time.Time) {
	st.Looked = true
	for _, key := range keys {
		if _, open := st.Open[key]; open {
			continue
		}
		if m.app = m.inv.Look(key); m.app == nil {
			continue
		}
		m.lookAt(at)
		m.sum.PolicyChecks++
		m.looks(p.ID)
		if p.Match(&m.env) == rule.True && m.spare(p.ID, p.Exceptions) == nil {
			m.cover(p, st, key, at)
		}
	}
	m.tellSummary(p, st, at)
}

// tellCovered tells what late first reads showed, once they have settled.
func (m *Machine) tellCovered(at time.Time) {
	if !m.state.Ready || m.set == nil || !m.settled(m.inv.Baseline(m.opt.Kinds), at) {
		return
	}
	for _, p := range m.set.Policies {
		if st := m.state.Policies[p.ID]; st != nil && st.Untold {
			m.tellSummary(p, st, at)
		}
	}
}

// tellSummary opens the summary of the apps covered, or tells that it grew.
func (m *Machine) tellSummary(p *rule.Policy, st *policyState, at time.Time) {
	st.Untold = false
	if len(st.Covered) == 0 {
		return
	}
	state := event.AlertUpdated
	if st.Summary == nil {
		state = event.AlertNew
		st.Summary = &finding{Key: "summary", Opened: nanos(at)}
		st.Summary.ID = event.NewID("alert", m.opt.Tenant, p.ID, "summary", stamp(at))
	} else {
		st.Summary.Seq++
	}
	st.Summary.Count = len(st.Covered)
	st.Summary.Score = m.highest(p, st, at)
	a := m.policyAlert(p, st.Summary, at)
	a.State, a.Kind, a.Backfill, a.EvidenceTotal = state, event.AlertSummary, true, a.Count
	a.Summary, a.Labels = summarise(p.Title, st.Covered)
	a.Reason = fmt.Sprintf("first look at the inventory: %d apps", a.Count)
	m.emitPolicy(p, a)
}

// highest is the highest score of the apps covered.
func (m *Machine) highest(p *rule.Policy, st *policyState, at time.Time) int {
	score := 0
	for key := range st.Covered {
		if m.app = m.inv.Look(key); m.app != nil {
			m.lookAt(at)
			score = max(score, p.Score(&m.env))
		}
	}
	return score
}

// summarise names some of the apps; their names are data.
func summarise(title string, apps map[string]event.App) (string, []event.Detail) {
	keys := sortedKeys(apps)
	var names []string
	var labels []event.Detail
	for _, key := range keys[:min(len(keys), maxExamples)] {
		name := oneLine(apps[key].Name)
		if name == "" {
			name = key
		}
		names = append(names, name)
		labels = append(labels, event.Detail{Name: "example", Value: name + " (" + key + ")"})
	}
	more := ""
	if n := len(keys) - len(names); n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	noun := "apps"
	if len(keys) == 1 {
		noun = "app"
	}
	return fmt.Sprintf("%s: %d %s: %s%s", title, len(keys), noun, strings.Join(names, ", "), more), labels
}

// oneLine replaces control characters and keeps 100 characters of a name.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, s)
	if r := []rune(s); len(r) > 100 {
		s = string(r[:100]) + "…"
	}
	return strings.TrimSpace(s)
}

func (m *Machine) policyAlert(p *rule.Policy, f *finding, at time.Time) event.Alert {
	return event.Alert{
		ID: f.ID, Sequence: f.Seq, State: event.AlertNew, Kind: event.AlertPolicy,
		Provider: m.opt.Provider, Tenant: m.opt.Tenant, RuleID: p.ID, RuleRevision: p.Revision,
		Title: cmp.Or(f.Title, p.Title), Summary: cmp.Or(f.Title, p.Title), Severity: cmp.Or(f.Severity, p.Severity), Score: f.Score, Techniques: p.Techniques, References: p.References,
		Time: at.UTC(), Opened: moment(f.Opened), App: f.App, DedupeKey: f.Key, Count: f.Count,
	}
}

func (m *Machine) resolve(p *rule.Policy, f *finding, at time.Time, why string) {
	f.Seq++
	a := m.policyAlert(p, f, at)
	a.State, a.Reason = event.AlertResolved, why
	m.emitPolicy(p, a)
}

func (m *Machine) resolveSummary(p *rule.Policy, f *finding, at time.Time, why string) {
	f.Seq++
	a := m.policyAlert(p, f, at)
	a.Kind, a.State, a.Reason = event.AlertSummary, event.AlertResolved, why
	m.emitPolicy(p, a)
}

func (m *Machine) emitPolicy(p *rule.Policy, a event.Alert) {
	s := m.stats[p.ID]
	s.Fired++
	s.LastMatch = a.Time
	if a.State == event.AlertNew {
		m.matched(p.ID, a.Time)
	}
	var crossed []event.Alert
	if a.Kind == event.AlertPolicy { // a summary is of many apps
		crossed = m.award(p.Points, policyPoints, p.Mode, &a)
	}
	if p.Mode == rule.ModeActive {
		m.emit(a)
	}
	for _, x := range crossed {
		m.emit(x)
	}
}

func viewRef(v *event.AppView) event.App {
	return event.App{ID: v.ID, ObjectID: v.ObjectID, AppID: v.AppID, Name: v.Name, OwnerTenant: v.OwnerTenant}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func sortedKeys[K ~string, V any](set map[K]V) []K {
	keys := make([]K, 0, len(set))
	for k := range set {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
