package app

import (
	"testing"

	"github.com/appgovd/appgovd/internal/config"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ledger"
)

func TestAGapIsDeliveredWhateverTheRoutes(t *testing.T) {
	a := &Agent{plan: &Plan{Config: &config.Config{Routes: []config.Route{{MinSeverity: "critical", Sinks: []string{"file/a"}}, {Sinks: []string{"file/b"}}}}}}
	match := a.match("file/a", "informational")
	if !match(&event.Alert{RuleID: ledger.GapRule, Kind: event.AlertHealth, Severity: event.SeverityHigh}) {
		t.Error("the gap of a sink is not routed to it")
	}
	if match(&event.Alert{RuleID: "entra.x", Severity: event.SeverityHigh}) {
		t.Error("an alert that a route sends elsewhere is")
	}
}

func TestASinkTakesNothingBelowItsSeverity(t *testing.T) {
	a := &Agent{plan: &Plan{Config: &config.Config{}}}
	match := a.match("pagerduty/soc", "high")
	for severity := event.SeverityInformational; severity <= event.SeverityCritical; severity++ {
		if got, want := match(&event.Alert{RuleID: "entra.x", Severity: severity}), severity >= event.SeverityHigh; got != want {
			t.Errorf("%s: %v, want %v", severity, got, want)
		}
	}
	if !match(&event.Alert{RuleID: ledger.GapRule, Severity: event.SeverityLow}) {
		t.Error("the gap of a sink is not routed to it")
	}
}
