package detect

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/rule"
)

// bucket is one window of a comparison. The first of a key tells when it was first
// seen, and is kept.
type bucket struct {
	At int32  // number of the window since 1970
	N  uint32 // matches
	V  int64  // the measure; of a share the matches that belong to it
}

// baseline is what a comparison remembers.
type baseline struct {
	windows lists[bucket]
	values  lists[uint64] // of distinct: the number of the window, then the values in order
	many    lists[sketch] // where a window has more than exactly values
}

const exactly = 64 // different values are told apart, more are estimated

func (b *baseline) keys() int { return b.windows.used + b.values.used + b.many.used }

func number(t int64, window time.Duration) int32 {
	n := t / int64(window)
	if t%int64(window) < 0 {
		n--
	}
	return int32(n)
}

// exceeds takes e into its window and reports whether that is above its baseline
// now, with the matches in it. What it found is left for the alert.
func (m *Machine) exceeds(r *rule.Rule, st *ruleState, e *event.Event) (int, bool) {
	c := r.Compare
	if c == nil {
		return 0, true
	}
	key, ok := m.hashOf(c.By)
	if !ok {
		m.tells(r, "compare", func() string { return unknownKey })
		return 0, false
	}
	b, at := st.baseline, number(nanos(e.Time), c.Window)
	late := int32(m.opt.Lateness / c.Window)
	all, i := b.place(key, at, reach(c)+late)
	if i < 0 || !m.measure(c, b, key, &all[i]) {
		m.tells(r, "compare", func() string { return "the event is too late for its window, or what it adds is unknown" })
		return 0, false
	}
	stats := m.stats[r.ID]
	limit := m.limit(c.MaxKeys)
	x := all[i]
	m.env.Compared = rule.Compared{}
	m.tells(r, "compare", func() string { return samples(c, all, i).describe(c, x) })
	if c.Measure == rule.MeasureShare && int64(x.N) >= c.AtLeast || c.Measure != rule.MeasureShare && x.V >= c.AtLeast {
		base := samples(c, all, i)
		if base.n < c.MinSamples && c.Baseline != rule.BaselineNone {
			stats.WarmingUp++
			ok = false
		} else {
			m.env.Compared = base.compared(c, x)
			ok = base.below(c, x)
		}
	} else {
		ok = false
	}
	m.evicted(r.ID, b.windows.evict(limit, func(w []bucket) int64 { return int64(w[len(w)-1].At) }))
	m.evicted(r.ID, b.values.evict(limit, func(v []uint64) int64 { return int64(v[0]) }))
	m.evicted(r.ID, b.many.evict(max(1, limit/10), func(s []sketch) int64 { return int64(s[0].At) }))
	return int(x.N), ok
}

// reach is how many windows before the one at hand a comparison may need.
func reach(c *rule.Compare) int32 {
	if c.Baseline == rule.BaselineHourOfWeek {
		return int32(c.Span) * int32(rule.Week/c.Window)
	}
	return int32(c.Span)
}

// place finds or makes the bucket of a window, and drops those out of reach. The
// newest bucket alone never decides what is old. A window that is too old has none: -1.
func (b *baseline) place(key hash, at, reach int32) ([]bucket, int) {
	all := b.windows.get(key)
	n := len(all)
	if n > 0 && all[n-1].At == at {
		return all, n - 1
	}
	i, found := slices.BinarySearchFunc(all, at, func(x bucket, at int32) int { return cmp.Compare(x.At, at) })
	switch {
	case found:
		return all, i
	case n >= 2 && at < all[n-2].At-reach:
		return nil, -1
	case n == 1 && (at < all[0].At-reach || at > all[0].At+reach): // too far apart: it begins anew
		b.windows.put(key, []bucket{{At: at}})
		return b.windows.get(key), 0
	case i == n:
		all = b.windows.push(key, bucket{At: at})
	default:
		b.windows.put(key, slices.Insert(slices.Clone(all), i, bucket{At: at}))
		all = b.windows.get(key)
	}
	if old := all[max(0, len(all)-2)].At - reach; len(all) > 3 && all[len(all)/2].At < old {
		keep := append([]bucket{all[0]}, slices.DeleteFunc(slices.Clone(all[1:]), func(x bucket) bool { return x.At < old })...)
		b.windows.put(key, keep)
		all = b.windows.get(key)
		i, _ = slices.BinarySearchFunc(all, at, func(x bucket, at int32) int { return cmp.Compare(x.At, at) })
	}
	return all, i
}

// measure adds the event at hand to x; false = what it adds is unknown.
func (m *Machine) measure(c *rule.Compare, b *baseline, key hash, x *bucket) bool {
	switch c.Measure {
	case rule.MeasureSum:
		v, ok := c.Value(&m.env)
		if !ok {
			return false
		}
		if x.V += max(0, v); x.V < 0 {
			x.V = math.MaxInt64
		}
	case rule.MeasureDistinct:
		v, ok := m.hashOf(c.Distinct)
		if !ok {
			return false
		}
		x.V = max(x.V, b.different(key, x.At, v.small()))
	case rule.MeasureShare:
		switch c.Counts(&m.env) {
		case rule.True:
			x.V++
		case rule.Unknown:
			return false
		}
	default:
		x.V++
	}
	x.N++
	return true
}

// different adds a value to those of a window and returns how many there are:
// exactly as long as they are few.
func (b *baseline) different(key hash, at int32, v uint64) int64 {
	binary.LittleEndian.PutUint32(key[8:], binary.LittleEndian.Uint32(key[8:])^uint32(at))
	if s := b.many.get(key); s != nil {
		s[0].add(v)
		return s[0].estimate()
	}
	all := b.values.get(key)
	if all == nil {
		b.values.put(key, []uint64{uint64(uint32(at)), v})
		return 1
	}
	i, found := slices.BinarySearch(all[1:], v)
	switch {
	case found:
	case len(all) <= exactly:
		b.values.put(key, slices.Insert(slices.Clone(all), i+1, v))
		return int64(len(all))
	default:
		s := sketch{At: at}
		for _, old := range all[1:] {
			s.add(old)
		}
		s.add(v)
		b.values.drop(key)
		b.many.put(key, []sketch{s})
		return s.estimate()
	}
	return int64(len(all) - 1)
}

// base is the sum of the windows that a baseline is made of.
type base struct {
	n           int
	sum, square float64
	part, whole int64 // of a share
}

func samples(c *rule.Compare, all []bucket, i int) base {
	step := int32(1)
	if c.Baseline == rule.BaselineHourOfWeek {
		step = int32(rule.Week / c.Window)
	}
	at, first := all[i].At, all[0].At
	var s base
	for k := int32(1); k <= int32(c.Span) && at-k*step > first; k++ {
		s.n++ // a window without a match counts as nothing
	}
	for j := i - 1; j > 0 && at-all[j].At <= int32(s.n)*step; j-- {
		if (at-all[j].At)%step != 0 {
			continue
		}
		v := float64(all[j].V)
		s.sum += v
		s.square += float64(v * v)
		s.part += all[j].V
		s.whole += int64(all[j].N)
	}
	return s
}

func (s base) mean() float64 {
	if s.n == 0 {
		return 0
	}
	return s.sum / float64(s.n)
}

// below reports whether x is above the baseline. The products are rounded one by
// one, so that every machine comes to the same verdict.
func (s base) below(c *rule.Compare, x bucket) bool {
	v, mean := float64(x.V), s.mean()
	if c.Measure == rule.MeasureShare {
		v = 100 * float64(x.V) / float64(x.N)
		if c.Baseline == rule.BaselineNone {
			return v > c.Percent
		}
		if s.whole == 0 {
			return false
		}
		mean = 100 * float64(s.part) / float64(s.whole)
	}
	if c.Sigma == 0 {
		return v > float64(mean*c.Percent)/100
	}
	variance := s.square/float64(s.n) - float64(s.mean()*s.mean())
	deviation := max(1, math.Sqrt(max(0, variance)))
	return v > mean+float64(c.Sigma*deviation)
}

func (s base) compared(c *rule.Compare, x bucket) rule.Compared {
	out := rule.Compared{Value: x.V, Baseline: int64(math.Round(s.mean())), Known: true}
	if c.Measure == rule.MeasureShare {
		out.Value = 100 * x.V / int64(x.N)
		if out.Baseline = 0; s.whole > 0 {
			out.Baseline = 100 * s.part / s.whole
		}
	}
	return out
}

// expire drops what no record of oldest or later can meet.
func (b *baseline) expire(c *rule.Compare, oldest int64) {
	now := int64(number(oldest, c.Window))
	b.windows.dropIf(func(w []bucket) bool { return int64(w[len(w)-1].At)+int64(reach(c)) < now })
	b.values.dropIf(func(v []uint64) bool { return int64(int32(v[0])) < now })
	b.many.dropIf(func(s []sketch) bool { return int64(s[0].At) < now })
}
