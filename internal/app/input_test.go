package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ledger"
)

// decodeNow is what a newer release makes of records: some are events, "object" is of
// the inventory, the rest is still unknown.
func decodeNow(raw []byte) ([]event.Event, error) {
	s := string(raw)
	switch {
	case strings.HasPrefix(s, "event "):
		return []event.Event{{
			ID: event.NewID("input", s), Content: event.NewID("input", s), Provider: "entra", Tenant: "t", Class: event.ClassSignIn, Action: event.ActionAppSignIn,
			Time: time.Now().Add(-time.Hour), App: event.App{ID: "s1", AppID: "a1", Name: "One"}, Origin: event.Origin{IP: strings.TrimPrefix(s, "event ")}}}, nil
	case s == "object":
		return nil, nil
	}
	return nil, errors.New("still no time in it")
}

// spoil lets the source read records that it cannot decode.
func (w *world) spoil(records ...string) {
	p := event.Page{Fetched: len(records), CompleteThrough: time.Now()}
	for _, r := range records {
		p.Quarantined = append(p.Quarantined, event.Quarantine{Source: theSource, Reason: "no_time", Detail: "no time in it", Raw: []byte(r)})
	}
	w.pageOnce(p)
	pass(2 * time.Minute)
}

// waiting are the records that the admin API lists, by id.
func waiting(t *testing.T, a *Agent) map[string]string {
	t.Helper()
	w := httptest.NewRecorder()
	a.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/input", nil))
	out := map[string]string{}
	for dec := json.NewDecoder(w.Body); dec.More(); {
		var u Undecoded
		if err := dec.Decode(&u); err != nil {
			t.Fatal(err)
		}
		out[u.ID] = string(u.Raw)
	}
	return out
}

// idOf is the id of the record that waits with this text.
func idOf(t *testing.T, a *Agent, raw string) string {
	t.Helper()
	for id, r := range waiting(t, a) {
		if r == raw {
			return id
		}
	}
	t.Fatalf("%q does not wait", raw)
	return ""
}

// settled asks the admin API and gives the outcomes by record, as "outcome: reason".
func settledInput(t *testing.T, a *Agent, path string) map[string]string {
	t.Helper()
	code, body := posted(a, path)
	if code != http.StatusOK {
		t.Fatalf("%s: %d %s", path, code, body)
	}
	out := map[string]string{}
	for dec := json.NewDecoder(strings.NewReader(body)); dec.More(); {
		var s InputSettlement
		if err := dec.Decode(&s); err != nil {
			t.Fatal(err)
		}
		out[s.ID] = s.Outcome + ": " + s.Reason
	}
	return out
}

func account(a *Agent) event.Account { return a.Status().Sources[0].Account }

func TestRecordsThatCouldNotBeDecodedAreSettled(t *testing.T) {
	fired := func(w *world) int { return strings.Count(w.out.String(), `"known.address"`) }
	begin := func(t *testing.T, w *world) {
		t.Helper()
		w.decode, w.rules = decodeNow, rulesDir(t, onSignIn("known.address", `source.ip == "81.2.69.1"`))
	}
	live(t, "one that decodes now goes through the rules and alerts once, over a restart too; what still cannot stays with the new reason", func(t *testing.T, w *world) {
		begin(t, w)
		w.run(t, func(a *Agent) {
			w.spoil("event 81.2.69.1", "event 10.0.0.1", "garbage", "object")
			if n := len(waiting(t, a)); n != 4 || fired(w) != 0 {
				t.Fatalf("%d wait, %d alerts", n, fired(w))
			}
			good, bad, object := idOf(t, a, "event 81.2.69.1"), idOf(t, a, "garbage"), idOf(t, a, "object")
			got := settledInput(t, a, "/input/retry")
			for id, want := range map[string]string{good: "read: ", bad: "refused: still no time in it", object: "superseded: no event: its source reads the inventory anew, or passes such records over"} {
				if got[id] != want {
					t.Errorf("%s: %q, want %q", id, got[id], want)
				}
			}
			pass(time.Minute)
			if fired(w) != 1 {
				t.Errorf("%d alerts, want 1: %s", fired(w), w.out.String())
			}
			if left := waiting(t, a); len(left) != 1 || left[bad] != "garbage" {
				t.Errorf("still waiting: %v", left)
			}
			if got, want := account(a), (event.Account{Fetched: 6, New: 2, Quarantined: 4}); got != want {
				t.Errorf("account %+v, want %+v", got, want)
			}
			if got := settledInput(t, a, "/input/retry?id="+good); got[good] != "refused: no record of that id waits" {
				t.Errorf("settled before: %v", got)
			}
			w.wantSettled(t, a, event.OutcomeRead, 2)
			w.wantSettled(t, a, event.OutcomeSuperseded, 1)
		})
		w.run(t, func(a *Agent) {
			pass(2 * time.Minute)
			if left := waiting(t, a); len(left) != 1 || fired(w) != 1 || a.tenants[0].machine.Stats().Diverged != 0 {
				t.Errorf("after a restart: waiting %v, %d alerts, %d frames that differ", left, fired(w), a.tenants[0].machine.Stats().Diverged)
			}
			if got, want := account(a), (event.Account{Fetched: 6, New: 2, Quarantined: 4}); got != want {
				t.Errorf("account after a restart %+v, want %+v", got, want)
			}
			if w.cursors[len(w.cursors)-1] != "mark" {
				t.Errorf("the source was asked with the cursor %q", w.cursors[len(w.cursors)-1])
			}
		})
	})
	live(t, "an event that was read meanwhile is seen, and does not alert again", func(t *testing.T, w *world) {
		begin(t, w)
		w.run(t, func(a *Agent) {
			w.spoil("event 81.2.69.1")
			events, _ := decodeNow([]byte("event 81.2.69.1"))
			w.pageOnce(event.Page{Fetched: 1, Events: events, CompleteThrough: time.Now()})
			pass(2 * time.Minute)
			for id, s := range settledInput(t, a, "/input/retry") {
				if s != "read: " {
					t.Errorf("%s: %s", id, s)
				}
			}
			pass(time.Minute)
			if got := account(a); fired(w) != 1 || got.Seen != 1 || !got.Balanced() || len(waiting(t, a)) != 0 {
				t.Errorf("%d alerts, account %+v", fired(w), got)
			}
		})
	})
	live(t, "one is dropped for a reason, which its frame keeps, and stays dropped", func(t *testing.T, w *world) {
		begin(t, w)
		w.run(t, func(a *Agent) {
			w.spoil("garbage", "event 10.0.0.1")
			id := idOf(t, a, "garbage")
			if code, body := posted(a, "/input/drop?id="+id); code != http.StatusConflict || !strings.Contains(body, "for a reason") {
				t.Errorf("without a reason: %d %s", code, body)
			}
			if got := settledInput(t, a, "/input/drop?id="+id+"&reason="+url.QueryEscape("a bug of theirs")); got[id] != "dropped: a bug of theirs" || len(got) != 1 {
				t.Errorf("dropped: %v", got)
			}
			if left := waiting(t, a); len(left) != 1 {
				t.Errorf("waiting: %v", left)
			}
			w.wantSettled(t, a, event.OutcomeDropped, 1)
			if w.log.FilterMessage("record that could not be decoded").Len() != 1 {
				t.Error("no line in the log")
			}
		})
		w.run(t, func(a *Agent) {
			if left := waiting(t, a); len(left) != 1 || w.verdicts(t)[0].Reason != "a bug of theirs" {
				t.Errorf("after a restart: %v", left)
			}
		})
	})
	live(t, "what was cut off, and what is of a source that is gone, says so and stays", func(t *testing.T, w *world) {
		begin(t, w)
		w.run(t, func(a *Agent) {
			w.spoil("event 10.0.0.1", "event "+strings.Repeat("x", keptOfRecord))
			for id, r := range waiting(t, a) {
				want := "read: "
				if len(r) > 100 {
					want = "refused: only the beginning of it was kept"
				}
				if got := settledInput(t, a, "/input/retry?id="+id)[id]; !strings.HasPrefix(got, want) {
					t.Errorf("%d bytes: %s", len(r), got)
				}
			}
			a.tenants[0].sources[0].Key = "entra/x/other"
			for _, verb := range []string{"retry", "drop?reason=x"} {
				for id, got := range settledInput(t, a, "/input/"+verb) {
					if got != "refused: source "+theSource+" is not in the configuration" {
						t.Errorf("%s: %s", id, got)
					}
				}
			}
		})
	})
	live(t, "thousands are settled at once, by source", func(t *testing.T, w *world) {
		begin(t, w)
		w.run(t, func(a *Agent) {
			records := make([]string, 2*manyInput+7)
			for i := range records {
				records[i] = fmt.Sprintf("event 10.0.%d.%d", i/200, i%200)
			}
			w.spoil(records...)
			if got := settledInput(t, a, "/input/retry?source=entra/x/other"); len(got) != 0 {
				t.Errorf("of another source: %v", got)
			}
			if got := settledInput(t, a, "/input/retry?source="+theSource); len(got) != len(records) || len(waiting(t, a)) != 0 {
				t.Errorf("%d settled, %d wait", len(got), len(waiting(t, a)))
			}
			if got := account(a); got.New != uint64(len(records)) || !got.Balanced() {
				t.Errorf("account %+v", got)
			}
		})
	})
}

// wantSettled checks the metric.
func (w *world) wantSettled(t *testing.T, a *Agent, outcome string, want int) {
	t.Helper()
	synctest.Wait()
	families, err := a.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "appgovd_ingest_quarantine_settled_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "outcome" && l.GetValue() == outcome && int(m.GetCounter().GetValue()) == want {
					return
				}
			}
		}
	}
	t.Errorf("the metric does not count %d %s", want, outcome)
}

// verdicts are those in the ledger.
func (w *world) verdicts(t *testing.T) (all []event.Verdict) {
	t.Helper()
	v, err := ledger.OpenView(filepath.Join(w.dir, "state"), "")
	if err != nil {
		t.Fatal(err)
	}
	err = v.Frames(func(f *event.Frame) error { all = append(all, f.Verdicts...); return nil })
	if err := errors.Join(err, v.Close()); err != nil {
		t.Fatal(err)
	}
	return all
}
