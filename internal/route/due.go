package route

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// look is what a group looks like at a time.
type look struct {
	policy   *Policy // nil = its route is gone or changed
	open     uint64  // alerts that are not over
	tellable uint64  // of these, alerts that nothing keeps from being told
	pending  uint64  // emissions of these that were not told
	counts   [event.SeverityCritical + 1]uint64
	hushed   [reasons]uint64 // open alerts by what keeps them from being told
	until    int64           // when one of them may be told; 0 = there is none
	expires  int64           // when the next alert is over for want of news; 0 = never
	left     []leaving
	expired  []leaving
	best     int // the gravest in whole that can be told; -1 = none

	kind kind
	tell int64 // when it is time for kind, or to look again; 0 = never
}

// kind is what there is to say of a group.
type kind uint8

const (
	kindNothing kind = iota
	kindNews
	kindAgain // it is still open
	kindOver
	kindGone // its route is gone or changed: it is told as it stands
)

// look looks at g at now.
func (b *Board) look(g *group, now int64) look {
	l := look{policy: b.policies[g.lane.id], best: -1}
	after := int64(MaxTime)
	if l.policy != nil {
		after = int64(l.policy.ResolveAfter)
	}
	v := viewer{b: b, l: &l, now: now, after: after, reasons: b.wholeReasons(g, now)}
	for i := range g.entries {
		v.see(&g.entries[i])
	}
	for i := range g.crowds {
		v.see(&g.crowds[i])
	}
	slices.SortFunc(l.left, leaving.compare)
	slices.SortFunc(l.expired, leaving.compare)
	for i := range g.whole {
		if id := g.whole[i].id; l.best < 0 && !has(l.left, id) && !has(l.expired, id) {
			l.best = i
		}
	}
	l.kind, l.tell = l.what(g, now)
	return l
}

func (l leaving) compare(o leaving) int { return bytes.Compare(l.id[:], o.id[:]) }

func has(list []leaving, id event.ID) bool {
	_, ok := slices.BinarySearchFunc(list, leaving{id: id}, leaving.compare)
	return ok
}

// why is a reason, and until when it holds.
type why struct {
	reason reason
	until  int64
}

// wholeReasons is what keeps the alerts that are whole from being told.
func (b *Board) wholeReasons(g *group, now int64) map[event.ID]why {
	if all, _ := b.silences.state(); len(all) == 0 && len(b.sources) == 0 {
		return nil
	}
	found := make(map[event.ID]why, len(g.whole))
	for i := range g.whole {
		if a, err := event.DecodeAlert(g.whole[i].raw); err == nil {
			_, reason, until := b.hushOf(a, now)
			found[g.whole[i].id] = why{reason, until}
		}
	}
	return found
}

type viewer struct {
	b       *Board
	l       *look
	now     int64
	after   int64
	reasons map[event.ID]why // nil = nothing keeps any alert from being told
}

func (v *viewer) see(e *entry) {
	l := v.l
	var w why
	if v.reasons != nil {
		var whole bool
		if w, whole = v.reasons[e.id]; !whole {
			w.reason, w.until = v.b.reasonOf(e, v.now)
		}
	}
	if e.last+v.after <= v.now {
		if w.reason == reasonOver && l.policy != nil && l.policy.unmuted(v.now) > v.now {
			w.reason = reasonMuted
		}
		l.expired = append(l.expired, leaving{e.id, w.reason})
		return
	}
	l.expires = sooner(l.expires, e.last+v.after)
	l.open += uint64(e.open)
	if w.reason != reasonOver {
		l.hushed[w.reason] += uint64(e.open)
		l.left = append(l.left, leaving{e.id, w.reason})
		l.until = sooner(l.until, w.until)
		return
	}
	l.tellable += uint64(e.open)
	l.pending += uint64(e.pending)
	l.counts[e.severity] += uint64(e.open)
}

// sooner is the earlier of two times of which 0 is none.
func sooner(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// what there is to say of g, and when.
func (l *look) what(g *group, now int64) (kind, int64) {
	p := l.policy
	switch {
	case p == nil && l.open > 0 && l.tellable == 0: // all of it is silenced or inhibited: it is told when that ends
		return kindGone, l.until
	case p == nil:
		return kindGone, now
	case l.open == 0 && g.seq > 0:
		return kindOver, p.unmuted(max(g.sent+int64(p.Interval), now))
	case l.open == 0:
		return kindNothing, 0
	case l.pending > 0 && g.sent == 0:
		return kindNews, sooner(p.unmuted(max(g.opened+int64(p.Wait), now)), l.until)
	case l.pending > 0:
		return kindNews, sooner(p.unmuted(max(g.sent+int64(p.Interval), now)), l.until)
	case g.sent > 0 && p.Repeat > 0 && l.tellable > 0:
		return kindAgain, sooner(p.unmuted(max(g.sent+int64(p.Repeat), now)), l.until)
	}
	return kindNothing, l.until
}

// due reports whether it is time for kind at now, and not only to look again.
func (l *look) due(g *group, now int64) bool {
	p := l.policy
	if l.kind == kindNothing || l.tell > now {
		return false
	}
	if p == nil || l.kind == kindOver {
		return true
	}
	from := g.sent + int64(p.Interval)
	switch {
	case l.kind == kindAgain:
		from = g.sent + int64(p.Repeat)
	case g.sent == 0:
		from = g.opened + int64(p.Wait)
	}
	return from <= now && p.unmuted(now) == now
}

// refresh finds anew when groups that changed have something to tell.
func (b *Board) refresh(now int64) {
	_, version := b.silences.state()
	for _, g := range b.order {
		if g.dirty || b.heard != version || g.tellAt != 0 && g.tellAt <= now || g.tidyAt != 0 && g.tidyAt <= now {
			l := b.look(g, now)
			g.tellAt, g.tidyAt, g.dirty = l.tell, l.expires, false
			if len(l.expired) > 0 {
				g.tidyAt = now
			}
		}
	}
	b.heard = version
}

// Wake is when Due has something next, as it looks now: zero = nothing is waiting.
// A change of the silences may bring it forward (Silences.Changed).
func (b *Board) Wake(now time.Time) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.clock(now); t < b.now {
		return at(t)
	}
	return at(b.wake(b.clock(now)))
}

func (b *Board) wake(now int64) int64 {
	b.refresh(now)
	next := int64(0)
	for _, l := range b.lanes {
		l.next = 0
		if l.summary.seq > 0 && l.summary.groups == 0 {
			l.next = b.summaryOverAt(l, now)
		}
	}
	for _, g := range b.order {
		next = sooner(next, g.tidyAt)
		g.lane.next = sooner(g.lane.next, g.tellAt)
	}
	for _, l := range b.lanes {
		if l.next != 0 {
			next = sooner(next, max(l.next, l.slot(b.rate(l))))
		}
	}
	return next
}

// goneRate holds for what a route that is gone or changed leaves.
func goneRate() Rate { return Rate{Max: 3, Per: time.Minute} }

func (b *Board) rate(l *lane) Rate {
	if p := b.policies[l.id]; p != nil {
		return p.Rate
	}
	return goneRate()
}

// slot is when the rate lets the next notice through.
func (l *lane) slot(r Rate) int64 {
	if r.Max == 0 || len(l.times) < r.Max {
		return 0
	}
	return l.times[len(l.times)-r.Max] + int64(r.Per)
}

// free is how many notices the rate lets through at now.
func (l *lane) free(r Rate, now int64) int {
	if r.Max == 0 {
		return MaxNotices
	}
	n := 0
	for i := len(l.times) - 1; i >= 0 && l.times[i]+int64(r.Per) > now; i-- {
		n++
	}
	return max(0, r.Max-n)
}

// summaryOverAt is when it is told that all groups of a summary are over.
func (b *Board) summaryOverAt(l *lane, now int64) int64 {
	if p := b.policies[l.id]; p != nil {
		return p.unmuted(max(l.summary.sent+int64(p.Interval), now))
	}
	return now
}

// candidate is a group with something to tell.
type candidate struct {
	g *group
	look
}

// severity of the gravest alert that can be told.
func (c *candidate) severity() event.Severity {
	for s := event.SeverityCritical; s > 0; s-- {
		if c.counts[s] > 0 {
			return s
		}
	}
	return 0
}

// Due is what there is to tell at now: notices, the gravest first, none where op only
// tidies up, and the op to be made durable once each is accepted or in the dead letter.
// op is nil where nothing is due. The caller sets op.Time to the time of the append.
// Until the op is applied Due gives the same notices with the same delivery ids.
func (b *Board) Due(now time.Time) (notices []event.Alert, op *Op) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.clock(now)
	if t < b.now { // the board's times go back first
		return nil, &Op{Kind: OpTold, Sink: b.sink, Time: at(t)}
	}
	b.refresh(t)
	d := drafter{b: b, now: t, op: &Op{Kind: OpTold, Sink: b.sink, Time: at(t)}}
	waiting := map[*lane]*waitingFor{}
	lanes := make([]*lane, 0, len(b.lanes))
	for _, l := range b.lanes {
		waiting[l] = &waitingFor{}
		lanes = append(lanes, l)
	}
	slices.SortFunc(lanes, func(a, b *lane) int { return bytes.Compare(a.id[:], b.id[:]) })
	for _, g := range b.order {
		if g.tellAt != 0 && g.tellAt <= t || g.tidyAt != 0 && g.tidyAt <= t {
			d.sort(&candidate{g, b.look(g, t)}, waiting[g.lane])
		}
	}
	for _, l := range lanes {
		d.lane(l, waiting[l])
	}
	if len(d.op.tells) == 0 && len(d.op.lanes) == 0 {
		return nil, nil
	}
	return d.notices, d.op
}

// waitingFor is what the groups of one lane have to tell.
type waitingFor struct{ news, over []*candidate }

// drafter writes the notices of one Due.
type drafter struct {
	b       *Board
	now     int64
	op      *Op
	notices []event.Alert
}

// sort puts a group where it belongs; one with nothing to tell is tidied up.
func (d *drafter) sort(c *candidate, w *waitingFor) {
	switch {
	case c.kind == kindGone && c.tell <= d.now && c.pending == 0 && c.g.seq == 0:
		d.op.tells = append(d.op.tells, tell{key: c.g.key, close: true, left: c.left, expired: c.expired})
	case !c.due(c.g, d.now):
		if len(c.expired) > 0 {
			d.op.tells = append(d.op.tells, tell{key: c.g.key, expired: c.expired})
		}
	case c.kind == kindOver:
		w.over = append(w.over, c)
	default:
		w.news = append(w.news, c)
	}
}

// lane tells what the rate of a route lets through: each group by itself, or, where
// there are too many, the gravest by themselves and the others by one summary.
func (d *drafter) lane(l *lane, w *waitingFor) {
	rate := d.b.rate(l)
	free := min(l.free(rate, d.now), MaxNotices-len(d.notices))
	told := laneTold{lane: l.id}
	summaryOver := l.summary.seq > 0 && l.summary.groups == 0 && d.b.summaryOverAt(l, d.now) <= d.now
	slices.SortStableFunc(w.news, func(a, b *candidate) int {
		return cmp.Or(cmp.Compare(b.severity(), a.severity()), cmp.Compare(a.g.opened, b.g.opened))
	})
	slices.SortStableFunc(w.over, func(a, b *candidate) int { return cmp.Compare(a.g.sent, b.g.sent) })
	single, merged := len(w.news), 0
	if over := len(w.over); single > free && rate.Max > 0 {
		single, merged = d.share(l, rate, free, over, summaryOver, single)
	}
	single = min(single, free)
	for _, c := range w.news[:single] {
		d.one(c)
	}
	if merged > 0 {
		d.summary(l, w.news[single:], &told)
		merged = 1
	}
	for _, c := range w.over[:min(len(w.over), free-single-merged)] {
		d.one(c)
		told.late = true
		single++
	}
	if summaryOver && merged == 0 && free > single {
		d.summaryOver(l)
		told.summary, told.late = summaryClosed, true
		single++
	}
	d.unsaid(w)
	if told.notices = uint32(single + merged); told.notices > 0 {
		d.op.lanes = append(d.op.lanes, told)
	}
}

// share is how many groups with news are told by themselves, and how many by a summary,
// where free notices are too few. One is left for what is over and waited for long.
func (d *drafter) share(l *lane, rate Rate, free, over int, summaryOver bool, news int) (single, merged int) {
	waits := (over > 0 || summaryOver) && free > 0
	if waits && (free > 1 || !l.late) {
		free--
	}
	if free == 0 {
		return 0, 0
	}
	return free - 1, news - free + 1
}

// unsaid tidies up what groups that must wait have lost meanwhile.
func (d *drafter) unsaid(w *waitingFor) {
	said := make(map[event.ID]bool, len(d.op.tells))
	for i := range d.op.tells {
		said[d.op.tells[i].key] = true
	}
	for _, c := range slices.Concat(w.news, w.over) {
		if len(c.expired) > 0 && !said[c.g.key] {
			d.op.tells = append(d.op.tells, tell{key: c.g.key, expired: c.expired})
		}
	}
}

// one tells of a group by itself.
func (d *drafter) one(c *candidate) {
	d.notices = append(d.notices, d.b.notice(c, d.now))
	d.op.tells = append(d.op.tells, tell{key: c.g.key, how: toldNotice, close: c.kind == kindOver || c.kind == kindGone, left: c.left, expired: c.expired})
}

// summary tells of several groups at once.
func (d *drafter) summary(l *lane, list []*candidate, told *laneTold) {
	gone := list[0].kind == kindGone
	if told.face = list[0].g.key; !gone {
		told.summary = summaryTold
	}
	d.notices = append(d.notices, d.b.summaryNotice(l, list, gone))
	for _, c := range list {
		d.op.tells = append(d.op.tells, tell{key: c.g.key, how: toldSummary, close: gone, left: c.left, expired: c.expired})
	}
}

func (d *drafter) summaryOver(l *lane) {
	d.notices = append(d.notices, d.b.summaryOver(l, d.now))
}
