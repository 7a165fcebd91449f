package format

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
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

func flatten(prefix string, v any, out map[string]any) {
	m, ok := v.(map[string]any)
	if !ok {
		out[prefix] = v
		return
	}
	for k, x := range m {
		flatten(strings.TrimPrefix(prefix+"."+k, "."), x, out)
	}
}

// Every field outside our own namespace is one of ECS 9.4, with its kind of
// value, by the schema that Elastic publishes.
func TestEveryFieldIsOneOfECS(t *testing.T) {
	if n := checkECS(t, ecsSchema(t), "full", AppendECS(nil, full())); n < 40 {
		t.Errorf("only %d fields checked", n)
	}
}

func ecsSchema(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile("../../../shared/corpus/schemas/ecs_flat.yml")
	if err != nil {
		t.Skip("SKIPPED: the corpus is not here: ", err)
	}
	fields := map[string]string{}
	for _, part := range regexp.MustCompile(`(?ms)^'?([@a-z][a-z0-9_.@]*)'?:\n(.*?)(?:^\S|\z)`).FindAllStringSubmatch(regexp.MustCompile(`(?m)^(\S)`).ReplaceAllString(string(b), "\x00\n$1"), -1) {
		fields[part[1]] = part[2]
	}
	if len(fields) < 1000 {
		t.Fatalf("the schema has only %d fields", len(fields))
	}
	return fields
}

// checkECS holds document to the schema and returns how many fields it has.
func checkECS(t *testing.T, schema map[string]string, what string, document []byte) int {
	t.Helper()
	var doc any
	if err := json.Unmarshal(document, &doc); err != nil {
		t.Fatal(err)
	}
	fields := map[string]any{}
	flatten("", doc, fields)
	for name, value := range fields {
		if strings.HasPrefix(name, "appgov.") {
			continue
		}
		field, known := schema[name]
		if !known {
			t.Errorf("%s: %s is not in ECS", what, name)
			continue
		}
		if _, list := value.([]any); list != strings.Contains(field, "- array") {
			t.Errorf("%s: %s: list %v, but ECS says otherwise", what, name, list)
		}
		if name == "event.category" || name == "event.kind" || name == "event.type" || name == "event.outcome" {
			for _, v := range texts(value) {
				if !strings.Contains(field, "name: "+v+"\n") {
					t.Errorf("%s: %s may not be %q", what, name, v)
				}
			}
		}
	}
	if categories := texts(fields["event.category"]); len(categories) == 1 {
		before, _, _ := strings.Cut(schema["event.category"], "name: "+categories[0]+"\n")
		for _, kind := range texts(fields["event.type"]) {
			if expected := before[strings.LastIndex(before, "expected_event_types:"):]; !strings.Contains(expected, "- "+kind+"\n") {
				t.Errorf("%s: ECS expects no %s of %s", what, kind, categories[0])
			}
		}
	}
	return len(fields)
}

func texts(v any) (out []string) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	for _, x := range list {
		out = append(out, x.(string))
	}
	return out
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
