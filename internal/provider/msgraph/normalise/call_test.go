package normalise

import (
	"fmt"
	"slices"
	"testing"

	"github.com/appgovd/appgovd/internal/event"
)

func TestPathsAreReducedToTheirShape(t *testing.T) {
	d := New(tenant)
	for _, c := range []struct{ uri, version, endpoint, workload string }{
		{"https://graph.microsoft.com/v1.0/users/ada@contoso.example/messages?$top=10", "v1.0", "users/{id}/messages", "exchange"},
		{"https://graph.microsoft.com/beta/me/mailFolders/inbox/messages/AAMkAG=/attachments", "beta", "me/mailFolders/{id}/messages/{id}/attachments", "exchange"},
		{"https://graph.microsoft.com/v1.0/drives/b!x/root:/Plans/secret plan.docx:/content", "v1.0", "drives/{id}/root:/{path}:/content", "sharepoint"},
		{"https://graph.microsoft.com/v1.0/sites/contoso.sharepoint.com:/sites/hr:/lists", "v1.0", "sites/{id}:/{path}:/lists", "sharepoint"},
		{"https://graph.microsoft.com/v1.0/me/drive/root:/a/b", "v1.0", "me/drive/root:", "sharepoint"},
		{"https://graph.microsoft.com/v1.0/teams/7c/channels/19:x@thread.tacv2/messages", "v1.0", "teams/{id}/channels/{id}/messages", "teams"},
		{"https://graph.microsoft.com/v1.0/users/7c/chats/9/messages", "v1.0", "users/{id}/chats/{id}/messages", "teams"},
		{"https://graph.microsoft.com/v1.0/groups/7c/members/$ref", "v1.0", "groups/{id}/members/$ref", "directory"},
		{"https://graph.microsoft.com/v1.0/$batch", "v1.0", "$batch", "other"},
		{"https://graph.microsoft.com/v1.0/users('ada@contoso.example')/events", "v1.0", "users/{id}/events", "exchange"},
		{"https://graph.microsoft.com/v1.0/USERS/microsoft.graph.delta()?$deltatoken=x", "v1.0", "users/delta", "directory"},
		{"https://graph.microsoft.com/beta/reports/getOffice365ActiveUserDetail(period='D7')", "beta", "reports/{id}/{id}", "reports"},
		{"https://graph.microsoft.com/v1.0/auditLogs/signIns", "v1.0", "auditLogs/signIns", "audit"},
		{"https://graph.microsoft.com/v1.0/security/runHuntingQuery", "v1.0", "security/runHuntingQuery", "security"},
		{"https://graph.microsoft.com/v1.0/servicePrincipals/1/appRoleAssignedTo", "v1.0", "servicePrincipals/{id}/appRoleAssignedTo", "directory"},
		{"https://graph.microsoft.com/v1.0/a/b/c/d/e/f/g/h/i/j", "v1.0", "{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/*", "other"},
		{"https://graph.windows.net/contoso.example/users/1/memberOf?api-version=1.6&$top=5", "1.6", "users/{id}/memberOf", "directory"},
		{"https://graph.windows.net/myorganization/tenantDetails?api-version=1.61-internal", "1.61-internal", "tenantDetails", "directory"},
		{"https://graph.microsoft.com", "", "/", "other"},
		{"", "", "/", "other"},
	} {
		e, err := d.Call(fmt.Appendf(nil, `{"requestId":"r","timeGenerated":"2026-03-01T10:00:00Z","requestUri":%q}`, c.uri))
		if err != nil {
			t.Fatal(err)
		}
		if k := e.Call; k.APIVersion != c.version || k.Endpoint != c.endpoint || k.Workload != c.workload || k.URI != c.uri {
			t.Errorf("%s: %q %q %q", c.uri, k.APIVersion, k.Endpoint, k.Workload)
		}
	}
}

func TestTheVocabularyOfEndpointsIsSound(t *testing.T) {
	known := readWords()
	if len(known) < 400 {
		t.Fatalf("%d words", len(known))
	}
	for low, w := range known {
		if w.workload != "" && !slices.Contains(event.Workloads(), w.workload) {
			t.Errorf("%s tells of %q, which is no workload", low, w.workload)
		}
	}
}

// A record of another shape of the same call is the same event: its id is that of the
// request.
func TestACallIsTheSameInEveryShape(t *testing.T) {
	const stream = `{"requestId":"5d","timeGenerated":"2026-03-01T10:00:00Z","appId":"a","requestMethod":"GET","requestUri":"https://graph.microsoft.com/v1.0/users","responseStatusCode":200,"responseSizeBytes":7,"durationMs":12}`
	const row = `{"RequestId":"5d","TimeGenerated":"2026-03-01T10:00:00Z","AppId":"a","RequestMethod":"GET","RequestUri":"https://graph.microsoft.com/v1.0/users","ResponseStatusCode":200,"ResponseSizeBytes":7,"DurationMs":12}`
	const hunted = `{"RequestId":"5d","Timestamp":"2026-03-01T10:00:00Z","ApplicationId":"a","RequestMethod":"GET","RequestUri":"https://graph.microsoft.com/v1.0/users","ResponseStatusCode":"200","ResponseSize":7,"RequestDuration":"12"}`
	d := New(tenant)
	want, err := d.Call([]byte(stream))
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range []string{row, hunted} {
		got, err := d.Call([]byte(raw))
		if err != nil || got.ID != want.ID || got.Time != want.Time || got.App != want.App || fmt.Sprint(*got.Call) != fmt.Sprint(*want.Call) || got.Result != want.Result {
			t.Errorf("%s:\n%+v\n%+v, %v", raw, got, want, err)
		}
	}
}

func BenchmarkCall(b *testing.B) {
	raw := []byte(`{"timeGenerated":"2026-03-01T10:00:00.1234567Z","location":"West Europe","requestId":"5d0e4e4f-2b1c-4f0e-9c36-94b2a7c0d111","operationId":"5d0e4e4f-2b1c-4f0e-9c36-94b2a7c0d111","clientRequestId":"7d0e4e4f-2b1c-4f0e-9c36-94b2a7c0d111","apiVersion":"v1.0","requestMethod":"GET","responseStatusCode":200,"aadTenantId":"5f0c1e6b-1f0e-4f5b-9d51-0d1a3f0b7c11","iPAddress":"192.0.2.7","ipAddress":"192.0.2.7","userAgent":"python-requests/2.31","requestUri":"https://graph.microsoft.com/v1.0/users/9d0e4e4f-2b1c-4f0e-9c36-94b2a7c0d111/messages?$top=100","userId":"8d0e4e4f-2b1c-4f0e-9c36-94b2a7c0d111","tokenIssuedAt":"2026-03-01T09:58:00.1234567Z","servicePrincipalId":"","scopes":"Mail.Read User.Read openid profile","roles":"","identityProvider":"https://sts.windows.net/5f0c1e6b-1f0e-4f5b-9d51-0d1a3f0b7c11/","clientAuthMethod":"1","wids":"b79fbf4d-3ef9-4689-8143-76b194e85509","isReplay":false,"policyEvaluated":false,"signInActivityId":"xyz_uti-AAA","appId":"1d0e4e4f-2b1c-4f0e-9c36-94b2a7c0d111","responseSizeBytes":51234,"durationMs":123}`)
	d := New(tenant)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Call(raw); err != nil {
			b.Fatal(err)
		}
	}
}
