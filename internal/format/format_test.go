package format

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/event"
)

var update = flag.Bool("update", false, "write the golden files")

func sample() *event.Alert {
	at := time.Date(2026, 11, 20, 10, 0, 0, 123456789, time.UTC)
	a := &event.Alert{
		ID: event.NewID("a"), Sequence: 2, State: event.AlertUpdated, Kind: event.AlertDetection, Provider: "entra", Tenant: "11111111-1111-4111-8111-111111111111",
		RuleID: "entra.consent.tenant_wide", RuleRevision: "r1", Title: "Tenant-wide consent", Summary: "Alice consented for everybody", Severity: event.SeverityHigh, Score: 80,
		Techniques: []string{"T1528"}, References: []string{"https://attack.mitre.org/techniques/T1528/"}, Time: at, Opened: at.Add(-time.Hour),
		App: event.App{ID: "sp", AppID: "app", Name: "Evil \"App\"\n", OwnerTenant: "other"}, AppOrigin: "external", AppTier: 1,
		Actor: event.Actor{Type: event.TypeUser, ID: "u", Name: "Alice", UPN: "alice@example.com"}, Resource: event.Entity{Type: event.TypeServicePrincipal, ID: "graph", Name: "Microsoft Graph"},
		Origin: event.Origin{IP: "203.0.113.7", ASN: 64500, ASOrg: "Example", Country: "DE", UserAgent: "curl/8"}, Action: event.ActionConsentGranted, Count: 2,
		Evidence: []event.Evidence{{EventID: event.NewID("e"), UpstreamID: "Directory_x", Time: at, Action: event.ActionConsentGranted, Activity: "Consent to application"}}, EvidenceTotal: 1,
		Upstream: &event.Upstream{AlertID: "ma1", Status: "new", URL: "https://security.microsoft.com/alerts/ma1"},
	}
	a.SetDelivery()
	return a
}

// full is an alert with every field of Alert set.
func full() *event.Alert {
	a := sinktest.Full()
	return &a
}

// notice is an alert that stands for several.
func notice() *event.Alert {
	a := sample()
	at := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	a.Title, a.Group = "3 alerts: "+a.Title, &event.Group{
		Route: "oncall", Labels: []event.Detail{{Name: "rule_id", Value: a.RuleID}, {Name: "app.name", Value: "Evil\n|=\\\"App\""}}, Total: 5, Open: 4,
		Severities: []event.SeverityCount{{Severity: event.SeverityHigh, Alerts: 1}, {Severity: event.SeverityLow, Alerts: 2}}, Rules: []event.RuleCount{{RuleID: a.RuleID, Alerts: 3}},
		First: at, Last: at.Add(time.Minute), Members: []event.Member{{ID: event.NewID("m"), RuleID: a.RuleID, Severity: event.SeverityHigh, Title: "Tenant-wide consent"}}, Silenced: 1,
	}
	return a
}

func TestGolden(t *testing.T) {
	for name, document := range map[string][]byte{"ecs": AppendECS(nil, sample()), "json": AppendJSON(nil, sample()), "ocsf": AppendOCSF(nil, sample()), "cim": AppendCIM(nil, sample()), "full": AppendECS(nil, full()),
		"group": AppendJSON(nil, notice()), "ecs-group": AppendECS(nil, notice()), "ocsf-group": AppendOCSF(nil, notice()), "cim-group": AppendCIM(nil, notice())} {
		var got bytes.Buffer
		if err := json.Indent(&got, document, "", "  "); err != nil {
			t.Fatal(err)
		}
		got.WriteByte('\n')
		file := filepath.Join("testdata", name+".golden.json")
		if *update {
			if err := os.WriteFile(file, got.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestCutSplitsNoCharacter(t *testing.T) {
	for _, tt := range []struct {
		s    string
		n    int
		want string
	}{
		{"abcd", 3, "abc"}, {"aéb", 2, "a"}, {"aéb", 3, "aé"}, {"\U000e0001b", 3, ""}, {"é\U000e0001\xb8\x97\x97", 7, "é\U000e0001\xb8"}, {"é\U000e0001\xb8\x97\x97", 5, "é"}, {"\xb8\xb8\xb8\xb8\xb8", 4, "\xb8\xb8\xb8\xb8"}, {"\xe4\xb8a", 2, "\xe4\xb8"}, {"é", 0, ""},
	} {
		if got := Cut(tt.s, tt.n); got != tt.want {
			t.Errorf("Cut(%q, %d) = %q, want %q", tt.s, tt.n, got, tt.want)
		}
	}
}

func BenchmarkAppendECS(b *testing.B) {
	a := sample()
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendECS(dst[:0], a)
	}
	b.SetBytes(int64(len(dst)))
}
