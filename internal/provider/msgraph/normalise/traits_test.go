package normalise

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

func listedOne(t *testing.T, kind, of, raw string) *event.Trait {
	t.Helper()
	objects, _, err := New(tenant).Listed(kind, of, []byte(raw))
	if err != nil || len(objects) != 1 {
		t.Fatalf("%d objects, %v", len(objects), err)
	}
	return objects[0].Trait
}

// Rows of OAuthAppInfo as they come and as they are documented.
func TestAppsOfAdvancedHuntingAreReadInBothSpellings(t *testing.T) {
	for name, raw := range map[string]string{
		"real": `{"ServicePrincipalId":"sp","OAuthAppId":"app","AppStatus":"Enabled","PrivilegeLevel":"High","RiskScore":90,"IsAdminConsented":1,"ConsentedUsersCount":{},"LastUsedTime":{},"LastUsedTime@odata.type":"#x",
			"Permissions":["{\"PermissionType\":\"Application\",\"PermissionValue\":\"Mail.Read\",\"InUse\":\"false\"}","{\"PermissionValue\":\"User.Read\",\"InUse\":\"true\"}","{\"PermissionValue\":\"Sites.Read.All\",\"InUse\":\"Not supported\"}"]}`,
		"numbers":    `{"ServicePrincipalId":"sp","PrivilegeLevel":"High","RiskScore":"90","IsAdminConsented":true,"Permissions":[{"PermissionValue":"Mail.Read","InUse":0},{"PermissionValue":"User.Read","InUse":1}]}`,
		"documented": `{"ServicePrincipalId":"sp","PrivilegeLevel":"High","RiskScore":90,"IsAdminConsented":true,"Permissions":[{"PermissionName":"Mail.Read","UsageStatus":"NotInUse"},{"PermissionName":"User.Read","UsageStatus":"InUse"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			tr := listedOne(t, event.ObjectGovernance, "", raw)
			if tr.About != "sp" || tr.Value("risk_score") != "90" || tr.Value("privilege_level") != "high" || tr.Value("admin_consented") != "true" ||
				!slices.Equal(tr.Values("unused_permissions"), []string{"Mail.Read"}) || tr.Values("consented_users") != nil || tr.Values("last_used") != nil {
				t.Errorf("trait %+v", tr)
			}
		})
	}
	if objects, _, err := New(tenant).Listed(event.ObjectGovernance, "", []byte(`{"ServicePrincipalId":"sp","AppStatus":"Deleted"}`)); err != nil || len(objects) != 0 {
		t.Errorf("a deleted app is one: %v %v", objects, err)
	}
}

func TestAListOfOwnersThatMayBeCutOffIsReadOneByOne(t *testing.T) {
	many := `{"id":"a","owners":[{"id":"u"}`
	for range manyOwners - 1 {
		many += `,{"id":"u"}`
	}
	if objects, _, err := New(tenant).Listed(event.ObjectOwners, "", []byte(many+`]}`)); err != nil || len(objects) != 0 {
		t.Errorf("%v %v", objects, err)
	}
	if tr := listedOne(t, event.ObjectOwners, "a", `{"id":"u2"}`); tr.About != "a" || tr.Value("owners") != "u2" {
		t.Errorf("trait %+v", tr)
	}
}

func TestARoleOfAGroupIsThatOfItsServicePrincipals(t *testing.T) {
	of := `{"id":"assignment","principalId":"group","roleDefinitionId":"role","directoryScopeId":"/"}`
	objects, _, err := New(tenant).Listed(event.ObjectRole, of, []byte(`{"id":"sp"}`))
	if err != nil || len(objects) != 1 || objects[0].ID != "assignment/sp" || objects[0].Trait.About != "sp" || objects[0].Trait.Value("via") != "group" || objects[0].Trait.Value("role") != "role" {
		t.Errorf("%+v %v", objects, err)
	}
	for _, raw := range []string{`{"id":"x","principalId":"u","principal":{"@odata.type":"#microsoft.graph.user"}}`, `{"id":"x","principalId":"g","principal":{"@odata.type":"#microsoft.graph.group"}}`} {
		if objects, _, err := New(tenant).Listed(event.ObjectRole, "", []byte(raw)); err != nil || len(objects) != 0 {
			t.Errorf("%s gives %v, %v", raw, objects, err)
		}
	}
}

func TestAPolicyIsItsMembersByPath(t *testing.T) {
	tr := listedOne(t, event.ObjectPolicy, "admin_consent_policy", `{"@odata.context":"x","isEnabled":true,"reviewers":[{"query":"/users/1"}],"defaultUserRolePermissions":{"permissionGrantPoliciesAssigned":["b","a"]}}`)
	want := event.Trait{}
	want.Set("isEnabled", "true")
	want.Set("name", "admin_consent_policy")
	want.Set("reviewers", `{"query":"/users/1"}`)
	want.Set("defaultUserRolePermissions.permissionGrantPoliciesAssigned", "a", "b")
	if len(tr.Properties) != len(want.Properties) {
		t.Fatalf("%+v", tr.Properties)
	}
	for i, p := range tr.Properties {
		if p.Name != want.Properties[i].Name || !slices.Equal(p.Values, want.Properties[i].Values) {
			t.Errorf("%+v, want %+v", p, want.Properties[i])
		}
	}
}

func TestARiskDetectionReadsWhatItsTextHolds(t *testing.T) {
	e, err := New(tenant).RiskDetection([]byte(`{"id":"d","detectedDateTime":"2026-11-02T08:00:00.1234567Z","riskEventType":"leakedCredentials","riskLevel":"high","riskState":"atRisk","servicePrincipalId":"sp","appId":"app",
		"keyIds":["k"],"location":{"countryOrRegion":"NO"},"additionalInfo":"[{\"Key\":\"mitreTechniques\",\"Value\":\"T1078\"}]"}`))
	if err != nil || e.Action != event.ActionRiskDetected || e.App.ID != "sp" || e.Credential.KeyID != "k" || e.SignIn.RiskLevel != "high" || len(e.Details) != 1 || e.Details[0].Value != "T1078" || e.Origin.Country != "NO" {
		t.Errorf("%+v %v", e, err)
	}
}

// https://learn.microsoft.com/entra/identity/monitoring-health/reference-audit-activities
func TestDirectorySettingsAndGrantPoliciesAreChangesOfPolicy(t *testing.T) {
	for _, name := range []string{"Create company settings", "Update Company Settings", "Delete company settings.", "Add permission grant policy", "Update permission grant policy", "Delete permission grant policy"} {
		e, err := New(tenant).Audit([]byte(`{"id":"a","activityDateTime":"2026-11-02T08:00:00Z","activityDisplayName":"` + name + `"}`))
		if err != nil || e.Action != event.ActionPolicyChanged {
			t.Errorf("%s is %q, %v", name, e.Action, err)
		}
	}
	if e, err := New(tenant).Audit([]byte(`{"id":"a","activityDateTime":"2026-11-02T08:00:00Z","activityDisplayName":"Set Company Information"}`)); err != nil || e.Action != event.ActionOther {
		t.Errorf("the name of the company is a policy: %q, %v", e.Action, err)
	}
}

// Whatever an element holds, it is an error with a reason or whole traits and events.
func FuzzListed(f *testing.F) {
	for _, seed := range []string{`{"id":"a","owners":[{"id":"u"}]}`, `{"id":"a","federatedIdentityCredentials":[{"id":"f","issuer":"i"}]}`, `{"id":"p","restrictions":{"x":[1,{"y":null}]}}`,
		`{"ServicePrincipalId":"s","Permissions":["{\"InUse\":\"0\"}",{}]}`, `{"ReportId":"r","Timestamp":"2026-11-02T08:00:00Z"}`, `{"id":"d","detectedDateTime":"2026-11-02T08:00:00Z","additionalInfo":"[{}]"}`} {
		f.Add(seed, "")
		f.Add(seed, seed)
	}
	kinds := []string{event.ObjectOwners, event.ObjectFederated, event.ObjectRole, event.ObjectEligibleRole, event.ObjectRoleDefinition, event.ObjectPolicy, event.ObjectConsentRequest,
		event.ObjectAppUse, event.ObjectCredentialUse, event.ObjectAppRisk, event.ObjectGovernance, event.ObjectAppCalls, HuntActivity, HuntSignIn, "none"}
	f.Fuzz(func(t *testing.T, raw, of string) {
		d := New(tenant)
		for _, kind := range kinds {
			objects, events, err := d.Listed(kind, of, []byte(raw))
			if err != nil {
				if ReasonOf(err) == "" || len(objects) > 0 {
					t.Fatalf("%s: %v, %d objects", kind, err, len(objects))
				}
				continue
			}
			for _, o := range objects {
				if o.ID == "" || o.Kind != kind || o.Trait == nil || !slices.IsSortedFunc(o.Trait.Properties, func(a, b event.Property) int { return strings.Compare(a.Name, b.Name) }) {
					t.Fatalf("%s: %+v", kind, o)
				}
			}
			for _, e := range events {
				if e.UpstreamID == "" || e.Time.IsZero() || e.Action == "" {
					t.Fatalf("%s: %+v", kind, e)
				}
			}
		}
		if e, err := d.RiskDetection([]byte(raw)); err == nil && (e.UpstreamID == "" || e.Time.IsZero()) {
			t.Fatalf("%+v", e)
		}
	})
}

// What Identity Protection says of apps is told from what it says of people, and from
// service principals, in every shape, and is the same record in each.
func TestRisksOfAppsAreKnownInEveryShape(t *testing.T) {
	detection := []string{
		`{"id":"d","detectedDateTime":"2026-11-02T08:00:00Z","riskEventType":"leakedCredentials","riskLevel":"high","riskState":"atRisk","servicePrincipalId":"sp","appId":"app","servicePrincipalDisplayName":"App","keyIds":["k"],"location":{"countryOrRegion":"NO"}}`,
		`{"time":"11/2/2026 8:00:01 AM","category":"ServicePrincipalRiskEvents","operationName":"ServicePrincipalRiskEvents","properties":{"id":"d","detectedDateTime":"2026-11-02T08:00:00Z","riskEventType":"leakedCredentials","riskType":"leakedCredentials","riskLevel":"high","riskState":"atRisk","servicePrincipalId":"sp","appId":"app","servicePrincipalDisplayName":"App","keyIds":["k"],"location":{"countryOrRegion":"NO"}}}`,
		`{"TimeGenerated":"2026-11-02T08:09:00Z","Type":"AADServicePrincipalRiskEvents","TenantId":"w","Id":"d","DetectedDateTime":"2026-11-02T08:00:00Z","RiskEventType":"leakedCredentials","RiskLevel":"high","RiskState":"atRisk","ServicePrincipalId":"sp","AppId":"app","ServicePrincipalDisplayName":"App","KeyIds":"[\"k\"]","Location":"{\"countryOrRegion\":\"NO\"}"}`,
		`{"TimeGenerated":"2026-11-02T08:09:00Z","Id":"d","DetectedDateTime":"2026-11-02T08:00:00Z","RiskEventType":"leakedCredentials","RiskLevel":"high","RiskState":"atRisk","ServicePrincipalId":"sp","AppId":"app","ServicePrincipalDisplayName":"App","KeyIds":"[\"k\"]","Location":"{\"countryOrRegion\":\"NO\"}"}`,
	}
	verdict := []string{
		`{"id":"sp","appId":"app","displayName":"App","isEnabled":true,"isProcessing":false,"riskDetail":"none","riskLastUpdatedDateTime":"2026-11-02T08:00:00Z","riskLevel":"high","riskState":"atRisk","servicePrincipalType":"Application"}`,
		`{"time":"11/2/2026 8:00:01 AM","category":"RiskyServicePrincipals","operationName":"RiskyServicePrincipals","properties":{"id":"sp","appId":"app","displayName":"App","riskDetail":"none","riskLastUpdatedDateTime":"2026-11-02T08:00:00Z","riskLevel":"high","riskState":"atRisk","servicePrincipalType":"Application"}}`,
		`{"TimeGenerated":"2026-11-02T08:09:00Z","Type":"AADRiskyServicePrincipals","TenantId":"w","AccountEnabled":true,"Id":"sp","AppId":"app","DisplayName":"App","RiskDetail":"none","RiskLastUpdatedDateTime":"2026-11-02T08:00:00Z","RiskLevel":"high","RiskState":"atRisk","ServicePrincipalType":"Application"}`,
	}
	for action, shapes := range map[string][]string{event.ActionRiskDetected: detection, event.ActionRiskChanged: verdict} {
		var first event.ID
		for i, raw := range shapes {
			r, err := New(tenant).Any([]byte(raw))
			if err != nil || r.Event == nil {
				t.Errorf("%s: %+v, %v", raw, r, err)
				continue
			}
			e := r.Event
			if i == 0 {
				first = e.ID
			}
			if e.Action != action || e.ID != first || e.App != (event.App{ID: "sp", AppID: "app", Name: "App"}) || e.SignIn.RiskLevel != "high" || e.Time.Format(time.TimeOnly) != "08:00:00" || action == event.ActionRiskDetected && (e.Credential.KeyID != "k" || e.Origin.Country != "NO") {
				t.Errorf("%s: %+v", raw, e)
			}
		}
	}
	later, err := New(tenant).Any([]byte(strings.Replace(verdict[0], "08:00:00", "09:00:00", 1)))
	if before, _ := New(tenant).Any([]byte(verdict[0])); err != nil || later.Event.ID == before.Event.ID {
		t.Error("the next verdict on an app is told from the one before")
	}
	for _, raw := range []string{
		`{"id":"u","riskLastUpdatedDateTime":"2026-11-02T08:00:00Z","riskLevel":"high","riskState":"atRisk","userPrincipalName":"u@contoso.example"}`,
		`{"id":"h","appId":"app","displayName":"App","riskLastUpdatedDateTime":"2026-11-02T08:00:00Z","riskLevel":"high","servicePrincipalType":"Application","initiatedBy":null,"activity":{}}`,
	} {
		if r, err := New(tenant).Any([]byte(raw)); ReasonOf(err) != "unknown_shape" {
			t.Errorf("%s: %+v, %v", raw, r, err)
		}
	}
}
