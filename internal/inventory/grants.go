package inventory

import (
	"slices"
	"strings"

	"github.com/appgovd/appgovd/internal/event"
)

// grant is one delegated grant or application permission.
type grant struct {
	id string
	packed
}

// packed is all but the id: a tenant may hold a million of them.
type packed struct {
	client, resource           sym
	principal, clientName      sym
	scopes                     sym // sorted names joined by a space
	role                       sym
	created, firstSeen, lastAt int64 // unix ns
	gen                        uint64
	delegated, all             bool
}

// pack turns an observation into a grant.
func (m *Model) pack(o *event.Object) grant {
	g, n := o.Grant, &m.names
	scopes := g.Scopes
	if !ascending(scopes) {
		scopes = slices.Compact(slices.Sorted(slices.Values(scopes)))
	}
	return grant{o.ID, packed{
		client: n.intern(g.Client), resource: n.intern(g.Resource), principal: n.intern(g.Principal),
		clientName: n.intern(g.ClientName), scopes: n.intern(strings.Join(scopes, " ")),
		role: n.intern(g.RoleID), delegated: o.Kind == event.ObjectDelegatedGrant,
		all: g.ConsentType == "all_principals", created: nanos(g.Created),
	}}
}

// ascending reports whether a list is sorted and has nothing twice.
func ascending(list []string) bool {
	for i := 1; i < len(list); i++ {
		if list[i-1] >= list[i] {
			return false
		}
	}
	return true
}

// unpack is the inverse of pack.
func (m *Model) unpack(g *grant) event.Object { return g.unpack(m.names.text, new(event.GrantObject)) }

// unpack fills room, and takes over what it has room for.
func (g *grant) unpack(names []string, room *event.GrantObject) event.Object {
	scopes := room.Scopes[:0]
	for s := range strings.FieldsSeq(names[g.scopes]) {
		scopes = append(scopes, s)
	}
	*room = event.GrantObject{
		Client: names[g.client], Resource: names[g.resource], Principal: names[g.principal],
		Scopes: scopes, RoleID: names[g.role], ClientName: names[g.clientName],
		ConsentType: g.consent(), Created: moment(g.created),
	}
	return event.Object{Kind: g.kind(), ID: g.id, Grant: room}
}

func (g *grant) kind() string {
	if g.delegated {
		return event.ObjectDelegatedGrant
	}
	return event.ObjectAppRoleAssignment
}

func (g *grant) consent() string {
	switch {
	case !g.delegated:
		return ""
	case g.all:
		return "all_principals"
	default:
		return "principal"
	}
}

func (m *Model) scopeList(id sym) []string {
	return strings.Fields(m.names.string(id))
}

func (s *step) showGrant(o *event.Object) {
	n := s.m.pack(o)
	n.firstSeen, n.lastAt, n.gen = s.at.UnixNano(), s.at.UnixNano(), s.generation()
	old := s.m.grants.find(o.ID)
	if n.partial() {
		if old == nil {
			return // whose it is, the next whole read will say
		}
		n = old.merged(n)
	}
	if old == nil {
		s.m.grants.add(n)
		s.m.touchClient(n.client)
		if !s.quiet {
			s.emit(s.grantEvent(event.ActionInvGrantAdded, &n))
			s.m.expect(&n, s.scope, s.m.permissions(&n))
		}
		return
	}
	s.updateGrant(old, n)
}

// partial tells a delta that names only what changed: its owner never does. The
// one property of a grant that can change is its scope.
// https://learn.microsoft.com/graph/api/oauth2permissiongrant-update
func (g *grant) partial() bool { return g.client == 0 }

// merged is g with what a partial n says of it.
func (g *grant) merged(n grant) grant {
	m := *g
	m.scopes, m.lastAt, m.gen = n.scopes, n.lastAt, n.gen
	return m
}

// updateGrant replaces what is known of a grant and tells the difference.
func (s *step) updateGrant(old *grant, n grant) {
	n.firstSeen = old.firstSeen
	before := *old
	if before.client != n.client { // an id never moves, but an index must not lie
		s.m.grants.remove(before.id)
		s.m.grants.add(n)
		s.m.touchClient(before.client)
	} else {
		s.m.grants.replace(n)
	}
	diff := s.m.permissionDiff(&before, &n)
	if len(diff) == 0 && before.all == n.all {
		return
	}
	s.m.touchClient(n.client)
	if s.quiet {
		return
	}
	e := s.grantEvent(event.ActionInvGrantChanged, &n)
	e.Permissions = diff
	e.Changes = s.m.grantChanges(&before, &n)
	s.emit(e)
	if added := kept(diff, false); len(added) > 0 {
		s.m.expect(&n, s.scope, added)
	}
}

func (m *Model) grantChanges(a, b *grant) []event.Change {
	var out []event.Change
	if a.scopes != b.scopes {
		out = append(out, event.Change{Name: "scopes", Old: m.scopeList(a.scopes), New: m.scopeList(b.scopes)})
	}
	if a.consent() != b.consent() {
		out = append(out, event.Change{Name: "consent_type", Old: set(a.consent()), New: set(b.consent())})
	}
	return out
}

func (s *step) removeGrant(id, why string) {
	g := s.m.grants.find(id)
	if g == nil {
		return
	}
	e := s.grantEvent(event.ActionInvGrantRemoved, g)
	for i := range e.Permissions {
		e.Permissions[i].Removed = true
	}
	e.ResultReason = why
	s.m.touchClient(g.client)
	s.m.grants.remove(id)
	s.m.facts.forget(id)
	if !s.quiet {
		s.emit(e)
	}
}

// grantEvent begins a derived event about g; the app is the client.
func (s *step) grantEvent(action string, g *grant) event.Event {
	m := s.m
	e := s.derived(action, g.id)
	e.App = m.clientRef(g)
	e.Resource = m.resourceRef(g.resource)
	e.Permissions = m.permissions(g)
	e.Consent = event.Consent{Type: g.consent(), AppOnly: !g.delegated, OnBehalf: m.names.string(g.principal), Scopes: m.scopeList(g.scopes)}
	if e.Consent.Type == "all_principals" || e.Consent.AppOnly {
		e.Consent.Admin, e.Consent.AdminSet = true, true
	}
	if g.principal != 0 {
		e.Target = event.Entity{Type: event.TypeUser, ID: m.names.string(g.principal)}
	}
	return e
}

func (m *Model) clientRef(g *grant) event.App {
	id := m.names.string(g.client)
	if o := m.objects[id]; o != nil {
		r := o.app.ref()
		r.ID = id // where another principal stands for the app, too
		return r
	}
	return event.App{ID: id, Name: m.names.string(g.clientName)}
}

func (m *Model) resourceRef(id sym) event.Entity {
	e := event.Entity{Type: event.TypeServicePrincipal, ID: m.names.string(id)}
	if o := m.objects[e.ID]; o != nil {
		e.AppID, e.Name = o.facts.AppID, o.facts.Name
	}
	return e
}

// permissions spells out g.
func (m *Model) permissions(g *grant) []event.Permission {
	resource := m.names.string(g.resource)
	api, roles := "", map[string]string(nil)
	if o := m.objects[resource]; o != nil {
		api, roles = o.facts.AppID, o.roles
	}
	if !g.delegated {
		p := event.Permission{Kind: "application", ID: m.names.string(g.role), Resource: resource, API: api}
		p.Name = roles[p.ID]
		p.Tier = m.opt.Tier(api, p.Kind, p.Name)
		return []event.Permission{p}
	}
	scopes := m.scopeList(g.scopes)
	out := make([]event.Permission, len(scopes))
	for i, name := range scopes {
		out[i] = event.Permission{Kind: "delegated", Name: name, Resource: resource, API: api, Tier: m.opt.Tier(api, "delegated", name)}
	}
	return out
}

// permissionDiff lists what b has and a had not, then what is gone.
func (m *Model) permissionDiff(a, b *grant) []event.Permission {
	if a.scopes == b.scopes && a.role == b.role && a.resource == b.resource {
		return nil
	}
	old, now := m.permissions(a), m.permissions(b)
	has := func(list []event.Permission, p event.Permission) bool {
		return slices.ContainsFunc(list, func(q event.Permission) bool {
			return q.Name == p.Name && q.ID == p.ID && q.Resource == p.Resource
		})
	}
	var out []event.Permission
	for _, p := range now {
		if !has(old, p) {
			out = append(out, p)
		}
	}
	for _, p := range old {
		if !has(now, p) {
			p.Removed = true
			out = append(out, p)
		}
	}
	return out
}

func kept(list []event.Permission, removed bool) []event.Permission {
	var out []event.Permission
	for _, p := range list {
		if p.Removed == removed {
			out = append(out, p)
		}
	}
	return out
}

// touchClient marks the app that holds a grant as changed.
func (m *Model) touchClient(client sym) {
	id := m.names.string(client)
	if o := m.objects[id]; o != nil {
		m.touch(o)
	}
}

func (m *Model) unseenGrants(sync *event.Sync) []string {
	var ids []string
	for i := range m.grants.pages.all() {
		g := m.grants.pages.grant(i)
		if g.kind() != sync.Kind || g.gen == sync.Generation {
			continue
		}
		if sync.Parent == "" || m.names.string(g.resource) == sync.Parent {
			ids = append(ids, g.id)
		}
	}
	slices.Sort(ids)
	return ids
}
