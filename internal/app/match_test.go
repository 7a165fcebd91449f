package app

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ledger"
)

// routesOf are the routes of a configuration with the sinks file/a and file/b, of which
// the first takes nothing below low.
func routesOf(t *testing.T, low, text string) *routing {
	t.Helper()
	name := filepath.Join(t.TempDir(), "agent.hcl")
	text = "sink \"file\" \"a\" {\n  path = \"/tmp/a\"\n  min_severity = \"" + low + "\"\n}\nsink \"file\" \"b\" {\n  path = \"/tmp/b\"\n}\n" + text
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, diags := Check(name)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return &routing{tree: p.tree}
}

func TestAGapIsDeliveredWhateverTheRoutes(t *testing.T) {
	match := routesOf(t, "informational", "route {\n  min_severity = \"critical\"\n  sinks = [\"file/a\"]\n}\nroute {\n  sinks = [\"file/b\"]\n}\n").match("file/a")
	if !match(&event.Alert{RuleID: ledger.GapRule, Kind: event.AlertHealth, Severity: event.SeverityHigh}) {
		t.Error("the gap of a sink is not routed to it")
	}
	if match(&event.Alert{RuleID: "entra.x", Severity: event.SeverityHigh}) {
		t.Error("an alert that a route sends elsewhere is")
	}
}

func TestASinkTakesNothingBelowItsSeverity(t *testing.T) {
	match := routesOf(t, "high", "").match("file/a")
	for severity := event.SeverityInformational; severity <= event.SeverityCritical; severity++ {
		if got, want := match(&event.Alert{RuleID: "entra.x", Severity: severity}), severity >= event.SeverityHigh; got != want {
			t.Errorf("%s: %v, want %v", severity, got, want)
		}
	}
	if !match(&event.Alert{RuleID: ledger.GapRule, Severity: event.SeverityLow}) {
		t.Error("the gap of a sink is not routed to it")
	}
}
