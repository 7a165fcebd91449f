package detect

import (
	"cmp"
	"encoding/base64"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// text is a key of any bytes in base64, so that it survives in JSON.
type text string

func encodeKey(b []byte) text { return text(base64.RawStdEncoding.EncodeToString(b)) }

// hit is one match that a threshold counts.
type hit struct {
	T  int64    // event time, unix ns
	ID event.ID // of the event
	V  uint64   // the distinct value's hash, or the number that is summed
}

// measure is what a window adds up.
type measure uint8

const (
	counted  measure = iota // hits
	distinct                // different values
	summed                  // values
)

// span is how a window is kept.
type span struct {
	within, late int64 // ns
	keep         int   // hits kept at most; the oldest go first
	of           measure
}

// Windows hold the hits of one key, in order of event time.

// addHit takes h into hits and returns all, and where in them h is.
func addHit(hits []hit, h hit) ([]hit, int) {
	at, _ := slices.BinarySearchFunc(hits, h.T+1, func(x hit, t int64) int { return cmp.Compare(x.T, t) })
	return slices.Insert(hits, at, h), at
}

// fullest finds the stretch around hits[at] that holds most and is no longer
// than within.
func fullest(hits []hit, at int, s span) ([]hit, int64) {
	from, to := at, at+1
	for from > 0 && hits[at].T-hits[from-1].T <= s.within {
		from--
	}
	var best []hit
	var most int64
	for ; from <= at; from++ {
		grown := to
		for grown < len(hits) && hits[grown].T-hits[from].T <= s.within {
			grown++
		}
		if best != nil && grown == to {
			continue // part of the stretch before
		}
		to = grown
		if n := amount(hits[from:to], s.of); best == nil || n > most {
			best, most = hits[from:to], n
		}
	}
	return best, most
}

// ending is the stretch of length within that ends at t.
func ending(hits []hit, t int64, s span) ([]hit, int64) {
	from, _ := slices.BinarySearchFunc(hits, t-s.within, func(x hit, t int64) int { return cmp.Compare(x.T, t) })
	to, _ := slices.BinarySearchFunc(hits, t+1, func(x hit, t int64) int { return cmp.Compare(x.T, t) })
	return hits[from:to], amount(hits[from:to], s.of)
}

func amount(hits []hit, of measure) int64 {
	switch of {
	case distinct:
		values := make([]uint64, len(hits))
		for i := range hits {
			values[i] = hits[i].V
		}
		slices.Sort(values)
		return int64(len(slices.Compact(values)))
	case summed:
		var sum int64
		for i := range hits {
			if sum += int64(hits[i].V); sum < 0 {
				return math.MaxInt64
			}
		}
		return sum
	default:
		return int64(len(hits))
	}
}

// outdated is how many hits at the beginning no stretch can need any more. The
// newest hit alone never decides what is old: one record with a wrong clock must
// not empty a window. Few are left where they are: they do no harm.
func outdated(hits []hit, s span) int {
	n := len(hits)
	if n < 2 {
		return 0
	}
	old := hits[n-2].T - s.within - s.late
	k, _ := slices.BinarySearchFunc(hits, old, func(x hit, t int64) int { return cmp.Compare(x.T, t) })
	if 2*k < n {
		k = 0
	}
	if n-k > s.keep+s.keep/4 {
		k = n - s.keep
	}
	return k
}

// thin drops hits of a value between two others that are no further apart than
// within: whatever stretch holds the middle one holds a neighbour too.
func thin(hits []hit, value uint64, within int64) []hit {
	var same []int
	for i := range hits {
		if hits[i].V == value {
			same = append(same, i)
		}
	}
	for k := len(same) - 2; k >= 1; k-- {
		if hits[same[k+1]].T-hits[same[k-1]].T <= within {
			hits = slices.Delete(hits, same[k], same[k]+1)
			for j := k + 1; j < len(same); j++ {
				same[j]--
			}
			same = slices.Delete(same, k, k+1)
		}
	}
	return hits
}

func newest(hits []hit) int64 { return hits[len(hits)-1].T }

// count takes h into the window of key and returns the fullest stretch around it,
// until the next change, and what it amounts to.
func count(l *lists[hit], key hash, h hit, s span) ([]hit, int64) {
	hits := l.get(key)
	if n := len(hits); s.of != distinct && (n == 0 || hits[n-1].T <= h.T) {
		hits = l.push(key, h)
		if k := outdated(hits, s); k > 0 {
			l.put(key, hits[k:])
			hits = l.get(key)
		}
		return ending(hits, h.T, s)
	}
	hits, at := addHit(slices.Clone(hits), h)
	best, n := fullest(hits, at, s)
	best = slices.Clone(best)
	if s.of == distinct {
		hits = thin(hits, h.V, s.within)
	}
	l.put(key, hits[outdated(hits, s):])
	return best, n
}

// seen is what a first_seen block knows beside its keys.
type seen struct {
	Began  int64 // time from which on the rule has been looking; 0 = not yet
	Behind int   `json:",omitempty"` // events in a row far before Began

	keys lists[int64] // the last times of each key, in order
}

// farBehind events in a row show that Began came from a wrong clock.
const farBehind = 8

// learn notes that the rule looked at an event of time t.
func (s *seen) learn(t, history int64) {
	switch {
	case s.Began == 0, t < s.Began && s.Began-t <= history:
		s.Began = t
	case t < s.Began:
		if s.Behind++; s.Behind >= farBehind {
			s.Began, s.Behind = t, 0
		}
	default:
		s.Behind = 0
	}
}

// add records key at t and reports whether it is new: seen at most so often in the
// history before t, by a rule that has been looking for at least minHistory.
func (s *seen) add(key hash, t, history, minHistory int64, atMost int) bool {
	times := s.keys.get(key)
	before := 0
	for _, last := range times {
		if t-last <= history {
			before++
		}
	}
	if n := len(times); n > 0 && n == atMost+1 { // the oldest makes room
		if t > times[0] {
			at, _ := slices.BinarySearch(times, t)
			copy(times, times[1:at])
			times[at-1] = t
		}
	} else {
		at, _ := slices.BinarySearch(times, t)
		s.keys.put(key, slices.Insert(slices.Clone(times), at, t))
	}
	return before <= atMost && t-s.Began >= minHistory
}

func latest(times []int64) int64 { return times[len(times)-1] }

// quiet is an alert that suppresses others with the same key.
type quiet struct {
	ID     event.ID
	Dedupe string
	Opened int64 // event time
	From   int64 `json:",omitempty"` // event time of the oldest late alert; 0 = Opened
	For    int64
	Count  int
	Seq    uint32
	App    event.App

	Title    string         `json:",omitempty"` // where they are not the rule's own
	Severity event.Severity `json:",omitempty"`
}

// covers reports whether a match at t is swallowed; late ones are, too.
func (q *quiet) covers(t, during int64) bool {
	return t-q.Opened < during && q.from()-t < during
}

func (q *quiet) from() int64 {
	if q.From == 0 {
		return q.Opened
	}
	return q.From
}

// evict drops the oldest keys, a tenth of limit at once, when there are more
// than limit, and returns how many. The order is that of age, then of key.
func evict[V any](keys map[text]V, limit int, age func(V) int64) uint64 {
	if len(keys) <= limit {
		return 0
	}
	type aged struct {
		age int64
		key text
	}
	order := make([]aged, 0, len(keys))
	for k, v := range keys {
		order = append(order, aged{age(v), k})
	}
	slices.SortFunc(order, func(a, b aged) int {
		return cmp.Or(cmp.Compare(a.age, b.age), strings.Compare(string(a.key), string(b.key)))
	})
	n := len(keys) - limit + limit/10
	for _, x := range order[:n] {
		delete(keys, x.key)
	}
	return uint64(n)
}

func moment(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}
