package inventory

import "github.com/appgovd/appgovd/internal/event"

// Each calls f with every app, in no order, until f returns false. Without whole
// the view holds single values of the app itself and its use: none of what is made
// of lists, grants and traits, which costs twenty times as much. v is f's until it
// returns; its slices are the model's: read only, and valid until the next Apply.
func (m *Model) Each(whole bool, f func(v *event.AppView) bool) {
	var v event.AppView
	for _, o := range m.objects {
		a := o.app
		if first := a.principal; first != o && (first != nil || a.registration != o) {
			continue // its app comes with another object
		}
		switch {
		case a.view != nil:
			v = *a.view
		case whole:
			v = *m.makeView(a)
		default:
			m.sketch(&v, a)
		}
		m.addUse(&v)
		if !f(&v) {
			return
		}
	}
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
