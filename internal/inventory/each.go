package inventory

import (
	"slices"
	"strings"

	"github.com/appgovd/appgovd/internal/event"
)

// Each calls f with every app, in the order in which they came, until f returns false. Without whole
// the view holds single values of the app itself and its use: none of what is made
// of lists, grants and traits, which costs more. v is f's until it
// returns; its slices are the model's: read only, and valid until the next Apply.
func (m *Model) Each(whole bool, f func(v *event.AppView) bool) {
	w := m.Walk(whole)
	w.Next(len(w.apps), f)
}

// Walk is a way through all apps that are there when it begins. Between two parts of it
// the model may change: an app that goes is not come to any more.
type Walk struct {
	m     *Model
	apps  []*app
	whole bool
	view  event.AppView
}

// Walk begins one; whole is that of Each.
func (m *Model) Walk(whole bool) *Walk {
	m.tidy()
	return &Walk{m: m, apps: slices.Clip(m.list), whole: whole}
}

// tidy drops the apps that are gone from the list, once they are most of it.
func (m *Model) tidy() {
	if len(m.list) > 2*len(m.objects)+1000 {
		m.list = slices.DeleteFunc(slices.Clone(m.list), (*app).gone) // who walks keeps the old one
	}
}

// gone reports whether nothing is left of an app.
func (a *app) gone() bool { return a.principal == nil && a.registration == nil }

// Next calls f with the next n apps, as Each does, and reports whether there are more.
func (w *Walk) Next(n int, f func(v *event.AppView) bool) (more bool) {
	part := w.apps[:min(n, len(w.apps))]
	w.apps = w.apps[len(part):]
	for _, a := range part {
		switch {
		case a.gone():
			continue
		case a.view != nil:
			w.view = *a.view
		case w.whole:
			w.m.draw(&w.view, a)
		default:
			w.m.sketch(&w.view, a)
		}
		w.m.addUse(&w.view)
		if !f(&w.view) {
			w.apps = nil
		}
		if w.apps == nil {
			return false
		}
	}
	return len(w.apps) > 0
}

// Named are the keys of the apps of a name, without regard to case, at most so many.
func (m *Model) Named(name string, most int) (keys []string) {
	for _, a := range m.list {
		if !a.gone() && strings.EqualFold(a.name(), name) {
			ref := a.ref()
			keys = append(keys, ref.Key())
		}
	}
	slices.Sort(keys)
	return keys[:min(most, len(keys))]
}

// name is that of the principal, else of the registration.
func (a *app) name() string {
	for _, o := range [...]*object{a.principal, a.registration} {
		if o != nil && o.facts.Name != "" {
			return o.facts.Name
		}
	}
	return ""
}

// Grants calls f with every grant that the app holds, each with the names of its
// permissions, until f returns false.
func (m *Model) Grants(key string, f func(g Grant) bool) {
	a := m.find(key)
	if a == nil || a.principal == nil {
		return
	}
	client, ok := m.names.find(a.principal.id)
	if !ok {
		return
	}
	for _, i := range m.grants.byClient[client] {
		g := m.grants.pages.grant(i)
		o := m.unpack(&g)
		out := Grant{ID: o.ID, Delegated: g.delegated, ConsentType: o.Grant.ConsentType, Principal: o.Grant.Principal, Resource: o.Grant.Resource, Permissions: m.permissions(&g)}
		if r := m.objects[o.Grant.Resource]; r != nil {
			out.ResourceName, out.ResourceAppID = r.facts.Name, r.facts.AppID
		}
		if !f(out) {
			return
		}
	}
}

// Grant is one grant as an operator sees it.
type Grant struct {
	ID            string
	Delegated     bool   // on behalf of users; else to the app itself
	ConsentType   string // of a delegated one: for all users, or for the one that Principal names
	Principal     string // object id
	Resource      string // object id of the API
	ResourceName  string
	ResourceAppID string
	Permissions   []event.Permission
}
