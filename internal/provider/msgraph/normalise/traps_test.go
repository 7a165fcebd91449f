package normalise

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/servicetest"
)

const testTenant = "5f0c1e6b-1f0e-4f5b-9d51-0d1a3f0b7c11"

// rawAudit is a directory audit with the given activity, targets and initiator.
func rawAudit(activity, initiator, targets string) string {
	return `{"id":"Directory_a_B_1","activityDateTime":"2026-03-01T10:00:00.1234567Z","activityDisplayName":"` + activity +
		`","category":"ApplicationManagement","loggedByService":"Core Directory","result":"success","initiatedBy":` + initiator + `,"targetResources":[` + targets + `]}`
}

const byUser = `{"user":{"id":"u-1","displayName":null,"userPrincipalName":"ada@contoso.example","ipAddress":"192.0.2.7"},"app":null}`

func property(name, before, after string) string {
	quote := func(s string) string {
		if s == "" {
			return "null"
		}
		b, _ := json.Marshal(s)
		return string(b)
	}
	return `{"displayName":"` + name + `","oldValue":` + quote(before) + `,"newValue":` + quote(after) + `}`
}

func target(typ, id string, properties ...string) string {
	return `{"id":"` + id + `","displayName":"name of ` + id + `","type":"` + typ + `","modifiedProperties":[` + strings.Join(properties, ",") + `]}`
}

func TestAuditsMeanWhatTheyDid(t *testing.T) {
	secrets := "Update application – Certificates and secrets management "
	key := func(id string) string {
		return `[KeyIdentifier=` + id + `,KeyType=Password,KeyUsage=Verify,DisplayName=deploy]`
	}
	for _, c := range []struct {
		name, raw string
		check     func(e event.Event) any
		want      any
	}{
		{"an en dash and a trailing space do not hide a new secret", rawAudit(secrets, byUser, target("Application", "a-1", property("KeyDescription", `["`+key("k1")+`"]`, `["`+key("k1")+`","`+key("k2")+`"]`))),
			func(e event.Event) any { return []string{e.Action, e.Credential.KeyID, e.Credential.Kind, e.Activity} },
			[]string{event.ActionCredentialAdded, "k2", "password", secrets}},
		{"a secret that left the list was removed", rawAudit(secrets, byUser, target("Application", "a-1", property("KeyDescription", `["`+key("k1")+`"]`, `[]`))),
			func(e event.Event) any { return []string{e.Action, e.Credential.KeyID} }, []string{event.ActionCredentialRemoved, "k1"}},
		{"a weakened consent policy tells its new values", rawAudit("Update authorization policy", byUser, target("Policy", "p-1", property("AllowUserConsentForRiskyApps", `[false]`, `[true]`),
			property("PermissionGrantPolicyIdsAssignedToDefaultUserRole", `["ManagePermissionGrantsForSelf.microsoft-user-default-low"]`, `["ManagePermissionGrantsForSelf.microsoft-user-default-legacy"]`))),
			func(e event.Event) any { return []any{e.Action, e.Target.ID, e.Changes[0].New, e.Changes[1].New} },
			[]any{event.ActionPolicyChanged, "p-1", []string{"true"}, []string{"ManagePermissionGrantsForSelf.microsoft-user-default-legacy"}}},
		{"the full stop of Office 365 is no other activity", rawAudit("Consent to application.", byUser, target("ServicePrincipal", "s-1")),
			func(e event.Event) any { return e.Action }, event.ActionConsentGranted},
		{"a consent that is restored was given", rawAudit("Restore consent", byUser, target("ServicePrincipal", "s-1")),
			func(e event.Event) any { return e.Action }, event.ActionConsentGranted},
		{"a consent gives only the scopes that are new", rawAudit("Consent to application", byUser, target("ServicePrincipal", "s-1", property("ConsentContext.IsAdminConsent", "", `"True"`),
			property("ConsentAction.Permissions", "", `"[[Id: g, ClientId: s-1, PrincipalId: , ResourceId: r-1, ConsentType: AllPrincipals, Scope: User.Read, CreatedDateTime: ]] => [[Id: g, ClientId: s-1, PrincipalId: , ResourceId: r-1, ConsentType: AllPrincipals, Scope:  User.Read Mail.Read, CreatedDateTime: ]]; "`))),
			func(e event.Event) any { return []any{e.Consent.Admin, e.Consent.Type, names(e)} }, []any{true, "all_principals", []string{"Mail.Read"}}},
		{"a grant is diffed over whichever target names it, with a leading space in its scope", rawAudit("Add delegated permission grant", byUser, target("ServicePrincipal", "graph")+","+target("ServicePrincipal", "s-1",
			property("DelegatedPermissionGrant.Scope", `"User.Read"`, `" User.Read Mail.ReadWrite"`), property("ServicePrincipal.ObjectID", "", `"s-1"`))),
			func(e event.Event) any { return []any{e.App.ID, e.Resource.ID, names(e)} }, []any{"s-1", "graph", []string{"Mail.ReadWrite"}}},
		{"an app role names its grantee only in modified properties", rawAudit("Add app role assignment to service principal", byUser, target("ServicePrincipal", "graph",
			property("AppRole.Value", "", `"Mail.Read"`), property("ServicePrincipal.AppId", "", `"app-7"`), property("ServicePrincipal.DisplayName", "", `"Sync"`))),
			func(e event.Event) any { return []any{e.App.AppID, e.App.Name, e.Resource.ID, names(e)} }, []any{"app-7", "Sync", "graph", []string{"Mail.Read"}}},
		{"an app gets a directory role", rawAudit("Add member to role", byUser, target("ServicePrincipal", "s-1", property("Role.DisplayName", "", `"Global Administrator"`), property("Role.TemplateId", "", `"62e9"`))+`,{"id":"r","displayName":null,"type":"Role","modifiedProperties":[]}`),
			func(e event.Event) any { return []string{e.Action, e.App.ID, e.Target.Name} }, []string{event.ActionRoleAssigned, "s-1", "Global Administrator"}},
		{"a user who gets a directory role is no app", rawAudit("Add member to role", byUser, target("User", "u-2")),
			func(e event.Event) any { return e.Action }, event.ActionOther},
		{"isDisabled in a one-element list is a deactivation", rawAudit("Update application", byUser, target("Application", "a-1", property("isDisabled", "[false]", "[true]"))),
			func(e event.Event) any { return e.Action }, event.ActionAppDisabled},
		{"an app without client id acts by its object id", rawAudit("Update application", `{"user":null,"app":{"appId":null,"servicePrincipalId":"s-9","displayName":"Robot"}}`, target("Application", "a-1")),
			func(e event.Event) any { return e.Actor }, event.Actor{Type: event.TypeApp, ID: "s-9", Name: "Robot"}},
		{"two null initiators are nobody", rawAudit("Update application", `{"user":null,"app":null}`, ""),
			func(e event.Event) any { return e.Actor }, event.Actor{}},
		{"a nil GUID is nobody", rawAudit("Update application", `{"user":{"id":"00000000-0000-0000-0000-000000000000"}}`, ""),
			func(e event.Event) any { return e.Actor.ID }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := New(testTenant).Audit([]byte(c.raw))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, c.check(e)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func names(e event.Event) []string {
	var out []string
	for _, p := range e.Permissions {
		out = append(out, p.Name)
	}
	return out
}

func TestSignInsAreJudgedByTheirErrorCode(t *testing.T) {
	for _, c := range []struct {
		name, code, reason, policy string
		result                     event.Result
		access                     string
	}{
		{"the filler Other. is on successes", "0", "Other.", "notApplied", event.ResultSuccess, "not_applied"},
		{"a report-only policy blocks nothing", "50097", "Device", "failure", event.ResultUnknown, "report_only"},
		{"any other code is a failure", "50126", "Invalid", "failure", event.ResultFailure, "failure"},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw := `{"id":"s","createdDateTime":"2026-03-01T10:00:00Z","userId":"","status":{"errorCode":` + c.code + `,"failureReason":"` + c.reason + `"},"conditionalAccessStatus":"` + c.policy + `"}`
			e, err := New(testTenant).SignIn("interactive", []byte(raw))
			if err != nil {
				t.Fatal(err)
			}
			if e.Result != c.result || e.SignIn.ConditionalAccess != c.access {
				t.Errorf("result %q, conditional access %q, want %q and %q", e.Result, e.SignIn.ConditionalAccess, c.result, c.access)
			}
		})
	}
}

func TestRefusalsHaveAReason(t *testing.T) {
	for raw, want := range map[string]string{
		`{"id":"a"}`: "no_time", `{"activityDateTime":"2026-03-01T10:00:00Z"}`: "no_id", `{"id":`: "not_json", `null`: "not_an_object",
	} {
		if _, err := New(testTenant).Audit([]byte(raw)); ReasonOf(err) != want {
			t.Errorf("%s: reason %q, want %q", raw, ReasonOf(err), want)
		}
	}
}

func TestNoSecretStaysInARecord(t *testing.T) {
	described := target("ServicePrincipal", "s-1", property("Credential", "", `[{"KeyId":"hush"}]`))
	e, err := New(testTenant).Audit([]byte(rawAudit("Add service principal", byUser, described)))
	if err != nil || strings.Contains(string(event.AppendEvent(nil, &e)), "hush") {
		t.Errorf("the value of Credential is kept (%v)", err)
	}
	column, _ := json.Marshal("[" + described + "]")
	row := `{"Type":"AuditLogs","TimeGenerated":"2026-03-01T10:00:00Z","Id":"a","OperationName":"Add service principal","TargetResources":` + string(column) + `}`
	r, err := New(testTenant).Any([]byte(row))
	if err != nil || strings.Contains(string(event.AppendEvent(nil, r.Event)), "hush") {
		t.Errorf("the value of Credential is kept from a column of text (%v)", err)
	}
}

func TestARealAttackIsReadFromFlatRows(t *testing.T) {
	f := bytes.NewReader(servicetest.Corpus(t, "otrf-golden-saml/AADAuditEvents.json"))
	seen := map[string]bool{}
	if err := Records(f, func(raw []byte, _ error) error {
		r, err := New(testTenant).Any(raw)
		if err == nil && r.Event != nil {
			seen[r.Event.Action] = true
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{event.ActionCredentialAdded, event.ActionPermissionGranted} {
		if !seen[want] {
			t.Errorf("no %s among %v", want, seen)
		}
	}
}
