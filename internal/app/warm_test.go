package app

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/detect"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ledger"
)

const burstRules = `rule "w.burst" {
  title    = "Burst"
  severity = "low"
  on       = ["app.signin"]
  threshold {
    count  = 4
    by     = [app.id]
    within = "1d"
  }
}
`

// signInOnce gives a sign-in that no other is.
func (w *world) signInOnce(n string) {
	w.pageOnce(event.Page{Fetched: 1, CompleteThrough: time.Now(), Events: []event.Event{{
		ID: event.NewID("w", n), Content: event.NewID("w", n), Provider: "entra", Tenant: "t", Class: event.ClassSignIn, Action: event.ActionAppSignIn,
		Time: time.Now(), App: event.App{ID: "s1", AppID: "a1", Name: "One"}}}})
}

// kinds counts the frames of the ledger.
func (w *world) kinds(t *testing.T) map[event.FrameKind]int {
	t.Helper()
	v, err := ledger.OpenView(filepath.Join(w.dir, "state"), "")
	if err != nil {
		t.Fatal(err)
	}
	n := map[event.FrameKind]int{}
	if err := v.Frames(func(f *event.Frame) error { n[f.Kind]++; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestANewRuleLearnsFromTheHistory(t *testing.T) {
	fired := func(w *world) int { return strings.Count(w.out.String(), `"w.burst"`) }
	live(t, "its fourth match is the one that comes now, over restarts too", func(t *testing.T, w *world) {
		w.useRules(t, watchedRules)
		w.run(t, func(*Agent) {
			for _, n := range []string{"1", "2"} {
				w.signInOnce(n)
				pass(5 * time.Minute)
			}
		})
		w.useRules(t, watchedRules+burstRules)
		w.run(t, func(a *Agent) {
			pass(time.Minute)
			for _, r := range a.tenants[0].rules.get().Rules {
				if slices.Contains(r.Statuses, detect.Warming) {
					t.Errorf("%s is still silent", r.ID)
				}
			}
			w.signInOnce("3")
			pass(5 * time.Minute)
			if n := fired(w); n != 0 {
				t.Errorf("it fires %d times on three", n)
			}
		})
		if n := w.kinds(t)[event.FrameWarmed]; n != 1 {
			t.Fatalf("%d frames say that rules are warmed, want 1", n)
		}
		w.run(t, func(a *Agent) {
			w.signInOnce("4")
			pass(5 * time.Minute)
			if n := fired(w); n != 1 {
				t.Errorf("it fires %d times on four, want once\n%s", n, w.out.String())
			}
			if n := a.tenants[0].machine.Stats().Diverged; n != 0 {
				t.Errorf("%d frames give other alerts when replayed", n)
			}
		})
		if n := w.kinds(t)[event.FrameWarmed]; n != 1 {
			t.Errorf("a restart warms again: %d frames", n)
		}
	})
	live(t, "a reload in the middle begins it anew", func(t *testing.T, w *world) {
		w.useRules(t, watchedRules)
		w.run(t, func(*Agent) {
			for _, n := range []string{"1", "2", "3"} {
				w.signInOnce(n)
				pass(5 * time.Minute)
			}
		})
		w.useRules(t, watchedRules+burstRules)
		a, err := New(t.Context(), w.plan(t), Options{Stdout: &w.out})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.tenants[0].useRules(t.Context(), a.plan.blob, a.plan.set.Revision, time.Now()); err != nil {
			t.Fatal(err)
		}
		if err := a.Close(); err != nil { // before it learned
			t.Fatal(err)
		}
		w.run(t, func(*Agent) {
			w.signInOnce("4")
			pass(5 * time.Minute)
		})
		if n := fired(w); n != 1 {
			t.Errorf("it fires %d times on four, want once\n%s", n, w.out.String())
		}
	})
}
