package route

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Mute is a window of the week in which nobody is told. It lies on the clock on the
// wall of its place, so that it follows summer time: where a night has two hours of
// one name, the window reaches from the first beginning to the last end.
type Mute struct {
	Name     string
	Weekdays []time.Weekday // on which it begins; empty = every day
	From, To Clock          // To is the first minute behind it; not above From = it ends on the next day
	Zone     *time.Location // nil = of the alert's tenant (Config.Zones), else Config.Zone
}

// Clock is minutes since midnight, 0 to 1440 (24:00).
type Clock int

// ParseClock reads "22:00".
func ParseClock(s string) (Clock, error) {
	digit := func(i int) int { return int(s[i]) - '0' }
	ok := len(s) == 5 && s[2] == ':'
	for _, i := range []int{0, 1, 3, 4} {
		ok = ok && s[i] >= '0' && s[i] <= '9'
	}
	if ok {
		h, m := digit(0)*10+digit(1), digit(3)*10+digit(4)
		if m < 60 && h*60+m <= 24*60 {
			return Clock(h*60 + m), nil
		}
	}
	return 0, fmt.Errorf("%q is no time of the day: write \"22:00\"", s)
}

// String is the form that ParseClock reads.
func (c Clock) String() string { return fmt.Sprintf("%02d:%02d", int(c)/60, int(c)%60) }

func (m *Mute) check() error {
	if m.From < 0 || m.From >= 24*60 || m.To < 0 || m.To > 24*60 {
		return errors.New("from lies between 00:00 and 23:59, to between 00:00 and 24:00")
	}
	for _, d := range m.Weekdays {
		if d < time.Sunday || d > time.Saturday {
			return fmt.Errorf("%d is no weekday", int(d))
		}
	}
	return nil
}

// Until is the end of the window that t lies in; ok is false where it lies in none.
func (m *Mute) Until(t time.Time) (end time.Time, ok bool) {
	zone := m.Zone
	if zone == nil {
		zone = time.UTC
	}
	y, mo, d := t.In(zone).Date()
	for _, day := range []int{d - 1, d, d + 1} { // a window of the day before may reach into this one
		noon := time.Date(y, mo, day, 12, 0, 0, 0, zone)
		if len(m.Weekdays) > 0 && !slices.Contains(m.Weekdays, noon.Weekday()) {
			continue
		}
		last := noon
		if m.To <= m.From {
			last = time.Date(y, mo, day+1, 12, 0, 0, 0, zone)
		}
		from, to := wall(noon, m.From, false), wall(last, m.To, true)
		if !t.Before(from) && t.Before(to) && to.After(end) {
			end, ok = to, true
		}
	}
	return end, ok
}

// wall is the instant on the day of noon at which the clock on the wall shows c: the
// first, or the last where it shows that twice. What the clock leaves out is the end
// of the gap.
func wall(noon time.Time, c Clock, last bool) time.Time {
	y, mo, d := noon.Date()
	guess := time.Date(y, mo, d, 0, int(c), 0, 0, noon.Location())
	want := time.Date(y, mo, d, 0, int(c), 0, 0, time.UTC)
	shows := func(t time.Time) bool {
		_, offset := t.Zone()
		return t.Add(time.Duration(offset) * time.Second).Equal(want)
	}
	var found []time.Time
	for _, near := range []time.Duration{-4 * time.Hour, 0, 4 * time.Hour} {
		_, offset := guess.Add(near).Zone()
		if t := want.Add(-time.Duration(offset) * time.Second).In(noon.Location()); shows(t) {
			found = append(found, t)
		}
	}
	slices.SortFunc(found, time.Time.Compare)
	switch {
	case len(found) == 0: // summer time leaves it out
		_, end := guess.ZoneBounds()
		if start, _ := guess.ZoneBounds(); guess.Sub(start) < 4*time.Hour {
			return start
		}
		return end
	case last:
		return found[len(found)-1]
	}
	return found[0]
}

// rounds is how many windows in a row are looked at.
const rounds = 16

// unmuted is the first time from t on at which no mute holds, ns; where there is none
// for long, a time at which to ask again.
func (p *Policy) unmuted(t int64) int64 {
	for range rounds {
		end := p.muted(t)
		if end == t {
			break
		}
		t = end
	}
	return t
}

// muted is the last end of the windows that t lies in, ns; t where it lies in none.
func (p *Policy) muted(t int64) int64 {
	end := t
	for _, m := range p.mutes {
		if until, ok := m.Until(at(t)); ok {
			end = max(end, nanos(until))
		}
	}
	return end
}

// muteEnds is the first time from t on at which no mute holds; ends is false where they
// leave no minute of the week free.
func (p *Policy) muteEnds(t time.Time) (end time.Time, ends bool) {
	const week = int64(8 * 24 * time.Hour) // and a day, for summer time
	from := nanos(t)
	for to := from; to < from+week; {
		next := p.muted(to)
		if next == to {
			return at(to), true
		}
		to = next
	}
	return time.Time{}, false
}
