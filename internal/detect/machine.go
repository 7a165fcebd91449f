// Package detect owns the stateful machine of one tenant: windows, first-seen
// sets, suppression, policies and open alerts. It turns frames into alerts. It
// reads no clock and does no I/O: its state and its alerts are a function of
// the frames, so that the same ledger gives the same alerts.
package detect

import (
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/inventory"
	"github.com/appgovd/appgovd/internal/rule"
)

// Options of a Machine. Zero values mean the defaults named.
type Options struct {
	Provider string // "entra"
	Tenant   string // tenant id, part of every identity

	Kinds        []string      // object kinds that the sources read (event.Object*); nil = all four, empty = none
	PolicyEvery  time.Duration // how often policies look at all apps, in tick time; 1 h
	Settle       time.Duration // how long after the last page of a first sync policies begin; 30 s, negative = at once
	BaselineWait time.Duration // after this, policies begin although some first sync is not done; 1 h
	Lateness     time.Duration // how far behind an event may come and still count in a window; 26 h
	MaxEvidence  int           // events named in one alert; 10
	MaxKeys      int           // keys per rule and kind of state, where the rule does not say; 100,000

	// Compile makes rules of a blob, for FrameRules and Restore; nil = rule.Compile.
	Compile func(*event.RulesBlob) (*rule.Set, error)
	Watch   Watch // of tests and explanations
	// Elapsed is a monotonic time by which some evaluations are timed, for Health
	// alone; nil = none are.
	Elapsed func() time.Duration
	Log     *zap.Logger
}

func (o Options) withDefaults() Options {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&o.PolicyEvery, time.Hour)
	def(&o.Settle, 30*time.Second)
	def(&o.BaselineWait, time.Hour)
	def(&o.Lateness, 26*time.Hour)
	if o.Provider == "" {
		o.Provider = "entra"
	}
	if o.MaxEvidence == 0 {
		o.MaxEvidence = 10
	}
	if o.MaxKeys == 0 {
		o.MaxKeys = 100_000
	}
	if o.Compile == nil {
		o.Compile = compile
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	return o
}

// Machine is the detection of one tenant. It is used under the tenant's lock by
// one goroutine at a time.
type Machine struct {
	opt   Options
	inv   *inventory.Model
	set   *rule.Set
	state state
	stats map[string]*RuleStats
	sum   Stats

	matcher   *rule.Matcher
	lanes     map[string]*lane // by action
	turn      uint64
	unindexed bool // every rule is tried: for tests
	aside     bool // it learns from history: nothing is told

	env     rule.Env       // of the event at hand
	app     *event.AppView // that a policy is evaluated for
	key     []byte         // scratch
	group   text           // key of the sequence that is told
	fired   []string       // ids of the rules that fired on the event at hand
	frame   int64          // time of the frame at hand
	alerts  []event.Alert
	usual   int          // alerts of the frame before, for which room is made at once
	waiting []*rule.Rule // first_seen rules whose history has not begun
}

// maxUsual bounds the room that is made for alerts before they are there.
const maxUsual = 128

// New returns a machine with an empty state. set may be nil until a FrameRules.
func New(set *rule.Set, o Options) *Machine {
	m := &Machine{opt: o.withDefaults(), stats: map[string]*RuleStats{}}
	m.inv = emptyInventory(m.opt)
	m.state = newState()
	m.install(set, time.Time{})
	return m
}

func emptyInventory(o Options) *inventory.Model {
	return inventory.New(inventory.Options{Provider: o.Provider, Tenant: o.Tenant})
}

// Inventory is the model that the machine keeps; read only, under the same lock.
func (m *Machine) Inventory() *inventory.Model { return m.inv }

// Set is the rules in force.
func (m *Machine) Set() *rule.Set { return m.set }

// Apply applies f to the state: f.Events gets the derived events behind the
// ones that were read, app references and permission tiers are filled where the
// inventory knows them, and f.Alerts is set. f.Time must be set; it is stored,
// so that it is the same when f is replayed.
func (m *Machine) Apply(f *event.Frame) {
	m.alerts, m.frame = nil, nanos(f.Time)
	switch f.Kind {
	case event.FramePage, event.FrameInput:
		m.page(f)
	case event.FrameTick:
		m.tick(f)
	case event.FrameRules:
		m.swap(f)
	case event.FrameWarmed:
		m.warmed(f)
	default:
		return
	}
	f.Alerts = m.alerts
	m.sum.Frames++
	m.sum.Alerts += uint64(len(m.alerts))
	m.alerts, m.usual = nil, min(max(1, len(m.alerts)), maxUsual)
}

// Replay applies a stored frame for its effect on the state alone: what it
// derived and alerted then is made again and thrown away. It takes f over. A
// difference between the alerts made now and those stored is counted.
func (m *Machine) Replay(f *event.Frame) {
	stored := f.Alerts
	f.Alerts = nil
	for n := len(f.Events); n > 0 && f.Events[n-1].Derived; n-- { // they lie behind those that were read
		f.Events = f.Events[:n-1]
	}
	m.Apply(f)
	if f.Kind.Read() || f.Kind == event.FrameTick || f.Kind == event.FrameRules {
		m.compare(stored, f.Alerts)
	}
}

// AsRead is a stored frame as it was before Apply: without alerts and derived
// events. It may be applied; f is not changed by that.
func AsRead(f *event.Frame) event.Frame {
	again := *f
	again.Alerts = nil
	again.Events = make([]event.Event, 0, len(f.Events))
	for i := range f.Events {
		if !f.Events[i].Derived {
			e := f.Events[i]
			e.Permissions = slices.Clone(e.Permissions) // they are filled in place
			again.Events = append(again.Events, e)
		}
	}
	return again
}

func (m *Machine) compare(stored, made []event.Alert) {
	same := len(stored) == len(made)
	for i := 0; same && i < len(made); i++ {
		same = stored[i].DeliveryID == made[i].DeliveryID
	}
	if !same {
		m.sum.Diverged++
	}
}

func (m *Machine) page(f *event.Frame) {
	m.inv.Date(f.Time)
	if len(f.Quarantined) > 0 {
		m.inv.Lost(f.Sync)
	}
	for _, g := range f.Gaps {
		if event.Carries(g.Source, "directory_audits") {
			m.inv.AuditGap(g.To)
		}
		m.inv.UsageGap(g)
	}
	m.interrupt(f)
	derived := m.inv.Apply(f.Objects, f.Sync, f.Time)
	m.inv.Rollups(f.Source, f.Rollups)
	for i := range f.Events {
		e := &f.Events[i]
		m.fill(e)
		m.observe(f, e)
		m.evaluate(e)
	}
	m.derived(f, derived)
	m.inv.Used()
	m.watermarks(f)
	m.changed(f)
}

// observe tells the inventory of an event that was read.
func (m *Machine) observe(f *event.Frame, e *event.Event) {
	if e.Source == "" {
		e.Source = f.Source
	}
	m.inv.Observe(e)
	if e.Class == event.ClassSignIn {
		m.inv.Collected(f.Source, e.Time)
	}
}

func (m *Machine) tick(f *event.Frame) {
	m.inv.Date(f.Time)
	m.watermarks(f)
	m.collect(f)
	m.becomeReady(f.Time)
	m.inspect(f.Time)
	m.changed(f)
	m.tellCovered(f.Time)
	m.ripen(f)
	m.silences(f)
	m.settleRisk(f.Time)
	m.expire(f)
}

// derived appends events that the inventory made to the frame and evaluates them.
// In a frame of the history they stand already.
func (m *Machine) derived(f *event.Frame, events []event.Event) {
	if m.aside {
		return
	}
	from := len(f.Events)
	f.Events = append(f.Events, events...)
	for i := from; i < len(f.Events); i++ {
		f.Events[i].Source = f.Source
		m.evaluate(&f.Events[i])
	}
}

// watermarks tells the inventory how far the audit log and the sign-ins are read.
func (m *Machine) watermarks(f *event.Frame) {
	for _, c := range f.CompleteThrough {
		m.beginLooking(c)
		m.inv.CallsThrough(c.Source, c.Time)
		if event.Carries(c.Source, "directory_audits") {
			m.derived(f, m.inv.Reconcile(c.Time, f.Time))
		}
		if event.CarriesAny(c.Source, "signins_") {
			m.inv.CollectedThrough(c.Source, c.Time)
		}
	}
}

// beginLooking starts the history of first_seen rules that wait for the class of
// the source.
func (m *Machine) beginLooking(c event.SourceTime) {
	for i := 0; i < len(m.waiting); i++ {
		st := m.state.Rules[m.waiting[i].ID].Seen
		if st.Began == 0 && feeds(c.Source, m.waiting[i]) {
			st.Began = nanos(c.Time)
		}
		if st.Began != 0 {
			m.waiting = slices.Delete(m.waiting, i, i+1)
			i--
		}
	}
}

// feeds reports whether a source reads the records that a rule looks at.
func feeds(source string, r *rule.Rule) bool {
	return slices.ContainsFunc(r.On, func(action string) bool {
		switch classOf(action) {
		case event.ClassSignIn:
			return event.CarriesAny(source, "signins_")
		case event.ClassAlert:
			return event.Carries(source, "alerts")
		case event.ClassAudit:
			return event.Carries(source, "directory_audits")
		case event.ClassCall:
			return event.Carries(source, "calls")
		default:
			return !event.CarriesAny(source, "signins_") && !event.Carries(source, "alerts") && !event.Carries(source, "directory_audits") && !event.Carries(source, "calls")
		}
	})
}

func classOf(action string) string {
	switch {
	case strings.HasSuffix(action, ".signin"):
		return event.ClassSignIn
	case strings.HasPrefix(action, "inventory."):
		return event.ClassInventory
	case action == event.ActionUpstreamAlert:
		return event.ClassAlert
	case action == event.ActionAppCall:
		return event.ClassCall
	default:
		return event.ClassAudit
	}
}

// fill adds what the inventory knows of the apps and permissions that e names.
func (m *Machine) fill(e *event.Event) {
	e.App = m.inv.Resolve(e.App)
	if e.Actor.Type == event.TypeApp && (e.Actor.AppID == "" || e.Actor.Name == "") {
		full := m.inv.Resolve(event.App{ID: e.Actor.ID, AppID: e.Actor.AppID, Name: e.Actor.Name})
		e.Actor.AppID, e.Actor.Name = full.AppID, full.Name
		if e.Actor.ID == "" {
			e.Actor.ID = full.ID
		}
	}
	if r := &e.Resource; (r.Type == "" || r.Type == event.TypeServicePrincipal) && (r.ID != "" || r.AppID != "") && (r.AppID == "" || r.Name == "") {
		full := m.inv.Resolve(event.App{ID: r.ID, AppID: r.AppID, Name: r.Name})
		r.ID, r.AppID, r.Name = full.ID, full.AppID, full.Name
	}
	for i := range e.Permissions {
		m.fillPermission(&e.Permissions[i])
	}
}

func (m *Machine) fillPermission(p *event.Permission) {
	name, api := m.inv.PermissionName(p.Resource, p.ID)
	if p.Name == "" {
		p.Name = name
	}
	if p.API == "" {
		p.API = api
	}
	if p.Tier == 0 {
		p.Tier = m.tier(p.API, p.Kind, p.Name)
	}
}

func (m *Machine) tier(api, kind, name string) int8 {
	if m.set == nil || name == "" {
		return 0
	}
	return m.set.Tier(api, kind, name)
}
