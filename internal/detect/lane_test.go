package detect

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/event"
)

const laneRules = `
rule "t.new" {
  title    = "New network or key"
  severity = "medium"
  on       = ["app.signin", "app.credential.added", "alert.upstream"]
  where    = actor.id == "a1" || contains(source.user_agent, "curl")
  first_seen {
    key         = [app.id, source.asn]
    history     = "3d"
    min_history = "1d"
  }
}
rule "t.other" {
  title    = "New user"
  severity = "medium"
  on       = ["app.signin", "user.signin"]
  where    = any_of(actor.id, "a2", "a3")
  first_seen {
    key         = [actor.id]
    history     = "2d"
    min_history = "1h"
  }
}
rule "t.burst" {
  title    = "Burst"
  severity = "high"
  on       = ["user.signin", "app.credential.added"]
  where    = source.asn <= 3
  threshold {
    count  = 3
    by     = [app.id]
    within = "10m"
  }
}
rule "t.nothing" {
  title    = "Never"
  severity = "low"
  on       = ["app.signin"]
  where    = app.name == "nobody has it"
}
`

// scattered are events whose times go back and forth, now and then by months.
func scattered(r *rand.Rand, n int) []event.Event {
	out := make([]event.Event, 0, n)
	at := start()
	for i := range n {
		at = at.Add(time.Duration(r.IntN(600)) * time.Second)
		e := event.Event{ID: event.NewID("e", fmt.Sprint(i)), Provider: "entra", Time: at}
		e.Action = []string{"app.signin", "user.signin", "app.credential.added"}[r.IntN(3)]
		switch r.IntN(12) {
		case 0:
			e.Time = at.Add(-time.Duration(r.IntN(96)) * time.Hour)
		case 1, 2:
			e.Time = at.Add(-100 * 24 * time.Hour)
		}
		if r.IntN(10) == 0 {
			e.Action, e.Upstream = "alert.upstream", &event.Upstream{AlertID: fmt.Sprint("u", i%5), Updated: e.Time}
			e.ID = event.NewID("u", e.Upstream.AlertID)
			e.Content = event.NewID("c", fmt.Sprint(i))
		}
		e.Actor = event.Actor{Type: "user", ID: fmt.Sprint("a", r.IntN(5))}
		e.App.ID = fmt.Sprint("app", r.IntN(3))
		e.Origin.ASN = uint32(r.IntN(8))
		e.Origin.UserAgent = []string{"", "curl/8", "Mozilla/5.0"}[r.IntN(3)]
		out = append(out, e)
	}
	return out
}

func TestTheIndexChangesNeitherStateNorAlertsNorCounts(t *testing.T) {
	set, err := compile(&event.RulesBlob{Zone: "UTC", Files: []event.RulesFile{{Path: "a.hcl", Text: []byte(laneRules)}}})
	if err != nil {
		t.Fatal(err)
	}
	alerts := 0
	for seed := range uint64(8) {
		indexed, plain := New(set, Options{Tenant: tenant}), New(set, Options{Tenant: tenant})
		plain.unindexed = true
		for i, e := range scattered(rand.New(rand.NewPCG(seed, 1)), 400) {
			page := func(m *Machine) []event.Alert {
				f := event.Frame{Kind: event.FramePage, Source: "x", Time: e.Time, Events: []event.Event{e}}
				m.Apply(&f)
				return f.Alerts
			}
			a, b := page(indexed), page(plain)
			if diff := cmp.Diff(b, a); diff != "" {
				t.Fatalf("seed %d, event %d (-all rules +index):\n%s", seed, i, diff)
			}
			alerts += len(a)
		}
		if indexed.StateHash() != plain.StateHash() {
			t.Fatalf("seed %d: the states differ", seed)
		}
		if diff := cmp.Diff(plain.Stats(), indexed.Stats()); diff != "" {
			t.Fatalf("seed %d (-all rules +index):\n%s", seed, diff)
		}
	}
	if alerts == 0 {
		t.Error("no alerts: the test says little")
	}
}
