package sim

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// told lists what a scenario tells, in order of publication, each step once.
func told(c *Cloud) (steps []string) {
	var log strings.Builder
	for _, n := range c.due {
		if s := c.tell[n].step; s != "" && !strings.Contains(log.String(), "|"+s+"|") {
			steps = append(steps, s)
			log.WriteString("|" + s + "|")
		}
	}
	return steps
}

func TestEachScenarioTellsItsStory(t *testing.T) {
	for name, want := range map[string][]string{
		"quiet": nil,
		"consent_campaign": {"look-alike app appears", "user consents to mail", "administrator consents for all",
			"Microsoft's alert on the campaign"},
		"stolen_credential": {"the app signs in from its own network", "secret added to a privileged app",
			"the app signs in from a new network", "Microsoft's alert on the credential"},
		"supply_chain": {"the app signs in from its own network", "external app gets Mail.ReadWrite for all mailboxes",
			"the app signs in from a new network", "Microsoft's alert on the app"},
		"hygiene": nil,
	} {
		t.Run(name, func(t *testing.T) {
			cl := newClient(t, Options{Apps: 30, Scenario: name})
			if diff := cmp.Diff(want, told(cl.cloud)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTheCampaignLeavesItsGrantsInTheInventory(t *testing.T) {
	cl := newClient(t, Options{Apps: 30, Scenario: "consent_campaign"})
	mail := func() (principal, all int) {
		for _, g := range cl.cloud.Inventory().Grants {
			if strings.Contains(g.Scope, "Mail.") && g.ConsentType == "Principal" {
				principal++
			} else if strings.Contains(g.Scope, "Mail.") {
				all++
			}
		}
		return principal, all
	}
	if p, a := mail(); p+a != 0 {
		t.Errorf("%d and %d grants of mail before it began", p, a)
	}
	cl.clock.now = cl.cloud.Complete()
	if p, a := mail(); p != 8 || a != 1 {
		t.Errorf("%d users' and %d tenant-wide grants, want 8 and 1", p, a)
	}
}

func TestTheStolenCredentialIsUsedFromWhereTheAppNeverWas(t *testing.T) {
	cl := newClient(t, Options{Apps: 30, Events: 2000, Scenario: "stolen_credential"})
	cl.clock.now = cl.cloud.Complete()
	items, _ := cl.all(logPath(kindServicePrincipal, epoch().Add(-24*time.Hour), cl.clock.now))
	before, after := map[float64]bool{}, map[float64]bool{}
	keys := map[string]bool{}
	for _, it := range items {
		if it["appDisplayName"] != "Contoso Payroll Sync" {
			continue
		}
		at, err := time.Parse(time.RFC3339Nano, it["createdDateTime"].(string))
		if err != nil {
			t.Fatal(err)
		}
		keys[it["servicePrincipalCredentialKeyId"].(string)] = true
		if at.After(epoch()) {
			after[it["autonomousSystemNumber"].(float64)] = true
		} else {
			before[it["autonomousSystemNumber"].(float64)] = true
		}
	}
	if len(before) != 1 || len(after) != 1 || cmp.Equal(before, after) || len(keys) != 2 {
		t.Errorf("networks %v before and %v after, %d keys", before, after, len(keys))
	}
	for _, app := range cl.cloud.Inventory().Applications {
		if app.Name == "Contoso Payroll Sync" && len(app.Credentials) != 2 {
			t.Errorf("the app has %d credentials, want 2", len(app.Credentials))
		}
	}
}

func TestTheSupplyChainAppHoldsItsNewPermission(t *testing.T) {
	cl := newClient(t, Options{Apps: 30, Scenario: "supply_chain"})
	role := cl.cloud.cat.role("Mail.ReadWrite").id
	held := func() bool {
		for _, a := range cl.cloud.Inventory().Assignments {
			if a.RoleID == role {
				return true
			}
		}
		return false
	}
	if held() {
		t.Error("the permission is there from the beginning")
	}
	cl.clock.now = cl.cloud.Complete()
	if !held() {
		t.Error("the permission is missing at the end")
	}
}

func TestInAQuietTenantNothingStrongHappens(t *testing.T) {
	cl := newClient(t, Options{Apps: 300, Events: 10000})
	networksOf := map[string]map[any]bool{}
	items, _ := cl.all(logPath(kindServicePrincipal, epoch().Add(-24*time.Hour), epoch()))
	for _, it := range items {
		id := it["appId"].(string)
		if networksOf[id] == nil {
			networksOf[id] = map[any]bool{}
		}
		networksOf[id][it["autonomousSystemNumber"]] = true
	}
	for app, n := range networksOf {
		if len(n) != 1 {
			t.Errorf("app %s signs in from %d networks", app, len(n))
		}
	}
	audits, _ := cl.all(logPath(kindAudit, epoch().Add(-24*time.Hour), epoch()))
	for _, it := range audits {
		b, err := json.Marshal(it)
		if err != nil {
			t.Fatal(err)
		}
		for _, strong := range []string{"Mail.", "AllPrincipals", "offline_access", "Add app role assignment to service principal"} {
			if strings.Contains(string(b), strong) {
				t.Errorf("%s in %s", strong, b)
			}
		}
	}
	for _, a := range cl.cloud.Inventory().Applications {
		for _, cred := range a.Credentials {
			if left := cred.End.Sub(epoch()); left < 60*24*time.Hour {
				t.Errorf("a credential of %s expires in %s", a.Name, left)
			}
		}
	}
}

func TestAnAlertIsUpdatedInPlaceUntilItIsResolved(t *testing.T) {
	cl := newClient(t, Options{Apps: 30, Scenario: "stolen_credential"})
	watch := "/v1.0/security/alerts_v2?$filter=serviceSource eq 'microsoftAppGovernance' and lastUpdateDateTime ge "
	mark, ids := epoch(), map[string]bool{}
	var states []string
	for cl.clock.now = epoch(); !cl.clock.now.After(cl.cloud.Complete()); cl.clock.now = cl.clock.now.Add(time.Second) {
		for _, a := range cl.page(watch + mark.Format(time.RFC3339)).Value {
			at, err := time.Parse(time.RFC3339Nano, a["lastUpdateDateTime"].(string))
			if err != nil {
				t.Fatal(err)
			}
			ids[a["id"].(string)] = true
			if at.After(mark) {
				mark = at
				states = append(states, a["status"].(string))
			}
		}
	}
	if diff := cmp.Diff([]string{"new", "inProgress", "resolved"}, states); diff != "" || len(ids) != 1 {
		t.Errorf("%d alerts:\n%s", len(ids), diff)
	}
	for id := range ids {
		if !strings.HasPrefix(id, "ma") {
			t.Errorf("id %q", id)
		}
	}
}

func TestAPageOfAThousandAlertsHasTheSizeOfRealOnes(t *testing.T) {
	cl := newClient(t, Options{Apps: 30, Alerts: 1000})
	p := cl.page("/v1.0/security/alerts_v2?$top=1000&$filter=serviceSource eq 'microsoftAppGovernance'")
	if mb := float64(len(p.raw)) / 1e6; len(p.Value) != 1000 || mb < 5.2 || mb > 6.2 {
		t.Errorf("%d alerts of %.1f MB, want 1000 of about 5.7 MB", len(p.Value), mb)
	}
	all, _ := cl.all("/v1.0/security/alerts_v2?$top=300")
	if len(all) != 1002 {
		t.Errorf("%d alerts over the pages, want 1002 with those of other products", len(all))
	}
}

func TestTheTrapsOfRealRecordsAreThere(t *testing.T) {
	cl := newClient(t, Options{Apps: 200, Events: 8000, Users: 100})
	var all strings.Builder
	for _, k := range logKinds() {
		for target := logPath(k, epoch().Add(-24*time.Hour), epoch()); target != ""; {
			p := cl.page(target)
			all.Write(p.raw)
			target = ""
			if p.Next != "" {
				target = cl.local(p.Next)
			}
		}
	}
	all.Write(cl.page("/v1.0/servicePrincipals?$top=300").raw)
	all.Write(cl.page("/v1.0/oauth2PermissionGrants").raw)
	for name, text := range map[string]string{
		"an en dash and a trailing space in the activity": `"Update application – Certificates and secrets management "`,
		"a user that is null":                             `"initiatedBy":{"user":null,"app":{"appId":null`,
		"no initiator at all":                             `"initiatedBy":{"user":null,"app":null}`,
		"JSON in strings":                                 `"newValue":"\"`,
		"keys in brackets":                                `[KeyIdentifier=`,
		"nil GUIDs":                                       nilGUID,
		"the filler of successes":                         `"failureReason":"Other."`,
		"a report-only policy":                            `"errorCode":50097`,
		"an id of the provisioning service":               `"id":"Sync_`,
		"a guest":                                         `#EXT#`,
		"an empty user on sign-ins of apps":               `"userDisplayName":"","userPrincipalName":"","userId":""`,
		"an empty address":                                `"ipAddress":""`,
		"a scope that begins with a space":                `"scope":" `,
		"a publisher of nulls":                            `"verifiedPublisher":{"displayName":null`,
		"an agent identity without appId":                 `"@odata.type":"#microsoft.graph.agentIdentity"`,
		"letters beyond ASCII":                            `Lucía`,
	} {
		if !strings.Contains(all.String(), text) {
			t.Errorf("%s: %s is nowhere", name, text)
		}
	}
}
