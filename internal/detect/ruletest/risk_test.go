package ruletest

import (
	"strings"
	"testing"

	"github.com/appgovd/appgovd/internal/event"
)

const scored = `rule "x.score" {
  title    = "Score"
  severity = "low"
  mode     = "score"
  on       = ["app.consent.granted"]
  risk {
    points = 40
  }
}
risk "app" {
  half_life = "1d"
  alert_at  = 70
}
exception "x.known" {
  rules  = ["x.*"]
  where  = actor.name == "Ada"
  reason = "known"
  owner  = "soc"
}
test "two consents cross the line, the risk halves in a day, and what is excepted adds nothing" {
  rules = ["x.score", "risk.app"]
  app "One" {}
  event {
    action = "app.consent.granted"
    app    = "One"
  }
  event {
    action = "app.consent.granted"
    app    = "One"
    actor  = { type = "user", id = "u1", name = "Ada" }
  }
  spared {
    exception = "x.known"
    hits      = 1
  }
  risk {
    at    = "1s"
    app   = "One"
    score = 40
  }
  event {
    at     = "1m"
    action = "app.consent.granted"
    app    = "One"
  }
  risk {
    at    = "1d1m"
    app   = "One"
    score = 39
  }
  expect {
    rule  = "risk.app"
    kind  = "risk"
    state = "new"
    app   = "One"
    score = 79
  }
}
`

func TestATestSaysWhatTheRiskMustBe(t *testing.T) {
	run := func(text string) Report {
		t.Helper()
		r, err := Run(&event.RulesBlob{Zone: "UTC", Files: []event.RulesFile{{Path: "x.hcl", Text: []byte(text)}}}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := run(scored); !r.OK() {
		t.Errorf("%+v", r.Tests)
	}
	r := run(strings.Replace(scored, "score = 40", "score = 60", 1))
	if r.OK() || len(r.Tests[0].Failures) != 1 || !strings.Contains(r.Tests[0].Failures[0].Text, `the risk of "One" is 40, want 60`) {
		t.Errorf("another risk: %+v", r.Tests)
	}
}

func TestATestSaysWhatAnExceptionSpared(t *testing.T) {
	run := func(old, changed string) (Report, error) {
		return Run(&event.RulesBlob{Zone: "UTC", Files: []event.RulesFile{{Path: "x.hcl", Text: []byte(strings.Replace(scored, old, changed, 1))}}}, Options{})
	}
	r, err := run("hits      = 1", "")
	if err != nil || !r.OK() || len(r.Unspared()) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = run("hits      = 1", "hits      = 2")
	if err != nil || len(r.Tests[0].Failures) != 1 || !strings.Contains(r.Tests[0].Failures[0].Text, "x.known spared 1 times, want 2") {
		t.Errorf("other hits: %+v, %v", r.Tests, err)
	}
	r, err = run(`where  = actor.name == "Ada"`, `where  = actor.name == "Eve"`)
	if err != nil || r.OK() || len(r.Unspared()) != 1 || r.Unspared()[0] != "x.known" {
		t.Errorf("an exception that covers nothing: %+v, %v", r, err)
	}
	var text strings.Builder
	if err := r.WriteText(&text); err != nil || !strings.Contains(text.String(), "not covered: exception x.known") {
		t.Errorf("%s, %v", text.String(), err)
	}
	if _, err = run(`exception = "x.known"`, `exception = "x.unknown"`); err == nil || !strings.Contains(err.Error(), "Unknown exception") {
		t.Errorf("an exception that there is not: %v", err)
	}
}
