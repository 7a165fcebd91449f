package inventory

import (
	"slices"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// Tenants that own Microsoft's services; the second owns the Microsoft Graph
// Command Line Tools. Microsoft's corporate tenant,
// 72f988bf-86f1-41af-91ab-2d7cd011db47, is not among them: an app of it may be
// any employee's.
const (
	microsoftServices = "f8cdef31-a31e-4b4a-93e4-5f571e91255a"
	microsoftTools    = "cdc5aeea-15c5-4db6-b079-fcadd2505dc2"
)

// maxCached bounds the views kept between evaluations.
const maxCached = 8192

// find returns the app that key names: an app id, the object id of a principal
// or that of a registration.
func (m *Model) find(key string) *app {
	if key == "" {
		return nil
	}
	if a := m.apps[key]; a != nil {
		return a
	}
	if o := m.objects[key]; o != nil {
		return o.app
	}
	return nil
}

// View tells what is known of the app that key names: an app id, the object id
// of a principal or that of a registration. The slices are the model's: read
// only, and valid until the next Apply.
func (m *Model) View(key string) (v event.AppView, known bool) {
	if p := m.Look(key); p != nil {
		return *p, true
	}
	return v, false
}

// Look is View without a copy: read only, and valid until the next Apply; nil where no
// app is known.
func (m *Model) Look(key string) *event.AppView { return m.look(m.find(key)) }

// LookFor is Look for the app that ref names, by the first of its ids that is known: the
// principal's, the client's, the registration's.
func (m *Model) LookFor(ref event.App) *event.AppView { return m.look(m.named(ref)) }

// named is the app that ref names, nil where none of its ids is known.
func (m *Model) named(ref event.App) *app {
	if a := m.client(ref.AppID); a != nil && (ref.ID == "" || a.principal != nil && a.principal.id == ref.ID) {
		return a // as most are, in one step
	}
	for _, key := range [...]string{ref.ID, ref.AppID, ref.ObjectID} {
		if a := m.find(key); a != nil {
			return a
		}
	}
	return nil
}

// client is the app with an app id, nil where there is none. An event's app is asked for
// several times in a row.
func (m *Model) client(id string) *app {
	if m.last.app == nil || m.last.id != id {
		m.last.id, m.last.app = id, m.apps[id]
	}
	return m.last.app
}

func (m *Model) look(a *app) *event.AppView {
	if a == nil {
		return nil
	}
	if a.view == nil {
		a.view = m.makeView(a)
		if m.cached = append(m.cached, a); len(m.cached) > maxCached {
			keep := a.view
			m.dropCached()
			a.view = keep
			m.cached = append(m.cached, a)
		}
	}
	m.addUse(a.view)
	return a.view
}

// Resolve returns the full reference of the app that ref names, ref itself
// where the inventory does not know it. What ref says wins.
func (m *Model) Resolve(ref event.App) event.App {
	a := m.named(ref)
	if a == nil {
		return ref
	}
	var full event.App
	if v := a.view; v != nil { // says the same, and is asked for next
		full = event.App{ID: v.ID, ObjectID: v.ObjectID, AppID: v.AppID, Name: v.Name, OwnerTenant: v.OwnerTenant}
	} else {
		full = a.ref()
	}
	return event.App{
		ID: first(ref.ID, full.ID), ObjectID: first(ref.ObjectID, full.ObjectID), AppID: first(ref.AppID, full.AppID),
		Name: first(ref.Name, full.Name), OwnerTenant: first(ref.OwnerTenant, full.OwnerTenant),
	}
}

// PermissionName returns the name of a role that a resource (object id) offers,
// and the app id of the resource; empty where unknown.
func (m *Model) PermissionName(resource, role string) (name, api string) {
	if o := m.objects[resource]; o != nil {
		return o.roles[role], o.facts.AppID
	}
	return "", ""
}

// dropViews drops what names and grades of permissions, and what is known at all, stand in.
func (m *Model) dropViews() {
	m.respell()
	m.dropCached()
}

func (m *Model) dropCached() {
	for _, a := range m.cached {
		a.view = nil
	}
	m.cached = m.cached[:0]
}

func (m *Model) makeView(a *app) *event.AppView {
	v := &event.AppView{}
	m.draw(v, a)
	return v
}

// draw makes v all but the use of an app.
func (m *Model) draw(v *event.AppView, a *app) {
	m.sketch(v, a)
	for _, o := range [...]*object{a.registration, a.principal} {
		if o != nil {
			addLists(v, o.facts)
		}
	}
	if a.principal != nil {
		m.addGrants(v, a)
	}
	m.addTraits(v)
}

// sketch makes v what the directory says of an app itself in single values.
func (m *Model) sketch(v *event.AppView, a *app) {
	*v = event.AppView{Enabled: true} // until the directory says otherwise
	if a.registration != nil {
		m.fill(v, a.registration)
	}
	if a.principal != nil {
		m.fill(v, a.principal)
		v.ID = a.principal.id
	}
	v.PublisherVerified = v.VerifiedPublisher != ""
}

// fill adds the single values of o to v; the principal comes last and wins.
func (m *Model) fill(v *event.AppView, o *object) {
	f := o.facts
	if o.kind == event.ObjectApplication {
		v.ObjectID = o.id
	}
	v.AppID = first(f.AppID, v.AppID)
	v.Name = first(f.Name, v.Name)
	v.Kind = first(f.Kind, v.Kind)
	v.OwnerTenant, v.Origin = first(f.OwnerTenant, v.OwnerTenant), first(o.origin, v.Origin)
	v.PublisherName = first(f.PublisherName, v.PublisherName)
	v.PublisherDomain = first(f.PublisherDomain, v.PublisherDomain)
	v.VerifiedPublisher = first(f.VerifiedPublisher, v.VerifiedPublisher)
	if f.Has&event.HasEnabled != 0 && o.kind == event.ObjectServicePrincipal {
		v.Enabled = f.Enabled
	}
	if v.FirstSeen.IsZero() || o.first < v.FirstSeen.UnixNano() {
		v.FirstSeen = moment(o.first)
	}
	if v.LastSeen.IsZero() || o.last > v.LastSeen.UnixNano() {
		v.LastSeen = moment(o.last)
	}
	if v.Created.IsZero() {
		v.Created = f.Created
	}
	v.OwnersKnown = v.OwnersKnown || f.Has&event.HasOwners != 0
}

func addLists(v *event.AppView, f *event.AppObject) {
	v.Credentials = joined(v.Credentials, f.Credentials)
	for _, list := range [...][]string{f.ReplyURLs, f.WebURLs, f.SPAURLs, f.ClientURLs} {
		v.ReplyURLs = union(v.ReplyURLs, list)
	}
	v.Owners = union(v.Owners, f.Owners)
}

// joined is both lists, one of them where the other is empty: nothing is written to it.
func joined[T any](a, b []T) []T {
	switch {
	case len(b) == 0:
		return a
	case len(a) == 0:
		return slices.Clip(b)
	}
	return slices.Concat(a, b)
}

// union is a sorted list of both; a is one, and nothing is written to either.
func union(a, b []string) []string {
	switch {
	case len(b) == 0:
		return a
	case len(a) == 0 && ascending(b):
		return slices.Clip(b)
	}
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

// Origin says whose an app of a tenant is: "own", "external", "first_party", ""
// where the tenant is not known.
func (m *Model) Origin(owner string) string {
	switch {
	case owner == "":
		return ""
	case strings.EqualFold(owner, m.opt.Tenant):
		return "own"
	case strings.EqualFold(owner, microsoftServices), strings.EqualFold(owner, microsoftTools):
		return "first_party"
	default:
		return "external"
	}
}

// addUse sets what changes with every sign-in.
func (m *Model) addUse(v *event.AppView) {
	v.LastUsed = moment(max(m.used[v.AppID], m.used[v.ID]))
	v.UsedSince, v.UsedThrough, v.UsedKnown = m.collected(v.Kind)
	used, through := m.told(v)
	if used.IsZero() {
		return
	}
	if used.After(v.LastUsed) {
		v.LastUsed = used
	}
	if !v.UsedKnown && through.After(used) {
		v.UsedKnown, v.UsedSince, v.UsedThrough = true, used, through
	}
}

const managedIdentity = "ManagedIdentity"

// signInsOf are the sources that show the use of an app of a kind.
func signInsOf(kind string) []string {
	if kind == managedIdentity {
		return []string{"signins_managed_identity"}
	}
	return []string{"signins_interactive", "signins_non_interactive", "signins_service_principal"}
}

// collected tells from when on and up to when all sign-ins of an app of a kind
// are known; not while one of their sources was never read. A source that is no
// longer read holds up the end.
func (m *Model) collected(kind string) (since, through time.Time, known bool) {
	of := &m.covers[0]
	if kind == managedIdentity {
		of = &m.covers[1]
	}
	if !of.made {
		*of = m.covered(kind)
	}
	return of.since, of.through, of.known
}

// cover is what collected tells of a kind, until a source is read on.
type cover struct {
	since, through time.Time
	known, made    bool
}

func (m *Model) covered(kind string) cover {
	var from, to int64
	for _, name := range signInsOf(kind) {
		first, last := m.read(name)
		if first == 0 || last == 0 {
			return cover{made: true}
		}
		from = max(from, first)
		if to == 0 || last < to {
			to = last
		}
	}
	return cover{moment(from), moment(to), true, true}
}

// read is where the sources of a name begin and how far they are read.
func (m *Model) read(name string) (from, to int64) {
	for source, first := range m.collect {
		if event.Carries(source, name) {
			from, to = max(from, first), max(to, m.through[source])
		}
	}
	return from, to
}

// addGrants adds what the grants of the principal come to.
func (m *Model) addGrants(v *event.AppView, a *app) {
	s := m.sumOf(a)
	v.Delegated, v.Application, v.Tier, v.TenantWide, v.Users = s.held.delegated, s.held.application, s.held.tier, s.wide, int(s.users)
}

// Keys returns the sorted keys (see event.App.Key) of all apps.
func (m *Model) Keys() []string {
	set := make(map[string]struct{}, len(m.objects))
	for _, o := range m.objects {
		set[o.app.ref().Key()] = struct{}{}
	}
	return sortedKeys(set)
}
