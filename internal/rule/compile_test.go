package rule

import (
	"testing"

	"github.com/appgovd/appgovd/internal/event"
)

func blobOf(text string) *event.RulesBlob {
	return &event.RulesBlob{Zone: "UTC", Files: []event.RulesFile{{Path: "rules.hcl", Text: []byte(text)}}}
}

func mustCompile(t testing.TB, text string) *Set {
	t.Helper()
	set, diags := Compile(blobOf(text))
	for _, d := range diags {
		t.Error(d.Error())
	}
	if t.Failed() {
		t.FailNow()
	}
	return set
}

func TestRuleOfTheDesignDocumentCompilesAndMatches(t *testing.T) {
	set := mustCompile(t, `
list "deploy_pipelines" {
  entry "9b3c" {
    comment = "GitHub runner"
    until   = "2027-01-01"
  }
}
rule "entra.credential.added_to_privileged_app" {
  title      = "Credential added to a privileged app"
  severity   = "high"
  techniques = ["T1098.001"]
  references = ["https://example.com"]
  on         = ["app.credential.added"]
  where      = app.tier <= 1 && !in_list("deploy_pipelines", actor.id)
  score      = 60 + (app.publisher.verified ? 0 : 15)
  suppress {
    by  = [app.id]
    for = "24h"
  }
  alert {
    summary = "${actor.name} added a ${credential.kind} to ${app.name}"
  }
}`)
	rules := set.Candidates("app.credential.added")
	if len(rules) != 1 {
		t.Fatalf("candidates: %d, want 1", len(rules))
	}
	env := &Env{
		Event: &event.Event{Actor: event.Actor{ID: "a1", Name: "Eve\nAdmin"}, Credential: event.Credential{Kind: "password"}, App: event.App{ID: "sp", Name: "Sync"}},
		App:   &event.AppView{Tier: 1},
	}
	r := rules[0]
	if got := r.Match(env); got != True {
		t.Errorf("match: %v, want True", got)
	}
	if got := r.Score(env); got != 75 {
		t.Errorf("score: %d, want 75", got)
	}
	if got, want := r.Summary(env), "Eve Admin added a password to Sync"; got != want {
		t.Errorf("summary: %q, want %q", got, want)
	}
}
