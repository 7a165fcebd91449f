package ruletest

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/rule"
)

func TestTheShippedRulesPassTheirTests(t *testing.T) {
	files, err := rule.ReadFS(os.DirFS("../../../rules"), true)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(&event.RulesBlob{Zone: "UTC", Files: files}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if !r.OK() || len(r.Uncovered()) > 0 || r.Passed < 30 {
		t.Errorf("the shipped rules:\n%s", text.String())
	}
	for _, c := range r.Coverage {
		for _, x := range c.Unreached {
			t.Errorf("%s:%d: %s: never %s: %s", x.File, x.Line, c.Rule, strings.Join(x.Never, " nor "), x.Text)
		}
	}
}

func TestCoverageNamesConditionsThatNoTestReaches(t *testing.T) {
	r, err := Run(&event.RulesBlob{Zone: "UTC", Files: []event.RulesFile{{Path: "x.hcl", Text: []byte(`rule "x" {
  title    = "t"
  severity = "low"
  on       = ["app.added"]
  where    = app.name == "A" && (actor.type == "user" || !(actor.type == "app"))
  score    = 1 < 2 ? 20 : 30
}
test "fires" {
  rules = ["x"]
  event {
    action = "app.added"
    app    = { id = "1", name = "A" }
    actor  = { type = "user", id = "u" }
  }
  expect {}
}
test "does not" {
  rules = ["x"]
  event {
    action = "app.added"
    app    = { id = "1", name = "B" }
    actor  = { type = "user", id = "u" }
  }
}
`)}}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []Coverage{{Rule: "x", Fires: 1, NearMisses: 1, Conditions: 3, Reached: 1, Unreached: []Condition{
		{File: "x.hcl", Line: 5, Text: `actor.type == "user"`, Never: []string{"false"}},
		{File: "x.hcl", Line: 5, Text: `actor.type == "app"`, Never: []string{"true"}},
	}}}
	if diff := cmp.Diff(want, r.Coverage); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A test in which a rule has nothing to look at is no near miss, and one that fails
// covers nothing.
func TestATestCoversWhatHappensInIt(t *testing.T) {
	r, err := Run(&event.RulesBlob{Zone: "UTC", Files: []event.RulesFile{{Path: "x.hcl", Text: []byte(`rule "x" {
  title    = "t"
  severity = "low"
  on       = ["app.added"]
  where    = app.name == "A"
}
test "nothing happens" {
  rules = ["x"]
}
test "expects what does not come" {
  rules = ["x"]
  expect {}
}
`)}}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if c := r.Coverage[0]; c.Fires != 0 || c.NearMisses != 0 || r.Complete() {
		t.Errorf("%+v", c)
	}
	for how, want := range map[JUnitCoverage]string{
		CoverageLeftOut:  "",
		CoverageShown:    `<skipped message="0 firing cases, 0 near misses: at least one of each`,
		CoverageRequired: `<failure message="0 firing cases, 0 near misses: at least one of each"`,
	} {
		var b bytes.Buffer
		if err := r.WriteJUnit(&b, how); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), want) || strings.Contains(b.String(), `<testsuite name="coverage"`) != (want != "") {
			t.Errorf("%d:\n%s", how, &b)
		}
	}
}

func TestJUnitNamesEachTestAndItsFailures(t *testing.T) {
	r := Report{Passed: 1, Failed: 1, Tests: []Result{
		{Name: "a <b>", File: "x.test.hcl", Line: 1},
		{Name: "c", File: "x.test.hcl", Line: 9, Failures: []Failure{{File: "x.test.hcl", Line: 12, Text: "unexpected alert"}}},
	}}
	var b bytes.Buffer
	if err := r.WriteJUnit(&b, CoverageLeftOut); err != nil {
		t.Fatal(err)
	}
	want := `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="appgovd" tests="2" failures="1">
  <testsuite name="x.test.hcl" tests="2" failures="1">
    <testcase name="a &lt;b&gt;" classname="x.test.hcl" file="x.test.hcl" line="1"></testcase>
    <testcase name="c" classname="x.test.hcl" file="x.test.hcl" line="9">
      <failure message="unexpected alert">x.test.hcl:12: unexpected alert&#xA;</failure>
    </testcase>
  </testsuite>
</testsuites>
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

const rules = `rule "x.consent" {
  title    = "Consent"
  severity = "high"
  on       = ["app.consent.granted"]
  where    = consent.type == "all_principals"
}
policy "x.wide" {
  title    = "Tenant-wide"
  severity = "high"
  where    = app.tenant_wide
}
`

func runText(t *testing.T, tests string, o Options) Report {
	t.Helper()
	r, err := Run(&event.RulesBlob{Zone: "UTC", Files: []event.RulesFile{
		{Path: "x.hcl", Text: []byte(rules)}, {Path: "x.test.hcl", Text: []byte(tests)},
		{Path: "testdata/consent.json", Text: []byte(`{"raw": true}`)}}}, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestWhatATestSays(t *testing.T) {
	consent := func(kind, expect string) string {
		return `test "t" {
  rules = ["x.consent"]
  event {
    action  = "app.consent.granted"
    consent = { type = "` + kind + `" }
    app     = { id = "s1", name = "One" }
  }
` + expect + "\n}\n"
	}
	cases := []struct {
		name, test string
		want       []string
	}{
		{"an expected alert passes", consent("all_principals", `expect { severity = "high" }`), nil},
		{"silence passes as a near miss", consent("principal", ""), nil},
		{"an alert that nobody expects fails at the test", consent("all_principals", ""),
			[]string{`x.test.hcl:1: unexpected alert: x.consent (detection, new, high, score 75) on "One" at 2026-03-03T12:00:00Z: "Consent"`}},
		{"an alert that does not come fails at its expectation", consent("principal", `expect {}`),
			[]string{"x.test.hcl:8: x.consent: 0 of 1 alerts"}},
		{"an alert of other severity is told as the nearest", consent("all_principals", `expect { severity = "low" }`),
			[]string{
				"x.test.hcl:8: x.consent: 0 of 1 alerts; the nearest has severity high, want low",
				`x.test.hcl:1: unexpected alert: x.consent (detection, new, high, score 75) on "One" at 2026-03-03T12:00:00Z: "Consent"`}},
		{"a wrong count is told", consent("all_principals", `expect { count = 2 }`),
			[]string{"x.test.hcl:8: x.consent: the last alert counts 1 matches, want 2"}},
		{"what is there at the first sync is a summary, what comes later an alert, until it is gone", `test "t" {
  rules = ["x.wide"]
  app "Old" {
    grant { scopes = ["Mail.Read"] }
  }
  app "New" {
    at = "1h"
    grant { scopes = ["Mail.Read"] }
  }
  app "New" {
    at      = "2h"
    removed = "deleted"
  }
  expect { kind = "summary" }
  expect {
    app   = "New"
    state = "new"
  }
  expect {
    app   = "New"
    state = "resolved"
  }
}
`, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := runText(t, c.test, Options{})
			var got []string
			for _, f := range r.Tests[0].Failures {
				got = append(got, f.File+":"+itoa(f.Line)+": "+f.Text)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("failures (-want +got):\n%s", diff)
			}
			if r.OK() != (len(c.want) == 0) {
				t.Errorf("OK() = %v with %d failures", r.OK(), len(got))
			}
		})
	}
}

func itoa(n int) string {
	b, _ := json.Marshal(n)
	return string(b)
}

const fixtureTest = `test "from a fixture" {
  rules = ["x.consent"]
  fixture "testdata/consent.json" {}
  expect {}
}
`

func TestAFixtureIsDecodedByTheCaller(t *testing.T) {
	decode := func(name string, raw []byte) ([]event.Event, error) {
		if name != "testdata/consent.json" || string(raw) != `{"raw": true}` {
			return nil, errors.New("other bytes than those of the fixture")
		}
		return []event.Event{{ID: event.NewID("f"), Class: event.ClassAudit, Action: event.ActionConsentGranted,
			Consent: event.Consent{Type: "all_principals"}}}, nil
	}
	if r := runText(t, fixtureTest, Options{Decode: decode}); !r.OK() {
		t.Errorf("failures: %+v", r.Tests[0].Failures)
	}
	if r := runText(t, fixtureTest, Options{}); r.OK() {
		t.Error("a fixture that nobody decodes passes")
	}
}

func TestTheReportSaysWhatIsNotCovered(t *testing.T) {
	r := runText(t, fixtureTest, Options{})
	var text, js bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	want := `FAIL x.test.hcl:1: from a fixture
  x.test.hcl:3: fixtures cannot be read here
  x.test.hcl:4: x.consent: 0 of 1 alerts
not covered: x.consent: 0 firing, 0 near miss
not covered: x.wide: 0 firing, 0 near miss
0 passed, 1 failed, 2 rules and policies
`
	if diff := cmp.Diff(want, text.String()); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
	if err := r.WriteJSON(&js); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(js.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, back); diff != "" {
		t.Errorf("the JSON report differs:\n%s", diff)
	}
}

func TestRulesThatDoNotCompileAreAnError(t *testing.T) {
	_, err := Run(&event.RulesBlob{Files: []event.RulesFile{{Path: "x.hcl", Text: []byte(`rule "x" {}`)}}}, Options{})
	if err == nil || !strings.Contains(err.Error(), "x.hcl") {
		t.Errorf("error %v, want one that names the file", err)
	}
}

func TestWhatALaterBlockOfAnAppListsNoMoreIsTakenAway(t *testing.T) {
	r, err := Run(&event.RulesBlob{Zone: "UTC", Files: []event.RulesFile{{Path: "x.hcl", Text: []byte(`policy "x.strong" {
  title    = "Mail"
  severity = "medium"
  where    = has_permission(app.permissions, "Mail.Send")
}
policy "x.urls" {
  title    = "Reply URL"
  severity = "low"
  where    = contains(app.reply_urls, "one.example")
}
`)}, {Path: "x.test.hcl", Text: []byte(`test "t" {
  rules = ["x.strong", "x.urls"]
  app "New" {
    permissions = []
  }
  app "New" {
    at          = "1h"
    permissions = ["Files.Read.All", "Mail.Send"]
    reply_urls  = ["https://one.example"]
  }
  app "New" {
    at          = "3h"
    permissions = ["Files.Read.All"]
    reply_urls  = []
  }
  expect {
    rule  = "x.strong"
    state = "new"
  }
  expect {
    rule  = "x.strong"
    state = "resolved"
  }
  expect {
    rule  = "x.urls"
    state = "new"
  }
  expect {
    rule  = "x.urls"
    state = "resolved"
  }
}
test "a block without the lists takes nothing" {
  rules = ["x.strong", "x.urls"]
  app "New" {
    at          = "1h"
    permissions = ["Mail.Send"]
    reply_urls  = ["https://one.example"]
  }
  app "New" {
    at = "2h"
  }
  tick {
    at = "3h"
  }
  expect {
    rule = "x.strong"
  }
  expect {
    rule = "x.urls"
  }
}
`)}}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range r.Tests {
		if len(x.Failures) > 0 {
			t.Errorf("%s: %v", x.Name, x.Failures)
		}
	}
}
