package app

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// flood is a page of records that no compression makes small.
func flood(random *rand.ChaCha8, n *int) event.Page {
	p := event.Page{CompleteThrough: time.Now(), Fetched: 20}
	for range 20 {
		*n++
		raw := make([]byte, 1000)
		_, _ = random.Read(raw)
		id := fmt.Sprint(*n)
		p.Events = append(p.Events, event.Event{
			ID: event.NewID(id), Content: event.HashContent(raw), UpstreamID: id, Provider: "entra", Class: event.ClassSignIn, Action: event.ActionAppSignIn,
			Time: time.Now(), Observed: time.Now(), Source: theSource, Raw: []byte(`"` + hex.EncodeToString(raw) + `"`),
		})
	}
	return p
}

func TestAFullLedger(t *testing.T) {
	levels := []string{"ledger_half_full", "ledger_nearly_full", "ledger_full"}
	small := func(w *world) (read func() int) {
		random, n := rand.NewChaCha8([32]byte{}), 0
		w.edit = func(p *Plan) { p.Config.Agent.MaxBytes, p.Config.Agent.History = 400_000, 0 }
		w.set(func() {
			w.read = func() (event.Page, error) { return flood(random, &n), nil }
			w.write = func([]event.Alert) error { return errors.New("connection refused") }
		})
		return func() int { w.mu.Lock(); defer w.mu.Unlock(); return n }
	}
	live(t, "each level is an alarm that names the sink, until the sink has taken what waits; then polling goes on, though no snapshot was due", func(t *testing.T, w *world) {
		read := small(w)
		w.run(t, func(a *Agent) {
			something(a, "one") // what the sink does not take
			pass(40 * time.Minute)
			for _, key := range levels {
				w.raised(t, a, key, "high: The ledger needs attention", "held by")
			}
			stuck := read()
			pass(30 * time.Minute)
			if n := read(); n != stuck {
				t.Errorf("%d records were read while there was no room", n-stuck)
			}
			w.set(func() { w.write = nil })
			pass(10 * time.Minute)
			if n := read(); n == stuck {
				t.Error("polling does not go on")
			}
			w.set(func() { w.read = nil })
			pass(2 * time.Hour)
			for _, key := range levels {
				w.calm(t, a, key)
			}
		})
	})
	live(t, "long before, an alarm names the sink that takes nothing, and those beside it have everything", func(t *testing.T, w *world) {
		small(w)
		w.run(t, func(a *Agent) {
			something(a, "one")
			pass(90 * time.Second)
			w.raised(t, a, "sink/"+theSink, "A sink keeps failing", theSink, "connection refused")
			for _, key := range levels {
				w.calm(t, a, key)
			}
			w.wantTold(t, "sink/"+theSink, "new")
			if s := a.ledger.Stats(); s.Bytes > s.MaxBytes/4 || s.Readers["stdout/good"].Waiting > 0 {
				t.Errorf("%d of %d bytes are taken, %+v", s.Bytes, s.MaxBytes, s.Readers)
			}
			pass(40 * time.Minute)
			w.raised(t, a, "ledger_full", "held by")
			if s := a.ledger.Stats(); s.Readers["stdout/good"].Waiting > 0 {
				t.Errorf("alerts wait for the other sink: %+v", s.Readers)
			}
		})
	})
	live(t, "a start with a full ledger and other rules lets the sink take what waits, and polling goes on", func(t *testing.T, w *world) {
		read := small(w)
		w.run(t, func(a *Agent) {
			something(a, "one")
			pass(40 * time.Minute)
			w.raised(t, a, "ledger_full")
		})
		w.rules = t.TempDir()
		rule := "rule \"x.y\" {\n  title = \"T\"\n  severity = \"low\"\n  on = [\"app.updated\"]\n  score = 1\n}\n"
		if err := os.WriteFile(filepath.Join(w.rules, "x.hcl"), []byte(rule), 0o600); err != nil {
			t.Fatal(err)
		}
		stuck := read()
		w.run(t, func(a *Agent) {
			pass(10 * time.Minute)
			if n := read(); n == stuck {
				t.Error("polling does not go on")
			}
		})
	})
}
