package route

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/appgovd/appgovd/internal/event"
)

const stateVersion = 1

// AppendState appends the whole state for a snapshot: equal states have equal bytes.
func (b *Board) AppendState(dst []byte) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := encoder{dst}
	e.uint(stateVersion)
	e.int(b.now)
	e.uint(b.ops)
	e.uint(b.taken.LSN)
	e.uint(uint64(b.taken.Index))
	for _, n := range []uint64{b.settled.Accepted, b.settled.DeadLetter, b.settled.Skipped, b.settled.Grouped, b.settled.Notify} {
		e.uint(n)
	}
	for _, n := range b.numbers() {
		e.uint(*n)
	}
	e.sources(b.sources)
	lanes := b.sortedLanes()
	e.uint(uint64(len(lanes)))
	index := map[*lane]int{}
	for i, l := range lanes {
		index[l] = i
		e.lane(l)
	}
	e.uint(uint64(len(b.order)))
	for _, g := range b.order {
		e.uint(uint64(index[g.lane]))
		e.group(g)
	}
	return e.b
}

// numbers are the account and the bounds, in the order in which they are stored.
func (b *Board) numbers() []*uint64 {
	a, n := &b.account, &b.bounds
	return []*uint64{&a.Grouped, &a.Notified, &a.Silenced, &a.Inhibited, &a.Muted, &a.Over, &n.Groups, &n.Tracked, &n.Whole, &n.Sources, &n.Rate}
}

func (b *Board) sortedLanes() []*lane {
	lanes := make([]*lane, 0, len(b.lanes))
	for _, l := range b.lanes {
		lanes = append(lanes, l)
	}
	slices.SortFunc(lanes, func(a, b *lane) int { return bytes.Compare(a.id[:], b.id[:]) })
	return lanes
}

func (e *encoder) lane(l *lane) {
	e.id(l.id)
	e.str(l.route)
	e.bool(l.late)
	e.uint(uint64(len(l.times)))
	for _, t := range l.times {
		e.int(t)
	}
	s := &l.summary
	e.uint(uint64(s.seq))
	if s.seq == 0 {
		return
	}
	e.uint(s.episode)
	e.int(s.opened)
	e.int(s.sent)
	e.uint(s.news)
	e.uint(s.total)
	e.bytes(s.face)
}

func (e *encoder) group(g *group) {
	e.id(g.key)
	e.uint(g.episode)
	e.details(g.labels)
	e.int(g.opened)
	e.int(g.sent)
	e.int(g.first)
	e.int(g.newest)
	e.uint(uint64(g.seq))
	e.bool(g.summed)
	e.uint(g.total)
	e.uint(g.news)
	e.uint(uint64(len(g.rules)))
	for _, r := range g.rules {
		e.str(r)
	}
	for _, list := range [][]entry{g.entries, g.crowds} {
		e.uint(uint64(len(list)))
		for i := range list {
			e.entry(&list[i])
		}
	}
	e.uint(uint64(len(g.whole)))
	for i := range g.whole {
		m := &g.whole[i]
		e.id(m.id)
		e.uint(uint64(m.severity))
		e.int(m.time)
		e.bytes(m.raw)
	}
	e.bytes(g.face)
}

func (e *encoder) entry(x *entry) {
	e.id(x.id)
	e.hush(&x.hush)
	e.int(x.last)
	e.uint(uint64(x.pending))
	e.uint(uint64(x.open))
	e.uint(uint64(x.severity))
	e.uint(uint64(x.rule))
	e.bool(x.told)
}

// Restore takes over what AppendState wrote. It fails, and changes nothing, where that
// is damaged.
func (b *Board) Restore(state []byte) error {
	d := decoder{b: state}
	n := Board{}
	n.clear()
	d.version(stateVersion)
	d.board(&n)
	if err := d.end(); err != nil {
		return fmt.Errorf("restore the groups of %s: %w", b.sink, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now, b.ops, b.taken, b.settled = n.now, n.ops, n.taken, n.settled
	b.lanes, b.groups, b.order, b.sources = n.lanes, n.groups, n.order, n.sources
	b.account, b.bounds, b.ids, b.wholeBytes = n.account, n.bounds, n.ids, n.wholeBytes
	return nil
}

func (d *decoder) board(b *Board) {
	b.now, b.ops = d.int(), d.uint()
	b.taken = event.Position{LSN: d.uint(), Index: uint32(d.upTo(1<<32-1, "the index"))}
	b.settled = event.Settled{Accepted: d.uint(), DeadLetter: d.uint(), Skipped: d.uint(), Grouped: d.uint(), Notify: d.uint()}
	for _, n := range b.numbers() {
		*n = d.uint()
	}
	b.sources = d.sources()
	if !slices.IsSortedFunc(b.sources, func(x, y source) int { return compareSources(&x, &y) }) {
		d.fail("%w", errTwice)
	}
	lanes := make([]*lane, d.count(20))
	for i := range lanes {
		lanes[i] = d.lane()
		b.lanes[lanes[i].id] = lanes[i]
		b.wholeBytes += len(lanes[i].summary.face)
	}
	if len(b.lanes) != len(lanes) {
		d.fail("%w", errTwice)
	}
	n := d.count(33)
	for range n {
		d.addGroup(b, lanes)
	}
}

func (d *decoder) addGroup(b *Board, lanes []*lane) {
	i := d.uint()
	if i >= uint64(len(lanes)) {
		d.fail("route %d of %d", i, len(lanes))
		return
	}
	g := d.group()
	if g.lane = lanes[i]; b.groups[g.key] != nil {
		d.fail("%w", errTwice)
	}
	if g.lane.size++; g.summed {
		g.lane.summary.groups++
	}
	b.groups[g.key] = g
	b.order = append(b.order, g)
	b.ids += len(g.entries)
	b.wholeBytes += len(g.face)
	for k := range g.whole {
		b.wholeBytes += len(g.whole[k].raw)
	}
}

func (d *decoder) lane() *lane {
	l := &lane{id: d.id(), route: d.str(), late: d.bool()}
	l.times = make([]int64, d.count(1))
	if len(l.times) > MaxRate {
		d.fail("%d notices are remembered, at most %d are possible", len(l.times), MaxRate)
	}
	for i := range l.times {
		l.times[i] = d.int()
	}
	s := &l.summary
	if s.seq = uint32(d.upTo(1<<32-1, "the notices")); s.seq > 0 {
		s.episode, s.opened, s.sent, s.news, s.total, s.face = d.uint(), d.int(), d.int(), d.uint(), d.uint(), d.bytes()
	}
	return l
}

func (d *decoder) group() *group {
	g := &group{key: d.id(), episode: d.uint(), labels: d.details(), dirty: true}
	g.opened, g.sent, g.first, g.newest = d.int(), d.int(), d.int(), d.int()
	g.seq, g.summed = uint32(d.upTo(1<<32-1, "the notices")), d.bool()
	g.total, g.news = d.uint(), d.uint()
	g.rules = make([]string, d.bounded(1, maxRules, "rules"))
	for i := range g.rules {
		g.rules[i] = d.str()
	}
	g.entries = d.entries(MaxTracked, "alerts")
	for i := 1; i < len(g.entries); i++ {
		if !less(g.entries[i-1].id, g.entries[i].id) {
			d.fail("%w", errTwice)
		}
	}
	g.crowds = d.entries(maxCrowds+1, "crowds")
	g.whole = make([]member, d.bounded(19, MaxWhole, "alerts that are kept whole"))
	for i := range g.whole {
		m := &g.whole[i]
		*m = member{id: d.id(), severity: event.Severity(d.upTo(uint64(event.SeverityCritical), "the severity")), time: d.int(), raw: d.bytes()}
		if i > 0 && g.whole[i-1].before(m) >= 0 {
			d.fail("%w", errTwice)
		}
	}
	g.face = d.bytes()
	return g
}

// bounded is the length of a list of at most high elements.
func (d *decoder) bounded(least, high int, what string) int {
	n := d.count(least)
	if n > high {
		d.fail("%d %s, at most %d are possible", n, what, high)
		return 0
	}
	return n
}

func (d *decoder) entries(high int, what string) []entry {
	list := make([]entry, d.bounded(23, high, what))
	for i := range list {
		list[i] = entry{
			id: d.id(), hush: d.hush(), last: d.int(), pending: uint32(d.upTo(1<<32-1, "the emissions")), open: uint32(d.upTo(1<<32-1, "the alerts")),
			severity: event.Severity(d.upTo(uint64(event.SeverityCritical), "the severity")), rule: uint8(d.upTo(maxRules, "the rule")), told: d.bool(),
		}
	}
	return list
}
