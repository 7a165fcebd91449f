package app

import (
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

func TestAlarmsOfGaps(t *testing.T) {
	key := "gap/" + theSource
	gap := event.Gap{Source: theSource, From: time.Date(1999, 12, 31, 8, 0, 0, 0, time.UTC), To: time.Date(1999, 12, 31, 9, 0, 0, 0, time.UTC), Reason: "skip window: 500 UnknownError"}
	open := gap
	open.Reason = "" // the source knows only that it is open
	live(t, "a window that is skipped is an alarm, over a restart, until it was read after all", func(t *testing.T, w *world) {
		skipped := func() {
			w.read = func() (event.Page, error) { return event.Page{Open: []event.Gap{open}}, nil }
		}
		w.pageOnce(event.Page{Gaps: []event.Gap{gap}, Open: []event.Gap{open}})
		w.run(t, func(a *Agent) {
			pass(30 * time.Second)
			w.set(skipped)
			pass(2 * time.Minute)
			w.raised(t, a, key, "high: A part of a source cannot be read", theSource+": skipped 1999-12-31T08:00:00Z to 1999-12-31T09:00:00Z, because: skip window: 500 UnknownError", "asked for again")
		})
		w.run(t, func(a *Agent) {
			pass(30 * time.Hour)
			w.raisedBefore(t, a, key)
			w.set(func() { w.read = nil })
			pass(2 * time.Minute)
			w.calm(t, a, key)
			w.set(skipped)
			pass(2 * time.Minute)
			w.raised(t, a, key, "skipped 1999-12-31T08:00:00Z")
			w.set(func() { w.read = nil })
			pass(2 * time.Minute)
			w.calm(t, a, key)
		})
	})
	live(t, "what is lost for good is an alarm for a day, over a restart too", func(t *testing.T, w *world) {
		w.pageOnce(event.Page{Gaps: []event.Gap{gap}})
		w.run(t, func(a *Agent) {
			pass(2 * time.Minute)
			w.raised(t, a, key, "high: A part of a source was not read", "1999-12-31T08:00:00Z to 1999-12-31T09:00:00Z", "not asked for again: "+lookElsewhere+". The alarm")
		})
		w.run(t, func(a *Agent) {
			pass(23 * time.Hour)
			w.raisedBefore(t, a, key)
			pass(2 * time.Hour)
			w.calm(t, a, key)
		})
		w.wantTold(t, key, "new", "resolved")
	})
}

func TestAnAlarmOfAGapSaysWhatHelps(t *testing.T) {
	live(t, "by the kind of gap", func(t *testing.T, w *world) {
		w.pageOnce(event.Page{Gaps: []event.Gap{{Source: theSource, From: time.Now(), To: time.Now(), Reason: "IsThrottled", Advice: "nobody can look it up"}}})
		w.run(t, func(a *Agent) {
			pass(2 * time.Minute)
			w.raised(t, a, "gap/"+theSource, "because: IsThrottled. It is not asked for again: nobody can look it up. The alarm")
		})
	})
}

// raisedBefore checks that an alarm of an earlier start is still open.
func (w *world) raisedBefore(t *testing.T, a *Agent, key string) {
	t.Helper()
	for _, x := range a.Status().Health {
		if x.Key == key {
			return
		}
	}
	t.Fatalf("alarm %s is gone; open are %v", key, a.Status().Health)
}

func TestATextNamesThreeOfManyGaps(t *testing.T) {
	day := func(n int) (g event.Gap) {
		g.From = time.Date(2000, 1, n, 0, 0, 0, 0, time.UTC)
		g.To = g.From.Add(time.Hour)
		return g
	}
	want := "2000-01-01T00:00:00Z to 2000-01-01T01:00:00Z, 2000-01-02T00:00:00Z to 2000-01-02T01:00:00Z, 2000-01-03T00:00:00Z to 2000-01-03T01:00:00Z and 2 more"
	if got := spans([]event.Gap{day(1), day(2), day(3), day(4), day(5)}); got != want {
		t.Errorf("got %s", got)
	}
}
