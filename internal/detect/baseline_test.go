package detect

import (
	"encoding/binary"
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/rule"
)

// many sends n sign-ins within the hour that begins at a number of hours after the
// start, and returns how many alerts they raise.
func (w *world) many(hour, n int, f func(*event.Event)) int {
	told := 0
	for i := range n {
		told += len(w.signIn(60*hour+i%60, f))
	}
	return told
}

func TestCompareWithThePreviousWindow(t *testing.T) {
	const body = `
compare {
  measure  = count()
  by       = [app.id]
  window   = "1h"
  baseline = "previous"
  above    = "300 %"
  at_least = 5
}
alert {
  summary = "${compare.value} instead of ${compare.baseline}"
}`
	for _, c := range []struct {
		sentence string
		hours    []int // matches in each
		want     int
	}{
		{"more than three times the hour before is an alert, once", []int{1, 2, 9}, 1},
		{"three times is none", []int{1, 2, 6}, 0},
		{"the hour in which the app was first seen is no baseline", []int{2, 20}, 0},
		{"from nothing to enough is an alert", []int{1, 0, 5}, 1},
		{"from nothing to little is none", []int{1, 0, 4}, 0},
		{"a fall is none", []int{1, 20, 3}, 0},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			w := ruled(t, body)
			got := 0
			for hour, n := range c.hours {
				got += w.many(hour, n, nil)
			}
			if got != c.want {
				t.Errorf("alerts %v, want %d", told(w.alerts), c.want)
			}
		})
	}
	t.Run("the alert tells both figures and how many matches", func(t *testing.T) {
		w := ruled(t, body)
		w.many(0, 1, nil)
		w.many(1, 2, nil)
		w.many(2, 7, nil)
		if len(w.alerts) != 1 || w.alerts[0].Summary != "7 instead of 2" || w.alerts[0].Count != 7 {
			t.Errorf("alerts %+v", w.alerts)
		}
	})
	t.Run("records that come late count in the window of their time", func(t *testing.T) {
		w := ruled(t, body)
		w.many(0, 1, nil)
		w.many(3, 1, nil)
		if got := w.many(2, 5, nil); got != 1 {
			t.Errorf("%d alerts, want 1", got)
		}
	})
	t.Run("what is silent since the baseline is short is counted", func(t *testing.T) {
		w := ruled(t, body)
		w.many(0, 1, nil)
		w.many(1, 6, nil)
		if n := stat(w, "t.r").WarmingUp; n != 2 {
			t.Errorf("%d matches warming up, want 2", n)
		}
	})
	t.Run("a wrong clock neither warms up nor silences", func(t *testing.T) {
		for _, wrong := range []int{-365 * 24, 365 * 24} {
			w := ruled(t, body)
			w.many(wrong, 1, nil)
			if got := w.many(0, 30, nil); got != 0 {
				t.Errorf("%d alerts in the first hour", got)
			}
			w.many(1, 1, nil)
			w.many(wrong, 1, nil)
			if got := w.many(2, 5, nil); got != 1 {
				t.Errorf("%d alerts, want 1", got)
			}
		}
	})
}

func TestCompareWithAMean(t *testing.T) {
	const body = `
compare {
  measure     = count()
  by          = [app.id]
  window      = "1h"
  baseline    = "6h"
  above       = %s
  min_samples = 4
}`
	for _, c := range []struct {
		sentence, above string
		hours           []int
		want            int
	}{
		{"hours without a match belong to the mean", "3", []int{1, 4, 0, 4, 0, 7}, 1},
		{"the mean is of the hours before alone", "3", []int{1, 4, 0, 4, 0, 6}, 0},
		{"too few hours are no mean", "3", []int{1, 4, 0, 4, 30}, 0},
		{"what is beyond the mean's length does not count", "2", []int{1, 50, 1, 1, 1, 1, 1, 1, 3}, 1},
		{"three deviations above are an alert", `"3 sigma"`, []int{1, 10, 12, 10, 12, 15}, 1},
		{"three deviations are none", `"3 sigma"`, []int{1, 10, 12, 10, 12, 14}, 0},
		{"of what never varies a deviation is one", `"3 sigma"`, []int{1, 5, 5, 5, 5, 9}, 1},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			w := ruled(t, fmt.Sprintf(body, c.above))
			got := 0
			for hour, n := range c.hours {
				got += w.many(hour, n, nil)
			}
			if got != c.want {
				t.Errorf("alerts %v, want %d", told(w.alerts), c.want)
			}
		})
	}
}

func TestCompareWithTheHourOfTheWeek(t *testing.T) {
	w := ruled(t, `
compare {
  measure  = count()
  by       = [app.id]
  window   = "1h"
  baseline = "hour_of_week"
  history  = "3w"
  above    = 2
}`)
	const week = 7 * 24
	w.many(-1, 1, nil)
	got := 0
	for k := range 4 {
		got += w.many(k*week, 20, nil)   // every Sunday
		got += w.many(k*week+24, 1, nil) // every Monday
	}
	if got != 0 {
		t.Errorf("the usual Sundays raise %v", told(w.alerts))
	}
	if got := w.many(3*week+48, 1, nil) + w.many(4*week+24, 3, nil); got != 2 {
		t.Errorf("a busy Monday and a Tuesday that was silent raise %d", got)
	}
}

func TestCompareSharesSumsAndDifferentValues(t *testing.T) {
	t.Run("a share of enough matches, without a baseline", func(t *testing.T) {
		w := ruled(t, `
compare {
  measure  = share(result == "failure")
  by       = [app.id]
  window   = "1h"
  above    = "50 %"
  at_least = 4
}
alert {
  summary = "${compare.value} %"
}`)
		if got := w.many(0, 2, failed) + w.many(0, 2, nil); got != 0 {
			t.Errorf("half of four is above half: %d alerts", got)
		}
		if got := w.many(0, 1, failed); got != 1 || w.alerts[0].Summary != "60 %" {
			t.Errorf("three of five raise %+v", w.alerts)
		}
	})
	t.Run("a sum", func(t *testing.T) {
		w := ruled(t, `
compare {
  measure  = sum(source.asn)
  by       = [app.id]
  window   = "1h"
  baseline = "previous"
  above    = 2
}`)
		of := func(n uint32) func(*event.Event) { return func(e *event.Event) { e.Origin.ASN = n } }
		w.many(0, 1, of(9))
		w.many(1, 2, of(10))
		if got := w.many(2, 1, of(40)) + w.many(2, 1, of(0)); got != 0 {
			t.Errorf("40 is above twice 20: %d", got)
		}
		if got := w.many(2, 1, of(1)); got != 1 {
			t.Errorf("41 raises %d", got)
		}
	})
	t.Run("different values, exact while few and estimated when many", func(t *testing.T) {
		w := ruled(t, `
compare {
  measure  = distinct(source.asn)
  by       = [app.id]
  window   = "1h"
  baseline = "previous"
  above    = 5
}
alert {
  summary = "${compare.value} of ${compare.baseline}"
}`)
		next := uint32(0)
		fresh := func(e *event.Event) { next++; e.Origin.ASN = next }
		w.many(0, 1, fresh)
		w.many(1, 30, func(e *event.Event) { e.Origin.ASN = 1 })
		w.many(1, 9, fresh)
		if got := w.many(2, 50, fresh); got != 0 || stat(w, "t.r").Estimated != 0 {
			t.Errorf("50 is above five times 10: %v", told(w.alerts))
		}
		if got := w.many(2, 1, fresh); got != 1 || w.alerts[0].Summary != "51 of 10" {
			t.Errorf("51 raises %+v", w.alerts)
		}
		w.many(2, 100, fresh)
		if stat(w, "t.r").Estimated != 1 {
			t.Error("the switch to estimates is not visible")
		}
	})
}

func TestTheStateOfAComparisonExpires(t *testing.T) {
	w := ruled(t, `
compare {
  measure  = distinct(source.asn)
  by       = [app.id]
  window   = "1h"
  baseline = "1d"
  above    = 2
}`)
	w.tick(0)
	next := uint32(0)
	w.many(0, 100, func(e *event.Event) { next++; e.Origin.ASN = next })
	w.tick(28 * time.Hour)
	if s := stat(w, "t.r"); s.Keys != 1 || s.Estimated != 0 {
		t.Errorf("after a day: %+v", s)
	}
	w.tick(25 * time.Hour)
	if n := stat(w, "t.r").Keys; n != 0 {
		t.Errorf("%d keys left", n)
	}
}

func TestASketchIsWithinTenPercent(t *testing.T) {
	for _, n := range []int{65, 1000, 3000, 100_000} {
		var s sketch
		for i := range n {
			s.add(keyOf(i).small())
			s.add(keyOf(i / 2).small())
		}
		if got := float64(s.estimate()); math.Abs(got-float64(n)) > 0.1*float64(n) {
			t.Errorf("%d values are estimated as %.0f", n, got)
		}
	}
}

// TestBucketsLikeANaiveModel: whatever the order within the lateness, windows hold
// what a sum over all that came holds.
func TestBucketsLikeANaiveModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b baseline
		all := map[int32]int64{}
		c := &rule.Compare{Span: rapid.IntRange(1, 5).Draw(t, "span"), Window: 1, Baseline: rule.BaselineMean}
		const late = 4
		now, first := int32(100), int32(math.MaxInt32)
		for range rapid.IntRange(1, 80).Draw(t, "events") {
			now += rapid.Int32Range(0, 2).Draw(t, "step")
			at := now - rapid.Int32Range(0, late).Draw(t, "late by")
			first = min(first, at)
			all[at]++
			list, i := b.place(hash{1}, at, reach(c)+100)
			if i < 0 {
				t.Fatalf("window %d has no place", at)
			}
			list[i].V++
			got := samples(c, list, i)
			want := base{}
			for k := at - 1; k >= at-int32(c.Span) && k > first; k-- {
				want.n, want.sum, want.square = want.n+1, want.sum+float64(all[k]), want.square+float64(all[k]*all[k])
			}
			if list[i].V != all[at] || got.n != want.n || got.sum != want.sum || got.square != want.square {
				t.Fatalf("window %d: %d matches and baseline %+v, want %d and %+v", at, list[i].V, got, all[at], want)
			}
		}
	})
}

func BenchmarkCompareUpdate(b *testing.B) {
	const keys = 1_000_000
	var l baseline
	key := make([]byte, 40)
	c := &rule.Compare{Span: 14, Window: time.Hour, Baseline: rule.BaselineMean}
	i := 0
	for b.Loop() {
		binary.BigEndian.PutUint64(key, uint64(i*2654435761)%keys)
		list, at := l.place(hashOf(key), int32(i/keys), reach(c)+26)
		list[at].V++
		samples(c, list, at)
		i++
	}
}
