package sim

import (
	"fmt"
	"slices"
)

// Mutation is one change of the directory, made at once and without a record
// in the audit log. Apps are named by the object id of their service principal.
type Mutation struct {
	Op       string `json:"op"`       // see Mutate
	ID       string `json:"id"`       // app, grant or assignment that changes
	Name     string `json:"name"`     // of an app or a secret
	Resource string `json:"resource"` // app id of the API: set_grant
	User     int    `json:"user"`     // number of the consenting user, -1 for all: set_grant
	Scope    string `json:"scope"`    // set_grant
	Role     string `json:"role"`     // application permission of Microsoft Graph: assign_role
}

// Mutate changes the directory: rename_app, disable_app, enable_app,
// remove_app, add_secret, set_grant (ID is the client), remove_grant,
// assign_role, unassign_role. It fails when the object is not there.
func (c *Cloud) Mutate(m Mutation) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance(c.o.Now())
	if err := c.mutate(m); err != nil {
		return fmt.Errorf("change directory: %s %q: %w", m.Op, m.ID, err)
	}
	return nil
}

func (c *Cloud) mutate(m Mutation) error {
	d := &c.dir
	switch m.Op {
	case "remove_grant":
		k := slices.IndexFunc(d.grants, func(g grant) bool { return g.id == m.ID && !g.removed })
		if k < 0 {
			return refusal("no such grant")
		}
		d.removeGrant(k)
		return nil
	case "unassign_role":
		before := len(d.assignments)
		d.assignments = slices.DeleteFunc(d.assignments, func(a assignment) bool { return a.id == m.ID })
		if len(d.assignments) == before {
			return refusal("no such assignment")
		}
		return nil
	}
	i := slices.IndexFunc(d.apps, func(a *app) bool { return a.spID == m.ID && !a.removed })
	if i < 0 {
		return refusal("no such app")
	}
	return c.mutateApp(i, m)
}

func (c *Cloud) mutateApp(i int, m Mutation) error {
	d := &c.dir
	switch m.Op {
	case "rename_app":
		d.alter(i, func(a *app) { a.name = m.Name }, []string{"displayName", "appDisplayName"}, []string{"displayName"})
	case "disable_app", "enable_app":
		d.alter(i, func(a *app) { a.enabled = m.Op == "enable_app" }, []string{"accountEnabled"}, []string{"isDisabled"})
	case "remove_app":
		d.removeApp(i)
	case "add_secret":
		cred := c.credential(c.random(domChange, uint64(len(d.changes))|1<<40), m.Name)
		d.alter(i, func(a *app) { a.passwords = append(slices.Clip(a.passwords), cred) }, []string{"passwordCredentials"}, []string{"passwordCredentials"})
	case "set_grant":
		resource := slices.IndexFunc(c.cat.resources, func(r resource) bool { return r.appID == m.Resource })
		if resource < 0 || m.User >= c.o.Users {
			return refusal("no such resource or user")
		}
		d.setGrant(c.newGrant(d.apps[i], resource, max(m.User, -1), m.Scope))
	case "assign_role":
		role := c.cat.role(m.Role)
		if role.id == nilGUID {
			return refusal("no such application permission")
		}
		c.assign(i, resGraph, role, c.o.Now(), c.random(domAssignment, uint64(len(d.assignments))|1<<40))
	default:
		return refusal("no such operation")
	}
	return nil
}
