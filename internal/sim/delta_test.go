package sim

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// mirror is a reader's copy of a collection, kept by delta queries as their
// documentation asks.
type mirror map[string]map[string]any

func (m mirror) apply(items []map[string]any) {
	for _, it := range items {
		id := it["id"].(string)
		if _, gone := it["@removed"]; gone {
			delete(m, id)
			continue
		}
		if m[id] == nil {
			m[id] = map[string]any{}
		}
		maps.Copy(m[id], it)
	}
}

func TestAMirrorThatFollowsDeltaEndsAsTheInventory(t *testing.T) {
	cl := newClient(t, Options{Apps: 150, Grants: 800, Changes: 300, Scenario: "all", DirectoryPage: 40})
	mirrors, links := map[string]mirror{}, map[string]string{}
	for _, in := range []string{"applications", "servicePrincipals", "oauth2PermissionGrants"} {
		mirrors[in], links[in] = mirror{}, "/v1.0/"+in+"/delta"
	}
	for !cl.clock.now.After(cl.cloud.Complete()) {
		for in, m := range mirrors {
			items, next := cl.all(links[in])
			m.apply(items)
			links[in] = next
		}
		cl.clock.now = cl.clock.now.Add(47 * time.Second)
	}
	for in, m := range mirrors {
		items, _ := cl.all(links[in])
		m.apply(items)
	}
	inv := cl.cloud.Inventory()
	got := Inventory{}
	for _, p := range mirrors["servicePrincipals"] {
		publisher, _ := p["verifiedPublisher"].(map[string]any)
		verified, _ := publisher["displayName"].(string)
		appID, _ := p["appId"].(string)
		got.ServicePrincipals = append(got.ServicePrincipals, Principal{
			ID: p["id"].(string), AppID: appID, Name: p["displayName"].(string), Kind: p["servicePrincipalType"].(string),
			OwnerTenant: p["appOwnerOrganizationId"].(string), VerifiedPublisher: verified, Enabled: p["accountEnabled"].(bool),
		})
	}
	for _, g := range mirrors["oauth2PermissionGrants"] {
		principal, _ := g["principalId"].(string)
		got.Grants = append(got.Grants, Grant{
			ID: g["id"].(string), Client: g["clientId"].(string), Resource: g["resourceId"].(string),
			ConsentType: g["consentType"].(string), Principal: principal, Scope: g["scope"].(string),
		})
	}
	slices.SortFunc(got.ServicePrincipals, func(a, b Principal) int { return strings.Compare(a.ID, b.ID) })
	slices.SortFunc(got.Grants, func(a, b Grant) int { return strings.Compare(a.ID, b.ID) })
	if diff := cmp.Diff(inv.ServicePrincipals, got.ServicePrincipals); diff != "" {
		t.Errorf("service principals (-inventory +mirror):\n%s", diff)
	}
	if diff := cmp.Diff(inv.Grants, got.Grants); diff != "" {
		t.Errorf("grants (-inventory +mirror):\n%s", diff)
	}
	if len(inv.Applications) != len(mirrors["applications"]) {
		t.Errorf("%d applications in the inventory, %d in the mirror", len(inv.Applications), len(mirrors["applications"]))
	}
}

func TestTheFirstReadOfDelta(t *testing.T) {
	cl := newClient(t, Options{Apps: 100, Grants: 500, DirectoryPage: 30})
	t.Run("has an empty page with a nextLink as its second", func(t *testing.T) {
		first := cl.page("/v1.0/servicePrincipals/delta")
		second := cl.page(cl.local(first.Next))
		if len(first.Value) != 30 || len(second.Value) != 0 || second.Next == "" {
			t.Errorf("got %d then %d items, next %q", len(first.Value), len(second.Value), second.Next)
		}
	})
	t.Run("gives some objects twice", func(t *testing.T) {
		items, _ := cl.all("/v1.0/oauth2PermissionGrants/delta", "Prefer", "odata.maxpagesize=33")
		seen := map[string]int{}
		for _, it := range items {
			seen[it["id"].(string)]++
		}
		if len(seen) != 500 || len(items) == 500 {
			t.Errorf("%d items of %d grants, want some to come again", len(items), len(seen))
		}
	})
	t.Run("obeys the preferred page size up to 999", func(t *testing.T) {
		if n := len(cl.page("/v1.0/oauth2PermissionGrants/delta", "Prefer", "odata.maxpagesize=5000").Value); n != 500 {
			t.Errorf("%d items, want all 500", n)
		}
		if n := len(cl.page("/v1.0/oauth2PermissionGrants/delta", "Prefer", "odata.maxpagesize=7").Value); n != 7 {
			t.Errorf("%d items, want 7", n)
		}
	})
	t.Run("leaves out what was never set, and tells it once it is", func(t *testing.T) {
		cl := newClient(t, Options{Apps: 100, DirectoryPage: 30})
		items, link := cl.all("/v1.0/applications/delta?$select=displayName,passwordCredentials,disabledByMicrosoftStatus")
		bare := slices.IndexFunc(items, func(it map[string]any) bool { _, has := it["passwordCredentials"]; return !has })
		if bare < 0 {
			t.Fatal("every application has a secret")
		}
		for _, it := range items {
			if _, has := it["disabledByMicrosoftStatus"]; has {
				t.Fatalf("%v names a status that was never set", it)
			}
		}
		i := slices.IndexFunc(cl.cloud.dir.apps, func(a *app) bool { return a.regID == items[bare]["id"] })
		if err := cl.cloud.Mutate(Mutation{Op: "add_secret", ID: cl.cloud.dir.apps[i].spID, Name: "x"}); err != nil {
			t.Fatal(err)
		}
		if items, _ = cl.all(link); len(items) != 1 || items[0]["passwordCredentials"] == nil {
			t.Errorf("then it tells %v", items)
		}
	})
	t.Run("obeys $select on every page", func(t *testing.T) {
		items, _ := cl.all("/v1.0/applications/delta()?$select=appId,displayName")
		for _, it := range items {
			if got := slices.Sorted(maps.Keys(it)); !slices.Equal(got, []string{"appId", "displayName", "id"}) {
				t.Fatalf("members are %q", got)
			}
		}
	})
	t.Run("has no records from now on with the token latest", func(t *testing.T) {
		items, link := cl.all("/v1.0/applications/delta?$deltatoken=latest")
		if len(items) != 0 || link == "" {
			t.Errorf("got %d items, link %q", len(items), link)
		}
	})
	t.Run("refuses $top", func(t *testing.T) {
		if status, _, _ := cl.get("/v1.0/applications/delta?$top=5"); status != http.StatusBadRequest {
			t.Errorf("status %d", status)
		}
	})
}

func TestARefusedDeltaTokenIs410WithALocationThatStartsAgain(t *testing.T) {
	cl := newClient(t, Options{Apps: 30, Gone: 1})
	_, link := cl.all("/v1.0/applications/delta?$select=displayName")
	status, h, body := cl.get(link)
	if status != http.StatusGone || !strings.Contains(h.Get("Location"), "deltatoken=") {
		t.Fatalf("got %d, Location %q, %s", status, h.Get("Location"), body)
	}
	items, again := cl.all(cl.local(h.Get("Location")))
	if len(items) != len(cl.cloud.Inventory().Applications) {
		t.Errorf("the full read gave %d applications", len(items))
	}
	if status, _, _ := cl.get(again); status != http.StatusOK {
		t.Errorf("the second token was refused too: %d", status)
	}
}

func TestADeltaTokenOlderThanSevenDaysIsRefused(t *testing.T) {
	cl := newClient(t, Options{Apps: 30, TokenLifetime: 30 * 24 * time.Hour})
	_, link := cl.all("/v1.0/applications/delta")
	cl.clock.now = epoch().Add(8 * 24 * time.Hour)
	if status, _, _ := cl.get(link); status != http.StatusGone {
		t.Errorf("status %d, want 410", status)
	}
}

func TestAForgedTokenIsRefused(t *testing.T) {
	cl := newClient(t, Options{Apps: 30, Events: 10})
	for _, target := range []string{
		"/v1.0/applications/delta?$deltatoken=eyJBdCI6MX0.AAAAAAAAAAAAAAAA", "/v1.0/applications?$skiptoken=x",
		"/v1.0/auditLogs/directoryAudits?$skiptoken=x.y", "/v1.0/security/alerts_v2?$skiptoken=.",
	} {
		if status, _, _ := cl.get(target); status != http.StatusBadRequest {
			t.Errorf("%s: status %d", target, status)
		}
	}
}

func TestAnUpdatedObjectComesWithItsChangedPropertiesOnly(t *testing.T) {
	cl := newClient(t, Options{Apps: 30})
	_, link := cl.all("/v1.0/servicePrincipals/delta")
	cl.cloud.mu.Lock()
	cl.cloud.dir.alter(7, func(a *app) { a.name = "Renamed" }, []string{"displayName"}, nil)
	cl.cloud.mu.Unlock()
	items, _ := cl.all(link)
	if len(items) != 1 || len(items[0]) != 2 || items[0]["displayName"] != "Renamed" {
		t.Errorf("got %v", items)
	}
}

func TestAChangeOfAPropertyThatIsNotSelectedIsNotTold(t *testing.T) {
	cl := newClient(t, Options{Apps: 30})
	_, link := cl.all("/v1.0/servicePrincipals/delta?$select=appId,displayName")
	id := cl.cloud.base[7].spID
	for _, m := range []Mutation{{Op: "disable_app", ID: id}, {Op: "rename_app", ID: cl.cloud.base[8].spID, Name: "Renamed"}} {
		if err := cl.cloud.Mutate(m); err != nil {
			t.Fatal(err)
		}
	}
	if items, _ := cl.all(link); len(items) != 1 || items[0]["displayName"] != "Renamed" {
		t.Errorf("got %v", items)
	}
}

func TestTheDirectoryIsFilteredByAlternatives(t *testing.T) {
	cl := newClient(t, Options{Apps: 30})
	items, _ := cl.all("/v1.0/servicePrincipals?$select=appId&$filter=appId eq '" + resources()[0].appID + "' or appId eq '" + resources()[3].appID + "' or appId eq '" + nilGUID + "'")
	if len(items) != 2 || len(items[0]) != 2 {
		t.Errorf("got %v", items)
	}
	if status, _, _ := cl.get("/v1.0/auditLogs/signIns?$filter=createdDateTime ge 2026-11-01T00:00:00Z or createdDateTime le 2026-11-01T00:00:00Z"); status != http.StatusBadRequest {
		t.Errorf("the logs answer %d", status)
	}
}
