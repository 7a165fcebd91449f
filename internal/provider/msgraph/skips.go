package msgraph

import (
	"slices"
	"time"
)

// maxSkips bounds what a cursor holds.
const maxSkips = 500

// slice sets the end of the slice that begins at j.Low, as long as its width
// allows. A poll leaves out what was given up; a sweep asks for it again, in
// slices of its own of half its length, so that each sweep narrows it down. ok
// is false when nothing is left.
func slice(j job, skips []span, sweep bool) (job, bool) {
	for _, k := range skips {
		if j.Low.Add(tick).Before(k.From) || j.Low.After(k.To) {
			continue
		}
		if sweep {
			return within(j, k), j.Low.Before(j.Until)
		}
		j.Low = k.To.Add(tick)
	}
	if j.Low.After(j.Until) {
		j.Low = j.Until
		return j, false
	}
	j.High = earlier(j.Low.Add(width(j.Narrow)), j.Until)
	for _, k := range skips {
		if k.From.After(j.Low) && !k.From.After(j.High) {
			j.High = k.From.Add(-tick)
		}
	}
	return j, true
}

// within is the slice of j that begins in k, which was given up.
func within(j job, k span) job {
	half := max((k.To.Sub(k.From) / 2).Truncate(time.Second), narrowest)
	j.Retry, j.Level, j.Low = true, 0, later(j.Low, k.From)
	j.High = later(earlier(earlier(j.Low.Add(half), k.To), j.Until), j.Low)
	return j
}

// with adds k to sorted spans; what touches becomes one.
func with(spans []span, k span) []span {
	spans = append(slices.Clone(spans), k)
	slices.SortFunc(spans, func(a, b span) int { return a.From.Compare(b.From) })
	merged := spans[:1]
	for _, k := range spans[1:] {
		if last := &merged[len(merged)-1]; !k.From.After(last.To.Add(tick)) {
			last.To = later(last.To, k.To)
		} else {
			merged = append(merged, k)
		}
	}
	for len(merged) > maxSkips { // the two that lie closest
		at := 1
		for i := 2; i < len(merged); i++ {
			if merged[i].From.Sub(merged[i-1].To) < merged[at].From.Sub(merged[at-1].To) {
				at = i
			}
		}
		merged[at-1].To = merged[at].To
		merged = slices.Delete(merged, at, at+1)
	}
	return merged
}

// without takes k out of spans.
func without(spans []span, k span) []span {
	var rest []span
	for _, s := range spans {
		if s.To.Before(k.From) || s.From.After(k.To) {
			rest = append(rest, s)
			continue
		}
		if s.From.Before(k.From) {
			rest = append(rest, span{s.From, k.From.Add(-tick)})
		}
		if s.To.After(k.To) {
			rest = append(rest, span{k.To.Add(tick), s.To})
		}
	}
	return rest
}
