package route

import (
	"slices"
)

// fits reports whether op was made of this state.
func (b *Board) fits(op *Op) error {
	for i := range op.tells {
		if b.groups[op.tells[i].key] == nil {
			return errMisfit
		}
	}
	for i := range op.lanes {
		t := &op.lanes[i]
		l := b.lanes[t.lane]
		if l == nil || t.summary == summaryClosed && (l.summary.seq == 0 || l.summary.groups > 0) || t.notices > MaxNotices {
			return errMisfit
		}
		if g := b.groups[t.face]; t.summary == summaryTold && (g == nil || g.lane != l) {
			return errMisfit
		}
	}
	return nil
}

func (b *Board) applyTold(op *Op) {
	for i := range op.lanes {
		b.applyLane(&op.lanes[i])
	}
	for i := range op.tells {
		b.applyTell(&op.tells[i])
	}
}

func (b *Board) applyLane(t *laneTold) {
	l := b.lanes[t.lane]
	for range t.notices {
		l.times = append(l.times, b.now)
	}
	if over := len(l.times) - MaxRate; over > 0 {
		l.times = slices.Delete(l.times, 0, over)
	}
	l.late = t.late
	s := &l.summary
	switch t.summary {
	case summaryClosed:
		b.account.Notified += s.news
		b.wholeBytes -= len(s.face)
		*s = summary{}
	case summaryTold:
		if s.seq == 0 {
			s.episode, s.opened = b.ops, b.now
		}
		s.seq, s.sent = s.seq+1, b.now
		b.account.Notified += s.news
		s.news = 0
		b.wholeBytes -= len(s.face)
		s.face = b.groups[t.face].text()
		b.wholeBytes += len(s.face)
	}
}

// text is the gravest alert of the group.
func (g *group) text() []byte {
	if len(g.whole) > 0 {
		return g.whole[0].raw
	}
	return g.face
}

func (b *Board) applyTell(t *tell) {
	g := b.groups[t.key]
	if g == nil { // twice in one operation
		return
	}
	g.dirty = true
	for _, x := range t.expired {
		b.expire(g, x)
	}
	if t.how != toldNothing {
		b.markTold(g, t)
	}
	if t.close {
		b.closeLeft(g, t)
		b.remove(g)
		return
	}
	g.merge()
	b.tidy(g)
}

// expire ends an alert without news, or a crowd.
func (b *Board) expire(g *group, x leaving) {
	if i, ok := find(g.entries, x.id); ok {
		e := g.entries[i]
		b.drop(g, i)
		b.settle(g, e.told, uint64(e.pending), x.reason)
		return
	}
	for i := range g.crowds {
		if c := &g.crowds[i]; c.id == x.id {
			b.settle(g, c.told, uint64(c.pending), x.reason)
			c.open, c.pending = 0, 0
		}
	}
}

// markTold notes that everything of g was told but what was left out.
func (b *Board) markTold(g *group, t *tell) {
	for _, list := range [][]entry{g.entries, g.crowds} {
		for i := range list {
			if e := &list[i]; !has(t.left, e.id) {
				b.account.Notified += uint64(e.pending)
				e.pending, e.told = 0, true
			}
		}
	}
	b.account.Notified += g.news
	g.news, g.sent = 0, b.now
	switch {
	case t.how == toldNotice:
		g.seq++
	case !t.close:
		b.bounds.Rate++
		if g.lane.summary.total++; g.seq == 0 && !g.summed {
			g.summed = true
			g.lane.summary.groups++
		}
	default:
		b.bounds.Rate++
	}
}

// closeLeft counts what a group that ends was not told of.
func (b *Board) closeLeft(g *group, t *tell) {
	for _, list := range [][]entry{g.entries, g.crowds} {
		for i := range list {
			e := &list[i]
			if e.pending == 0 {
				continue
			}
			why := reasonOver
			if k, ok := slices.BinarySearchFunc(t.left, leaving{id: e.id}, leaving.compare); ok {
				why = t.left[k].reason
			}
			b.account.add(why, uint64(e.pending))
			e.pending = 0
		}
	}
}
