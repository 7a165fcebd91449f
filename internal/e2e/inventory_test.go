package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/appgovd/appgovd/internal/sim"
)

// object is one line of the daemon's export of the inventory.
type object struct {
	Kind        string   `json:"kind"`
	ID          string   `json:"id"`
	AppID       string   `json:"app_id"`
	Name        string   `json:"name"`
	OwnerTenant string   `json:"owner_tenant"`
	Enabled     *bool    `json:"enabled"`
	Credentials []string `json:"credentials"`
	Client      string   `json:"client"`
	Resource    string   `json:"resource"`
	ConsentType string   `json:"consent_type"`
	Principal   string   `json:"principal"`
	Scopes      []string `json:"scopes"`
	RoleID      string   `json:"role_id"`
}

// line is what both sides must agree on, as text.
func (o object) line() string {
	switch o.Kind {
	case "application":
		return fmt.Sprint("application ", o.ID, " ", o.AppID, " ", o.Name, " ", o.Credentials)
	case "service_principal":
		return fmt.Sprint("service_principal ", o.ID, " ", o.AppID, " ", o.Name, " ", o.OwnerTenant, " ", o.Enabled != nil && *o.Enabled)
	case "delegated_grant":
		return fmt.Sprint("grant ", o.ID, " ", o.Client, " ", o.Resource, " ", o.ConsentType, " ", o.Principal, " ", o.Scopes)
	default:
		return fmt.Sprint("assignment ", o.ID, " ", o.Client, " ", o.Resource, " ", o.RoleID)
	}
}

func exported(t *testing.T, d *daemon) (lines []string) {
	t.Helper()
	for _, l := range d.inventory(t) {
		var o object
		if err := json.Unmarshal(l, &o); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, o.line())
	}
	slices.Sort(lines)
	return lines
}

// expected is the simulator's own directory in the same words.
func expected(inv sim.Inventory) (lines []string) {
	for _, a := range inv.Applications {
		o := object{Kind: "application", ID: a.ID, AppID: a.AppID, Name: a.Name}
		for _, c := range a.Credentials {
			o.Credentials = append(o.Credentials, c.ID)
		}
		slices.Sort(o.Credentials)
		lines = append(lines, o.line())
	}
	for _, p := range inv.ServicePrincipals {
		lines = append(lines, object{Kind: "service_principal", ID: p.ID, AppID: p.AppID, Name: p.Name, OwnerTenant: p.OwnerTenant, Enabled: &p.Enabled}.line())
	}
	consent := map[string]string{"AllPrincipals": "all_principals", "Principal": "principal"}
	for _, g := range inv.Grants {
		scopes := strings.Fields(g.Scope)
		slices.Sort(scopes)
		lines = append(lines, object{Kind: "delegated_grant", ID: g.ID, Client: g.Client, Resource: g.Resource, ConsentType: consent[g.ConsentType], Principal: g.Principal, Scopes: slices.Compact(scopes)}.line())
	}
	for _, a := range inv.Assignments {
		lines = append(lines, object{Kind: "app_role_assignment", ID: a.ID, Client: a.Client, Resource: a.Resource, RoleID: a.RoleID}.line())
	}
	slices.Sort(lines)
	return lines
}

// differences names the first few lines that only one side has.
func differences(want, got []string) (out []string) {
	i, j := 0, 0
	for i < len(want) || j < len(got) {
		switch {
		case j == len(got) || i < len(want) && want[i] < got[j]:
			out = append(out, "missing: "+want[i])
			i++
		case i == len(want) || got[j] < want[i]:
			out = append(out, "spurious: "+got[j])
			j++
		default:
			i, j = i+1, j+1
		}
		if len(out) == 10 {
			return append(out, "and so on")
		}
	}
	return out
}
