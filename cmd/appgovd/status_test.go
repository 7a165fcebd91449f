package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode"

	"github.com/appgovd/appgovd/internal/app"
	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/ingest"
)

// Errors and alarms repeat what servers and tenants say: a name of an app, an
// answer of a proxy. It must not reach the terminal as it is.
func TestTextOfOthersIsQuotedInTheStatus(t *testing.T) {
	const hostile = "bad\x1b[2J\nSOURCE  healthy\u202e\u2066\x07"
	s := app.Status{
		Sources: []ingest.Status{{Key: "entra/x/alerts", State: ingest.StateFailed, Error: hostile, Hint: hostile}},
		Sinks:   []app.SinkStatus{{Status: deliver.Status{Sink: "kafka/soc", State: deliver.StateRetrying, Error: hostile, Hint: hostile}}},
		Health:  []app.HealthItem{{Key: "source/entra/x/alerts", Severity: "high", Text: hostile}},
	}
	s.Ledger.Error = hostile
	var out bytes.Buffer
	if err := printStatus(&out, s); err != nil {
		t.Fatal(err)
	}
	for _, r := range out.String() {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Fatalf("%q is printed:\n%q", r, &out)
		}
	}
	if n := strings.Count(out.String(), `bad\x1b[2J\nSOURCE`); n != 6 {
		t.Errorf("%d of 6 texts are shown:\n%s", n, &out)
	}
}
