package detect

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// ruled is a world with one rule, of app.signin unless the body says otherwise.
func ruled(t testing.TB, body string) *world {
	if !strings.Contains(body, "on =") && !strings.Contains(body, "sequence") {
		body = "on = [\"app.signin\"]\n" + body
	}
	head := ""
	if !strings.Contains(body, "title =") {
		head += "title = \"Rule\"\n"
	}
	if !strings.Contains(body, "severity =") {
		head += "severity = \"medium\"\n"
	}
	return newWorld(t, "rule \"t.r\" {\n"+head+body+"\n}")
}

// signIn is a sign-in of an app at a minute after the start.
func (w *world) signIn(minute int, f func(*event.Event)) []event.Alert {
	return w.event(event.ActionAppSignIn, start().Add(time.Duration(minute)*time.Minute), f)
}

func failed(e *event.Event) { e.Result = event.ResultFailure }

func TestSeveralThresholdsMustAllHold(t *testing.T) {
	const burst = `
threshold "failures" {
  count  = 3
  where  = result == "failure"
  by     = [app.id]
  within = "1h"
}
threshold "no success" {
  at_most = 0
  where   = result == "success"
  by      = [app.id]
  within  = "1h"
}`
	for _, c := range []struct {
		sentence string
		minutes  []int // negative = a success
		want     int
	}{
		{"three failures and no success are an alert", []int{1, 2, 3}, 1},
		{"two failures are none", []int{1, 2}, 0},
		{"a success before the failures holds the alert back", []int{-1, 2, 3, 4}, 0},
		{"a success more than the window before does not", []int{-1, 60, 61, 62}, 1},
		{"a success that comes late holds back what follows", []int{3, 4, -2, 5}, 0},
		{"a success completes nothing itself", []int{1, 2, -3, -4}, 0},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			w := ruled(t, burst)
			for _, m := range c.minutes {
				if m < 0 {
					w.signIn(-m, nil)
				} else {
					w.signIn(m, failed)
				}
			}
			if len(w.alerts) != c.want {
				t.Errorf("alerts %v, want %d", told(w.alerts), c.want)
			}
		})
	}
}

func TestAThresholdOfASum(t *testing.T) {
	w := ruled(t, `
threshold {
  count  = 100
  sum    = source.asn
  by     = [app.id]
  within = "10m"
}`)
	add := func(minute int, n uint32) []event.Alert {
		return w.signIn(minute, func(e *event.Event) { e.Origin.ASN = n })
	}
	expectTold(t, add(0, 60))
	expectTold(t, add(11, 60)) // the first is out of the window
	expectTold(t, add(12, 0))  // unknown adds nothing
	expectTold(t, add(9, 39))
	expectTold(t, add(8, 1), "t.r detection new One n=3")
}

func TestFirstSeenMaySparesKeysSeenOften(t *testing.T) {
	w := ruled(t, `
first_seen {
  key     = [app.id, source.asn]
  history = "1d"
  at_most = 1
}`)
	day := 24 * 60
	for _, c := range []struct{ minute, want int }{{0, 1}, {1, 1}, {2, 0}, {3, 0}, {day + 2, 0}, {2*day + 3, 1}} {
		if got := w.signIn(c.minute, func(e *event.Event) { e.Origin.ASN = 7 }); len(got) != c.want {
			t.Errorf("minute %d: %v, want %d", c.minute, told(got), c.want)
		}
	}
}

func TestWhatAnAlertSaysIsComputed(t *testing.T) {
	w := ruled(t, `
title = "Sign-in of ${app.name}"
severity = source.country == "DE" ? "low" : (source.asn == 7 ? "critical" : "medium")
suppress {
  by  = [app.id, source.asn]
  for = "1h"
}
alert {
  max_evidence = 2
}`)
	for _, c := range []struct {
		country string
		asn     uint32
		want    event.Severity
		score   int
	}{{"DE", 1, event.SeverityLow, 35}, {"NL", 7, event.SeverityCritical, 95}, {"", 0, event.SeverityMedium, 55}, {"NL", 9, event.SeverityMedium, 55}} {
		got := w.signIn(0, func(e *event.Event) { e.Origin = event.Origin{Country: c.country, ASN: c.asn} })
		if len(got) != 1 || got[0].Title != "Sign-in of One" || got[0].Summary != got[0].Title || got[0].Severity != c.want || got[0].Score != c.score {
			t.Errorf("%s %d: %+v", c.country, c.asn, got)
		}
	}
	t.Run("and resolved in the words it was told in", func(t *testing.T) {
		got := w.rules(testRules)
		if len(got) != 3 || got[0].Title != "Sign-in of One" {
			t.Fatalf("%v", told(got))
		}
		severities := map[event.Severity]bool{}
		for _, a := range got {
			severities[a.Severity] = true
		}
		if !severities[event.SeverityLow] || !severities[event.SeverityCritical] || !severities[event.SeverityMedium] {
			t.Errorf("severities %v", severities)
		}
	})
}

func TestEvidenceIsCappedPerRule(t *testing.T) {
	w := ruled(t, `
threshold {
  count  = 5
  by     = [app.id]
  within = "1h"
}
alert {
  max_evidence = 2
}`)
	for i := range 5 {
		w.signIn(i, nil)
	}
	if len(w.alerts) != 1 || len(w.alerts[0].Evidence) != 2 || w.alerts[0].EvidenceTotal != 5 {
		t.Errorf("alerts %+v", w.alerts)
	}
}

// versionOne writes the snapshot of w as version 1 did: the tables in JSON.
func versionOne(t *testing.T, w *world, window, seenKey text) []byte {
	raw, err := json.Marshal(&w.m.state)
	if err != nil {
		t.Fatal(err)
	}
	var s map[string]any
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	s["Version"] = 1
	rules := s["Rules"].(map[string]any)
	hits := []map[string]any{{"T": start().UnixNano(), "ID": event.NewID("a")}, {"T": start().UnixNano() + 1, "ID": event.NewID("b")}}
	rules["t.burst"].(map[string]any)["Windows"] = map[text]any{window: map[string]any{"Hits": hits}}
	rules["t.asn"].(map[string]any)["Seen"] = map[string]any{"Began": start().UnixNano(), "Keys": map[text]int64{seenKey: start().UnixNano()}}
	if raw, err = json.Marshal(s); err != nil {
		t.Fatal(err)
	}
	out := bytes.NewBuffer(binary.AppendUvarint(nil, uint64(len(raw))))
	out.Write(raw)
	if err := w.m.inv.Snapshot(out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestASnapshotOfTheFormerVersionKeepsWhatRulesRemember(t *testing.T) {
	w := newWorld(t, testRules)
	e := w.make(event.ActionAppSignIn, start(), func(e *event.Event) { e.Origin.ASN = 7 })
	w.m.look(&e)
	key := func(id string) text {
		r := ruleOf(w.m.set, id)
		k, ok := w.m.keyOf(r.FirstSeen.Key)
		if !ok {
			t.Fatal("no key")
		}
		return k
	}
	burst := ruleOf(w.m.set, "t.burst")
	window, _ := w.m.keyOf(burst.Thresholds[0].By)
	old := versionOne(t, w, window, key("t.asn"))
	w.m = New(nil, options())
	if err := w.m.Restore(bytes.NewReader(old)); err != nil {
		t.Fatal(err)
	}
	expectTold(t, w.event(event.ActionCredentialAdded, start().Add(time.Minute), nil), "t.burst detection new One n=3")
	from := func(asn uint32) []event.Alert {
		return w.event(event.ActionAppSignIn, start().AddDate(0, 0, 8), func(e *event.Event) { e.Origin.ASN = asn })
	}
	expectTold(t, from(7))
	expectTold(t, from(8), "t.asn detection new One n=1")
	t.Run("a version of the future is refused", func(t *testing.T) {
		future := bytes.Replace(old, []byte(`"Version":1`), []byte(`"Version":9`), 1)
		if err := New(nil, options()).Restore(bytes.NewReader(future)); err == nil || !strings.Contains(fmt.Sprint(err), "version 9") {
			t.Errorf("error %v", err)
		}
	})
}
