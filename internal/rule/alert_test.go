package rule_test

import (
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

func TestAConditionOnAnAlert(t *testing.T) {
	set := setOf(t, `list "trusted" { entries = ["a1"] }`)
	a := &event.Alert{
		RuleID: "entra.x", Kind: event.AlertDetection, Severity: event.SeverityHigh, State: event.AlertNew, Title: "Mail access", Score: 0, Count: 3, Provider: "entra",
		Techniques: []string{"T1098.001"}, Time: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), App: event.App{AppID: "a1", Name: "Payroll Bot"}, AppOrigin: "external", AppTier: 1,
		Actor: event.Actor{Type: event.TypeUser, UPN: "ann@example.com"}, Origin: event.Origin{IP: "198.51.100.7", ASN: 64500},
	}
	for text, want := range map[string]bool{
		`alert.rule_id == "entra.x" && alert.severity == "high"`: true,
		`alert.kind == "policy"`:                                 false,
		`starts_with(alert.title, "mail")`:                       true,
		`alert.score == 0 && alert.count >= 3`:                   true,
		`in_list("trusted", app.app_id) && app.tier <= 2`:        true,
		`any_of(alert.techniques, ["T1098.001"])`:                true,
		`cidr_match(source.ip, "198.51.100.0/24")`:               true,
		`source.asn == 64500`:                                    true,
		`actor.name == "ann@example.com"`:                        true,
		`hour() < 13`:                                            true,
		`app.owner_tenant == "x"`:                                false, // unknown is not true
		`!(app.owner_tenant == "x")`:                             false,
		`backfill`:                                               false,
		`true`:                                                   true,
	} {
		f, diags := set.AlertFilter(text)
		if diags.HasErrors() {
			t.Errorf("%s: %v", text, diags)
			continue
		}
		if got := f.Match(a); got != want || f.String() != text {
			t.Errorf("%s: %v, want %v", f, got, want)
		}
	}
}

func TestMistakesInAConditionOnAnAlert(t *testing.T) {
	set := setOf(t, "")
	for text, want := range map[string]string{
		`alert.serverity == "high"`:   `Did you mean "alert.severity"`,
		`rule_id == "x"`:              `no field "rule_id"`,
		`app.publisher.verified`:      "filter:1,1",
		`changed("x")`:                "changed",
		`alert.title`:                 "bool",
		`alert.title ==`:              "filter:1,15",
		`in_list("gone", app.app_id)`: "gone",
		strings.Repeat("(", 20_000):   "filter:1",
	} {
		f, diags := set.AlertFilter(text)
		if f != nil || !strings.Contains(diags.Error(), want) {
			t.Errorf("%.40s: %v, want %q", text, diags, want)
		}
	}
}

// Every documented field can be read, of an alert that has it and of one that has nothing.
func TestEveryFieldOfAnAlertIsRead(t *testing.T) {
	set := setOf(t, "")
	for _, f := range event.AlertFields() {
		text := f.Name + ` == "x"`
		switch f.Type {
		case event.FieldInt:
			text = f.Name + " == 7"
		case event.FieldBool:
			text = f.Name
		case event.FieldTime:
			text = f.Name + ` == time("2026-01-01T00:00:00Z")`
		case event.FieldStrings:
			text = `any_of(` + f.Name + `, ["x"])`
		}
		filter, diags := set.AlertFilter(text)
		if diags.HasErrors() {
			t.Errorf("%s: %v", text, diags)
			continue
		}
		if filter.Match(&event.Alert{}) {
			t.Errorf("%s holds for an empty alert", text)
		}
	}
}
