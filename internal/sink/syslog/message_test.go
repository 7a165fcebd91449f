package syslog

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/event"
)

func encode(t testing.TB, c Config, a *event.Alert) []byte {
	t.Helper()
	e, err := newEncoder(c)
	if err != nil {
		t.Fatal(err)
	}
	return e.append(nil, a, e.payload)
}

func TestAMessageIsWhatRFC5424Says(t *testing.T) {
	a := sinktest.Batch(1)[0]
	a.Time = a.Time.Add(123456789 * time.Nanosecond)
	got := string(encode(t, Config{Hostname: "soc-1", Facility: "audit", Format: "json"}, &a))
	header, document, _ := strings.Cut(got, "] ")
	want := `<107>1 2026-11-24T12:00:00.123456Z soc-1 appgovd - detection [appgov@32473 detection_source="App Governance" alert_id="` + a.ID.String() +
		`" delivery_id="` + a.DeliveryID.String() + `" sequence="0" state="new" kind="detection" rule="entra.test" severity="high" score="70" provider="entra" tenant="contoso" app_id="app-0"`
	if diff := cmp.Diff(want, header); diff != "" {
		t.Error(diff)
	}
	if !json.Valid([]byte(document)) || !strings.Contains(document, `"delivery_id":"`+a.DeliveryID.String()) {
		t.Errorf("document %s", document)
	}
	t.Run("with a byte order mark where the receiver wants it", func(t *testing.T) {
		if got := string(encode(t, Config{BOM: true}, &a)); !strings.Contains(got, "\"] \ufeff{\"") {
			t.Errorf("message %s", got)
		}
	})
	t.Run("with an enterprise number of one's own", func(t *testing.T) {
		if got := string(encode(t, Config{EnterpriseNumber: 4711}, &a)); !strings.Contains(got, "[appgov@4711 ") {
			t.Errorf("message %s", got)
		}
	})
	t.Run("what is unknown is a dash", func(t *testing.T) {
		got := string(encode(t, Config{Hostname: "h"}, &event.Alert{Severity: event.SeverityLow, Kind: "two words"}))
		if !strings.HasPrefix(got, "<133>1 - h appgovd - - [appgov@32473 ") {
			t.Errorf("message %s", got)
		}
	})
}

func TestSeveritiesAreThoseOfSyslog(t *testing.T) {
	want := map[event.Severity]int{event.SeverityCritical: 2, event.SeverityHigh: 3, event.SeverityMedium: 4, event.SeverityLow: 5, event.SeverityInformational: 6, 0: 6}
	for s, n := range want {
		if got := severity(s); got != n {
			t.Errorf("severity of %q is %d, want %d", s, got, n)
		}
	}
}

func TestValuesAreEscaped(t *testing.T) {
	for in, want := range map[string]string{
		`quote " backslash \ bracket ]`: `quote \" backslash \\ bracket \]`,
		"line\r\nfeed":                  "line\ufffd\ufffdfeed",
		"nul \x00 escape \x1b[31m":      "nul \ufffd escape \ufffd[31m",
		"broken \xff":                   "broken \ufffd",
		"\u202eoverride \u2028":         "\ufffdoverride \ufffd",
		"grüße 世界":                      "grüße 世界",
		strings.Repeat("ü", 200):        strings.Repeat("ü", 128) + "…",
	} {
		if got := string(appendValue(nil, in)); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func BenchmarkMessage(b *testing.B) {
	e, err := newEncoder(Config{})
	if err != nil {
		b.Fatal(err)
	}
	a := sinktest.Batch(1)[0]
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = e.append(dst[:0], &a, e.payload)
	}
	b.SetBytes(int64(len(dst)))
}

// Links are left out where a message would be too large with them, and only there.
func TestAMessageThatIsTooLargeWithLinksGoesWithoutThem(t *testing.T) {
	for _, name := range []string{"ecs", "json", "ocsf", "cim", "cef", "leef"} {
		e, err := newEncoder(Config{Format: name, Links: map[string]string{"Portal": "https://portal.example.com/{app_id}"}})
		if err != nil {
			t.Fatal(err)
		}
		a := sinktest.Batch(1)[0]
		linked, bare := e.append(nil, &a, e.payload), e.append(nil, &a, e.bare)
		if len(linked) <= len(bare) {
			t.Fatalf("%s has no link", name)
		}
		for most, want := range map[int][]byte{len(linked): linked, len(linked) - 1: bare, len(bare) - 1: bare} {
			if got := e.within([]byte("before"), &a, most); string(got) != "before"+string(want) {
				t.Errorf("%s of at most %d bytes: %s", name, most, got)
			}
		}
	}
}
