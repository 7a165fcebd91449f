package rule_test

import (
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/rule"
)

func setOf(t *testing.T, text string) *rule.Set {
	t.Helper()
	set, diags := rule.Compile(&event.RulesBlob{Zone: "UTC", Files: []event.RulesFile{{Path: "r.hcl", Text: []byte(text)}}})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return set
}

func TestFilterAsksInTheLanguageOfPolicies(t *testing.T) {
	set := setOf(t, `list "trusted" { entries = ["a1"] }`)
	now := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	app := &event.AppView{AppID: "a1", Name: "Payroll Bot", Origin: "external", Tier: 1, UsedKnown: true, UsedSince: now.Add(-1e17), UsedThrough: now, LastUsed: now.Add(-100 * 24 * time.Hour)}
	for _, c := range []struct {
		text  string
		want  rule.Truth
		whole bool
	}{
		{`app.origin == "external" && contains(app.name, "payroll")`, rule.True, false},
		{`in_list("trusted", app.app_id)`, rule.True, false},
		{`app.idle > duration("90d")`, rule.True, false},
		{`app.risk >= 50`, rule.True, false},
		{`app.publisher.verified`, rule.False, false},
		{`app.kind == "ManagedIdentity"`, rule.Unknown, false},
		{`app.tier <= 1`, rule.True, true},
		{`length(app.permissions) > 0`, rule.False, true},
		{`app.name == "x" || length(app.owners) > 0`, rule.Unknown, true},
	} {
		f, diags := set.Filter(c.text)
		if diags.HasErrors() {
			t.Errorf("%s: %v", c.text, diags)
			continue
		}
		if got := f.Match(&rule.Env{App: app, Now: now, Risk: 71, RiskKnown: true}); got != c.want || f.Whole() != c.whole {
			t.Errorf("%s: %v, whole %t, want %v, %t", c.text, got, f.Whole(), c.want, c.whole)
		}
	}
}

func TestMistakesInAFilterHaveTheirPlace(t *testing.T) {
	set := setOf(t, "")
	for text, want := range map[string]string{
		`app.orgin == "own"`:             `Did you mean "app.origin"`,
		`event.action == "app.added"`:    "filter:1,1",
		`"own"`:                          "bool",
		`app.origin ==`:                  "filter:1,14",
		``:                               "filter:1,1",
		`true) || (true`:                 "filter:1,5",
		strings.Repeat("(", 20_000):      "filter:1",
		`in_list("nowhere", app.app_id)`: "nowhere",
		`matches(app.name, "(")`:         "filter:1",
	} {
		f, diags := set.Filter(text)
		if f != nil || !diags.HasErrors() || !strings.Contains(diags.Error(), want) {
			t.Errorf("%.40q: %v, no %q in %v", text, f, want, diags)
		}
	}
}
