package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
)

// something makes the agent say something, so that the sinks have work.
func something(a *Agent, text string) {
	a.health.Raise("reopen/"+theSink, event.SeverityLow, "Something", text)
}

func TestAlarmsOfSinks(t *testing.T) {
	live(t, "a sink that needs a human is an alarm at once, until it takes alerts again", func(t *testing.T, w *world) {
		refused := fault.WithHint(fault.NewAuth(errors.New("status 401: request 4711")), "look at api_key")
		w.set(func() { w.write = func([]event.Alert) error { return refused } })
		w.run(t, func(a *Agent) {
			something(a, "one")
			pass(time.Second)
			w.raised(t, a, "sink/"+theSink, "high: A sink is paused", theSink, "status 401", "look at api_key")
			w.set(func() { w.write = nil })
			pass(2 * time.Minute)
			w.calm(t, a, "sink/"+theSink)
		})
		w.wantTold(t, "sink/"+theSink, "new", "resolved")
	})
	live(t, "a sink that fails is an alarm after ten attempts, and its changing words are no storm", func(t *testing.T, w *world) {
		n := 0
		w.set(func() {
			w.write = func([]event.Alert) error { n++; return fmt.Errorf("connection %d refused", n) }
		})
		w.run(t, func(a *Agent) {
			something(a, "one")
			pass(5 * time.Second)
			w.calm(t, a, "sink/"+theSink)
			pass(5 * time.Minute)
			w.raised(t, a, "sink/"+theSink, "medium: A sink keeps failing", theSink, "refused")
			pass(50 * time.Minute)
			w.wantTold(t, "sink/"+theSink, "new")
			pass(time.Hour)
			w.wantTold(t, "sink/"+theSink, "new", "updated")
			w.set(func() { w.write = nil })
			pass(3 * time.Minute)
			w.calm(t, a, "sink/"+theSink)
		})
	})
	live(t, "a dead letter is an alarm with count and reason, over a restart, until a day has passed without another", func(t *testing.T, w *world) {
		w.set(func() {
			w.write = func(b []event.Alert) error {
				r := &deliver.Rejected{}
				for i := range b { // also what the alarm itself says
					r.Items = append(r.Items, deliver.Rejection{Index: i, Reason: "mapper_parsing_exception"})
				}
				return r
			}
		})
		w.run(t, func(a *Agent) {
			something(a, "one")
			pass(time.Minute)
			w.raised(t, a, "dead_letter/"+theSink, "high: A sink refuses alerts for good", theSink+": 1 in the dead letter", "mapper_parsing_exception")
		})
		w.run(t, func(a *Agent) {
			pass(time.Minute)
			if len(a.health.Open()) == 0 {
				t.Error("the alarm is gone after a restart")
			}
			pass(23 * time.Hour)
			w.wantTold(t, "dead_letter/"+theSink, "new")
			pass(2 * time.Hour)
			w.calm(t, a, "dead_letter/"+theSink)
		})
		w.wantTold(t, "dead_letter/"+theSink, "new", "resolved")
	})
	live(t, "the alarm of a sink that left the configuration is over", func(t *testing.T, w *world) {
		w.set(func() { w.write = func([]event.Alert) error { return fault.NewAuth(errors.New("no")) } })
		w.run(t, func(a *Agent) {
			something(a, "one")
			pass(time.Second)
			w.raised(t, a, "sink/"+theSink)
			a.health.mu.Lock()
			a.health.open["sink/left"] = a.health.open["sink/"+theSink]
			a.health.mu.Unlock()
		})
		w.badSink = false
		w.run(t, func(a *Agent) { w.calm(t, a, "sink/"+theSink) })
	})
}

// pageOnce makes the source give p once, and empty pages then.
func (w *world) pageOnce(p event.Page) {
	w.set(func() {
		w.read = func() (event.Page, error) {
			w.read = nil
			return p, nil
		}
	})
}

func TestAlarmsOfSources(t *testing.T) {
	n := 0
	quarantined := func(reasons ...string) (p event.Page) {
		for _, r := range reasons {
			n++ // a record that is known counts as seen
			p.Quarantined = append(p.Quarantined, event.Quarantine{Source: theSource, Reason: r, Raw: fmt.Appendf(nil, "{%d}", n)})
		}
		p.Fetched = len(reasons)
		return p
	}
	live(t, "records that cannot be decoded are an alarm with their reasons, until a day has passed without another", func(t *testing.T, w *world) {
		w.pageOnce(quarantined("no_time", "no_time", "not_json"))
		w.run(t, func(a *Agent) {
			pass(2 * time.Minute)
			w.raised(t, a, "quarantine/"+theSource, "medium: Records cannot be decoded", theSource+": no_time (2), not_json (1)")
			w.pageOnce(quarantined("no_time"))
			pass(23 * time.Hour)
			w.raised(t, a, "quarantine/"+theSource, "no_time (3)")
		})
		w.run(t, func(a *Agent) {
			pass(time.Minute)
			if len(a.health.Open()) == 0 {
				t.Error("the alarm is gone after a restart")
			}
			pass(25 * time.Hour)
			w.calm(t, a, "quarantine/"+theSource)
		})
		w.wantTold(t, "quarantine/"+theSource, "new", "updated", "resolved")
	})
	live(t, "a budget that no longer fits for several ticks is an alarm, until it fits again", func(t *testing.T, w *world) {
		w.run(t, func(a *Agent) {
			key := "budget/" + theTenant + "/reports"
			w.set(func() { w.load = 1.3 })
			pass(2 * time.Minute)
			w.calm(t, a, key)
			pass(2 * time.Minute)
			w.raised(t, a, key, "medium: The budget", "needed 130 %", "fewer sources", "poll_interval", "event stream")
			w.set(func() { w.load = 0.9 })
			pass(2 * time.Minute)
			w.set(func() { w.load = 1.1 })
			pass(2 * time.Minute)
			w.raised(t, a, key)
			w.set(func() { w.load = 0.9 })
			pass(4 * time.Minute)
			w.calm(t, a, key)
		})
		w.wantTold(t, "budget/"+theTenant+"/reports", "new", "resolved")
	})
	live(t, "a source that lags behind its schedule is an alarm, until it has caught up", func(t *testing.T, w *world) {
		w.delay = func(string) time.Duration { return 40 * time.Minute }
		w.run(t, func(a *Agent) {
			pass(time.Minute)
			w.set(func() { w.read = func() (event.Page, error) { return event.Page{}, nil } })
			pass(39 * time.Minute)
			w.calm(t, a, "freshness/"+theSource)
			pass(5 * time.Minute)
			w.raised(t, a, "freshness/"+theSource, "medium: A source lags behind", theSource+": everything up to 2000-01-01T00:", "no more than 40m0s")
			w.set(func() { w.read = nil })
			pass(2 * time.Minute)
			w.calm(t, a, "freshness/"+theSource)
		})
		w.wantTold(t, "freshness/"+theSource, "new", "resolved")
	})
	live(t, "a source that was never read whole lags, too; one whose failure is an alarm already does not say it twice", func(t *testing.T, w *world) {
		w.delay = func(string) time.Duration { return 40 * time.Minute }
		w.set(func() { w.read = func() (event.Page, error) { return event.Page{}, nil } })
		w.run(t, func(a *Agent) {
			pass(42 * time.Minute)
			w.raised(t, a, "freshness/"+theSource, "nothing was read")
		})
		w.dir = t.TempDir()
		w.set(func() {
			w.read = func() (event.Page, error) { return event.Page{}, fault.NewAuth(errors.New("expired")) }
		})
		w.run(t, func(a *Agent) {
			pass(2 * time.Hour)
			w.raised(t, a, "source/"+theSource, "expired")
			w.calm(t, a, "freshness/"+theSource)
		})
	})
	live(t, "an account that does not add up is an alarm at once, until it does again", func(t *testing.T, w *world) {
		w.run(t, func(a *Agent) {
			w.pageOnce(event.Page{Fetched: 2})
			pass(61 * time.Second)
			w.raised(t, a, "account/"+theSource, "high: The account of a source does not add up", "fetched 2, but new 0")
			p := quarantined("no_time", "no_time")
			p.Fetched = 0
			w.pageOnce(p)
			pass(2 * time.Minute)
			w.calm(t, a, "account/"+theSource)
		})
	})
	live(t, "an account whose difference stays the same is over after a day, and stays so over a restart", func(t *testing.T, w *world) {
		w.pageOnce(event.Page{Fetched: 2})
		w.run(t, func(a *Agent) {
			pass(2 * time.Minute)
			w.raised(t, a, "account/"+theSource)
		})
		w.run(t, func(a *Agent) {
			pass(23 * time.Hour)
			if len(a.health.Open()) == 0 {
				t.Error("the alarm is gone before its time")
			}
			pass(2 * time.Hour)
			w.calm(t, a, "account/"+theSource)
		})
		w.run(t, func(a *Agent) {
			pass(time.Hour)
			w.calm(t, a, "account/"+theSource)
			w.pageOnce(event.Page{Fetched: 1})
			pass(2 * time.Minute)
			w.raised(t, a, "account/"+theSource, "fetched 3")
		})
	})
	live(t, "damage that a start finds in the ledger is an alarm, until a start without any", func(t *testing.T, w *world) {
		w.run(t, func(*Agent) { pass(30 * time.Minute) })
		segments, err := filepath.Glob(filepath.Join(w.dir, "state", "*", "*.seg"))
		if err != nil || len(segments) != 1 {
			t.Fatalf("%v, %v: want one segment", segments, err)
		}
		flip := func() {
			b, err := os.ReadFile(segments[0])
			if err != nil {
				t.Fatal(err)
			}
			b[100] ^= 1
			if err := os.WriteFile(segments[0], b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		flip()
		w.run(t, func(a *Agent) {
			pass(time.Minute)
			w.raised(t, a, "ledger_damage", "high: The ledger needs attention", "rotten")
		})
		flip() // back
		w.run(t, func(a *Agent) {
			pass(time.Minute)
			w.calm(t, a, "ledger_damage")
		})
		w.wantTold(t, "ledger_damage", "new", "resolved")
	})
	live(t, "a state that was rebuilt with other alerts is an alarm, until the next start without a difference", func(t *testing.T, w *world) {
		w.run(t, func(a *Agent) {
			pass(time.Minute)
			w.calm(t, a, "replay/"+theTenant)
		})
		a, err := New(t.Context(), w.plan(t), Options{})
		if err != nil {
			t.Fatal(err)
		}
		invented := event.Alert{ID: event.NewID("alert", "x"), Kind: event.AlertDetection, State: event.AlertNew, Severity: event.SeverityLow}
		wait, err := a.ledger.Append(&event.Frame{Kind: event.FramePage, Time: time.Now(), Source: theSource, Mark: []byte("mark"), Alerts: []event.Alert{invented}})
		if err == nil {
			err = errors.Join(wait(t.Context()), a.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		w.run(t, func(a *Agent) {
			pass(2 * time.Minute)
			w.raised(t, a, "replay/"+theTenant, "medium: The rebuilt state differs", theTenant+": 1 frames")
		})
		w.run(t, func(a *Agent) {
			pass(2 * time.Minute)
			w.calm(t, a, "replay/"+theTenant)
		})
		w.wantTold(t, "replay/"+theTenant, "new", "resolved")
	})
}
