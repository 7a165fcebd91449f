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
func fullestNaive(all []hit, last hit, within int64, distinct bool) int {
	best := 0
	for _, from := range all {
		if last.T < from.T || last.T > from.T+within {
			continue
		}
		values := map[string]bool{}
		for i, h := range all {
			if h.T >= from.T && h.T <= from.T+within {
				key := fmt.Sprint(i)
				if distinct {
					key = string(h.V)
				}
				values[key] = true
			}
		}
		best = max(best, len(values))
	}
	return best
}

// TestWindowsCountLikeANaiveModel: events in any order within the lateness give
// the same count as a search over all that ever came.
func TestWindowsCountLikeANaiveModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		within := rapid.Int64Range(1, 20).Draw(t, "within")
		late := rapid.Int64Range(0, 30).Draw(t, "late")
		distinct := rapid.Bool().Draw(t, "distinct")
		s := span{within: within, late: late, keep: 1000, distinct: distinct}
		var w window
		var all []hit
		now := int64(1000)
		for i := range rapid.IntRange(1, 60).Draw(t, "events") {
			now += rapid.Int64Range(0, 8).Draw(t, "step")
			h := hit{T: now - rapid.Int64Range(0, late).Draw(t, "late by"), V: text(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "value"))}
			all = append(all, h)
			if _, got := w.add(h, s); got != fullestNaive(all, h, within, distinct) {
				t.Fatalf("event %d at %d: count %d, want %d", i, h.T, got, fullestNaive(all, h, within, distinct))
			}
		}
	})
}

// TestSeenLikeANaiveModel: a key is new when no event of it lies in the history
// before, of all that ever came.
func TestSeenLikeANaiveModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		history := rapid.Int64Range(5, 50).Draw(t, "history")
		s := &seen{Keys: map[text]int64{}}
		newest := map[text]int64{}
		now, began := int64(1000), int64(0)
		for range rapid.IntRange(1, 50).Draw(t, "events") {
			now += rapid.Int64Range(0, 9).Draw(t, "step")
			at := now - rapid.Int64Range(0, 4).Draw(t, "late by")
			key := text(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key"))
			if began == 0 || at < began {
				began = at
			}
			last, known := newest[key]
			want := (!known || at-last > history) && at-began >= 10
			newest[key] = max(newest[key], at)
			s.learn(at, history)
			if got := s.add(key, at, history, 10); got != want {
				t.Fatalf("%s at %d: new = %v, want %v", key, at, got, want)
			}
		}
	})
}

func TestEvictionTakesTheOldestThenTheFirstByName(t *testing.T) {
	keys := map[text]int64{"old": 1, "b": 2, "a": 2, "new": 3}
	if n := evict(keys, 3, func(t int64) int64 { return t }); n != 1 || len(keys) != 3 {
		t.Fatalf("%d evicted, %d left", n, len(keys))
	}
	if _, ok := keys["old"]; ok {
		t.Error("the oldest key survived")
	}
	if n := evict(keys, 2, func(t int64) int64 { return t }); n != 1 {
		t.Fatalf("%d evicted", n)
	}
	if _, ok := keys["a"]; ok {
		t.Error("of two keys of one age the first by name goes")
	}
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
