package app

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
)

// refusing makes the sink refuse the alert of something.
func refusing(reason string) func([]event.Alert) error {
	return func(batch []event.Alert) error {
		r := &deliver.Rejected{}
		for i := range batch {
			if batch[i].DedupeKey == "reopen/"+theSink {
				r.Items = append(r.Items, deliver.Rejection{Index: i, Reason: reason})
			}
		}
		if len(r.Items) == 0 {
			return nil
		}
		return r
	}
}

// post asks the admin API to settle a letter.
func posted(a *Agent, path string) (int, string) {
	w := httptest.NewRecorder()
	a.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, nil))
	return w.Code, strings.TrimSpace(w.Body.String())
}

func openLetters(t *testing.T, a *Agent) (out []event.DeadLetter) {
	t.Helper()
	w := httptest.NewRecorder()
	a.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/deadletters", nil))
	for dec := json.NewDecoder(w.Body); dec.More(); {
		var d event.DeadLetter
		if err := dec.Decode(&d); err != nil {
			t.Fatal(err)
		}
		out = append(out, d)
	}
	return out
}

func settlement(t *testing.T, code int, body string) (s Settlement) {
	t.Helper()
	if code != http.StatusOK {
		t.Fatalf("%d: %s", code, body)
	}
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDeadLettersAreSettled(t *testing.T) {
	bury := func(t *testing.T, w *world, a *Agent) event.DeadLetter {
		t.Helper()
		w.set(func() { w.write = refusing("too large") })
		something(a, "one")
		pass(time.Minute)
		all := openLetters(t, a)
		if len(all) != 1 || all[0].Reason != "too large" || all[0].Attempts != 1 {
			t.Fatalf("letters %+v", all)
		}
		return all[0]
	}
	live(t, "a letter that the sink takes when it is tried again is settled, with the delivery id of the first time, and its alarm ends", func(t *testing.T, w *world) {
		w.run(t, func(a *Agent) {
			d := bury(t, w, a)
			w.raised(t, a, "dead_letter/"+theSink, "1 in the dead letter")
			path := "/deadletters/" + d.ID.String() + "/retry"
			w.set(func() { w.write = refusing("still too large") })
			if code, body := posted(a, path); settlement(t, code, body).Outcome != Refused {
				t.Errorf("refused again: %s", body)
			}
			if all := openLetters(t, a); len(all) != 1 || all[0].Reason != "still too large" || all[0].Attempts != 2 || all[0].ID != d.ID {
				t.Errorf("letters after it was refused again: %+v", all)
			}
			w.set(func() { w.write = func([]event.Alert) error { return errors.New("connection refused") } })
			if code, body := posted(a, path); code != http.StatusConflict || !strings.Contains(body, "connection refused") || len(openLetters(t, a)) != 1 {
				t.Errorf("while the sink is away: %d %s", code, body)
			}
			var taken []event.ID
			w.set(func() {
				w.write = func(batch []event.Alert) error {
					taken = append(taken, batch[0].DeliveryID)
					return nil
				}
			})
			if code, body := posted(a, path); settlement(t, code, body).Outcome != event.OutcomeDelivered {
				t.Errorf("taken: %s", body)
			}
			w.set(func() { w.write = nil })
			if len(taken) != 1 || taken[0] != d.Alert.DeliveryID {
				t.Errorf("delivered %v, want %v", taken, d.Alert.DeliveryID)
			}
			if code, body := posted(a, path); code != http.StatusNotFound {
				t.Errorf("settled before: %d %s", code, body)
			}
			pass(5 * time.Minute)
			w.calm(t, a, "dead_letter/"+theSink)
		})
		w.run(t, func(a *Agent) {
			if all := openLetters(t, a); len(all) != 0 {
				t.Errorf("after a restart: %+v", all)
			}
		})
	})
	live(t, "a letter is dropped for a reason, and stays dropped over a restart", func(t *testing.T, w *world) {
		w.run(t, func(a *Agent) {
			d := bury(t, w, a)
			path := "/deadletters/" + d.ID.String() + "/drop"
			if code, body := posted(a, path); code != http.StatusConflict || !strings.Contains(body, "reason") {
				t.Errorf("without a reason: %d %s", code, body)
			}
			if code, body := posted(a, path+"?reason=a+test"); settlement(t, code, body).Outcome != event.OutcomeDropped {
				t.Errorf("dropped: %s", body)
			}
			if code, _ := posted(a, "/deadletters/xyz/drop?reason=x"); code != http.StatusBadRequest {
				t.Errorf("no id: %d", code)
			}
		})
		w.run(t, func(a *Agent) {
			if all := openLetters(t, a); len(all) != 0 {
				t.Errorf("after a restart: %+v", all)
			}
		})
	})
	live(t, "a paused sink does not settle a letter", func(t *testing.T, w *world) {
		w.run(t, func(a *Agent) {
			d := bury(t, w, a)
			w.set(func() { w.write = func([]event.Alert) error { return fault.NewAuth(errors.New("no")) } })
			if code, _ := posted(a, "/deadletters/"+d.ID.String()+"/retry"); code != http.StatusConflict || len(openLetters(t, a)) != 1 {
				t.Errorf("%d", code)
			}
		})
	})
}
