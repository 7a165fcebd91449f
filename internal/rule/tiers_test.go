package rule

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/servicetest"
)

func shippedTiers(t testing.TB) *tierTable {
	t.Helper()
	text, err := os.ReadFile("../../rules/data/permission_tiers.csv")
	if err != nil {
		t.Fatal(err)
	}
	table := newTierTable()
	if diags := table.read("permission_tiers.csv", text); diags.HasErrors() {
		t.Fatal(diags)
	}
	return table
}

func TestShippedTiers(t *testing.T) {
	cases := []struct {
		sentence, api, kind, name string
		want                      int8
	}{
		{"role management is the control plane", "", "application", "RoleManagement.ReadWrite.Directory", 1},
		{"whatever the case", "", "application", "rolemanagement.readwrite.directory", 1},
		{"Graph may be named by its app id", "00000003-0000-0000-c000-000000000000", "application", "AppRoleAssignment.ReadWrite.All", 1},
		{"or by its name", "Microsoft Graph", "application", "Application.ReadWrite.All", 1},
		{"a pattern grades what has no row", "", "application", "UserAuthMethod-Retina.ReadWrite.All", 1},
		{"mail of everybody is data of the organisation", "", "application", "Mail.Read", 2},
		{"mail of the user is data of one user", "", "delegated", "Mail.Read", 3},
		{"signing in is harmless", "", "delegated", "openid", 4},
		{"Exchange by name", "Office 365 Exchange Online", "application", "full_access_as_app", 2},
		{"managing Exchange is the control plane", "00000002-0000-0ff1-ce00-000000000000", "application", "Exchange.ManageAsApp", 1},
		{"an application permission of an unknown API counts as data", "11111111-0000-0000-0000-000000000000", "application", "Do.Things", 2},
		{"no name, no tier", "", "application", "", 0},
	}
	table := shippedTiers(t)
	for _, x := range cases {
		t.Run(x.sentence, func(t *testing.T) {
			if got := table.tier(x.api, x.kind, x.name); got != x.want {
				t.Errorf("tier(%q, %q, %q) = %d, want %d", x.api, x.kind, x.name, got, x.want)
			}
		})
	}
}

func TestBadRowsOfTiersAreAllReported(t *testing.T) {
	diags := newTierTable().read("t.csv", []byte("api,kind,name,tier\ngraph,application,A.Read,5\ngraph,role,A.Read,1\ngraph,application,,1\ngraph,delegated\ngraph,application,B,1\ngraph,application,b,2\n"))
	var lines []int
	for _, d := range diags {
		lines = append(lines, d.Subject.Start.Line)
	}
	if diff := cmp.Diff([]int{2, 3, 4, 5, 7}, lines); diff != "" {
		t.Errorf("lines with mistakes (-want +got):\n%s", diff)
	}
}

// TestTopTierAgainstScubaGear compares our top tier with what CISA's ScubaGear
// calls critical: each difference needs a reason in testdata/tier_reasons.csv.
func TestTopTierAgainstScubaGear(t *testing.T) {
	raw := servicetest.Corpus(t, "scubagear-RiskyAppPermissions.json")
	var list struct {
		Resources   map[string]string
		Permissions map[string]map[string]map[string]struct{ Name, RiskLevel string }
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	table, ids := shippedTiers(t), map[string]string{}
	for id, name := range list.Resources {
		ids[name] = id
	}
	differences := map[string]bool{}
	for api, kinds := range list.Permissions {
		for kind, permissions := range kinds {
			for _, p := range permissions {
				ours := table.tier(ids[api], strings.ToLower(kind), p.Name) == 1
				if theirs := p.RiskLevel == "Critical"; ours != theirs {
					differences[api+","+kind+","+p.Name] = true
				}
			}
		}
	}
	compareReasons(t, differences)
}

func compareReasons(t *testing.T, differences map[string]bool) {
	t.Helper()
	f, err := os.Open("testdata/tier_reasons.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var missing, stale []string
	reasons := map[string]bool{}
	for _, r := range rows {
		key := strings.Join(r[:3], ",")
		reasons[key] = r[3] != ""
		if !differences[key] {
			stale = append(stale, key)
		}
	}
	for key := range differences {
		if !reasons[key] {
			missing = append(missing, key)
		}
	}
	sort.Strings(missing)
	if len(missing) > 0 {
		t.Errorf("differences without a reason:\n%s", strings.Join(missing, "\n"))
	}
	if len(stale) > 0 {
		t.Errorf("reasons without a difference:\n%s", strings.Join(stale, "\n"))
	}
}

func TestAnOrganisationsOwnTiersWin(t *testing.T) {
	blob := &event.RulesBlob{Engine: "1", Zone: "UTC", Files: []event.RulesFile{
		{Path: "a/permission_tiers.csv", Text: []byte("graph,application,Mail.Read,2\ngraph,application,User.*,4\ngraph,application,Sites.Read.All,2\n")},
		{Path: "b/permission_tiers.own.csv", Text: []byte("api,kind,name,tier\ngraph,application,Mail.Read,1\ngraph,*,User.Export.All,2\n")},
	}}
	set, diags := Compile(blob)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	for name, want := range map[string]int8{"Mail.Read": 1, "User.Export.All": 2, "User.Read.All": 4, "Sites.Read.All": 2, "None": 0} {
		if got := set.tiers.tier("", "application", name); got != want {
			t.Errorf("%s has tier %d, want %d", name, got, want)
		}
	}
	blob.Files = append(blob.Files, event.RulesFile{Path: "c/permission_tiers.own.csv"})
	if _, diags := Compile(blob); !diags.HasErrors() || diags[0].Summary != "Permission tiers given twice" {
		t.Errorf("two tables of one's own: %v", diags)
	}
}
