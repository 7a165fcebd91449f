package detect

import (
	"cmp"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// text is a key of any bytes in base64, so that it survives in JSON.
type text string

func encodeKey(b []byte) text { return text(base64.RawStdEncoding.EncodeToString(b)) }

// hit is one match of a rule with a threshold.
type hit struct {
	T  int64    // event time, unix ns
	ID event.ID // of the event
	V  text     `json:",omitempty"` // the distinct value
}

// window holds the hits of one key, in order of event time.
type window struct{ Hits []hit }

// span is how a window is kept.
type span struct {
	within, late int64 // ns
	keep         int   // hits kept at most; the oldest go first
	distinct     bool
}

// add takes in h and returns the fullest stretch of hits that holds h and is no
// longer than within, with its count (of different values, if distinct).
func (w *window) add(h hit, s span) ([]hit, int) {
	at, _ := slices.BinarySearchFunc(w.Hits, h.T+1, func(x hit, t int64) int { return cmp.Compare(x.T, t) })
	w.Hits = slices.Insert(w.Hits, at, h)
	best, n := w.fullest(at, s)
	best = slices.Clone(best)
	w.prune(h.V, s)
	return best, n
}

// fullest finds the best stretch around Hits[at].
func (w *window) fullest(at int, s span) ([]hit, int) {
	from, to, most := at, at+1, 0
	for from > 0 && w.Hits[at].T-w.Hits[from-1].T <= s.within {
		from--
	}
	var best []hit
	for ; from <= at; from++ {
		grown := to
		for grown < len(w.Hits) && w.Hits[grown].T-w.Hits[from].T <= s.within {
			grown++
		}
		if most > 0 && grown == to {
			continue // part of the stretch before
		}
		to = grown
		if n := count(w.Hits[from:to], s.distinct); n > most {
			best, most = w.Hits[from:to], n
		}
	}
	return best, most
}

func count(hits []hit, distinct bool) int {
	if !distinct {
		return len(hits)
	}
	values := make(map[text]struct{}, len(hits))
	for i := range hits {
		values[hits[i].V] = struct{}{}
	}
	return len(values)
}

// prune drops what no stretch can need any more. The newest hit alone never
// decides what is old: one record with a wrong clock must not empty a window.
func (w *window) prune(value text, s span) {
	if s.distinct {
		w.thin(value, s.within)
	}
	if n := len(w.Hits); n >= 2 {
		old := w.Hits[n-2].T - s.within - s.late
		k := 0
		for w.Hits[k].T < old {
			k++
		}
		w.Hits = slices.Delete(w.Hits, 0, k)
	}
	if n := len(w.Hits); n > s.keep {
		w.Hits = slices.Delete(w.Hits, 0, n-s.keep)
	}
}

// thin drops hits of a value between two others that are no further apart than
// within: whatever stretch holds the middle one holds a neighbour too.
func (w *window) thin(value text, within int64) {
	var same []int
	for i := range w.Hits {
		if w.Hits[i].V == value {
			same = append(same, i)
		}
	}
	for k := len(same) - 2; k >= 1; k-- {
		if w.Hits[same[k+1]].T-w.Hits[same[k-1]].T <= within {
			w.Hits = slices.Delete(w.Hits, same[k], same[k]+1)
			for j := k + 1; j < len(same); j++ {
				same[j]--
			}
			same = slices.Delete(same, k, k+1)
		}
	}
}

func (w *window) newest() int64 { return w.Hits[len(w.Hits)-1].T }

// seen is the set of keys of a first_seen rule.
type seen struct {
	Began  int64 // time from which on the rule has been looking; 0 = not yet
	Behind int   `json:",omitempty"` // events in a row far before Began
	Keys   map[text]int64
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

// add records key at t and reports whether it is new: not seen in the history
// before t, by a rule that has been looking for at least minHistory.
func (s *seen) add(key text, t, history, minHistory int64) bool {
	last, known := s.Keys[key]
	s.Keys[key] = max(last, t)
	if known && t-last <= history {
		return false
	}
	return t-s.Began >= minHistory
}

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
	order := make([]text, 0, len(keys))
	for k := range keys {
		order = append(order, k)
	}
	slices.SortFunc(order, func(a, b text) int {
		return cmp.Or(cmp.Compare(age(keys[a]), age(keys[b])), strings.Compare(string(a), string(b)))
	})
	n := len(keys) - limit + limit/10
	for _, k := range order[:n] {
		delete(keys, k)
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
