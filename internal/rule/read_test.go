package rule

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/appgovd/appgovd/internal/event"
)

func TestReadFSTakesWhatBelongsToRules(t *testing.T) {
	fsys := fstest.MapFS{
		"b/x.hcl":             {Data: []byte("x")},
		"a.hcl":               {Data: []byte("a")},
		"a.test.hcl":          {Data: []byte("t")},
		"data/tiers.csv":      {Data: []byte("c")},
		"b/testdata/raw.json": {Data: []byte("{}")},
		"README.md":           {Data: []byte("no")},
		".git/config.hcl":     {Data: []byte("no")},
		".hidden.hcl":         {Data: []byte("no")},
	}
	cases := []struct {
		sentence string
		tests    bool
		want     []string
	}{
		{"without tests", false, []string{"a.hcl", "b/x.hcl", "data/tiers.csv"}},
		{"with tests", true, []string{"a.hcl", "a.test.hcl", "b/testdata/raw.json", "b/x.hcl", "data/tiers.csv"}},
	}
	for _, x := range cases {
		t.Run(x.sentence, func(t *testing.T) {
			files, err := ReadFS(fsys, x.tests)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, f := range files {
				names = append(names, f.Path)
			}
			if diff := cmp.Diff(x.want, names); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

// The compiler says of a file that it is too large, with its place, beside all other
// mistakes; no more is read of one than any may have.
func TestAFileThatIsTooLargeIsAMistakeOfTheRules(t *testing.T) {
	fsys := fstest.MapFS{"big.csv": {Data: make([]byte, maxFixture+100)}, "other.hcl": {Data: []byte("rule {}\n")}}
	files, err := ReadFS(fsys, false)
	if err != nil || len(files[0].Text) != maxFixture+1 {
		t.Fatalf("%d bytes, %v", len(files[0].Text), err)
	}
	_, diags := Compile(&event.RulesBlob{Zone: "UTC", Files: files})
	if len(diags) != 2 || diags[0].Summary != "File too large" || diags[0].Subject.String() != "big.csv:1,1-1" || diags[1].Subject.Filename != "other.hcl" {
		t.Errorf("%v", diags)
	}
}

func TestATestBlockBecomesATimelineInOrder(t *testing.T) {
	tests, diags := Tests(blobOf(`
rule "r" {
  title    = "t"
  severity = "low"
  on       = ["app.consent.granted"]
}
test "what happens" {
  rules = ["r"]
  clock = "2026-01-02T00:00:00Z"
  since = "1d"
  app "Sync" {
    origin = "external"
  }
  event {
    at          = "1h"
    action      = "app.consent.granted"
    app         = "Sync"
    actor       = { type = "user", id = "u1" }
    source      = { ip = "192.0.2.1", asn = 64500 }
    permissions = ["Mail.Read", "application:Files.Read.All"]
    revoked     = ["User.Read"]
    changes     = { Scope = { old = [], new = ["Mail.Read"] } }
    consent     = { type = "principal", admin = false, scopes = ["Mail.Read"] }
  }
  tick {
    at = "30m"
  }
  expect {
    score = 5
  }
}`))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if len(tests) != 1 || len(tests[0].Steps) != 2 || !tests[0].Steps[0].Tick {
		t.Fatalf("tests: %+v, want one whose tick comes before its event", tests)
	}
	clock := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	if got := tests[0].Since; !got.Equal(clock.AddDate(0, 0, -1)) {
		t.Errorf("since %v, want a day before the clock", got)
	}
	want := &event.Event{
		Provider: "entra", Tenant: TestTenant, Class: event.ClassAudit, Source: "test/audit", UpstreamID: "test-1",
		Time: clock.Add(time.Hour), Observed: clock.Add(time.Hour), Action: "app.consent.granted", Result: "success",
		Actor:   event.Actor{Type: "user", ID: "u1"},
		App:     event.App{ID: "sp Sync", AppID: "app Sync", Name: "Sync", OwnerTenant: ownerOf("external")},
		Origin:  event.Origin{IP: "192.0.2.1", ASN: 64500},
		Consent: event.Consent{Type: "principal", AdminSet: true, Scopes: []string{"Mail.Read"}},
		Permissions: []event.Permission{
			{Kind: "delegated", Name: "Mail.Read"}, {Kind: "application", Name: "Files.Read.All"}, {Kind: "delegated", Name: "User.Read", Removed: true},
		},
		Changes: []event.Change{{Name: "Scope", Old: []string{}, New: []string{"Mail.Read"}}},
	}
	if diff := cmp.Diff(want, tests[0].Steps[1].Event, cmpopts.IgnoreFields(event.Event{}, "ID", "Content")); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	if x := tests[0].Expect[0]; x.Rule != "r" || x.Score != 5 || x.Alerts != 1 {
		t.Errorf("expectation %+v, want rule r, score 5, one alert", x)
	}
}

func TestEveryTextFieldOfTheSchemaCanBeWrittenInATest(t *testing.T) {
	e := &event.Event{Upstream: &event.Upstream{}, Call: &event.Call{}}
	texts := textTargets(e)
	for _, f := range event.Fields() {
		written := map[string]bool{"class": true, "provider": true, "tenant": true, "upstream.severity": true} // set by the reader
		if f.Type == event.FieldString && (f.From == event.FromEvent || f.From == event.FromBoth) && texts[f.Name] == nil && !written[f.Name] {
			t.Errorf("%s cannot be written", f.Name)
		}
	}
}

func TestHugeNumbersAndExponentsAreReadQuickly(t *testing.T) {
	for _, n := range []string{"1e999999999", "1.5", strings.Repeat("9", 10_000)} {
		start := time.Now()
		_, diags := Compile(blobOf("rule \"a\" {\n title = \"t\"\n severity = \"low\"\n on = [\"app.added\"]\n score = " + n + "\n}"))
		if !diags.HasErrors() {
			t.Errorf("%.20s is taken for an integer", n)
		}
		if took := time.Since(start); took > time.Minute {
			t.Errorf("%.20s took %v", n, took)
		}
	}
}

func TestACallIsWrittenInATest(t *testing.T) {
	const head = "rule \"r\" {\n title = \"t\"\n severity = \"low\"\n on = [\"app.call\"]\n}\ntest \"x\" {\n rules = [\"r\"]\n clock = \"2026-01-02T00:00:00Z\"\n"
	tests, diags := Tests(blobOf(head + `
  event {
    action = "app.call"
    repeat = 2
    every  = "1m"
    call   = { method = "GET", workload = "exchange", endpoint = "me/messages", status = 200, response_bytes = 512, duration = "2s", permissions = ["Mail.Read"] }
  }
}`))
	if diags.HasErrors() || len(tests[0].Steps) != 2 {
		t.Fatal(diags)
	}
	want := event.Call{Method: "GET", Workload: "exchange", Endpoint: "me/messages", Status: 200, Bytes: 512, BytesKnown: true, Duration: 2 * time.Second, Permissions: []string{"Mail.Read"}}
	first, second := tests[0].Steps[0].Event, tests[0].Steps[1].Event
	if diff := cmp.Diff(&want, second.Call); diff != "" || first.Call == second.Call || first.Class != event.ClassCall {
		t.Errorf("%s, of class %s:\n%s", first.Action, first.Class, diff)
	}
	for _, bad := range []string{`{ status = "ok" }`, `{ duration = "soon" }`, `{ size = 1 }`} {
		if _, diags := Tests(blobOf(head + " event {\n action = \"app.call\"\n call = " + bad + "\n }\n}")); !diags.HasErrors() {
			t.Errorf("%s was accepted", bad)
		}
	}
}
