package app

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/appgovd/appgovd/internal/event"
)

func TestHealth(t *testing.T) {
	now := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	h := newHealth(func() time.Time { now = now.Add(time.Second); return now }, nil, nil)
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
		now = now.Add(otherText)
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
	t.Run("another text waits for five minutes, and the last one is told", func(t *testing.T) {
		h.Resolve("sink/a", "it works")
		h.Raise("sink/b", event.SeverityMedium, "A sink fails", "refused")
		expect(t, "sink/a resolved", "sink/b new")
		for _, text := range []string{"timeout", "reset", "no such host"} {
			h.Raise("sink/b", event.SeverityMedium, "A sink fails", text)
		}
		h.Settle()
		expect(t)
		now = now.Add(otherText)
		h.Settle()
		h.Settle()
		expect(t, "sink/b updated")
		if s := h.open["sink/b"].Summary; s != "no such host" {
			t.Errorf("it says %q, not what was said last", s)
		}
	})
	t.Run("other numbers and ids alone wait for an hour", func(t *testing.T) {
		h.Raise("sink/c", event.SeverityMedium, "A sink fails", "request 0f3a-11 to 10.0.0.1:9092: 3 refused")
		expect(t, "sink/c new")
		now = now.Add(otherText)
		h.Raise("sink/c", event.SeverityMedium, "A sink fails", "request 77b2-a9 to 10.0.0.1:9093: 41 refused")
		h.Settle()
		expect(t)
		now = now.Add(otherNumbers)
		h.Settle()
		expect(t, "sink/c updated")
	})
	t.Run("what is graver is told at once", func(t *testing.T) {
		h.Raise("sink/c", event.SeverityHigh, "A sink is paused", "wrong password")
		expect(t, "sink/c updated")
	})
	t.Run("the metric counts what is open by kind, and a replay brings it back", func(t *testing.T) {
		if n := testutil.ToFloat64(h.size.WithLabelValues("sink")); n != 2 {
			t.Errorf("%v sinks, want 2", n)
		}
		again := newHealth(h.now, nil, nil)
		again.replay(&event.Frame{Alerts: h.Open()})
		if n := testutil.ToFloat64(again.size.WithLabelValues("sink")); n != 2 {
			t.Errorf("%v sinks after a replay, want 2", n)
		}
	})
}
