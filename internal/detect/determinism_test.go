package detect

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// allBlocks has a rule with each block that remembers, small enough to evict.
const allBlocks = `
rule "d.thresholds" {
  title    = "Thresholds"
  severity = source.asn > 3 ? "high" : "low"
  on       = ["app.signin"]
  threshold "failures" {
    count    = 3
    where    = result == "failure"
    by       = [app.id]
    within   = "2h"
    max_keys = 5
  }
  threshold "no success" {
    at_most = 2
    where   = result == "success"
    by      = [app.id]
    within  = "2h"
  }
  threshold "sum" {
    count  = 4
    sum    = source.asn
    by     = []
    within = "3h"
  }
}
rule "d.first" {
  title    = "First seen"
  severity = "low"
  on       = ["app.signin"]
  first_seen {
    key         = [app.id, source.asn]
    at_most     = 1
    history     = "2d"
    min_history = "6h"
    max_keys    = 20
  }
}
rule "d.compare" {
  title    = "Compare"
  severity = "low"
  on       = ["app.signin"]
  compare {
    measure  = distinct(source.asn, actor.id)
    by       = [app.id]
    window   = "1h"
    baseline = "6h"
    above    = "2 sigma"
  }
}
rule "d.sequence" {
  title = "Sequence by ${added.actor.id}"
  severity = "low"
  sequence {
    by     = [app.id]
    within = "12h"
    step "added" {
      on = ["app.credential.added"]
    }
    step "used" {
      on    = ["app.signin"]
      where = source.asn != added.source.asn
      first_seen {
        key     = [app.id, source.asn]
        history = "1d"
      }
    }
    step "told" {
      on  = ["app.owner.added"]
      not = true
    }
  }
}
rule "d.silence" {
  title    = "Silence"
  severity = "low"
  on       = ["app.owner.added"]
  absence {
    by  = [app.id]
    for = "8h"
  }
}
rule "d.return" {
  title    = "Return"
  severity = "low"
  on       = ["app.credential.added"]
  absence {
    by   = [app.id]
    for  = "5h"
    tell = "return"
  }
}
`

// long is a run of so many frames over every block, with late events, ticks, gaps
// and edits of the rules.
func long(t testing.TB, frames int) *world {
	w := newWorld(t, allBlocks)
	w.firstSync(app(1), app(2), app(3))
	actions := []string{event.ActionAppSignIn, event.ActionAppSignIn, event.ActionCredentialAdded, event.ActionAppSignIn, event.ActionOwnerAdded}
	seed := uint32(1)
	next := func(n uint32) uint32 { seed = seed*1664525 + 1013904223; return (seed >> 8) % n }
	for len(w.frames) < frames {
		i := len(w.frames)
		switch {
		case i%400 == 399: // other windows: those rules learn anew
			w.rules(strings.ReplaceAll(allBlocks, `within = "3h"`, fmt.Sprintf("within = \"%dh\"", 4+i/400%5)) + fmt.Sprintf("# %d", i))
		case i%400 == 30 && i > 400:
			w.warm()
		case i%9 == 8:
			w.tick(time.Duration(next(3)) * time.Hour)
		case i%150 == 149:
			g := event.Gap{Source: "entra/t/signins_service_principal", From: w.now.Add(-time.Hour), To: w.now}
			w.apply(&event.Frame{Kind: event.FramePage, Source: g.Source, Gaps: []event.Gap{g}})
		default:
			var page []event.Event
			for range 1 + next(4) {
				at := w.now.Add(time.Duration(next(60))*time.Minute - time.Duration(next(3))*time.Hour)
				page = append(page, w.make(actions[next(5)], at, func(e *event.Event) {
					e.App = event.App{ID: fmt.Sprintf("s%d", next(9))}
					e.Actor.ID = fmt.Sprintf("u%d", next(4))
					e.Origin.ASN = next(7)
					if next(3) == 0 {
						e.Result = event.ResultFailure
					}
				}))
			}
			w.page(page...)
		}
	}
	return w
}

// TestEveryBlockIsDeterministic replays a run in one piece and restarted behind every
// frame. APPGOVD_FRAMES sets its length.
func TestEveryBlockIsDeterministic(t *testing.T) {
	frames := 600
	if s := os.Getenv("APPGOVD_FRAMES"); s != "" {
		var err error
		if frames, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	w := long(t, frames)
	fired := map[string]int{}
	for _, a := range w.alerts {
		fired[a.RuleID]++
	}
	for _, s := range w.m.Stats().Rules {
		if fired[s.ID] == 0 {
			t.Errorf("%s never fires", s.ID)
		}
	}
	whole, restarted := New(nil, options()), New(nil, options())
	for i, f := range w.frames {
		whole.Replay(reread(t, f))
		restarted.Replay(reread(t, f))
		var snap bytes.Buffer
		if err := restarted.Snapshot(&snap); err != nil {
			t.Fatal(err)
		}
		restarted = New(nil, options())
		if err := restarted.Restore(&snap); err != nil {
			t.Fatalf("restart behind frame %d: %v", i, err)
		}
		if i%50 == 0 && whole.StateHash() != restarted.StateHash() {
			t.Fatalf("a restart at or before frame %d changes the state", i)
		}
	}
	if whole.StateHash() != w.m.StateHash() || restarted.StateHash() != w.m.StateHash() {
		t.Error("the runs end in different states")
	}
	if n := whole.Stats().Diverged + restarted.Stats().Diverged; n != 0 {
		t.Errorf("%d frames give other alerts", n)
	}
	t.Logf("%d frames, alerts %v", len(w.frames), fired)
}
