package inventory

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// traitKey names one trait.
type traitKey struct{ kind, id string }

// trait is what one source tells of an app, or of the tenant.
type trait struct {
	key         traitKey
	body        *event.Trait // replaced, never changed
	scope       string
	first, last int64 // unix ns
	gen         uint64
}

// traits are kept beside apps, by what they are about: a source may tell of an app
// before the directory does.
type traits struct {
	all   map[traitKey]*trait
	about map[string][]*trait
}

func newTraits() traits {
	return traits{all: map[traitKey]*trait{}, about: map[string][]*trait{}}
}

// isTrait tells the kinds of traits from apps and grants.
func isTrait(kind string) bool {
	switch kind {
	case event.ObjectApplication, event.ObjectServicePrincipal, event.ObjectDelegatedGrant, event.ObjectAppRoleAssignment:
		return false
	}
	return true
}

func (t *traits) put(x *trait) {
	if old := t.all[x.key]; old != nil {
		t.drop(old)
	}
	t.all[x.key] = x
	if x.body.About != "" {
		list := append(t.about[x.body.About], x)
		slices.SortFunc(list, func(a, b *trait) int { return a.key.compare(b.key) })
		t.about[x.body.About] = list
	}
}

func (t *traits) drop(x *trait) {
	delete(t.all, x.key)
	list := slices.DeleteFunc(t.about[x.body.About], func(y *trait) bool { return y == x })
	if len(list) == 0 {
		delete(t.about, x.body.About)
		return
	}
	t.about[x.body.About] = list
}

func (k traitKey) compare(l traitKey) int {
	return cmp.Or(strings.Compare(k.kind, l.kind), strings.Compare(k.id, l.id))
}

// sorted lists all traits by kind and id.
func (t *traits) sorted() []trait {
	out := make([]trait, 0, len(t.all))
	for _, x := range t.all {
		out = append(out, *x)
	}
	slices.SortFunc(out, func(a, b trait) int { return a.key.compare(b.key) })
	return out
}

func (s *step) traitObject(o *event.Object) {
	key := traitKey{o.Kind, o.ID}
	old := s.m.traits.all[key]
	switch {
	case o.Removed != "":
		s.removeTrait(old, o.Removed)
		return
	case o.Trait == nil:
		return
	case o.Kind == event.ObjectAppCalls:
		s.reported(o)
	}
	if old != nil && len(diffTrait(old.body, o.Trait)) == 0 && old.body.About == o.Trait.About {
		old.last, old.gen = s.at.UnixNano(), s.generation()
		if s.sync != nil {
			old.scope = s.sync.Scope
		}
		return
	}
	x := &trait{key: key, body: o.Trait, first: s.at.UnixNano(), last: s.at.UnixNano(), gen: s.generation()}
	if s.sync != nil {
		x.scope = s.sync.Scope
	}
	if old != nil {
		x.first = old.first
	}
	s.m.traits.put(x)
	if old != nil {
		s.m.touchTrait(old)
	}
	s.m.touchTrait(x)
	if s.quiet {
		return
	}
	var before *event.Trait
	if old != nil {
		before = old.body
	}
	s.tell(x, before, x.body, "")
}

func (s *step) removeTrait(x *trait, why string) {
	if x == nil {
		return
	}
	s.m.traits.drop(x)
	s.m.touchTrait(x)
	if !s.quiet {
		s.tell(x, x.body, nil, why)
	}
}

// touchTrait marks the app that x is about as changed; the name of a role stands in
// the views of many.
func (m *Model) touchTrait(x *trait) {
	if x.key.kind == event.ObjectRoleDefinition {
		m.dropViews()
		return
	}
	if a := m.find(x.body.About); a != nil {
		for _, o := range [...]*object{a.principal, a.registration} {
			if o != nil {
				m.touch(o)
			}
		}
	}
}

// sweepTraits removes what a whole read of a scope did not show.
func (s *step) sweepTraits() {
	for _, x := range s.m.traits.sorted() {
		if x.scope == s.sync.Scope && x.gen != s.sync.Generation {
			s.removeTrait(s.m.traits.all[x.key], "not shown")
		}
	}
}

// tell emits what the difference between two states of a trait means; nil is none.
func (s *step) tell(x *trait, before, now *event.Trait, why string) {
	changes := diffTrait(before, now)
	switch x.key.kind {
	case event.ObjectOwners:
		s.tellTrait(event.ActionInvAppChanged, x, changes, why)
	case event.ObjectGovernance:
		s.tellTrait(event.ActionInvAppChanged, x, slices.DeleteFunc(changes, func(c event.Change) bool { return c.Name != "privilege_level" }), why)
	case event.ObjectAppRisk:
		s.tellTrait(event.ActionInvRiskChanged, x, changes, why)
	case event.ObjectPolicy:
		s.tellTrait(event.ActionInvPolicyChanged, x, changes, why)
	case event.ObjectConsentRequest:
		if now != nil && len(changes) > 0 {
			s.tellTrait(event.ActionInvConsentRequested, x, changes, why)
		}
	case event.ObjectFederated:
		s.tellFederated(x, before, now, changes, why)
	case event.ObjectRole:
		s.tellRole(x, before, now, why)
	}
}

func (s *step) tellTrait(action string, x *trait, changes []event.Change, why string) {
	if len(changes) == 0 {
		return
	}
	e := s.traitEvent(action, x)
	e.Changes, e.ResultReason = changes, why
	s.emit(e)
}

// traitEvent begins a derived event about the app of x.
func (s *step) traitEvent(action string, x *trait) event.Event {
	e := s.derived(action, x.key.id)
	if about := x.body.About; about != "" {
		e.App = s.m.aboutRef(about)
	} else {
		e.Target = event.Entity{Type: event.TypePolicy, ID: x.key.id, Name: x.body.Value("name")}
	}
	return e
}

// aboutRef names the app that a key of a trait means.
func (m *Model) aboutRef(key string) event.App {
	if a := m.find(key); a != nil {
		return a.ref()
	}
	return event.App{ID: key}
}

func (s *step) tellFederated(x *trait, before, now *event.Trait, changes []event.Change, why string) {
	if len(changes) == 0 {
		return
	}
	for _, side := range [...]struct {
		action string
		t      *event.Trait
	}{{event.ActionInvCredentialGone, before}, {event.ActionInvCredentialAdded, now}} {
		if side.t != nil {
			e := s.traitEvent(side.action, x)
			e.Credential, e.ResultReason = federated(x.key.id, side.t), why
			s.emit(e)
		}
	}
}

// federated is a trait as a credential.
func federated(id string, t *event.Trait) event.Credential {
	return event.Credential{KeyID: id, Kind: "federated", Name: t.Value("name"), Issuer: t.Value("issuer"), Subject: t.Value("subject")}
}

func (s *step) tellRole(x *trait, before, now *event.Trait, why string) {
	action := event.ActionInvRoleAdded
	switch {
	case now == nil:
		action = event.ActionInvRoleRemoved
	case before != nil:
		return // an assignment never changes
	}
	e := s.traitEvent(action, x)
	id := x.body.Value("role")
	e.Target = event.Entity{Type: event.TypeRole, ID: id, Name: s.m.roleName(id)}
	e.ResultReason = why
	for _, name := range [...]string{"scope", "via"} {
		if v := x.body.Value(name); v != "" {
			e.Details = append(e.Details, event.Detail{Name: name, Value: v})
		}
	}
	s.emit(e)
}

// roleName is the name of a directory role, its id where no source tells it.
func (m *Model) roleName(id string) string {
	if d := m.traits.all[traitKey{event.ObjectRoleDefinition, id}]; d != nil {
		return first(d.body.Value("name"), id)
	}
	return id
}

// diffTrait lists the properties that differ, by name; a trait that is not there has
// none. The name itself is no property of what it names.
func diffTrait(before, now *event.Trait) []event.Change {
	none := &event.Trait{}
	a, b := cmp.Or(before, none), cmp.Or(now, none)
	var out []event.Change
	for _, name := range propertyNames(a, b) {
		if old, new := a.Values(name), b.Values(name); !slices.Equal(old, new) {
			out = append(out, event.Change{Name: name, Old: slices.Clone(old), New: slices.Clone(new)})
		}
	}
	return out
}

func propertyNames(a, b *event.Trait) []string {
	var names []string
	for _, p := range slices.Concat(a.Properties, b.Properties) {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// traitKinds are the kinds that were read whole at least once, each by all scopes
// that were begun.
func (m *Model) traitKinds() map[string]bool {
	known := map[string]bool{}
	for _, s := range m.scopes {
		if isTrait(s.Kind) {
			if before, ok := known[s.Kind]; !ok || before {
				known[s.Kind] = s.Done
			}
		}
	}
	return known
}

// addTraits adds what is told of a's parts to v.
func (m *Model) addTraits(v *event.AppView) {
	if m.kinds == nil {
		m.kinds = m.traitKinds()
	}
	known := m.kinds
	v.OwnersKnown = v.OwnersKnown || known[event.ObjectOwners]
	if len(known) == 0 {
		return
	}
	t := &event.AppTraits{Known: known}
	for _, key := range [...]string{v.ID, v.ObjectID, v.AppID} {
		if key == "" {
			continue
		}
		for _, x := range m.traits.about[key] {
			m.addTrait(v, t, x)
		}
	}
	slices.Sort(t.Roles)
	t.Roles = slices.Compact(t.Roles)
	slices.Sort(t.EligibleRoles)
	t.EligibleRoles = slices.Compact(t.EligibleRoles)
	slices.Sort(t.FederatedIssuers)
	t.FederatedIssuers = slices.Compact(t.FederatedIssuers)
	v.Traits = t
}

func (m *Model) addTrait(v *event.AppView, t *event.AppTraits, x *trait) {
	b := x.body
	switch x.key.kind {
	case event.ObjectOwners:
		v.Owners = union(v.Owners, b.Values("owners"))
	case event.ObjectFederated:
		c := federated(x.key.id, b)
		v.Credentials = append(v.Credentials, c)
		t.FederatedIssuers = append(t.FederatedIssuers, c.Issuer)
	case event.ObjectRole:
		t.Roles = append(t.Roles, m.roleName(b.Value("role")))
	case event.ObjectEligibleRole:
		t.EligibleRoles = append(t.EligibleRoles, m.roleName(b.Value("role")))
	case event.ObjectConsentRequest:
		t.ConsentRequests += len(b.Values("requests"))
	case event.ObjectCredentialUse:
		if t.CredentialUse == nil {
			t.CredentialUse = map[string]time.Time{}
		}
		if at := b.Time("last_used"); at.After(t.CredentialUse[b.Value("key_id")]) {
			t.CredentialUse[b.Value("key_id")] = at
		}
	case event.ObjectAppRisk:
		t.RiskLevel, t.RiskState = b.Value("risk_level"), b.Value("risk_state")
	case event.ObjectGovernance:
		t.GovernanceScore, _ = strconv.Atoi(b.Value("risk_score"))
		t.PrivilegeLevel, t.Unused = b.Value("privilege_level"), b.Values("unused_permissions")
	case event.ObjectAppCalls:
		t.Services = b.Values("services")
	}
}

func whole(b *event.Trait, name string) int64 {
	n, _ := strconv.ParseInt(b.Value(name), 10, 64)
	return n
}

// told is when the provider's own report says that an app was last used, zero where
// it says nothing, and until when the report holds.
func (m *Model) told(v *event.AppView) (used, through time.Time) {
	if len(m.traits.all) == 0 { // it is asked for with every event
		return used, through
	}
	for _, key := range [...]string{v.AppID, v.ID} {
		if x := m.traits.all[traitKey{event.ObjectAppUse, key}]; x != nil && key != "" {
			used, through = x.body.Time("last_used"), moment(x.last).Add(-reportLag)
		}
	}
	return used, through
}

// reportLag is how far the provider's report on the use of apps lies behind.
const reportLag = 48 * time.Hour
