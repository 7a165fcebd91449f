// Package inventory owns the model of what a tenant holds: apps (service
// principals joined with their registrations), grants, credentials, publishers,
// who consented and when an app was last used; and how objects and events
// change it. It is deterministic: its state, the events that it derives and its
// snapshots are functions of what it was given, in the order it was given.
package inventory

import (
	"slices"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// TierFunc grades one permission: 1 (control plane) to 4 (harmless), 0 unknown.
// api is the app id of the resource, "" where the inventory does not know it;
// kind is "delegated" or "application".
type TierFunc func(api, kind, name string) int8

// Options of a Model. Only Tenant is required.
type Options struct {
	Provider string   // "entra" when empty
	Tenant   string   // tenant id: tells own apps from external ones
	Tier     TierFunc // nil: every tier is unknown
	// Margin is how far the audit log must be complete past the moment at which
	// a grant was first seen before the grant is called unexplained; 0 = 4 h:
	// records come up to two hours late, some found only by the next hourly sweep,
	// and an hour to spare.
	Margin time.Duration
	// Slack is how much older than the last read without the grant an audit
	// event may be and still explain it (replicas lag); 0 = 24 h.
	Slack time.Duration
	// MaxStrangers is of how many apps that the inventory does not know the last use is
	// kept; 0 = 100,000.
	MaxStrangers int
}

// Model is the inventory of one tenant. It is used by one goroutine at a time.
type Model struct {
	opt      Options
	names    symbols
	objects  map[string]*object // by object id: registrations and principals
	apps     map[string]*app    // by app id
	last     lastApp
	list     []*app // in the order in which they came, which is that of memory; some are gone
	grants   grants
	traits   traits
	scopes   map[string]*scope
	used     map[string]int64 // newest sign-in by app id or object id, unix ns
	covers   [2]cover         // of apps and of managed identities
	collect  map[string]int64 // sign-in source -> known from here on, unix ns
	through  map[string]int64 // sign-in source -> known up to here, unix ns
	facts    facts
	uses     usage
	spelling spelling
	kinds    map[string]bool     // of traits that were read whole; nil = to be worked out
	dirty    map[string]struct{} // keys of apps that changed since TakeDirty
	cached   []*app              // apps with a cached view
	seq      uint64              // derived events made so far: part of their ids
}

// lastApp is the one of the apps that was asked for last, nil where it may have gone.
type lastApp struct {
	id  string
	app *app
}

// object is one directory object: an app registration or a service principal.
type object struct {
	kind        string
	id          string
	facts       *event.AppObject // merged over all observations; replaced, never changed
	origin      string           // of facts.OwnerTenant
	first, last int64            // unix ns
	gen         uint64           // generation that last showed it
	app         *app
	roles       map[string]string // role id -> value, made from facts.Roles
}

// app joins the principal and the registration of one app id.
type app struct {
	principal, registration *object
	others                  []*object      // of the same app id: an app made anew before the old one is seen to go
	view                    *event.AppView // cached, without use
	sum                     sum
}

// scope is what one full read covers.
type scope struct {
	Kind     string
	Done     bool   // a generation was completed
	Last     int64  // time of the last page that closed a full read or a round of changes
	Lossy    uint64 `json:",omitempty"` // generation of which a record could not be read: it removes nothing
	Baseline int64  // time of the last page of the first generation
}

// New returns an empty model.
func New(o Options) *Model {
	if o.Provider == "" {
		o.Provider = "entra"
	}
	if o.Tier == nil {
		o.Tier = func(string, string, string) int8 { return 0 }
	}
	if o.Margin == 0 {
		o.Margin = 4 * time.Hour
	}
	if o.Slack == 0 {
		o.Slack = 24 * time.Hour
	}
	if o.MaxStrangers == 0 {
		o.MaxStrangers = 100_000
	}
	m := &Model{opt: o}
	m.reset()
	return m
}

func (m *Model) reset() {
	m.names = newSymbols()
	m.objects = map[string]*object{}
	m.apps, m.list, m.last.app = map[string]*app{}, nil, nil
	m.grants = newGrants()
	m.traits = newTraits()
	m.scopes = map[string]*scope{}
	m.used = map[string]int64{}
	m.collect = map[string]int64{}
	m.covers = [2]cover{}
	m.through = map[string]int64{}
	own := m.uses.own
	m.facts, m.uses = newFacts(), newUsage()
	m.uses.own = own
	m.dirty = map[string]struct{}{}
	m.cached, m.kinds = nil, nil
	m.respell()
	m.seq = 0
}

// SetTier replaces the grading of permissions, for new rules.
func (m *Model) SetTier(tier TierFunc) {
	m.opt.Tier = tier
	m.dropViews()
}

// Apply merges what one page shows and returns the events that the differences
// make, in the order of objects; removals found by the sweep come last, by id.
// at is the time of the page and of the events. A page of a Baseline generation
// derives nothing. Objects that a complete generation did not show are removed
// when the page with sync.Complete arrives, and only then.
func (m *Model) Apply(objects []event.Object, sync *event.Sync, at time.Time) []event.Event {
	m.uses.forget()
	s := step{m: m, at: at.UTC(), sync: sync}
	if sync != nil {
		s.scope = m.scopeOf(sync)
		s.quiet = sync.Baseline
	}
	for i := range objects {
		s.object(&objects[i])
	}
	if sync != nil {
		s.close()
	}
	return s.events
}

// Lost says that a record of the full read to which sync belongs could not be
// read. What it stood for is there, so that this read removes nothing.
func (m *Model) Lost(sync *event.Sync) {
	if sync != nil && sync.Generation != 0 {
		m.scopeOf(sync).Lossy = sync.Generation
	}
}

// step is one Apply on its way.
type step struct {
	m      *Model
	at     time.Time
	sync   *event.Sync
	scope  *scope
	quiet  bool
	events []event.Event
}

func (m *Model) scopeOf(sync *event.Sync) *scope {
	s := m.scopes[sync.Scope]
	if s == nil {
		s = &scope{Kind: sync.Kind}
		m.scopes[sync.Scope], m.kinds = s, nil
	}
	return s
}

func (s *step) generation() uint64 {
	if s.sync == nil {
		return 0
	}
	return s.sync.Generation
}

func (s *step) object(o *event.Object) {
	switch o.Kind {
	case event.ObjectApplication, event.ObjectServicePrincipal:
		s.appObject(o)
	case event.ObjectDelegatedGrant, event.ObjectAppRoleAssignment:
		s.grantObject(o)
	default:
		s.traitObject(o)
	}
}

func (s *step) appObject(o *event.Object) {
	switch {
	case o.Removed != "":
		s.removeApp(o.ID, o.Removed)
	case o.App != nil:
		s.showApp(o)
	}
}

func (s *step) grantObject(o *event.Object) {
	switch {
	case o.Removed != "":
		s.removeGrant(o.ID, o.Removed)
	case o.Grant != nil:
		s.showGrant(o)
	}
}

// close ends the page: a complete generation sweeps what it did not show.
func (s *step) close() {
	at := s.at.UnixNano()
	if s.sync.Baseline {
		s.scope.Baseline = at
	}
	if !s.sync.Complete {
		return
	}
	if s.sync.Generation != 0 {
		if s.scope.Lossy != s.sync.Generation {
			s.sweep()
			s.reportedWhole()
		}
		if !s.scope.Done && isTrait(s.sync.Kind) {
			s.m.dropViews() // what was unknown is known
		}
		s.scope.Done, s.m.kinds = true, nil
	}
	s.scope.Last = at
}

func (s *step) sweep() {
	switch s.sync.Kind {
	case event.ObjectApplication, event.ObjectServicePrincipal:
		for _, id := range s.m.unseenObjects(s.sync) {
			s.removeApp(id, "not shown")
		}
	case event.ObjectDelegatedGrant, event.ObjectAppRoleAssignment:
		for _, id := range s.m.unseenGrants(s.sync) {
			s.removeGrant(id, "not shown")
		}
	default:
		s.sweepTraits()
	}
}

func (m *Model) unseenObjects(sync *event.Sync) []string {
	var ids []string
	for id, o := range m.objects {
		if o.kind == sync.Kind && o.gen != sync.Generation {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// BaselineState says how far the first reads are.
type BaselineState struct {
	Done bool      // every wanted kind was read whole, and no begun read of apps or grants is open
	Apps bool      // the service principals were read whole
	Last time.Time // of the last page of a first generation
}

// Baseline reports whether all kinds (object kinds; nil = all four) were read
// whole at least once and no read that began is still open.
func (m *Model) Baseline(kinds []string) BaselineState {
	if kinds == nil {
		kinds = []string{event.ObjectApplication, event.ObjectServicePrincipal,
			event.ObjectDelegatedGrant, event.ObjectAppRoleAssignment}
	}
	done, open, last := map[string]bool{}, false, int64(0)
	for _, s := range m.scopes {
		switch {
		case isTrait(s.Kind): // a tenant may lack the licence for what tells of them
			continue
		case s.Done:
			done[s.Kind] = true
		default:
			open = true
		}
		last = max(last, s.Baseline)
	}
	b := BaselineState{Done: !open, Apps: done[event.ObjectServicePrincipal], Last: moment(last)}
	for _, k := range kinds {
		b.Done = b.Done && done[k]
	}
	return b
}

// TakeDirty returns the sorted keys (see event.App.Key) of the apps that
// changed since the last call.
func (m *Model) TakeDirty() []string {
	if len(m.dirty) == 0 {
		return nil
	}
	keys := sortedKeys(m.dirty)
	clear(m.dirty)
	return keys
}

func sortedKeys[V any](set map[string]V) []string {
	keys := make([]string, 0, len(set))
	for k := range set {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// moment is the inverse of UnixNano with 0 as the zero time.
func moment(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

// nanos is UnixNano with the zero time as 0.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// sym names an interned string; 0 is "".
type sym uint32

// symbols interns strings that many grants share. It never shrinks; a restore
// builds it anew.
type symbols struct {
	ids  map[string]sym
	text []string
}

func newSymbols() symbols {
	return symbols{ids: map[string]sym{"": 0}, text: []string{""}}
}

func (t *symbols) intern(s string) sym {
	if s == "" {
		return 0
	}
	if id, ok := t.ids[s]; ok {
		return id
	}
	id := sym(len(t.text))
	s = strings.Clone(s)
	t.ids[s] = id
	t.text = append(t.text, s)
	return id
}

// find is intern without adding: ok is false when s was never interned.
func (t *symbols) find(s string) (sym, bool) {
	id, ok := t.ids[s]
	return id, ok
}

func (t *symbols) string(id sym) string { return t.text[id] }
