package app

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/event"
)

func TestHealth(t *testing.T) {
	now := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	h := newHealth(func() time.Time { now = now.Add(time.Second); return now })
	var frames []*event.Frame
	keep := func(f *event.Frame) error { frames = append(frames, f); return nil }
	states := func() (out []string) {
		for _, f := range frames {
			for _, a := range f.Alerts {
				out = append(out, a.DedupeKey+" "+string(a.State))
			}
		}
		frames = nil
		return out
	}
	expect := func(t *testing.T, want ...string) {
		t.Helper()
		if err := h.flush(keep); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, states()); diff != "" {
			t.Errorf("alerts (-want +got):\n%s", diff)
		}
	}
	t.Run("an alarm is told once, again with another text, and once when it is over", func(t *testing.T) {
		h.Raise("sink/a", event.SeverityHigh, "A sink fails", "one")
		h.Raise("sink/a", event.SeverityHigh, "A sink fails", "one")
		h.Raise("sink/a", event.SeverityHigh, "A sink fails", "two")
		h.Resolve("sink/a", "it works")
		h.Resolve("sink/a", "it works")
		expect(t, "sink/a new", "sink/a updated", "sink/a resolved")
	})
	t.Run("nothing new appends nothing", func(t *testing.T) { expect(t) })
	t.Run("the ledger may raise an alarm while it appends one", func(t *testing.T) {
		h.Raise("sink/a", event.SeverityHigh, "A sink fails", "one")
		err := h.flush(func(f *event.Frame) error {
			h.Raise("disk_full", event.SeverityHigh, "The ledger needs attention", "full")
			return keep(f)
		})
		if err != nil {
			t.Fatal(err)
		}
		expect(t, "sink/a new", "disk_full new")
	})
}
