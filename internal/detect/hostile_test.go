package detect

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/rule"
)

// everyBlock remembers something of each event in a block of every kind, of a
// thousand keys each.
const everyBlock = `
rule "k.threshold" {
  title    = "Threshold"
  severity = "low"
  on       = ["app.signin"]
  threshold {
    count    = 3
    distinct = actor.id
    by       = [app.id]
    within   = "1h"
    max_keys = 1000
  }
}
rule "k.first" {
  title    = "First seen"
  severity = "low"
  on       = ["app.signin"]
  first_seen {
    key         = [app.id, source.ip]
    history     = "30d"
    min_history = "7d"
    max_keys    = 1000
  }
}
rule "k.compare" {
  title    = "Compare"
  severity = "low"
  on       = ["app.signin"]
  compare {
    measure  = distinct(actor.id)
    by       = [app.id]
    window   = "1h"
    baseline = "6h"
    above    = 3
    max_keys = 1000
  }
}
rule "k.sequence" {
  title    = "Sequence"
  severity = "low"
  sequence {
    by       = [app.id]
    within   = "1h"
    max_keys = 1000
    step "used" {
      on = ["app.signin"]
      first_seen {
        key     = [actor.id]
        history  = "1d"
        max_keys = 1000
      }
    }
    step "added" {
      on = ["app.owner.added"]
    }
  }
}
rule "k.absence" {
  title    = "Absence"
  severity = "low"
  on       = ["app.signin"]
  absence {
    by       = [app.id]
    for      = "30d"
    max_keys = 1000
  }
}
rule "k.suppress" {
  title    = "Suppress"
  severity = "low"
  mode     = "score"
  on       = ["app.signin"]
  suppress {
    by  = [app.id]
    for = "1d"
  }
}
risk "actor" {
  max_entities = 1000
}
risk "app" {
  max_entities = 1000
}
`

// madeUp is how many keys are made up: APPGOVD_KEYS, a million in the long suites.
func madeUp(t *testing.T) int {
	t.Helper()
	s := os.Getenv("APPGOVD_KEYS")
	if s == "" {
		return 100_000
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// An attacker who makes up an app, a user and an address for each of a million
// sign-ins that fail fills no memory: every block forgets its oldest keys, and says so.
func TestMadeUpKeysAreForgottenAndCounted(t *testing.T) {
	const keys, page = 1000, 1000
	events := madeUp(t)
	o := options()
	o.MaxKeys = keys
	w := &world{t: t, m: New(nil, o), now: start()}
	w.rules(everyBlock)
	w.tick(0)
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for n := 0; n < events; n += page {
		f := &event.Frame{Kind: event.FramePage, Source: "entra/t/signins_service_principal", Time: w.now}
		for i := range page {
			id := fmt.Sprint(n + i)
			f.Events = append(f.Events, event.Event{
				ID: event.NewID("h", id), Content: event.NewID("h", id), Provider: "entra", Tenant: tenant, Class: event.ClassSignIn, Action: event.ActionAppSignIn, Result: event.ResultFailure,
				Time: start().Add(time.Duration(n+i) * time.Millisecond), App: event.App{ID: "s" + id, AppID: "a" + id}, Actor: event.Actor{ID: "u" + id}, Origin: event.Origin{IP: "10.0.0." + id}})
		}
		w.m.Apply(f)
	}
	var after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&after)
	for _, s := range w.m.Stats().Rules {
		if s.Keys > 4*keys || s.Evicted < uint64(events)/2 {
			t.Errorf("%s holds %d keys and forgot %d", s.ID, s.Keys, s.Evicted)
		}
	}
	for kind, all := range w.m.state.Risk.Kinds {
		if len(all) > keys {
			t.Errorf("%d entities of kind %s have a risk", len(all), kind)
		}
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 64<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	t.Logf("%d made-up keys", events)
	var snap strings.Builder
	if err := w.m.Snapshot(&snap); err != nil || snap.Len() > 16<<20 {
		t.Errorf("a snapshot takes %d bytes: %v", snap.Len(), err)
	}
}

// The wall clock is of no account: what is remembered is of the events, and what
// waits for silence waits for the sources.
func TestAWallClockThatJumpsForgetsNothingAndTellsNothing(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for name, jumps := range map[string][]time.Duration{"forth": {year}, "back": {-year}, "forth and back": {year, -year}, "back and forth": {-year, year}, "an hour, twice": {time.Hour, -time.Hour, time.Hour, -time.Hour}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, testRules+strings.ReplaceAll(allBlocks, `"d.`, `"e.`))
			w.firstSync(app(1), wide(1))
			w.tick(time.Minute)
			read := w.now
			add := func(minute int) []event.Alert {
				return w.event(event.ActionCredentialAdded, start().Add(time.Duration(minute)*time.Minute), nil)
			}
			add(1)
			add(2)
			before := len(w.alerts)
			for _, j := range jumps {
				w.now = w.now.Add(j)
				for range 3 {
					w.now = w.now.Add(time.Minute)
					w.apply(&event.Frame{Kind: event.FrameTick, CompleteThrough: []event.SourceTime{{Source: "entra/t/directory_audits", Time: read}, {Source: "entra/t/signins_service_principal", Time: read}}})
				}
			}
			if n := len(w.alerts) - before; n != 0 {
				t.Errorf("it tells %v", told(w.alerts[before:]))
			}
			expectTold(t, add(3), "t.burst detection new One n=3")
		})
	}
}

// manyRules are n rules that remember, of which one in ten is written in another
// way for each edition.
func manyRules(n, edition int) string {
	var b strings.Builder
	for i := range n {
		minutes := 10
		if i%10 == 0 {
			minutes += edition
		}
		fmt.Fprintf(&b, `
rule "m.r%04d" {
  title    = "Many"
  severity = "low"
  on       = ["app.signin"]
  where    = actor.id == "user-%d" && contains(source.user_agent, "tool-%d")
  threshold {
    count  = 3
    by     = [app.id]
    within = "%dm"
  }
}
`, i, i, i, minutes)
	}
	return b.String()
}

// BenchmarkReload puts 1,000 rules in force, of which 100 are changed: compile and
// swap. The bar is a second.
func BenchmarkReload(b *testing.B) {
	blobs := []*event.RulesBlob{blob(manyRules(1000, 1)), blob(manyRules(1000, 2))}
	m := New(nil, options())
	at, i := start(), 0
	m.Apply(&event.Frame{Kind: event.FrameRules, Time: at, Rules: blobs[1]})
	m.Apply(&event.Frame{Kind: event.FrameTick, Time: at})
	for b.Loop() {
		m.Apply(&event.Frame{Kind: event.FrameRules, Time: at, Rules: blobs[i%2]})
		i++
	}
	if n := len(m.Set().Rules); n != 1000 || m.Stats().RefusedRules != 0 {
		b.Fatalf("%d rules in force", n)
	}
}

func TestAReloadKeepsWhatEveryBlockRemembersAndAnEditOfItBeginsAnew(t *testing.T) {
	edits := map[string][2]string{
		"d.compare":  {`baseline = "6h"`, `baseline = "7h"`},
		"d.sequence": {`within = "12h"`, `within = "13h"`},
		"d.silence":  {`for = "8h"`, `for = "9h"`},
		"d.return":   {`for  = "5h"`, `for  = "6h"`},
		"d.first":    {`at_most     = 1`, `at_most     = 2`},
	}
	for id, edit := range edits {
		t.Run(id, func(t *testing.T) {
			w := long(t, 120)
			before := map[string]string{}
			for _, r := range w.m.Set().Rules {
				before[r.ID] = packed(t, w.m, r.ID)
			}
			words := strings.NewReplacer(`title    = "`, `title    = "New `, `title = "`, `title = "New `, `severity = "low"`, `severity = "medium"`)
			w.rules(words.Replace(allBlocks))
			for of, state := range before {
				if packed(t, w.m, of) != state {
					t.Errorf("other words change what %s remembers", of)
				}
			}
			if !strings.Contains(allBlocks, edit[0]) {
				t.Fatalf("nothing to edit: %s", edit[0])
			}
			w.rules(strings.Replace(allBlocks, edit[0], edit[1], 1))
			for of, state := range before {
				waits := w.m.state.Rules[of].Warming
				if changed := of == id; waits != changed || !changed && packed(t, w.m, of) != state {
					t.Errorf("an edit of %s: %s is warming: %v", id, of, waits)
				}
			}
			w.warm()
			if w.m.state.Rules[id].keys() == 0 {
				t.Errorf("%s knows nothing of what was", id)
			}
			for _, r := range w.m.Set().Rules {
				if w.m.state.Rules[r.ID].Warming || r.Mode != rule.ModeActive {
					t.Errorf("%s stays silent", r.ID)
				}
			}
		})
	}
}
