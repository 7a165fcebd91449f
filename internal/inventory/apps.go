package inventory

import (
	"cmp"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/appgovd/appgovd/internal/event"
)

// showApp merges one observation of a registration or principal.
func (s *step) showApp(o *event.Object) {
	known := s.m.objects[o.ID]
	if known == nil {
		s.newApp(o)
		return
	}
	known.last, known.gen = s.at.UnixNano(), s.generation()
	in := s.shown(o)
	changes := diffApp(known.facts, in)
	gone, added := diffCredentials(known.facts, in)
	before, app := known.facts, known.app
	if in.Has&event.HasAppID != 0 && in.AppID != before.AppID {
		s.m.touch(known) // under its former key, too
	}
	s.m.merge(known, in)
	known.app.view = nil // it was seen
	if known.app != app || !reflect.DeepEqual(before, known.facts) {
		s.m.touch(known)
	}
	if s.quiet {
		return
	}
	if len(changes) > 0 {
		e := s.appEvent(event.ActionInvAppChanged, known)
		e.Changes = changes
		s.emit(e)
	}
	s.credentialEvents(event.ActionInvCredentialAdded, known, added)
	s.credentialEvents(event.ActionInvCredentialGone, known, gone)
}

// newApp takes in an object that was not known. The second half of a known app
// is a change of that app, not a new app.
func (s *step) newApp(o *event.Object) {
	n := &object{kind: o.Kind, id: o.ID, first: s.at.UnixNano(), last: s.at.UnixNano(), gen: s.generation(), facts: &event.AppObject{}}
	in := s.shown(o)
	s.m.objects[o.ID] = n
	s.m.merge(n, in)
	s.m.touch(n)
	if s.quiet {
		return
	}
	if n.app.other(n) == nil {
		s.emit(s.appEvent(event.ActionInvAppAdded, n))
		return
	}
	e := s.appEvent(event.ActionInvAppChanged, n)
	e.Changes = []event.Change{{Name: n.kind, New: []string{n.id}}}
	s.emit(e)
}

// shown is what o says of its object. The first answers of a delta query leave
// out what was never set (https://learn.microsoft.com/graph/delta-query-overview):
// in a whole read, and for an object that appears, absent means empty.
func (s *step) shown(o *event.Object) *event.AppObject {
	const whole = event.HasName | event.HasAppID
	if s.generation() == 0 && (s.m.objects[o.ID] != nil || o.App.Has&whole != whole) {
		return o.App
	}
	in := *o.App
	in.Has |= maybeUnset(o.Kind)
	return &in
}

// maybeUnset are the properties, of those that are read, that an object need not
// have.
func maybeUnset(kind string) event.AppField {
	const both = event.HasVerifiedPublisher | event.HasDisabledByMicrosoft | event.HasTags |
		event.HasPasswords | event.HasKeys | event.HasAppRoles | event.HasScopes
	if kind == event.ObjectApplication {
		return both | event.HasPublisherDomain | event.HasIdentifierURIs | event.HasWebURLs | event.HasSPAURLs | event.HasClientURLs
	}
	return both | event.HasHomepage | event.HasReplyURLs
}

// removeApp forgets an object; why is "changed" (soft-deleted), "deleted" or
// "not shown".
func (s *step) removeApp(id, why string) {
	o := s.m.objects[id]
	if o == nil {
		return
	}
	e := s.appEvent(event.ActionInvAppRemoved, o)
	if o.app.other(o) != nil {
		e.Action = event.ActionInvAppChanged
		e.Activity = e.Action
		e.Changes = []event.Change{{Name: o.kind, Old: []string{id}}}
	}
	e.ResultReason = why
	s.m.touch(o)
	s.m.unlink(o)
	delete(s.m.objects, id)
	s.m.dropHolders(o)
	if !s.quiet {
		s.emit(e)
	}
}

func (s *step) credentialEvents(action string, o *object, list []event.Credential) {
	for _, c := range list {
		e := s.appEvent(action, o)
		e.Credential = c
		s.emit(e)
	}
}

// appEvent begins a derived event about o.
func (s *step) appEvent(action string, o *object) event.Event {
	e := s.derived(action, o.id)
	e.App = o.app.ref()
	e.Target = event.Entity{Type: o.kind, ID: o.id, AppID: o.facts.AppID, Name: o.facts.Name}
	return e
}

func (s *step) derived(action, upstream string) event.Event {
	return event.Event{
		Provider: s.m.opt.Provider, Tenant: s.m.opt.Tenant, Class: event.ClassInventory, UpstreamID: upstream,
		Time: s.at, Observed: s.at, Action: action, Activity: action, Category: "inventory",
		Result: event.ResultSuccess, Derived: true,
	}
}

// emit numbers a derived event and gives it its identity.
func (s *step) emit(e event.Event) {
	s.m.seq++
	seq := strconv.FormatUint(s.m.seq, 10)
	at := strconv.FormatInt(s.at.UnixNano(), 10)
	e.ID = event.NewID("inventory", e.Provider, e.Tenant, e.Action, e.UpstreamID, at, seq)
	e.Content = e.ID
	s.events = append(s.events, e)
}

// other returns what else there is of a's app, nil when o is all of it.
func (a *app) other(o *object) *object {
	for _, x := range [...]*object{a.principal, a.registration} {
		if x != nil && x != o {
			return x
		}
	}
	if i := slices.IndexFunc(a.others, func(x *object) bool { return x != o }); i >= 0 {
		return a.others[i]
	}
	return nil
}

// ref names a as events do.
func (a *app) ref() event.App {
	var r event.App
	if o := a.registration; o != nil {
		r.ObjectID, r.AppID, r.Name, r.OwnerTenant = o.id, o.facts.AppID, o.facts.Name, o.facts.OwnerTenant
	}
	if o := a.principal; o != nil {
		r.ID, r.AppID = o.id, first(o.facts.AppID, r.AppID)
		r.Name = first(o.facts.Name, r.Name)
		r.OwnerTenant = first(o.facts.OwnerTenant, r.OwnerTenant)
	}
	return r
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// touch marks o's app as changed.
func (m *Model) touch(o *object) {
	o.app.view, o.app.sum = nil, sum{}
	m.dirty[o.app.ref().Key()] = struct{}{}
}

// link files o under its app id.
func (m *Model) link(o *object) {
	a := m.apps[o.facts.AppID]
	if a == nil {
		m.tidy()
		a = &app{}
		m.list = append(m.list, a)
		if o.facts.AppID != "" {
			m.apps[o.facts.AppID] = a
		}
	}
	switch half := a.half(o.kind); {
	case *half == nil:
		*half = o
	case newer(o, *half):
		a.others = append(a.others, *half)
		*half = o
	default:
		a.others = append(a.others, o)
	}
	a.view, a.sum = nil, sum{}
	o.app = a
}

// half is where the object of a kind stands.
func (a *app) half(kind string) **object {
	if kind == event.ObjectServicePrincipal {
		return &a.principal
	}
	return &a.registration
}

// newer decides which of two objects of one kind stands for their app, whatever
// the order in which they came.
func newer(a, b *object) bool {
	return cmp.Or(cmp.Compare(a.first, b.first), strings.Compare(a.id, b.id)) > 0
}

func (m *Model) unlink(o *object) {
	a := o.app
	gone := o
	if half := a.half(o.kind); *half == o {
		*half = nil
		for _, x := range a.others {
			if x.kind == o.kind && (*half == nil || newer(x, *half)) {
				*half = x
			}
		}
		gone = *half // of the others
	}
	a.others = slices.DeleteFunc(a.others, func(x *object) bool { return x == gone })
	a.view, a.sum = nil, sum{}
	if a.principal == nil && a.registration == nil && m.apps[o.facts.AppID] == a {
		delete(m.apps, o.facts.AppID)
		m.last.app = nil
	}
}

// merge takes over what in says, by its mask.
func (m *Model) merge(o *object, in *event.AppObject) {
	if o.app != nil && in.Has&event.HasAppID != 0 && in.AppID != o.facts.AppID {
		m.unlink(o)
		o.app = nil
	}
	api, roles := o.facts.AppID, o.facts.Roles
	merged := *o.facts
	mergeText(&merged, in)
	mergeRest(&merged, in)
	merged.Has |= in.Has
	o.facts, o.origin = &merged, m.Origin(merged.OwnerTenant)
	changed := !slices.Equal(roles, o.facts.Roles)
	if changed {
		o.roles = roleTable(o.facts.Roles)
	}
	if changed || o.app == nil || api != o.facts.AppID {
		m.dropHolders(o)
	}
	if o.app == nil {
		m.link(o)
	}
}

// dropHolders drops the views that name permissions on o.
func (m *Model) dropHolders(o *object) {
	if _, ok := m.names.find(o.id); ok && o.kind == event.ObjectServicePrincipal {
		m.dropViews()
	}
}

func roleTable(defs []event.RoleDef) map[string]string {
	if len(defs) == 0 {
		return nil
	}
	t := make(map[string]string, len(defs))
	for _, d := range defs {
		t[d.ID] = d.Value
	}
	return t
}

// textField is one text property: its mask, its name in Change.Name, its place.
type textField struct {
	has  event.AppField
	name string
	at   func(*event.AppObject) *string
}

func textFields() [11]textField {
	return [...]textField{
		{event.HasAppID, "app_id", func(a *event.AppObject) *string { return &a.AppID }},
		{event.HasName, "name", func(a *event.AppObject) *string { return &a.Name }},
		{event.HasKind, "kind", func(a *event.AppObject) *string { return &a.Kind }},
		{event.HasOwnerTenant, "owner_tenant", func(a *event.AppObject) *string { return &a.OwnerTenant }},
		{event.HasPublisherName, "publisher_name", func(a *event.AppObject) *string { return &a.PublisherName }},
		{event.HasPublisherDomain, "publisher_domain", func(a *event.AppObject) *string { return &a.PublisherDomain }},
		{event.HasVerifiedPublisher, "verified_publisher", func(a *event.AppObject) *string { return &a.VerifiedPublisher }},
		{event.HasVerifiedPublisher, "verified_publisher_id", func(a *event.AppObject) *string { return &a.VerifiedPublisherID }},
		{event.HasSignInAudience, "sign_in_audience", func(a *event.AppObject) *string { return &a.SignInAudience }},
		{event.HasDisabledByMicrosoft, "disabled_by_microsoft", func(a *event.AppObject) *string { return &a.DisabledByMicrosoft }},
		{event.HasHomepage, "homepage", func(a *event.AppObject) *string { return &a.Homepage }},
	}
}

// setField is one set-valued property.
type setField struct {
	has  event.AppField
	name string
	at   func(*event.AppObject) *[]string
}

func setFields() [3]setField {
	return [...]setField{
		{event.HasIdentifierURIs, "identifier_uris", func(a *event.AppObject) *[]string { return &a.IdentifierURIs }},
		{event.HasTags, "tags", func(a *event.AppObject) *[]string { return &a.Tags }},
		{event.HasOwners, "owners", func(a *event.AppObject) *[]string { return &a.Owners }},
	}
}

// urlFields are the lists that are told as reply_urls together.
func urlFields() [4]setField {
	return [...]setField{
		{event.HasReplyURLs, "", func(a *event.AppObject) *[]string { return &a.ReplyURLs }},
		{event.HasWebURLs, "", func(a *event.AppObject) *[]string { return &a.WebURLs }},
		{event.HasSPAURLs, "", func(a *event.AppObject) *[]string { return &a.SPAURLs }},
		{event.HasClientURLs, "", func(a *event.AppObject) *[]string { return &a.ClientURLs }},
	}
}

func mergeText(to, in *event.AppObject) {
	for _, f := range textFields() {
		if in.Has&f.has != 0 {
			*f.at(to) = *f.at(in)
		}
	}
	for _, f := range setFields() {
		if in.Has&f.has != 0 {
			*f.at(to) = *f.at(in)
		}
	}
	for _, f := range urlFields() {
		if in.Has&f.has != 0 {
			*f.at(to) = *f.at(in)
		}
	}
}

func mergeRest(to, in *event.AppObject) {
	if in.Has&event.HasEnabled != 0 {
		to.Enabled = in.Enabled
	}
	if in.Has&event.HasCreated != 0 {
		to.Created = in.Created
	}
	if in.Has&(event.HasAppRoles|event.HasScopes) != 0 {
		to.Roles = mergeRoles(to.Roles, in)
	}
	if in.Has&(event.HasPasswords|event.HasKeys) != 0 {
		to.Credentials = mergeCredentials(to.Credentials, in)
	}
}

// mergeRoles replaces the kinds of permissions that in lists.
func mergeRoles(old []event.RoleDef, in *event.AppObject) []event.RoleDef {
	out := slices.Clone(in.Roles)
	for _, r := range old {
		bit := event.HasAppRoles
		if r.Kind == "delegated" {
			bit = event.HasScopes
		}
		if in.Has&bit == 0 {
			out = append(out, r)
		}
	}
	return out
}

// shown reports whether in lists all credentials of c's kind.
func shown(in *event.AppObject, c *event.Credential) bool {
	switch c.Kind {
	case "password":
		return in.Has&event.HasPasswords != 0
	case "federated":
		return false
	default:
		return in.Has&event.HasKeys != 0
	}
}

func mergeCredentials(old []event.Credential, in *event.AppObject) []event.Credential {
	out := slices.Clone(in.Credentials)
	for i := range old {
		if !shown(in, &old[i]) && !slices.ContainsFunc(out, sameCredential(&old[i])) {
			out = append(out, old[i])
		}
	}
	return out
}

func sameCredential(c *event.Credential) func(event.Credential) bool {
	return func(d event.Credential) bool { return d.KeyID == c.KeyID && d.Kind == c.Kind }
}

// diffCredentials tells which credentials in shows that old did not know, and
// the reverse. A kind of credential that was never shown before has no
// difference.
func diffCredentials(old, in *event.AppObject) (gone, added []event.Credential) {
	for _, c := range in.Credentials {
		if shown(old, &c) && !slices.ContainsFunc(old.Credentials, sameCredential(&c)) {
			added = append(added, c)
		}
	}
	for _, c := range old.Credentials {
		if shown(in, &c) && !slices.ContainsFunc(in.Credentials, sameCredential(&c)) {
			gone = append(gone, c)
		}
	}
	return gone, added
}

// diffApp lists the properties in which in differs from old, among those that
// both know, by name.
func diffApp(old, in *event.AppObject) []event.Change {
	both := old.Has & in.Has
	var out []event.Change
	for _, f := range textFields() {
		a, b := *f.at(old), *f.at(in)
		if both&f.has != 0 && a != b {
			out = append(out, event.Change{Name: f.name, Old: set(a), New: set(b)})
		}
	}
	for _, f := range setFields() {
		a, b := *f.at(old), *f.at(in)
		if both&f.has != 0 && !sameSet(a, b) {
			out = append(out, event.Change{Name: f.name, Old: slices.Clone(a), New: slices.Clone(b)})
		}
	}
	if c, ok := diffURLs(old, in); ok {
		out = append(out, c)
	}
	if both&event.HasEnabled != 0 && old.Enabled != in.Enabled {
		out = append(out, event.Change{Name: "enabled",
			Old: set(strconv.FormatBool(old.Enabled)), New: set(strconv.FormatBool(in.Enabled))})
	}
	return out
}

// diffURLs compares the reply URLs of all lists that old knows; a list that in
// does not show is as it was.
func diffURLs(old, in *event.AppObject) (event.Change, bool) {
	var before, after []string
	for _, f := range urlFields() {
		if old.Has&f.has == 0 {
			continue
		}
		now := *f.at(old)
		before = append(before, now...)
		if in.Has&f.has != 0 {
			now = *f.at(in)
		}
		after = append(after, now...)
	}
	before, after = slices.Compact(slices.Sorted(slices.Values(before))), slices.Compact(slices.Sorted(slices.Values(after)))
	return event.Change{Name: "reply_urls", Old: before, New: after}, !slices.Equal(before, after)
}

func set(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func sameSet(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}
