package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
)

// signInsOf is a page of sign-ins of apps, numbered from n on.
func signInsOf(n, count int) event.Page {
	p := event.Page{CompleteThrough: time.Now(), Fetched: count}
	for i := range count {
		id := fmt.Sprint(n + i)
		p.Events = append(p.Events, event.Event{
			ID: event.NewID(id), Content: event.NewID(id), UpstreamID: id, Provider: "entra", Tenant: "t", Class: event.ClassSignIn, Action: event.ActionAppSignIn, Activity: "Sign-in activity",
			App: event.App{AppID: "app-" + id}, Time: time.Now(), Observed: time.Now(), Source: theSource, Raw: []byte(`{"id":"` + id + `"}`),
		})
	}
	return p
}

// forwards are the upstream ids of the events in a file of the format json, in its order.
func forwards(t *testing.T, path string) (ids []string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var e struct {
			Kind     string
			Original string
			ID       string `json:"upstream_id"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Kind != event.KindEvent || e.Original != `{"id":"`+e.ID+`"}` {
			t.Fatalf("%v: %s", err, line)
		}
		ids = append(ids, e.ID)
	}
	return ids
}

func TestEventsAreForwarded(t *testing.T) {
	sinkOf := func(w *world, more string) string {
		path := filepath.Join(w.dir, "events.jsonl")
		w.more = fmt.Sprintf("sink \"file\" \"events\" {\n  forward = \"events\"\n  path    = %q\n  format  = \"json\"\n%s}\n", path, more)
		return path
	}
	pages := func(w *world, per, most int) *int {
		n := new(int)
		w.set(func() {
			w.read = func() (event.Page, error) {
				if *n >= most {
					return event.Page{CompleteThrough: time.Now()}, nil
				}
				p := signInsOf(*n, per)
				*n += per
				return p, nil
			}
		})
		return n
	}
	numbers := func(from, to int) (ids []string) {
		for i := from; i < to; i++ {
			ids = append(ids, fmt.Sprint(i))
		}
		return ids
	}
	for name, more := range map[string]string{"": "", ", in batches that wait": "  batch {\n    max_events = 1000\n    max_bytes  = \"64KiB\"\n    max_wait   = \"1m\"\n  }\n"} {
		live(t, "each once and in order, over a restart, and no alert among them"+name, func(t *testing.T, w *world) {
			path := sinkOf(w, more)
			pages(w, 700, 2100)
			w.run(t, func(a *Agent) { something(a, "one"); pass(90 * time.Second) })
			w.run(t, func(a *Agent) {
				pass(10 * time.Minute)
				s := a.Status()
				i := slices.IndexFunc(s.Sinks, func(x SinkStatus) bool { return x.Sink == "file/events" })
				if got := forwards(t, path); !slices.Equal(got, numbers(0, 2100)) || s.Sinks[i].Accepted != 2100 || s.Sinks[i].Frames != 0 {
					t.Errorf("%d events, the last %v; %+v", len(got), got[max(0, len(got)-3):], s.Sinks[i])
				}
			})
		})
	}
	live(t, "a condition chooses, and what it leaves is counted", func(t *testing.T, w *world) {
		path := sinkOf(w, "  where   = ends_with(app.app_id, \"7\") && app.calls == 0 || app.app_id == \"app-12\"\n")
		pages(w, 100, 100)
		w.run(t, func(a *Agent) {
			pass(10 * time.Minute)
			s := a.Status().Ledger.Readers["file/events"]
			if got := forwards(t, path); !slices.Equal(got, []string{"12"}) || s.Accepted != 1 || s.Skipped != 99 {
				t.Errorf("%v, %+v", got, s)
			}
		})
	})
	live(t, "what the sink refuses for good is in the dead letter, whole, and is delivered again when it is asked for", func(t *testing.T, w *world) {
		w.more = "sink \"stdout\" \"bad\" {\n  forward = \"events\"\n}\n"
		w.badSink = false
		pages(w, 10, 10)
		var got []event.Alert
		w.set(func() {
			w.write = func(batch []event.Alert) error {
				if slices.ContainsFunc(batch, func(a event.Alert) bool { return a.Event.UpstreamID == "3" }) {
					return fault.NewPermanent(errors.New("no 3 please"))
				}
				got = append(got, batch...)
				return nil
			}
		})
		w.run(t, func(a *Agent) {
			pass(10 * time.Minute)
			w.raised(t, a, "dead_letter/stdout/bad", "no 3 please")
			var letters []event.DeadLetter
			if err := a.ledger.DeadLetters(func(d event.DeadLetter) error { letters = append(letters, d); return nil }); err != nil {
				t.Fatal(err)
			}
			if len(got) != 9 || len(letters) != 1 || letters[0].Alert.Event == nil || letters[0].Alert.Event.UpstreamID != "3" || string(letters[0].Alert.Event.Raw) != `{"id":"3"}` {
				t.Errorf("%d taken, letters %+v", len(got), letters)
			}
		})
	})
	live(t, "what is given up because the ledger fills is counted and an alarm, and alerts wait on", func(t *testing.T, w *world) {
		sinkOf(w, "")
		w.more += "sink \"stdout\" \"slow\" {}\n"
		n := 0
		w.edit = func(p *Plan) {
			p.Config.Agent.MaxBytes, p.Config.Agent.History = 400_000, 0
			for i := range p.sinks { // it is away
				if p.sinks[i].block.Key() == "file/events" {
					p.sinks[i].kind.build = p.sinks[slices.IndexFunc(p.sinks, func(s planned[checkedSink]) bool { return s.block.Key() == theSink })].kind.build
				}
			}
		}
		w.set(func() {
			w.write = func(batch []event.Alert) error {
				if batch[0].Event != nil {
					return errors.New("connection refused")
				}
				return nil
			}
			w.read = func() (event.Page, error) { n++; return signInsOf(n*200, 200), nil }
		})
		w.run(t, func(a *Agent) {
			pass(3 * time.Hour)
			w.calm(t, a, "ledger_full")
			if s := a.Status().Ledger.Readers["file/events"]; s.Accepted != 0 || s.Frames == 0 {
				t.Errorf("%+v", s)
			}
			w.set(func() { w.write, w.read = nil, nil })
			pass(10 * time.Minute)
			w.raised(t, a, "events_lost/file/events", "medium: A sink of events missed some", "given up when the ledger is half full")
			pass(25 * time.Hour)
			w.calm(t, a, "events_lost/file/events")
		})
	})
}

func TestMistakesOfForwarding(t *testing.T) {
	for _, c := range []struct{ sink, want string }{
		{`sink "slack" "x" {
  forward = "events"
  url     = env("X")
}`, "Events can go to: elasticsearch, file"},
		{`sink "stdout" "x" {
  forward = "event"
}`, `forward`},
		{`sink "stdout" "x" {
  where = action == "app.signin"
}`, `write forward = "events" beside it`},
		{`sink "stdout" "x" {
  forward      = "events"
  min_severity = "high"
}`, "Events have no severity"},
		{`sink "stdout" "x" {
  forward   = "events"
  when_full = "block"
}`, "given up when half of the ledger is full"},
		{`sink "stdout" "x" {
  forward = "events"
  where   = app.nam == "x"
}`, "app.name"},
		{`sink "stdout" "x" {
  forward = "events"
}
route {
  sinks = ["stdout/x"]
}`, "takes events and no alerts"},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "agent.hcl")
		if err := os.WriteFile(path, []byte("agent {\n  state_dir = \""+dir+"\"\n}\n"+c.sink+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, diags := Check(path); !diags.HasErrors() || !strings.Contains(diags.Error(), c.want) {
			t.Errorf("%s: %v", c.sink, diags)
		}
	}
}
