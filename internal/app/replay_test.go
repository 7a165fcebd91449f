package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/rule"
	"github.com/appgovd/appgovd/internal/servicetest"
)

// replayAll runs inputs through the shipped rules.
func replayAll(t testing.TB, inputs ...[]byte) (ReplaySummary, []event.Alert) {
	t.Helper()
	blob, err := ShippedRules()
	if err != nil {
		t.Fatal(err)
	}
	set, diags := rule.Compile(blob)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	var alerts []event.Alert
	r := NewReplay(ReplayOptions{Rules: set, Now: func() time.Time { return time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC) },
		Alert: func(a *event.Alert) error { alerts = append(alerts, *a); return nil }})
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	for i, in := range inputs {
		if err := r.Read(fmt.Sprint(i), bytes.NewReader(in)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r.Summary(), alerts
}

// What the attacker of 2021-08-02 did to one app is told step by step, in the
// order in which it was done.
func TestARealAttackOnAnAppIsTold(t *testing.T) {
	sum, alerts := replayAll(t, servicetest.Corpus(t, "otrf-golden-saml/AADAuditEvents.json"))
	if sum.Read != 4 || sum.Unique != 3 || len(sum.Quarantined) != 0 {
		t.Errorf("%+v: want 4 rows of 3 records, all decoded", sum)
	}
	var got []string
	for _, a := range alerts {
		got = append(got, a.Time.Format(time.TimeOnly)+" "+a.RuleID)
		if a.Backfill || a.Kind != event.AlertRisk && a.Actor.UPN != "pgustavo@simulandlabs.com" {
			t.Errorf("%s: backfill %v, actor %+v", a.RuleID, a.Backfill, a.Actor)
		}
	}
	want := []string{
		"13:25:12 entra.app.permissions_requested_by_script",
		"13:27:20 entra.consent.tenant_wide",
		"13:29:25 entra.app.armed_by_one_person",
		"13:29:25 entra.credential.added_by_script",
		"13:29:25 risk.app",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// The published samples of Microsoft Graph hold many types. Those that we know
// are replayed whole, but for the samples that leave the id out; the others are
// told as unknown, and counted.
func TestEveryPublishedSampleOfAKnownTypeIsReplayed(t *testing.T) {
	var mocks []struct {
		Request  struct{ URL, Method string }
		Response struct{ Body json.RawMessage }
	}
	if err := json.Unmarshal(servicetest.Corpus(t, "graph-docs-mocks.json"), &mocks); err != nil {
		t.Fatal(err)
	}
	decoded, left := 0, map[string]int{}
	for _, m := range mocks {
		body := []byte(m.Response.Body)
		var text string
		if json.Unmarshal(body, &text) == nil {
			body = []byte(text) // a sample that is no valid JSON stands there as text
		}
		sum, _ := replayAll(t, body)
		decoded += sum.Decoded
		for reason, n := range sum.Quarantined {
			left[reason] += n
			if reason == "no_time" || reason == "wrong_type" || reason == "no_id" && bytes.Contains(body, []byte(`"id":`)) && !strings.Contains(m.Request.URL, "/delta") {
				t.Errorf("%s %s: %d records quarantined: %s", m.Request.Method, m.Request.URL, n, reason)
			}
		}
	}
	t.Logf("decoded %d, quarantined %v", decoded, left)
	if decoded < 18 {
		t.Errorf("only %d records were decoded", decoded)
	}
}

// The events lie in memory up to a bound and then in a file; the order is the
// same, and so is each event.
func TestASpoolBringsEventsIntoOrderOfTime(t *testing.T) {
	for _, limit := range []int{1, 300, 1 << 20} {
		s := newSpool(limit)
		for i := range 100 {
			e := event.Event{UpstreamID: fmt.Sprint(i), Time: time.Unix(int64(i*37%50), 0).UTC(), Raw: []byte("{}")}
			if err := s.add(&e); err != nil {
				t.Fatal(err)
			}
		}
		var last *event.Event
		n := 0
		if err := s.each(func(e *event.Event) error {
			if last != nil && (e.Time.Before(last.Time) || e.Time.Equal(last.Time) && len(e.UpstreamID) < len(last.UpstreamID)) {
				t.Errorf("limit %d: %s at %s behind %s at %s", limit, e.UpstreamID, e.Time, last.UpstreamID, last.Time)
			}
			last = e
			n++
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if n != 100 || s.len() != 100 {
			t.Errorf("limit %d: %d events of 100", limit, n)
		}
		if (s.file == nil) != (limit == 1<<20) {
			t.Errorf("limit %d: a file was used: %v", limit, s.file != nil)
		}
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}
}

// A gap of years between two events costs few ticks.
func TestAGapOfYearsIsCrossedQuickly(t *testing.T) {
	at := func(year int) string {
		return fmt.Sprintf(`{"id":"a-%d","activityDateTime":"%d-03-01T10:00:00Z","activityDisplayName":"Add application"}`, year, year)
	}
	sum, _ := replayAll(t, []byte(at(1971)+at(2199)))
	if sum.Unique != 2 || !sum.Last.Equal(time.Date(2199, 3, 1, 10, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v", sum)
	}
}

func BenchmarkReplay(b *testing.B) {
	var in strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&in, `{"id":"s-%d","createdDateTime":"2026-03-01T10:%02d:%02dZ","userId":"u-%d","userPrincipalName":"u%d@contoso.example","ipAddress":"192.0.2.1","appId":"app-%d","appDisplayName":"App %d","resourceDisplayName":"Microsoft Graph","status":{"errorCode":0},"conditionalAccessStatus":"notApplied"}`+"\n", i, i/60%60, i%60, i%100, i%100, i%50, i%50)
	}
	raw := []byte(in.String())
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n := 0
	for b.Loop() {
		sum, _ := replayAll(b, raw)
		n += sum.Unique
	}
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
}

// A record that an app caused names it by its object id alone; the inventory
// knows the rest.
func TestAnAppWithoutAClientIDIsJoinedByItsObjectID(t *testing.T) {
	_, alerts := replayAll(t,
		[]byte(`{"value":[{"id":"s-9","appId":"app-9","displayName":"Robot","servicePrincipalType":"Application","appOwnerOrganizationId":"other"}]}`),
		[]byte(`{"id":"a-1","activityDateTime":"2026-03-01T10:00:00Z","activityDisplayName":"Add app role assignment to service principal","result":"success",
			"initiatedBy":{"user":null,"app":{"appId":null,"displayName":"Robot","servicePrincipalId":"s-9","servicePrincipalName":null}},
			"targetResources":[{"id":"graph","displayName":"Microsoft Graph","type":"ServicePrincipal","modifiedProperties":[
				{"displayName":"AppRole.Value","newValue":"\"RoleManagement.ReadWrite.Directory\""},{"displayName":"ServicePrincipal.ObjectID","newValue":"\"s-9\""},
				{"displayName":"TargetId.ServicePrincipalNames","newValue":"\"00000003-0000-0000-c000-000000000000/ags.windows.net;00000003-0000-0000-c000-000000000000\""}]}]}`))
	if len(alerts) == 0 {
		t.Fatal("no alert")
	}
	for _, a := range alerts {
		if a.Kind != event.AlertDetection {
			continue
		}
		if a.Actor.AppID != "app-9" || a.App.AppID != "app-9" || a.Resource.AppID != "00000003-0000-0000-c000-000000000000" {
			t.Errorf("%s: actor %+v, app %+v, resource %+v", a.RuleID, a.Actor, a.App, a.Resource)
		}
	}
}

// An alert of the provider is opened when the provider opened it, and each version
// of it happens at its last update, whatever the order in the export.
func TestVersionsOfAnAlertAreToldAtTheTimesOfTheirUpdates(t *testing.T) {
	version := func(status, updated string) string {
		return `{"id":"ma1","providerAlertId":"1","serviceSource":"microsoftAppGovernance","detectionSource":"appGovernanceDetection","status":"` + status + `","severity":"high","title":"Unusual",` +
			`"createdDateTime":"2025-06-22T09:00:00.12Z","lastUpdateDateTime":"` + updated + `","evidence":[{"@odata.type":"#microsoft.graph.security.oauthApplicationEvidence","appId":"app-1"}]}`
	}
	_, alerts := replayAll(t, []byte(version("resolved", "2025-12-22T09:00:00Z")+version("new", "2025-06-22T09:05:00Z")+version("inProgress", "2025-06-23T09:00:00Z")))
	var got []string
	for _, a := range alerts {
		got = append(got, fmt.Sprint(a.State, " ", a.Time.Format(time.DateOnly), " opened ", a.Opened.Format(time.DateOnly)))
		if a.ID != alerts[0].ID {
			t.Errorf("another alert: %+v", a)
		}
	}
	want := []string{"new 2025-06-22 opened 2025-06-22", "updated 2025-06-23 opened 2025-06-22", "resolved 2025-12-22 opened 2025-06-22"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
