package msgraph

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/appgovd/appgovd/internal/entralogin"
	"github.com/appgovd/appgovd/internal/servicetest"
	"github.com/appgovd/appgovd/internal/sim"
)

func finding(t *testing.T, all []Finding, what string) Finding {
	t.Helper()
	i := slices.IndexFunc(all, func(f Finding) bool { return f.What == what })
	if i < 0 {
		t.Fatalf("nothing is said of %s: %+v", what, all)
	}
	return all[i]
}

func TestACheckOfAWholeTenantFindsNothingAmiss(t *testing.T) {
	tn := newTenant(t, sim.Options{Apps: 40, Grants: 60, Users: 10, Events: 200, Alerts: 3})
	all := tn.srv.provider(t, nil).Check(t.Context())
	if len(all) != len(DefaultSources())+3 {
		t.Errorf("%d findings", len(all))
	}
	for _, f := range all {
		if !f.OK || f.Advice != "" || f.Text == "" {
			t.Errorf("%+v", f)
		}
	}
}

// Each source names the permission that it lacks, and the token's permissions tell it
// beforehand.
func TestACheckNamesTheMissingPermissionOfEverySource(t *testing.T) {
	for _, perm := range roles() {
		t.Run(perm.Name, func(t *testing.T) {
			var held []string
			for _, p := range roles() {
				if p.Name != perm.Name {
					held = append(held, p.Name)
				}
			}
			tn := newTenant(t, sim.Options{Apps: 20, Grants: 10, Users: 5, Roles: held})
			p := tn.srv.provider(t, func(c *Config) {
				c.Collect = withoutTwins()
			})
			all := p.Check(t.Context())
			what := "permissions"
			if perm.API == OfficeAppID {
				what = "office permissions"
			}
			if f := finding(t, all, what); f.OK || !strings.Contains(f.Text, perm.Name) || !strings.Contains(f.Advice, "setup entra") {
				t.Errorf("%+v", f)
			}
			refused := 0
			for _, f := range all {
				if !f.OK && f.What != what {
					refused++
					if !strings.Contains(f.Advice, "permission") || !strings.Contains(f.Advice, perm.Name) {
						t.Errorf("%+v", f)
					}
				}
			}
			// Some paths open to another permission as well, so that nothing is refused there.
			if refused == 0 && !slices.Contains([]string{"Application.Read.All", "RoleManagement.Read.Directory", "Directory.Read.All"}, perm.Name) {
				t.Error("no source was refused")
			}
		})
	}
}

// withoutTwins lists all sources but those that tell what another one tells.
func withoutTwins() []string {
	return slices.DeleteFunc(SourceNames(), func(n string) bool { return slices.ContainsFunc(twins(), func(t twin) bool { return t.name == n }) })
}

func TestACheckSaysThatConsentWasNotGiven(t *testing.T) {
	tn := newTenant(t, sim.Options{Apps: 5, Grants: 1, Users: 2, Roles: []string{}})
	if f := finding(t, tn.srv.provider(t, nil).Check(t.Context()), "permissions"); f.OK || !strings.Contains(f.Advice, "admin consent") {
		t.Errorf("%+v", f)
	}
}

func TestACheckTellsTheWrongClock(t *testing.T) {
	tn := newTenant(t, sim.Options{Apps: 5, Grants: 1, Users: 2})
	tn.srv.set(func() { tn.srv.ahead = 10 * time.Minute })
	tn.SetFaults(sim.Faults{DateSkew: 10 * time.Minute})
	if f := finding(t, tn.srv.provider(t, func(c *Config) { c.Collect = []string{nameAudits} }).Check(t.Context()), "clock"); f.OK || !strings.Contains(f.Text, "10m0s ahead") || !strings.Contains(f.Advice, "NTP") {
		t.Errorf("%+v", f)
	}
}

// What a cloud does not have is no fault of a configuration that does not ask for it.
func TestACheckLeavesOutWhatTheCloudLacksUnlessItIsAskedFor(t *testing.T) {
	for _, asked := range []bool{false, true} {
		tn := newTenant(t, sim.Options{Apps: 5, Grants: 1, Users: 2})
		all := tn.srv.provider(t, func(c *Config) {
			if c.Cloud = "gcc_high"; asked {
				c.Collect = []string{collectDefault, nameAppActivity, nameCredentialUse}
			}
		}).Check(t.Context())
		for _, what := range []string{nameAppActivity, nameCredentialUse} {
			if f := finding(t, all, what); f.OK == asked || !strings.Contains(f.Text, "not available in this cloud (gcc_high)") {
				t.Errorf("asked for: %t: %+v", asked, f)
			}
		}
		for _, f := range all {
			if !f.OK && !asked {
				t.Errorf("%+v", f)
			}
		}
	}
}

func TestACheckTellsWhatALicenceWouldOpen(t *testing.T) {
	tn := newTenant(t, sim.Options{Apps: 5, Grants: 1, Users: 2})
	tn.SetFaults(sim.Faults{Unlicensed: []string{"p1", "p2", "defender", "workload"}})
	all := tn.srv.provider(t, nil).Check(t.Context())
	for _, what := range []string{nameInteractive, nameEligibleRoles, nameOAuthApps, nameRiskyPrincipals} {
		if f := finding(t, all, what); f.OK || !strings.Contains(f.Advice, "licence") {
			t.Errorf("%+v", f)
		}
	}
	if f := finding(t, all, nameApplications); !f.OK {
		t.Errorf("%+v", f)
	}
}

func TestACheckSaysWhyThereIsNoToken(t *testing.T) {
	for _, tt := range []struct {
		story, oauth string
		code         int
		text, advice string
	}{
		{"wrong tenant id", "invalid_request", 90002, "Tenant '1' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud.", "check tenant_id"},
		{"app in another tenant", "unauthorized_client", 700016, "Application with identifier '1' was not found in the directory 'Contoso'.", "is not in tenant"},
		{"expired certificate", "invalid_client", 700027, "The certificate with identifier used to sign the client assertion is expired on application. [Reason - The key used is expired.]", "certificate has expired"},
		{"expired secret", "invalid_client", 7000222, "The provided client secret keys are expired.", "secret has expired"},
		{"clock skew", "invalid_client", 700024, "Client assertion is not within its valid time range.", "clock"},
		{"wrong cloud", "invalid_resource", 500011, "The resource principal named https://graph.microsoft.us was not found in the tenant named Contoso.", "same cloud"},
		{"blocked by conditional access", "access_denied", 53003, "Access has been blocked by Conditional Access policies.", "Conditional Access"},
		{"no consent", "invalid_client", 7000229, "The client application 1 is missing service principal in the tenant 2.", "give admin consent, or run az ad sp create --id " + testClient},
		{"app disabled", "unauthorized_client", 7000112, "Application '1' is disabled.", "enable the service principal"},
	} {
		t.Run(tt.story, func(t *testing.T) {
			c := newCloud(t, func(w http.ResponseWriter, _ *http.Request) {
				t.Error("Graph was asked without a token")
				w.WriteHeader(500)
			})
			c.set(func() {
				c.token = func(w http.ResponseWriter, _ *http.Request) {
					answer(w, 400, map[string]any{"error": tt.oauth, "error_description": tt.text, "error_codes": []int{tt.code}})
				}
			})
			all := c.provider(t, nil).Check(t.Context())
			if len(all) != 1 || all[0].OK || all[0].What != "token" || !strings.Contains(all[0].Advice, tt.advice) || !strings.Contains(all[0].Text, tt.oauth) {
				t.Errorf("%+v", all)
			}
		})
	}
}

// The table of permissions is complete, and its ids are Microsoft's.
func TestEverySourcesPermissionIsInTheTable(t *testing.T) {
	for _, s := range specs() {
		for _, need := range s.needs() {
			if !slices.ContainsFunc(roles(), func(p Permission) bool { return p.Name == need && entralogin.IsGUID(p.ID) && p.Why != "" }) {
				t.Errorf("%s needs %s, which the table lacks", s.name, need)
			}
		}
	}
	names := []string{}
	for _, p := range Permissions([]string{nameAudits}) {
		names = append(names, p.Name)
	}
	if !slices.Equal(names, []string{"AuditLog.Read.All"}) {
		t.Errorf("audits need %q", names)
	}
	graph := slices.DeleteFunc(roles(), func(p Permission) bool { return p.API != GraphAppID })
	b := servicetest.Corpus(t, "merill-GraphAppRoles.json")
	var list []struct{ Id, Value string } //nolint:revive // Microsoft's spelling
	if err := json.Unmarshal(b, &list, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatal(err)
	}
	for _, p := range graph {
		if !slices.ContainsFunc(list, func(r struct{ Id, Value string }) bool { return r.Value == p.Name && r.Id == p.ID }) { //nolint:revive // likewise
			t.Errorf("%s is not %s", p.Name, p.ID)
		}
	}
}
