package detect

import (
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

func TestAPolicySaysWhatItFoundByTheAppThatItFound(t *testing.T) {
	w := newWorld(t, `policy "t.wide" {
  title    = "Consent of ${app.name}"
  severity = app.name == "App 2" ? "critical" : "low"
  where    = app.tenant_wide
}`)
	w.firstSync(app(1), app(2), app(3), wide(3))
	first := w.tick(time.Minute)
	expectTold(t, first, "t.wide summary new  n=1")
	if a := first[0]; a.Title != "Consent of …" || a.Severity != event.SeverityCritical {
		t.Errorf("the summary is %q, %s", a.Title, a.Severity)
	}
	for n, want := range map[int]event.Severity{1: event.SeverityLow, 2: event.SeverityCritical} {
		name := app(n).App.Name
		for _, got := range [][]event.Alert{w.objects(delta(event.ObjectDelegatedGrant), wide(n)), w.objects(delta(event.ObjectDelegatedGrant), removed(wide(n)))} {
			if len(got) != 1 || got[0].Title != "Consent of "+name || got[0].Severity != want || n == 2 && got[0].Score != 95 {
				t.Errorf("of %s it says %+v", name, got)
			}
		}
	}
}
