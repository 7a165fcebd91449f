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
