package format

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/event"
)

// What routes can ask of an alert is the same when it was written and read.
func TestAnAlertIsReadAsItWasWritten(t *testing.T) {
	for _, a := range []*event.Alert{sample(), full()} {
		got, err := ParseJSON(AppendJSON(nil, a))
		if err != nil {
			t.Fatal(err)
		}
		want := *a
		want.RuleRevision, want.References, want.Evidence, want.EvidenceTotal, want.Labels, want.Group = "", nil, nil, 0, nil, nil
		want.Origin.UserAgent = ""
		if u := a.Upstream; u != nil {
			want.Upstream = &event.Upstream{AlertID: u.AlertID, Severity: got.Upstream.Severity, DetectionSource: got.Upstream.DetectionSource, ServiceSource: got.Upstream.ServiceSource}
		}
		want.Time, want.Opened = got.Time, got.Opened // milliseconds
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-written +read:\n%s", diff)
		}
	}
}

func TestMistakesInAnAlertAreNamed(t *testing.T) {
	for text, want := range map[string]string{
		``:                                  "empty",
		`null`:                              "null",
		`[]`:                                "array",
		`{`:                                 "unexpected EOF",
		"{\n\"severity\": low}":             "line 2",
		`{}`:                                `severity is ""`,
		`{"severity": "hihg"}`:              "informational, low",
		`{"severity": 4}`:                   "severity must be string, and is number",
		`{"severity": "low", "state": "x"}`: "new, updated or resolved",
		`{"severity": "low"} {}`:            "behind it",
		`{"severity": "low", "app": {"tier": "1"}}`: "app.tier",
		`{"severity": "low", "time": "yesterday"}`:  "yesterday",
		strings.Repeat(" ", maxParsed+1):            "at most",
	} {
		if _, err := ParseJSON([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
}

func FuzzParseJSON(f *testing.F) {
	f.Add(AppendJSON(nil, sample()))
	f.Add(AppendJSON(nil, full()))
	f.Add([]byte(`{"severity":"low","time":"2026-01-01T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := ParseJSON(b)
		if err != nil {
			return
		}
		if again, err := ParseJSON(AppendJSON(nil, &a)); err != nil || again.Severity != a.Severity || again.State != a.State {
			t.Errorf("%+v is read back as %+v, %v", a, again, err)
		}
	})
}
