package normalise

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/servicetest"
)

const tenant = "11111111-1111-4111-8111-111111111111"

func audit(activity, by, targets string) string {
	return `{"id":"Directory_1","activityDateTime":"2026-11-20T10:00:00.1234567Z","activityDisplayName":"` + activity + `","category":"ApplicationManagement","result":"success","initiatedBy":` + by + `,"targetResources":` + targets + `}`
}

const alice = `{"user":{"id":"u1","userPrincipalName":"alice@example.com","ipAddress":"203.0.113.7"},"app":null}`

func TestTheTrapsOfAudits(t *testing.T) {
	d := New(tenant)
	for _, c := range []struct {
		name, raw string
		want      func(*event.Event) any
		is        any
	}{
		{"the en dash and the trailing space of the certificates activity; descriptions in brackets are diffed as sets",
			audit("Update application – Certificates and secrets management ", alice, `[{"id":"o1","type":"Application","displayName":"A","modifiedProperties":[{"displayName":"KeyDescription","oldValue":"[]","newValue":"[\"[KeyIdentifier=k1,KeyType=Password,KeyUsage=Verify,DisplayName=x]\"]"}]}]`),
			func(e *event.Event) any {
				return []string{e.Action, e.Credential.KeyID, e.Credential.Kind, e.Credential.Name, e.App.ObjectID}
			}, []string{event.ActionCredentialAdded, "k1", "password", "x", "o1"}},
		{"a full stop behind the activity", audit("Consent to application.", alice, `[]`), func(e *event.Event) any { return e.Action }, event.ActionConsentGranted},
		{"consent: only the scopes that came are told, wherever the property stands",
			audit("Consent to application", alice, `[{"id":"sp","type":"ServicePrincipal","displayName":"A","modifiedProperties":[{"displayName":"ConsentContext.IsAdminConsent","newValue":"\"False\""},{"displayName":"ConsentAction.Permissions","newValue":"\"[[Id: g, ClientId: sp, PrincipalId: u1, ResourceId: r, ConsentType: Principal, Scope:  User.Read, CreatedDateTime: , LastModifiedDateTime ]] => [[Id: g, ClientId: sp, PrincipalId: u1, ResourceId: r, ConsentType: Principal, Scope:  User.Read Mail.Read offline_access, CreatedDateTime: ]]\""}]}]`),
			func(e *event.Event) any {
				return []any{e.Consent.Type, e.Consent.AdminSet, e.Consent.Admin, strings.Join(e.Consent.Scopes, " "), e.App.ID, len(e.Permissions)}
			}, []any{"principal", true, false, "Mail.Read offline_access", "sp", 2}},
		{"a delegated grant: the first target is the resource, the client stands in a property",
			audit("Add delegated permission grant", alice, `[{"id":"graph","type":"ServicePrincipal","displayName":"Microsoft Graph","modifiedProperties":[{"displayName":"DelegatedPermissionGrant.Scope","oldValue":"\" User.Read\"","newValue":"\" User.Read Mail.ReadWrite\""},{"displayName":"DelegatedPermissionGrant.ConsentType","newValue":"\"AllPrincipals\""},{"displayName":"ServicePrincipal.ObjectID","newValue":"\"sp\""}]},{"id":"sp","type":"ServicePrincipal","displayName":"A"}]`),
			func(e *event.Event) any {
				return []string{e.Action, e.App.ID, e.Resource.ID, strings.Join(e.Consent.Scopes, " "), e.Consent.Type}
			}, []string{event.ActionPermissionGranted, "sp", "graph", "Mail.ReadWrite", "all_principals"}},
		{"an app role: the one target is the resource, the grantee stands only in properties",
			audit("Add app role assignment to service principal", `{"user":null,"app":{"appId":null,"servicePrincipalId":"by","displayName":"By"}}`, `[{"id":"graph","type":"ServicePrincipal","displayName":"Microsoft Graph","modifiedProperties":[{"displayName":"AppRole.Value","newValue":"\"Mail.ReadWrite\""},{"displayName":"ServicePrincipal.AppId","newValue":"\"app-1\""}]}]`),
			func(e *event.Event) any {
				return []any{e.App.AppID, e.App.ID, e.Resource.ID, e.Permissions[0].Name, e.Permissions[0].Kind, e.Actor.Type, e.Actor.ID, e.Actor.AppID}
			}, []any{"app-1", "", "graph", "Mail.ReadWrite", "application", event.TypeApp, "by", ""}},
		{"a role given to an app", audit("Add member to role", alice, `[{"id":"sp","type":"ServicePrincipal","displayName":"A","modifiedProperties":[{"displayName":"Role.DisplayName","newValue":"\"Global Administrator\""},{"displayName":"TargetId.ServicePrincipalNames","newValue":"\"app-1\""}]},{"id":"role","type":"Role","displayName":null}]`),
			func(e *event.Event) any { return []string{e.Action, e.App.AppID, e.Target.Name} }, []string{event.ActionRoleAssigned, "app-1", "Global Administrator"}},
		{"a role given to a user is none of an app", audit("Add member to role", alice, `[{"id":"u","type":"User"}]`), func(e *event.Event) any { return e.Action }, event.ActionOther},
		{"a deactivation hides in an update", audit("Update application", alice, `[{"id":"o","type":"Application","modifiedProperties":[{"displayName":"isDisabled","oldValue":"[]","newValue":"[true]"}]}]`), func(e *event.Event) any { return e.Action }, event.ActionAppDisabled},
		{"seven digits of a second, parsed as an instant", audit("x", alice, `[]`), func(e *event.Event) any { return e.Time }, time.Date(2026, 11, 20, 10, 0, 0, 123456700, time.UTC)},
		{"an initiator of two nulls", audit("x", `{"user":null,"app":null}`, `[]`), func(e *event.Event) any { return e.Actor }, event.Actor{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := d.Audit([]byte(c.raw))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.is, c.want(&e)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func signIn(rest string) string {
	return `{"id":"s1","createdDateTime":"2026-11-20T10:00:00Z",` + rest + `}`
}

func TestTheTrapsOfSignIns(t *testing.T) {
	d := New(tenant)
	for _, c := range []struct {
		name, kind, raw string
		want            func(*event.Event) any
		is              any
	}{
		{"the filler on a success is no reason", "interactive", signIn(`"status":{"errorCode":0,"failureReason":"Other."}`), func(e *event.Event) any { return []any{e.Result, e.ResultReason} }, []any{event.ResultSuccess, ""}},
		{"a report-only policy blocked nothing", "interactive", signIn(`"conditionalAccessStatus":"failure","status":{"errorCode":50097}`), func(e *event.Event) any { return []any{e.Result, e.SignIn.ConditionalAccess} }, []any{event.ResultUnknown, "report_only"}},
		{"a failure", "interactive", signIn(`"status":{"errorCode":50126,"failureReason":"bad"}`), func(e *event.Event) any { return []any{e.Result, e.ResultReason} }, []any{event.ResultFailure, "bad"}},
		{"an app signs in as itself; empty strings and nil GUIDs are absent", "service_principal", signIn(`"userId":"","appId":"a","servicePrincipalId":"00000000-0000-0000-0000-000000000000","autonomousSystemNumber":64500,"status":{"errorCode":0}`),
			func(e *event.Event) any { return []any{e.Action, e.Actor.Type, e.App.ID, e.App.AppID, e.Origin.ASN} }, []any{event.ActionAppSignIn, event.TypeApp, "", "a", uint32(64500)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := d.SignIn(c.kind, []byte(c.raw))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.is, c.want(&e)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestARecordThatCannotBeDecodedHasAReason(t *testing.T) {
	d := New(tenant)
	for raw, want := range map[string]string{
		`{"id":"x"}`: "no_time", `{"activityDateTime":"2026-11-20T10:00:00Z"}`: "no_id", `{`: "not_json", `[]`: "not_an_object", `null`: "not_an_object",
		`{"id":"x","activityDateTime":"soon"}`: "no_time",
	} {
		if _, err := d.Audit([]byte(raw)); err == nil || ReasonOf(err) != want {
			t.Errorf("%s: %v, want reason %s", raw, err, want)
		}
	}
	if _, err := d.Any([]byte(`{"a":1}`)); ReasonOf(err) != "unknown_shape" {
		t.Errorf("error %v", err)
	}
}

func TestNoSecretIsKept(t *testing.T) {
	d := New(tenant)
	o, err := d.Application([]byte(`{"id":"o","appId":"a","passwordCredentials":[{"keyId":"k","hint":"abc","secretText":"hunter2","endDateTime":"2027-01-01T00:00:00Z"}]}`))
	if err != nil || len(o.App.Credentials) != 1 || o.App.Credentials[0].KeyID != "k" {
		t.Fatalf("%+v, %v", o, err)
	}
	e, err := d.Audit([]byte(audit("Add service principal", alice, `[{"id":"sp","type":"ServicePrincipal","modifiedProperties":[{"displayName":"Credential","newValue":"hunter2"}]}]`)))
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := json.Marshal(e); bytes.Contains(b, []byte("hunter2")) || bytes.Contains(e.Raw, []byte("hunter2")) {
		t.Error("the value of a credential was kept")
	}
}

func TestTheSameRecordIsTheSameInEveryShape(t *testing.T) {
	d := New(tenant)
	graph := audit("Delete application", alice, `[{"id":"o","type":"Application"}]`)
	row := `{"TimeGenerated":"2026-11-20T10:00:03Z","Type":"AuditLogs","Id":"Directory_1","ActivityDateTime":"2026-11-20T10:00:00.1234567Z","ActivityDisplayName":"Delete application","OperationName":"Delete application","Result":"success","InitiatedBy":"{\"user\":{\"id\":\"u1\"}}","TargetResources":"[{\"id\":\"o\",\"type\":\"Application\"}]"}`
	envelope := `{"time":"2026-11-20T10:09:00Z","category":"AuditLogs","operationName":"x","properties":` + graph + `}`
	var ids []event.ID
	for shape, raw := range map[string]string{"graph": graph, "log_analytics": row, "diagnostic": envelope} {
		r, err := d.Any([]byte(raw))
		if err != nil || r.Shape != shape || r.Event.Action != event.ActionAppDeleted || r.Event.App.ObjectID != "o" {
			t.Fatalf("%s: %+v, %v", shape, r, err)
		}
		ids = append(ids, r.Event.ID)
	}
	if ids[0] != ids[1] || ids[1] != ids[2] {
		t.Errorf("identities differ: %v", ids)
	}
	a, _ := d.Audit([]byte(graph))
	b, _ := d.Any([]byte(envelope))
	if a.Content != b.Event.Content {
		t.Error("the envelope changes the content")
	}
}

func TestGrants(t *testing.T) {
	o, err := New(tenant).DelegatedGrant([]byte(`{"id":"g","clientId":"c","resourceId":"r","consentType":"AllPrincipals","principalId":null,"scope":" User.Read Mail.Read User.Read"}`))
	want := &event.GrantObject{Client: "c", Resource: "r", ConsentType: "all_principals", Scopes: []string{"Mail.Read", "User.Read"}}
	if diff := cmp.Diff(want, o.Grant); err != nil || diff != "" {
		t.Error(diff, err)
	}
	if o, err := New(tenant).ServicePrincipal([]byte(`{"id":"x","@removed":{"reason":"changed"}}`)); err != nil || o.Removed != "changed" || o.App != nil {
		t.Errorf("%+v, %v", o, err)
	}
}

// A real attack on one app, exported from a tenant: nothing is lost, and the
// chain of actions is told.
func TestARealExportIsDecodedWhole(t *testing.T) {
	f := bytes.NewReader(servicetest.Corpus(t, "otrf-golden-saml/AADAuditEvents.json"))
	got := map[string]int{}
	if err := Records(f, func(raw []byte, _ error) error {
		r, err := New(tenant).Any(raw)
		if err == nil {
			got[r.Event.Action]++
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Log(got)
	if got[event.ActionCredentialAdded] == 0 || got[event.ActionPermissionGranted]+got[event.ActionConsentGranted] == 0 {
		t.Errorf("the chain is not told: %v", got)
	}
}

func BenchmarkAudit(b *testing.B) {
	raw := []byte(audit("Consent to application", alice, `[{"id":"sp","type":"ServicePrincipal","displayName":"A","modifiedProperties":[{"displayName":"ConsentAction.Permissions","newValue":"\"[] => [[ConsentType: Principal, Scope: Mail.Read]]\""}]}]`))
	d := New(tenant)
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := d.Audit(raw); err != nil {
			b.Fatal(err)
		}
	}
}

// wholeSignIn has every member that Graph gives for a sign-in: about 2.7 KB.
// https://learn.microsoft.com/graph/api/resources/signin?view=graph-rest-beta
const wholeSignIn = `{"id":"66ea54eb-6301-4ee5-be62-ff5a759b0100","createdDateTime":"2026-11-20T16:03:35.1234567Z","userDisplayName":"Alice Example","userPrincipalName":"alice@contoso.example",` +
	`"userId":"26be1845-4119-4801-a799-aea79d09f1a2","appId":"de8bc8b5-d9f9-48b1-a8ad-b748da725064","appDisplayName":"Contoso Mail Sync","ipAddress":"203.0.113.7","ipAddressFromResourceProvider":null,` +
	`"clientAppUsed":"Browser","userAgent":"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36","correlationId":"d79f5bee-5860-4832-928f-3133e22ae912",` +
	`"conditionalAccessStatus":"success","originalRequestId":"","isInteractive":true,"tokenIssuerName":"","tokenIssuerType":"AzureAD","clientCredentialType":"none","processingTimeInMilliseconds":214,` +
	`"riskDetail":"none","riskLevelAggregated":"none","riskLevelDuringSignIn":"none","riskState":"none","riskEventTypes_v2":[],"resourceDisplayName":"Microsoft Graph","resourceId":"00000003-0000-0000-c000-000000000000",` +
	`"resourceTenantId":"11111111-1111-4111-8111-111111111111","homeTenantId":"11111111-1111-4111-8111-111111111111","homeTenantName":"","authenticationMethodsUsed":[],"authenticationRequirement":"singleFactorAuthentication",` +
	`"signInIdentifier":"alice@contoso.example","signInIdentifierType":null,"servicePrincipalName":null,"signInEventTypes":["interactiveUser"],"servicePrincipalId":"","federatedCredentialId":"","userType":"member","flaggedForReview":false,` +
	`"isTenantRestricted":false,"autonomousSystemNumber":64500,"crossTenantAccessType":"none","servicePrincipalCredentialKeyId":"","servicePrincipalCredentialThumbprint":"","uniqueTokenIdentifier":"61TqZgFj5U6-Yv9adZsBAA",` +
	`"incomingTokenType":"none","authenticationProtocol":"none","resourceServicePrincipalId":"a1a1a1a1-b2b2-4c3c-8d4d-e5e5e5e5e5e5","signInTokenProtectionStatus":"none","originalTransferMethod":"none","isThroughGlobalSecureAccess":false,` +
	`"globalSecureAccessIpAddress":null,"sessionId":"00577c1b-b4ac-4b1d-9a3e-2f1d3b6a8f10","appOwnerTenantId":"99999999-9999-4999-8999-999999999999","resourceOwnerTenantId":"f8cdef31-a31e-4b4a-93e4-5f571e91255a",` +
	`"mfaDetail":null,"authenticationAppDeviceDetails":null,"status":{"errorCode":0,"failureReason":"Other.","additionalDetails":null},"deviceDetail":{"deviceId":"","displayName":"","operatingSystem":"Windows10","browser":"Chrome 142.0.0",` +
	`"isCompliant":false,"isManaged":false,"trustType":""},"location":{"city":"Berlin","state":"Berlin","countryOrRegion":"DE","geoCoordinates":{"altitude":null,"latitude":52.52437,"longitude":13.41053}},"appliedConditionalAccessPolicies":[` +
	`{"id":"de7e60eb-ed89-4d73-8205-2227def6b7c9","displayName":"MFA for admins","enforcedGrantControls":["Mfa"],"enforcedSessionControls":[],"result":"notApplied"}],"authenticationDetails":[],"sessionLifetimePolicies":[]}`

func TestAWholeSignInIsRead(t *testing.T) {
	e, err := New(tenant).SignIn("", []byte(wholeSignIn))
	if err != nil {
		t.Fatal(err)
	}
	if e.App.Name != "Contoso Mail Sync" || e.Origin.ASN != 64500 || e.Origin.Country != "DE" || e.Result != event.ResultSuccess || e.SignIn.Kind != "interactive" || len(e.Raw) < 2500 {
		t.Errorf("%+v", e)
	}
}

func BenchmarkSignIn(b *testing.B) {
	d, raw := New(tenant), []byte(wholeSignIn)
	b.ReportAllocs()
	b.SetBytes(int64(len(wholeSignIn)))
	for b.Loop() {
		if _, err := d.SignIn("", raw); err != nil {
			b.Fatal(err)
		}
	}
}
