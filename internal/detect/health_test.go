package detect

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/event"
)

func healthOf(w *world, id string) RuleHealth {
	w.t.Helper()
	for _, h := range w.m.Health(w.now) {
		if h.ID == id {
			return h
		}
	}
	w.t.Fatalf("no health of %s", id)
	return RuleHealth{}
}

func TestTheHealthOfARule(t *testing.T) {
	const day = 24 * time.Hour
	is := func(t *testing.T, w *world, id string, want ...Status) {
		t.Helper()
		if got := healthOf(w, id).Statuses; !slices.Equal(got, want) {
			t.Errorf("%s is %v, want %v", id, got, want)
		}
	}
	never := strings.Replace(testRules, `"Quiet"`, "\"Quiet\"\n  where = actor.name == \"Nobody\"", 1)
	t.Run("is never_seen after a week of complete sources without its actions", func(t *testing.T) {
		w := newWorld(t, testRules)
		w.tick(time.Minute)
		w.event(event.ActionOwnerAdded, w.now, nil)
		w.tick(6 * day)
		is(t, w, "t.each")
		w.tick(day)
		is(t, w, "t.each", NeverSeen)
		is(t, w, "t.quiet")
		is(t, w, "t.upstream")    // its source is not collected
		is(t, w, "t.unexplained") // the inventory makes it
		w.event(event.ActionConsentGranted, w.now, nil)
		is(t, w, "t.each")
		if h := healthOf(w, "t.each"); h.Seen != 1 || h.Matches != 1 || !h.LastSeen.Equal(w.now) || !h.LastMatch.Equal(w.now) || h.Kind != "rule" || h.Mode != "active" {
			t.Errorf("health = %+v", h)
		}
	})
	t.Run("is not never_seen while one of its sources lags", func(t *testing.T) {
		w := newWorld(t, testRules)
		w.tick(time.Minute)
		w.now = w.now.Add(8 * day)
		w.apply(&event.Frame{Kind: event.FrameTick, CompleteThrough: []event.SourceTime{{Source: "entra/t/signins_interactive", Time: w.now}}})
		is(t, w, "t.users")
		is(t, w, "t.each")
	})
	t.Run("is never_matched after a month in which it saw its actions", func(t *testing.T) {
		w := newWorld(t, never)
		w.tick(time.Minute)
		w.event(event.ActionOwnerAdded, w.now, nil)
		w.tick(29 * day)
		is(t, w, "t.quiet")
		w.tick(2 * day)
		is(t, w, "t.quiet", NeverMatched)
	})
	t.Run("is always_matched of a hundred events, where it has a condition", func(t *testing.T) {
		w := newWorld(t, strings.Replace(never, `"Nobody"`, `"Ada"`, 1))
		for i := range 100 {
			is(t, w, "t.quiet")
			w.event(event.ActionOwnerAdded, start().Add(time.Duration(i)*time.Second), nil)
			w.event(event.ActionConsentGranted, start(), nil)
		}
		is(t, w, "t.quiet", AlwaysMatched)
		is(t, w, "t.each")
		w.event(event.ActionOwnerAdded, start(), func(e *event.Event) { e.Actor.Name = "Eve" })
		is(t, w, "t.quiet")
	})
	t.Run("is evicting for a day after it forgot keys", func(t *testing.T) {
		w := newWorld(t, strings.Replace(testRules, `within = "10m"`, "within = \"10m\"\n    max_keys = 10", 1))
		for i := range 20 {
			w.event(event.ActionCredentialAdded, start(), func(e *event.Event) { e.App = event.App{ID: fmt.Sprint("x", i)} })
		}
		is(t, w, "t.burst", Evicting)
		w.tick(23 * time.Hour)
		is(t, w, "t.burst", Evicting)
		w.tick(2 * time.Hour)
		is(t, w, "t.burst")
	})
	t.Run("is slow by the time that its evaluation takes", func(t *testing.T) {
		var clock time.Duration
		w := &world{t: t, now: start()}
		o := options()
		o.Elapsed = func() time.Duration { clock += time.Millisecond; return clock }
		w.m = New(nil, o)
		w.rules(testRules)
		for range slowSample*timedEvery - 1 {
			w.event(event.ActionOwnerAdded, start(), nil)
		}
		is(t, w, "t.quiet")
		w.event(event.ActionOwnerAdded, start(), nil)
		is(t, w, "t.quiet", Slow)
	})
	t.Run("survives a restart and begins anew with another condition", func(t *testing.T) {
		w := newWorld(t, never)
		w.tick(time.Minute)
		w.event(event.ActionOwnerAdded, w.now, nil)
		w.tick(31 * day)
		before := healthOf(w, "t.quiet")
		before.Evaluations = 0 // of this start
		var snap bytes.Buffer
		if err := w.m.Snapshot(&snap); err != nil {
			t.Fatal(err)
		}
		w.m = New(nil, options())
		if err := w.m.Restore(&snap); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, healthOf(w, "t.quiet")); diff != "" {
			t.Errorf("health (-before +after the restart):\n%s", diff)
		}
		w.rules(strings.Replace(never, "Nobody", "No one", 1))
		if h := healthOf(w, "t.quiet"); h.Seen != 0 || !h.Since.Equal(w.now) || len(h.Statuses) != 0 {
			t.Errorf("health of the changed rule = %+v", h)
		}
	})
}
