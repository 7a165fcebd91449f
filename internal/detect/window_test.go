package detect

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/appgovd/appgovd/internal/event"
)

func printAlerts(t testing.TB, alerts []event.Alert) []byte {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetIndent("", "  ")
	for _, a := range alerts {
		if err := enc.Encode(a); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

// fullestNaive tries every stretch that begins at a hit and holds the last one.
func fullestNaive(all []hit, last hit, within int64, of measure) int64 {
	best := int64(0)
	for _, from := range all {
		if last.T < from.T || last.T > from.T+within {
			continue
		}
		values, sum := map[string]bool{}, int64(0)
		for i, h := range all {
			if h.T >= from.T && h.T <= from.T+within {
				key := fmt.Sprint(i)
				if of == distinct {
					key = fmt.Sprint("v", h.V)
				}
				values[key] = true
				sum += int64(h.V)
			}
		}
		if of != summed {
			sum = int64(len(values))
		}
		best = max(best, sum)
	}
	return best
}

// TestWindowsCountLikeANaiveModel: events in any order within the lateness give
// the same count as a search over all that ever came.
func TestWindowsCountLikeANaiveModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		within := rapid.Int64Range(1, 20).Draw(t, "within")
		late := rapid.Int64Range(0, 30).Draw(t, "late")
		of := rapid.SampledFrom([]measure{counted, distinct, summed}).Draw(t, "measure")
		s := span{within: within, late: late, keep: 1000, of: of}
		var l lists[hit]
		var all []hit
		now := int64(1000)
		for i := range rapid.IntRange(1, 60).Draw(t, "events") {
			now += rapid.Int64Range(0, 8).Draw(t, "step")
			h := hit{T: now - rapid.Int64Range(0, late).Draw(t, "late by"), V: rapid.Uint64Range(0, 3).Draw(t, "value")}
			all = append(all, h)
			if _, got := count(&l, hash{1}, h, s); got != fullestNaive(all, h, within, of) {
				t.Fatalf("event %d at %d: count %d, want %d", i, h.T, got, fullestNaive(all, h, within, of))
			}
		}
	})
}

// TestSeenLikeANaiveModel: a key is new when so few events of it lie in the history
// before, of all that ever came.
func TestSeenLikeANaiveModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		history := rapid.Int64Range(5, 50).Draw(t, "history")
		atMost := rapid.IntRange(0, 3).Draw(t, "at most")
		var s seen
		all := map[hash][]int64{}
		now, began := int64(1000), int64(0)
		for range rapid.IntRange(1, 50).Draw(t, "events") {
			now += rapid.Int64Range(0, 9).Draw(t, "step")
			at := now - rapid.Int64Range(0, 4).Draw(t, "late by")
			key := hash{rapid.SampledFrom([]byte("abc")).Draw(t, "key")}
			if began == 0 || at < began {
				began = at
			}
			before := 0
			for _, x := range all[key] {
				if at-x <= history {
					before++
				}
			}
			all[key] = append(all[key], at)
			s.learn(at, history)
			if got, want := s.add(key, at, history, 10, atMost), before <= atMost && at-began >= 10; got != want {
				t.Fatalf("%v at %d: new = %v, want %v", key, at, got, want)
			}
		}
	})
}

// benchmarkRules are 15 rules of mixed kind over the actions of a page.
func benchmarkRules() string {
	var b bytes.Buffer
	actions := []string{event.ActionConsentGranted, event.ActionCredentialAdded, event.ActionAppSignIn, event.ActionUserSignIn, event.ActionOwnerAdded}
	for i := range 15 {
		fmt.Fprintf(&b, "rule \"b.r%d\" {\n title = \"R%d\"\n severity = \"low\"\n on = [%q]\n where = contains(app.name, \"zz%d\") || source.asn == %d\n", i, i, actions[i%5], i, i)
		switch i % 3 {
		case 0:
			b.WriteString(" threshold {\n count = 5\n by = [app.id]\n within = \"1h\"\n }\n")
		case 1:
			b.WriteString(" first_seen {\n key = [app.id, source.asn]\n history = \"30d\"\n min_history = \"7d\"\n }\n")
		}
		b.WriteString("}\n")
	}
	return b.String()
}

func BenchmarkApplyPageOf1000EventsWith15Rules(b *testing.B) {
	w := newWorld(b, benchmarkRules())
	w.firstSync(app(1), app(2), app(3))
	w.frames = nil
	actions := []string{event.ActionConsentGranted, event.ActionCredentialAdded, event.ActionAppSignIn, event.ActionUserSignIn, event.ActionOwnerAdded}
	page := make([]event.Event, 1000)
	for i := range page {
		page[i] = w.make(actions[i%5], start().Add(time.Duration(i)*time.Second), func(e *event.Event) {
			e.App = event.App{ID: fmt.Sprintf("s%d", i%4)}
			e.Origin.ASN = uint32(i % 100)
		})
	}
	f := &event.Frame{Kind: event.FramePage, Source: "entra/t/directory_audits", Time: start()}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		f.Events, f.Alerts = append(f.Events[:0], page...), nil
		w.m.Apply(f)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/event")
}

func BenchmarkPoliciesOver10000Apps(b *testing.B) {
	w := newWorld(b, testRules)
	var objects []event.Object
	for i := range 10_000 {
		objects = append(objects, app(i), wide(i))
	}
	w.firstSync(objects...)
	w.tick(time.Minute)
	w.frames = nil
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		w.tick(time.Hour)
		w.frames, w.alerts = nil, nil
	}
}
