package rule

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/event"
)

func TestLintTellsWhatWorksAndIsNoGoodRule(t *testing.T) {
	blob := &event.RulesBlob{Zone: "UTC", Files: []event.RulesFile{
		{Path: "a.hcl", Text: []byte(`list "old" {
  entry "x" {
    until = "2026-01-01"
  }
}
rule "good" {
  title       = "t"
  description = "what to look at"
  severity    = "low"
  techniques  = []
  on          = ["app.added"]
  where       = app.name != "Quiet" && true
}
rule "poor" {
  title    = "t"
  severity = "low"
  on       = ["app.added"]
  where    = 1 < 2 || app.name == "x"
}
`)},
		{Path: "a.test.hcl", Text: []byte(`test "an app appears" {
  rules = ["good"]
  event {
    action = "app.added"
    details = { a = "b" }
  }
  expect {}
}
test "a quiet app appears" {
  rules = ["good"]
  tick {
    at = "1h"
  }
}
`)}}}
	var got []string
	for _, d := range Lint(blob, time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)) {
		got = append(got, strings.TrimSpace(strings.SplitN(d.Error(), ";", 2)[0]))
	}
	want := []string{
		"a.hcl:14,1-12: No test fires", "a.hcl:14,1-12: No near miss", "a.hcl:14,1-12: No description", "a.hcl:14,1-12: No technique",
		"a.hcl:18,14-38: Always the same", "a.hcl:18,14-19: Always the same", "a.hcl:1,1-11: List not used", "a.hcl:1,1-11: Entry has expired",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLintTellsMistakesOnce(t *testing.T) {
	diags := Lint(blobOf("rule \"a\" {\n title = \"t\"\n severity = \"low\"\n on = [\"app.added\"]\n where = app.nme == \"x\"\n}\ntest \"x\" {\n rules = [\"b\"]\n}"), time.Now())
	if len(diags) != 2 || !diags.HasErrors() {
		t.Error(diags)
	}
}
