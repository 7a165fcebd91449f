package sim

import (
	"cmp"
	"slices"
	"time"
)

// Inventory is what the directory holds at one moment: the end state that a
// reader must arrive at. Each list is in order of id.
type Inventory struct {
	Applications      []Application `json:"applications"`
	ServicePrincipals []Principal   `json:"servicePrincipals"`
	Grants            []Grant       `json:"grants"`
	Assignments       []Assignment  `json:"assignments"`
}

// Application is an app registration of the tenant.
type Application struct {
	ID          string       `json:"id"`
	AppID       string       `json:"appId"`
	Name        string       `json:"name"`
	Created     time.Time    `json:"created"`
	Credentials []Credential `json:"credentials"`
}

// Principal is an app as it is present in the tenant.
type Principal struct {
	ID                string `json:"id"`
	AppID             string `json:"appId"`
	Name              string `json:"name"`
	Kind              string `json:"kind"`        // servicePrincipalType
	OwnerTenant       string `json:"ownerTenant"` // appOwnerOrganizationId
	VerifiedPublisher string `json:"verifiedPublisher"`
	Enabled           bool   `json:"enabled"`
}

// Credential is a secret or a certificate of an application.
type Credential struct {
	ID   string    `json:"id"`
	Kind string    `json:"kind"` // "password" or "key"
	End  time.Time `json:"end"`
}

// Grant is a delegated grant.
type Grant struct {
	ID          string `json:"id"`
	Client      string `json:"client"`
	Resource    string `json:"resource"`
	ConsentType string `json:"consentType"` // "AllPrincipals" or "Principal"
	Principal   string `json:"principal"`
	Scope       string `json:"scope"` // as served: may start with a space
}

// Assignment is an application permission that a service principal holds.
type Assignment struct {
	ID       string    `json:"id"`
	Client   string    `json:"client"`
	Resource string    `json:"resource"`
	RoleID   string    `json:"roleId"`
	Created  time.Time `json:"created"`
}

// Inventory is the directory as of now.
func (c *Cloud) Inventory() Inventory {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance(c.o.Now())
	var inv Inventory
	for _, a := range c.dir.apps {
		if a.removed {
			continue
		}
		inv.ServicePrincipals = append(inv.ServicePrincipals, Principal{
			ID: a.spID, AppID: a.appID, Name: a.name, Kind: a.kind, OwnerTenant: a.owner,
			VerifiedPublisher: a.verified, Enabled: a.enabled,
		})
		if a.regID != "" {
			inv.Applications = append(inv.Applications, Application{
				ID: a.regID, AppID: a.appID, Name: a.name, Created: a.created, Credentials: a.credentials(),
			})
		}
	}
	c.inventoryGrants(&inv)
	slices.SortFunc(inv.Applications, func(a, b Application) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(inv.ServicePrincipals, func(a, b Principal) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(inv.Grants, func(a, b Grant) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(inv.Assignments, func(a, b Assignment) int { return cmp.Compare(a.ID, b.ID) })
	return inv
}

func (c *Cloud) inventoryGrants(inv *Inventory) {
	for _, g := range c.dir.grants {
		if !g.removed {
			principal := ""
			if g.user >= 0 {
				principal = c.user(g.user).id
			}
			inv.Grants = append(inv.Grants, Grant{
				ID: g.id, Client: c.dir.apps[g.client].spID, Resource: c.dir.apps[g.resource].spID,
				ConsentType: g.consentType(), Principal: principal, Scope: g.scope,
			})
		}
	}
	for _, a := range c.dir.assignments {
		inv.Assignments = append(inv.Assignments, Assignment{
			ID: a.id, Client: c.dir.apps[a.client].spID, Resource: c.dir.apps[a.resource].spID, RoleID: a.role.id, Created: a.created,
		})
	}
}

func (a *app) credentials() []Credential {
	var out []Credential
	for _, p := range a.passwords {
		out = append(out, Credential{ID: p.id, Kind: "password", End: p.end})
	}
	for _, k := range a.keys {
		out = append(out, Credential{ID: k.id, Kind: "key", End: k.end})
	}
	return out
}

func (g grant) consentType() string {
	if g.user < 0 {
		return "AllPrincipals"
	}
	return "Principal"
}
