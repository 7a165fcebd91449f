package app

import (
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

func TestASourceThatComesBack(t *testing.T) {
	live(t, "goes on where it was after a restart", func(t *testing.T, w *world) {
		w.run(t, func(*Agent) { pass(5 * time.Minute) })
		w.cursors = nil
		w.run(t, func(*Agent) { pass(time.Minute) })
		if w.cursors[0] != "mark" {
			t.Errorf("asked with %q", w.cursors[0])
		}
	})
	live(t, "is read anew when its state is gone", func(t *testing.T, w *world) {
		w.run(t, func(*Agent) { pass(5 * time.Minute) })
		w.edit = func(p *Plan) { p.sources = nil }
		for range 3 { // the older snapshot forgets it too
			w.run(t, func(a *Agent) {
				a.health.Raise("reopen/x", event.SeverityLow, "A frame", "for a newer snapshot")
				pass(2 * time.Hour)
				a.health.Resolve("reopen/x", "it served")
			})
		}
		w.edit, w.cursors = nil, nil
		w.run(t, func(*Agent) { pass(time.Minute) })
		if w.cursors[0] != "" {
			t.Errorf("asked with %q, but nothing is known of what was read before", w.cursors[0])
		}
	})
}
