package route

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/appgovd/appgovd/internal/event"
)

// entry is an open alert of a group, or a crowd: alerts that are counted together.
// It has no pointer, as there may be many.
type entry struct {
	id       event.ID
	hush     hush
	last     int64  // ns, of its last news
	pending  uint32 // emissions that were not told
	open     uint32 // 1; of a crowd how many alerts
	severity event.Severity
	rule     uint8 // in the group's list
	told     bool
}

// member is an alert that is kept whole.
type member struct {
	id       event.ID
	severity event.Severity
	time     int64  // ns, of the alert
	raw      []byte // canonical encoding
}

// before orders members: the gravest, then the newest first.
func (m *member) before(o *member) int {
	return cmp.Or(cmp.Compare(o.severity, m.severity), cmp.Compare(o.time, m.time), bytes.Compare(m.id[:], o.id[:]))
}

// group is the alerts of a route that have their labels in common, from the first of
// them until all are over and that is told: one episode.
type group struct {
	key     event.ID // of lane and labels
	lane    *lane
	episode uint64 // number of the operation that began it
	labels  []event.Detail
	opened  int64  // ns
	sent    int64  // when it was told last, by itself or by a summary; 0 = never
	first   int64  // time of its first alert
	newest  int64  // time of its newest news
	seq     uint32 // notices of its own
	summed  bool   // the open summary of its lane stands for it
	total   uint64 // alerts
	news    uint64 // emissions that end what was told, and were not told
	rules   []string
	entries []entry  // by id
	crowds  []entry  // in the order of their beginning
	whole   []member // the gravest, then newest first
	face    []byte   // the last that was whole, where none is left

	dirty  bool  // tellAt and tidyAt are to be found anew
	tellAt int64 // when to look whether there is something to tell; 0 = nothing
	tidyAt int64 // when an alert is over for want of news; 0 = never
}

// Bounds of a group beside those of a board.
const (
	maxCrowds = 64
	maxRules  = 64
)

// crowdRest takes what is beyond maxCrowds.
const crowdRest = maxCrowds

// lane is a route at this sink: what its groups have in common.
type lane struct {
	id    event.ID
	route string
	times []int64 // ns, of its last notices, at most MaxRate
	late  bool    // the last of them told that something is over
	size  int     // groups
	next  int64   // of Wake

	summary summary
}

// summary stands for groups that could not be told one by one.
type summary struct {
	episode uint64
	seq     uint32
	opened  int64
	sent    int64
	groups  uint32 // that are open and known by the summary alone
	news    uint64 // as of a group
	total   uint64 // groups that it stood for
	face    []byte
}

func less(a, b event.ID) bool { return bytes.Compare(a[:], b[:]) < 0 }

// short is the first eight bytes of an id, never 0.
func short(id event.ID) uint64 { return max(1, binary.LittleEndian.Uint64(id[:])) }

func find(list []entry, id event.ID) (int, bool) {
	return slices.BinarySearchFunc(list, id, func(e entry, id event.ID) int { return bytes.Compare(e.id[:], id[:]) })
}

// open is how many of its alerts are not over.
func (g *group) open() uint64 {
	n := uint64(len(g.entries))
	for i := range g.crowds {
		n += uint64(g.crowds[i].open)
	}
	return n
}

func (g *group) ruleIndex(rule string) uint8 {
	if i := slices.Index(g.rules, rule); i >= 0 {
		return uint8(i)
	}
	if len(g.rules) == maxRules {
		return maxRules
	}
	g.rules = append(g.rules, rule)
	return uint8(len(g.rules) - 1)
}

// rule is the name of an index; "" for rules beyond the bound.
func (g *group) rule(i uint8) string {
	if int(i) < len(g.rules) {
		return g.rules[i]
	}
	return ""
}

// takeItem adds one emission to a group.
func (b *Board) takeItem(g *group, it *item, rule string, now int64) {
	if it.state == isMoved {
		b.expire(g, leaving{it.id, reasonOver})
		g.dirty = true
		return
	}
	b.account.Grouped++
	g.newest, g.dirty = max(g.newest, it.time), true
	i, known := find(g.entries, it.id)
	if it.state == isResolved {
		b.resolve(g, it, rule, i, known)
		return
	}
	e := entry{id: it.id, hush: it.hush, last: now, pending: 1, open: 1, severity: it.severity, rule: g.ruleIndex(rule)}
	if known {
		old := &g.entries[i]
		e.pending, e.told = old.pending+1, old.told
		*old = e
		b.keep(g, it)
		return
	}
	if moved := it.state != isNew && g.leaveCrowd(&e); !moved {
		g.total++
		if g.first == 0 || it.time < g.first {
			g.first = it.time
		}
	}
	if b.room(g, it) {
		b.ids++
		i, _ = find(g.entries, it.id)
		g.entries = slices.Insert(g.entries, i, e)
		b.keep(g, it)
		return
	}
	b.bounds.Tracked++
	g.joinCrowd(e)
	if g.text() == nil {
		b.setFace(g, it.raw)
	}
}

// room makes room for one more alert that is known by id, and reports whether there is
// some: one that is graver, or newer and to be kept whole, takes the place of another.
func (b *Board) room(g *group, it *item) bool {
	if len(g.entries) < MaxTracked && b.ids < MaxAllIDs {
		return true
	}
	least := it.severity
	for i := range g.entries {
		least = min(least, g.entries[i].severity)
	}
	if least == it.severity && it.raw == nil {
		return false
	}
	for i := range g.entries {
		if e := g.entries[i]; e.severity == least && !slices.ContainsFunc(g.whole, func(m member) bool { return m.id == e.id }) {
			b.drop(g, i)
			b.bounds.Tracked++
			g.joinCrowd(e)
			return true
		}
	}
	return false
}

// drop forgets an alert that is known by id.
func (b *Board) drop(g *group, i int) {
	id := g.entries[i].id
	g.entries = slices.Delete(g.entries, i, i+1)
	b.ids--
	for k := range g.whole {
		if g.whole[k].id == id {
			b.wholeBytes -= len(g.whole[k].raw)
			if len(g.whole) == 1 {
				b.setFace(g, g.whole[k].raw)
			}
			g.whole = slices.Delete(g.whole, k, k+1)
			return
		}
	}
}

func (b *Board) setFace(g *group, raw []byte) {
	b.wholeBytes += len(raw) - len(g.face)
	g.face = raw
}

// keep keeps an alert whole where it is one of the gravest and newest.
func (b *Board) keep(g *group, it *item) {
	for k := range g.whole {
		if g.whole[k].id == it.id {
			b.wholeBytes -= len(g.whole[k].raw)
			g.whole = slices.Delete(g.whole, k, k+1)
			break
		}
	}
	if it.raw == nil {
		return
	}
	m := member{it.id, it.severity, it.time, it.raw}
	i, _ := slices.BinarySearchFunc(g.whole, m, func(a, m member) int { return a.before(&m) })
	if i == MaxWhole {
		return
	}
	if b.wholeBytes+len(it.raw) > WholeBudget && len(g.whole) > 0 {
		b.bounds.Whole++
		return
	}
	if len(g.whole) == MaxWhole {
		b.wholeBytes -= len(g.whole[MaxWhole-1].raw)
		g.whole = g.whole[:MaxWhole-1]
	}
	g.whole = slices.Insert(g.whole, i, m)
	b.wholeBytes += len(it.raw)
	b.setFace(g, nil)
}

// crowd is the place of the crowd that e belongs to, or of the one for the rest.
func (g *group) crowd(e *entry) (int, bool) {
	for i := range g.crowds {
		c := &g.crowds[i]
		if i == crowdRest || c.rule == e.rule && c.severity == e.severity && c.hush == e.hush && c.told == e.told {
			return i, true
		}
	}
	return len(g.crowds), false
}

func (g *group) joinCrowd(e entry) {
	i, ok := g.crowd(&e)
	if !ok {
		e.id = crowdID(i)
		if i == crowdRest {
			e.hush, e.rule = hush{}, maxRules
		}
		g.crowds = append(g.crowds, e)
		return
	}
	c := &g.crowds[i]
	c.open, c.pending = c.open+e.open, c.pending+e.pending
	c.last, c.severity = max(c.last, e.last), max(c.severity, e.severity)
	c.told = c.told || e.told
}

// crowdID is what a crowd is called in operations. No alert has such an id.
func crowdID(i int) (id event.ID) {
	copy(id[:], "crowd")
	id[len(id)-1] = byte(i)
	return id
}

// leaveCrowd takes e out of a crowd, of its rule where there is one: it is known by id
// from now on, or joins the crowd that fits it now.
func (g *group) leaveCrowd(e *entry) bool {
	c := g.openCrowd(e.rule)
	if c == nil {
		return false
	}
	e.told = c.told
	if c.open--; c.open == 0 {
		e.pending += c.pending
		c.pending = 0
	}
	return true
}

// merge puts crowds together that differ no more, and forgets empty ones.
func (g *group) merge() {
	old := g.crowds
	g.crowds = nil
	for _, c := range old {
		if c.open > 0 || c.pending > 0 {
			g.joinCrowd(c)
		}
	}
	for i := range g.crowds {
		g.crowds[i].id = crowdID(i)
	}
}

func (g *group) openCrowd(rule uint8) *entry {
	var any *entry
	for i := range g.crowds {
		c := &g.crowds[i]
		if c.open == 0 {
			continue
		}
		if c.rule == rule {
			return c
		}
		if any == nil {
			any = c
		}
	}
	return any
}

// resolve ends an alert. What nobody was told of needs no telling now.
func (b *Board) resolve(g *group, it *item, rule string, i int, known bool) {
	if known {
		e := g.entries[i]
		b.drop(g, i)
		b.settle(g, e.told, uint64(e.pending)+1, it.reason)
		return
	}
	c := g.openCrowd(uint8(slices.Index(g.rules, rule)))
	if c == nil {
		b.account.add(it.reason, 1)
		return
	}
	c.open--
	n := uint64(1)
	if !c.told && c.pending > 0 {
		c.pending--
		n++
	}
	b.settle(g, c.told, n, it.reason)
	if c.open == 0 {
		b.settle(g, c.told, uint64(c.pending), it.reason)
		c.pending = 0
	}
}

// settle counts emissions of an alert that is over.
func (b *Board) settle(g *group, told bool, n uint64, why reason) {
	if told {
		g.news += n
	} else {
		b.account.add(why, n)
	}
}

func (a *Account) add(why reason, n uint64) {
	switch why {
	case reasonSilenced:
		a.Silenced += n
	case reasonInhibited:
		a.Inhibited += n
	case reasonMuted:
		a.Muted += n
	default:
		a.Over += n
	}
}

// tidy forgets a group of which nothing is left to tell.
func (b *Board) tidy(g *group) {
	if g.open() == 0 && g.seq == 0 {
		b.remove(g)
	}
}

// remove ends the episode of a group.
func (b *Board) remove(g *group) {
	l := g.lane
	if g.summed {
		l.summary.groups--
		l.summary.news += g.news
	} else {
		b.account.add(reasonOver, g.news)
	}
	b.ids -= len(g.entries)
	for i := range g.whole {
		b.wholeBytes -= len(g.whole[i].raw)
	}
	b.setFace(g, nil)
	delete(b.groups, g.key)
	b.order = slices.DeleteFunc(b.order, func(o *group) bool { return o == g })
	l.size--
}
