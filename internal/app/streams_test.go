package app

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/provider/msgraph/normalise"
	"github.com/appgovd/appgovd/internal/provider/stream"
)

const streamTenant = "5f0c1e6b-1f0e-4f5b-9d51-0d1a3f0b7c11"

// consentRecord is an audit as a diagnostic setting writes it.
func consentRecord(id int) string {
	return fmt.Sprintf(`{"time":"2026-05-04T10:00:00Z","category":"AuditLogs","tenantId":%q,"properties":{"id":"Directory_%d","category":"ApplicationManagement","activityDisplayName":"Consent to application",`+
		`"activityDateTime":"2026-05-04T10:00:%02dZ","result":"success","loggedByService":"Core Directory","initiatedBy":{"user":{"id":"u-1"}},`+
		`"targetResources":[{"id":"sp-%d","displayName":"App","type":"ServicePrincipal","modifiedProperties":[]}]}}`, strings.ToUpper(streamTenant), id, id%60, id)
}

func callRecord(id int) string {
	return fmt.Sprintf(`{"category":"MicrosoftGraphActivityLogs","tenantId":%q,"properties":{"timeGenerated":"2026-05-04T10:00:01Z","requestId":"r-%d","requestMethod":"GET","responseStatusCode":%d,"appId":"app-%d",`+
		`"requestUri":"https://graph.microsoft.com/v1.0/users"}}`, streamTenant, id, 200+200*(id%2), id%3)
}

// streamConf writes a configuration with a source and rules, and returns its name.
func streamConf(t *testing.T, source string) string {
	t.Helper()
	dir := t.TempDir()
	rules := rulesDir(t, "rule \"granted\" {\n  title = \"t\"\n  severity = \"low\"\n  on = [\"app.consent.granted\"]\n}\nrule \"refused\" {\n  title = \"t\"\n  severity = \"low\"\n  on = [\"app.call\"]\n  where = call.status >= 400\n}\n")
	conf := filepath.Join(dir, "agent.hcl")
	text := fmt.Sprintf("agent {\n  state_dir = %q\n  shutdown_timeout = \"10s\"\n}\nrules = [%q]\nsink \"file\" \"out\" {\n  path = %q\n}\n%s", filepath.Join(dir, "state"), rules, filepath.Join(dir, "out.json"), source)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return conf
}

// runUntil runs the agent of a configuration until its only source is as ok says.
func runUntil(t *testing.T, conf string, ok func(event.Account) bool) SourceStatus {
	t.Helper()
	p, diags := Check(conf)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	a, err := New(t.Context(), p, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	limit := time.After(time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok(a.Status().Sources[0].Account) {
		select {
		case <-tick.C:
		case <-limit:
			t.Errorf("not within a minute: %+v", a.Status().Sources[0])
			ok = func(event.Account) bool { return true }
		}
	}
	s := a.Status().Sources[0]
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return s
}

// TestAStreamOfKafkaGoesOnAfterARestart: what is read is read once, whatever comes
// again, calls that no rule may select are summed up, and the account adds up.
func TestAStreamOfKafkaGoesOnAfterARestart(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "logs"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	w := &kafka.Writer{Addr: kafka.TCP(c.ListenAddrs()...), Topic: "logs", RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond, Balancer: &kafka.RoundRobin{}}
	t.Cleanup(func() { _ = w.Close() })
	produce := func(records ...string) {
		if err := w.WriteMessages(t.Context(), kafka.Message{Value: []byte(`{"records":[` + strings.Join(records, ",") + `]}`)}); err != nil {
			t.Fatal(err)
		}
	}
	conf := streamConf(t, fmt.Sprintf("source \"kafka\" \"hub\" {\n  tenant_id = %q\n  brokers = [%q]\n  topics = [\"logs\"]\n  idle = \"100ms\"\n}\n", streamTenant, c.ListenAddrs()[0]))
	produce(consentRecord(1), callRecord(1), callRecord(2))
	produce(consentRecord(1), consentRecord(2), `{"category":"AuditLogs","properties":{}}`) // the first again, one that is broken
	s := runUntil(t, conf, func(a event.Account) bool { return a.Fetched >= 6 })
	if want := (event.Account{Fetched: 6, New: 4, Seen: 1, Quarantined: 1}); s.Account != want {
		t.Errorf("account %+v", s.Account)
	}
	produce(consentRecord(2), consentRecord(3), callRecord(4), `{"category":"ProvisioningLogs"}`)
	s = runUntil(t, conf, func(a event.Account) bool { return a.Fetched >= 9 })
	if want := (event.Account{Fetched: 9, New: 6, Seen: 2, Quarantined: 1}); s.Account != want {
		t.Errorf("account %+v", s.Account)
	}
	out, err := os.ReadFile(filepath.Join(filepath.Dir(conf), "out.json"))
	if err != nil {
		t.Fatal(err)
	}
	granted, refused := strings.Count(string(out), `"granted"`), strings.Count(string(out), `"refused"`)
	if granted == 0 || refused == 0 {
		t.Errorf("%d and %d alerts:\n%s", granted, refused, out)
	}
}

// TestAStreamBelongsToTheTenantOfItsRecords: with another source of the tenant its
// events meet that one's inventory; by itself it is a tenant of its own.
func TestAStreamBelongsToTheTenantOfItsRecords(t *testing.T) {
	entra := "source \"entra\" \"contoso\" {\n  tenant_id = \"" + strings.ToUpper(streamTenant) + "\"\n  client_id = \"11111111-1111-4111-8111-111111111111\"\n  client_secret = file(%q)\n  collect = [\"applications\"]\n}\n"
	files := "source \"file\" \"exports\" {\n  tenant_id = \"" + streamTenant + "\"\n  paths = [\"/nowhere/*.json\"]\n  categories = [\"SignInLogs\", \"AuditLogs\"]\n}\n"
	key := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(key, []byte("hush"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		source string
		want   []string // tenants with their sources
	}{
		{files, []string{"entra/exports", "entra/exports/exports:directory_audits+signins_interactive"}},
		{files + fmt.Sprintf(entra, key), []string{"entra/contoso", "entra/contoso/applications", "entra/contoso/exports:directory_audits+signins_interactive"}},
	} {
		p, diags := Check(streamConf(t, x.source))
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		a, err := New(t.Context(), p, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, tn := range a.tenants {
			got = append(got, tn.key)
			for _, s := range tn.sources {
				got = append(got, s.Key)
			}
		}
		if strings.Join(got, " ") != strings.Join(x.want, " ") {
			t.Errorf("tenants and sources %v", got)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestTwoTenantsOfOneNameAreAMistake(t *testing.T) {
	stream := func(kind, tenant string) string {
		return fmt.Sprintf("source %q \"a\" {\n  tenant_id = %q\n  %s\n}\n", kind, tenant, map[string]string{"file": `paths = ["/x"]`, "kafka": "brokers = [\"k:1\"]\n  topics = [\"t\"]"}[kind])
	}
	_, diags := Check(streamConf(t, stream("file", streamTenant)+stream("kafka", "11111111-1111-4111-8111-111111111111")))
	if !diags.HasErrors() || !strings.Contains(diags.Error(), "Two tenants of one name") {
		t.Errorf("%v", diags)
	}
}

// TestARefusalStaysWhateverComesBehindIt in the same message.
func TestARefusalStaysWhateverComesBehindIt(t *testing.T) {
	r := streamReader{dec: normalise.New(streamTenant), categories: categories(), names: []string{"directory_audits"}, collect: []string{"AuditLogs"}}
	events, err := r.one("key", []byte(`{"records":[1,`+consentRecord(1)+`]}`))
	if err == nil || len(events) != 1 {
		t.Errorf("%d events, error %v", len(events), err)
	}
}

// A row of a sheet of users may be of either kind: it is read where one of them is.
func TestARowOfAnUnknownKindIsRead(t *testing.T) {
	row := []byte(`{"Date (UTC)":"2026-03-01T10:00:00Z","Request ID":"s-1","Username":"alice@contoso.example","User ID":"u-1","Application ID":"a-1"}`)
	for name, want := range map[string]int{"signins_interactive": 1, "signins_non_interactive": 1, "signins_service_principal": 0} {
		r := streamReader{dec: normalise.New(streamTenant), categories: categories(), names: []string{name}}
		if events, err := r.one("key", row); err != nil || len(events) != want || want > 0 && events[0].SignIn.Kind != "" {
			t.Errorf("%s: %v, %+v", name, err, events)
		}
	}
}

// What is not collected is counted, by its category where Microsoft names it.
func TestWhatAStreamPassesOverIsCounted(t *testing.T) {
	reg := prometheus.NewRegistry()
	r := streamReader{dec: normalise.New("11111111-2222-3333-4444-555555555555"), categories: categories(), names: []string{"directory_audits"}, collect: []string{"AuditLogs"}}
	forget, err := r.measure("entra/x/hub:directory_audits", reg)
	if err != nil {
		t.Fatal(err)
	}
	r.read([]byte(`{"records":[{"category":"RiskyUsers"},{"category":"UserRiskEvents"},{"category":"riskyusers"},{"category":"RiskyServicePrincipals"},{"category":"Strange"},{"category":"SignInLogs"}]}`), &stream.Batch{})
	want := `
# HELP appgovd_stream_passed_over_total Records of a topic or a file by source and category of diagnostic settings that are not collected; they are not kept, and not counted as fetched.
# TYPE appgovd_stream_passed_over_total counter
`
	for _, c := range []string{"ADFSSignInLogs", "AzureADGraphActivityLogs", "CustomSecurityAttributeAuditLogs", "EnrichedOffice365AuditLogs", "ManagedIdentitySignInLogs", "MicrosoftGraphActivityLogs", "MicrosoftServicePrincipalSignInLogs",
		"NetworkAccessTrafficLogs", "NonInteractiveUserSignInLogs", "ProvisioningLogs", "RiskyServicePrincipals 1", "RiskyUsers 2", "ServicePrincipalRiskEvents", "ServicePrincipalSignInLogs", "SignInLogs 1", "UserRiskEvents 1", "other 1"} {
		name, n, _ := strings.Cut(c, " ")
		want += `appgovd_stream_passed_over_total{category="` + name + `",source="entra/x/hub:directory_audits"} ` + cmp.Or(n, "0") + "\n"
	}
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	forget()
	if n, _ := testutil.GatherAndCount(reg); n != 0 {
		t.Error("the counters stay")
	}
}
