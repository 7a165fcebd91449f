package route

import "time"

// setBack is how far a clock may go back without being followed: the time of a board
// stands still meanwhile.
const setBack = int64(time.Minute)

// clock is the board's time at now: not before that of the last operation, unless the
// clock was set back.
func (b *Board) clock(now time.Time) int64 {
	t := nanos(now)
	if t < b.now-setBack {
		return t
	}
	return max(b.now, t)
}

// pass moves the board's time to that of an operation. Where the clock was set back,
// everything that the board remembers goes with it: what was due in five minutes still
// is, and nothing waits for a wrong clock to come true.
func (b *Board) pass(t int64) {
	if t == 0 || t >= b.now-setBack {
		b.now = max(b.now, t)
		return
	}
	by := t - b.now
	b.now = t
	for i := range b.sources {
		b.sources[i].last += by
	}
	for _, l := range b.lanes {
		for i := range l.times {
			l.times[i] += by
		}
		l.summary.opened, l.summary.sent = shift(l.summary.opened, by), shift(l.summary.sent, by)
	}
	for _, g := range b.order {
		g.opened, g.sent, g.dirty = shift(g.opened, by), shift(g.sent, by), true
		for _, list := range [][]entry{g.entries, g.crowds} {
			for i := range list {
				list[i].last += by
			}
		}
	}
}

// shift moves a time by so much; 0 = none stays.
func shift(t, by int64) int64 {
	if t == 0 {
		return 0
	}
	return t + by
}
