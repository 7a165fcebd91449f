package detect

import (
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

func exception(id, rules, where, more string) string {
	return "\nexception \"" + id + "\" {\n  rules = [" + rules + "]\n  where = " + where + "\n  reason = \"known\"\n  owner = \"soc\"\n" + more + "\n}\n"
}

func hits(w *world, id string) uint64 {
	for _, e := range w.m.Exceptions() {
		if e.ID == id {
			return e.Hits
		}
	}
	w.t.Fatalf("no exception %s", id)
	return 0
}

func TestAnException(t *testing.T) {
	t.Run("spares what it matches and nothing else, and counts it", func(t *testing.T) {
		w := newWorld(t, testRules+exception("x.ada", `"t.ea*"`, `actor.name == "Ada"`, ""))
		expectTold(t, w.event(event.ActionConsentGranted, start(), nil))
		expectTold(t, w.event(event.ActionConsentGranted, start(), func(e *event.Event) { e.Actor.Name = "Eve" }), "t.each detection new One n=1")
		expectTold(t, w.event(event.ActionConsentGranted, start(), func(e *event.Event) { e.Actor.Name = "" }), "t.each detection new One n=1") // unknown
		expectTold(t, w.event(event.ActionOwnerAdded, start(), nil), "t.quiet detection new One n=1")
		if s := stat(w, "t.each"); hits(w, "x.ada") != 1 || s.Excepted != 1 || s.Matches != 3 || !w.m.Exceptions()[0].LastHit.Equal(start()) {
			t.Errorf("the exception has %+v, the rule %+v", w.m.Exceptions(), s)
		}
	})
	t.Run("keeps its events out of windows", func(t *testing.T) {
		w := newWorld(t, testRules+exception("x", `"t.burst"`, `actor.name == "Ada"`, ""))
		for i := range 5 {
			expectTold(t, w.event(event.ActionCredentialAdded, start().Add(time.Duration(i)*time.Second), nil))
		}
		for i := range 2 {
			expectTold(t, w.event(event.ActionCredentialAdded, start().Add(time.Duration(i)*time.Minute), func(e *event.Event) { e.Actor.Name = "Eve" }))
		}
	})
	t.Run("ends by the time of the event", func(t *testing.T) {
		w := newWorld(t, testRules+exception("x", `"t.each"`, "true", `until = "2026-11-01T09:00:00Z"`))
		expectTold(t, w.event(event.ActionConsentGranted, start().Add(59*time.Minute), nil))
		expectTold(t, w.event(event.ActionConsentGranted, start().Add(time.Hour), nil), "t.each detection new One n=1")
		expectTold(t, w.event(event.ActionConsentGranted, start(), nil)) // a late one
	})
	t.Run("keeps its count over a reload and forgets it when it is gone", func(t *testing.T) {
		text := testRules + exception("x", `"t.each"`, "true", "")
		w := newWorld(t, text)
		w.event(event.ActionConsentGranted, start(), nil)
		w.rules(strings.Replace(text, "known", "well known", 1))
		if hits(w, "x") != 1 {
			t.Errorf("the reload leaves %d hits", hits(w, "x"))
		}
		w.rules(testRules)
		w.rules(text)
		if hits(w, "x") != 0 {
			t.Errorf("an exception that is new has %d hits", hits(w, "x"))
		}
	})
}

func TestAnExceptionForAPolicy(t *testing.T) {
	spared := testRules + exception("x", `"t.wide"`, `app.name == "App 2"`, `until = "2026-11-02T00:00:00Z"`)
	t.Run("keeps an app out of the first look", func(t *testing.T) {
		w := newWorld(t, spared)
		w.firstSync(app(1), app(2), wide(1), wide(2))
		expectTold(t, w.tick(time.Minute), "t.wide summary new  n=1")
	})
	t.Run("resolves at the next look what is open, and gives it back when it ends", func(t *testing.T) {
		w := newWorld(t, testRules)
		w.firstSync(app(1), app(2))
		w.tick(time.Minute)
		expectTold(t, w.objects(delta(event.ObjectDelegatedGrant), wide(2)), "t.wide policy new App 2 n=1")
		expectTold(t, w.rules(spared))
		got := w.tick(time.Minute)
		expectTold(t, got, "t.wide policy resolved App 2 n=1")
		if len(got) == 1 && got[0].Reason != "excepted by x: known" {
			t.Errorf("the reason is %q", got[0].Reason)
		}
		expectTold(t, w.tick(time.Hour))
		expectTold(t, w.tick(24*time.Hour), "t.wide policy new App 2 n=1")
	})
}

func TestANewExceptionResolvesOpenAlertsOfItsApps(t *testing.T) {
	w := newWorld(t, testRules)
	w.firstSync(app(1), app(2))
	add := func(n string) []event.Alert {
		return w.event(event.ActionOwnerAdded, w.now, func(e *event.Event) { e.App = event.App{ID: "s" + n, Name: "App " + n} })
	}
	add("1")
	add("2")
	w.event(event.ActionUpstreamAlert, w.now, func(e *event.Event) {
		e.Upstream = &event.Upstream{AlertID: "up", Title: "Theirs", Status: "new", Updated: w.now}
	})
	expectTold(t, w.rules(testRules+exception("x", `"t.*"`, `app.name == "App 1"`, "")),
		"t.quiet detection resolved App 1 n=1", "t.upstream upstream resolved One n=1")
	expectTold(t, add("1"))
	expectTold(t, add("2"))
	expectTold(t, w.rules(testRules))
	expectTold(t, add("1"), "t.quiet detection new App 1 n=1")
}
