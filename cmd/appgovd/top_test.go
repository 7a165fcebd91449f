package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/app"
	"github.com/appgovd/appgovd/internal/detect"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ingest"
)

// seen is what a daemon that was started at began says after some seconds.
func seen(began time.Time, after time.Duration, fetched, matches uint64) picture {
	s := app.Status{Started: began, Time: began.Add(after), Sources: []app.SourceStatus{
		{Status: ingest.Status{Key: "entra/x/users", Account: event.Account{Fetched: fetched}}, Condition: app.ConditionHealthy},
		{Status: ingest.Status{Key: "entra/x/audits", Error: "a\x1b[2Jb"}, Condition: app.ConditionFailed},
	}}
	return picture{s, map[string]app.RulesStatus{"entra/x": {Rules: []detect.RuleHealth{{ID: "quiet", Matches: 900}, {ID: "busy", Matches: matches}}}}}
}

func TestRatesAreThoseBetweenTwoPictures(t *testing.T) {
	began := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	var b strings.Builder
	if err := draw(&b, seen(began, 10*time.Second, 100, 5), seen(began, 12*time.Second, 150, 8)); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(b.String()), " ")
	for _, want := range []string{"entra/x/users healthy - 25.0 0.0", "busy entra/x 1.5 8", "quiet entra/x 0.0 900"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if strings.Index(text, "busy") > strings.Index(text, "quiet") || strings.Index(text, "entra/x/audits") > strings.Index(text, "entra/x/users") {
		t.Errorf("the busiest rule and the failed source do not come first:\n%s", b.String())
	}
	if strings.Contains(b.String(), "\x1b") {
		t.Error("an error of others reaches the terminal as it is")
	}
}

func TestADaemonThatWasStartedAnewHasNoRateYet(t *testing.T) {
	began := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	var b strings.Builder
	if err := draw(&b, seen(began, time.Minute, 100, 5), seen(began.Add(time.Hour), time.Second, 150, 8)); err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(strings.Fields(b.String()), " "); !strings.Contains(text, "entra/x/users healthy - - -") {
		t.Errorf("%s", b.String())
	}
}

func TestAPictureFitsTheTerminal(t *testing.T) {
	var b bytes.Buffer
	s := &screen{&b, func() (int, int) { return 4, 5 }}
	if err := s.show([]byte("häßlich und lang\nzwei\ndrei\nvier\nfünf\n")); err != nil {
		t.Fatal(err)
	}
	if got, want := b.String(), goHome+"häßli"+emptyLine+"zwei"+emptyLine+"drei"+emptyLine+emptyRest; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
