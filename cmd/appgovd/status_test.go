package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode"

	"github.com/appgovd/appgovd/internal/app"
	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/detect"
	"github.com/appgovd/appgovd/internal/ingest"
)

// Errors and alarms repeat what servers and tenants say: a name of an app, an
// answer of a proxy. It must not reach the terminal as it is.
func TestTextOfOthersIsQuotedInTheStatus(t *testing.T) {
	const hostile = "bad\x1b[2J\nSOURCE  healthy\u202e\u2066\x07"
	s := app.Status{
		Sources: []app.SourceStatus{{Status: ingest.Status{Key: "entra/x/alerts", State: ingest.StateFailed, Error: hostile, Hint: hostile}, Condition: app.ConditionFailed, Reason: hostile}},
		Sinks:   []app.SinkStatus{{Status: deliver.Status{Sink: "kafka/soc", State: deliver.StateRetrying, Error: hostile, Hint: hostile}}},
		Health:  []app.HealthItem{{Key: "source/entra/x/alerts", Severity: "high", Text: hostile}},
	}
	s.Ledger.Error = hostile
	s.Risks = map[string][]detect.EntityRisk{"entra/x": {{Entity: "app", Key: "a1", Name: hostile, Risk: 71, Alert: true, Factors: []detect.Factor{{Rule: "r.one", Points: 60}, {Rule: "r.two", Points: 11}}}}}
	var out bytes.Buffer
	if err := printStatus(&out, s); err != nil {
		t.Fatal(err)
	}
	for _, r := range out.String() {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Fatalf("%q is printed:\n%q", r, &out)
		}
	}
	if n := strings.Count(out.String(), `bad\x1b[2J\nSOURCE`); n != 7 {
		t.Errorf("%d of 7 texts are shown:\n%s", n, &out)
	}
	if line := "71 of 100, alert open: r.one (60), r.two (11)"; !strings.Contains(out.String(), line) {
		t.Errorf("no %q in\n%s", line, &out)
	}
}
