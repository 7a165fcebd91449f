package route

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// Bounds of a board. What is beyond them is counted, never lost.
const (
	MaxWhole    = 20       // alerts of a group of which more than the number is known
	MaxTracked  = 1000     // open alerts of a group that are known by id
	MaxGroups   = 1000     // groups of one route; further alerts join its overflow group
	MaxAllIDs   = 100_000  // open alerts of a board that are known by id
	MaxSources  = 1000     // open sources of an inhibition
	MaxNotices  = 500      // notices of one Due
	WholeBudget = 16 << 20 // bytes of alerts that are kept whole; each group has one at least
)

// SourceAfter is how long an alert inhibits others without news of it.
const SourceAfter = DefaultResolveAfter

// Board holds the groups of one sink. The caller's loop is
//
//	take a batch -> Take -> hand on the direct ones -> make the op durable -> Apply -> acknowledge
//	at Wake -> Due -> send the notices -> make the op durable -> Apply
//
// with one goroutine between Take or Due and the Apply of its op. Everything else may
// be called at any time. Only Apply changes anything.
type Board struct {
	sink     string
	tree     *Tree
	silences *Silences
	policies map[event.ID]*Policy // of this sink, by id
	rules    map[uint64]bool      // inhibitions that are configured, as sources name them

	mu      sync.Mutex
	now     int64  // ns: the latest time of an operation
	ops     uint64 // operations so far
	taken   event.Position
	settled event.Settled
	lanes   map[event.ID]*lane
	groups  map[event.ID]*group
	order   []*group // in the order of their beginning
	sources []source // by target and id
	account Account
	bounds  Bounds
	ids     int    // entries of all groups
	heard   uint64 // generation of the silences that tellAt of groups is of

	wholeBytes int
}

// NewBoard is an empty board of that sink.
func NewBoard(sink string, t *Tree, s *Silences) *Board {
	b := &Board{sink: sink, tree: t, silences: s, policies: map[event.ID]*Policy{}, rules: map[uint64]bool{}}
	b.clear()
	for i := range t.inhibits {
		b.rules[short(t.inhibits[i].id)] = true
	}
	t.each(func(n *node) {
		switch {
		case n.policy != nil && slices.Contains(n.Sinks, sink):
			for p := range n.policy.all() {
				b.policies[p.id] = p
			}
		case n.escalate != nil && slices.Contains(n.escalate.Sinks, sink):
			for p := range n.old.all() {
				b.policies[p.id] = p
			}
		}
	})
	return b
}

func (b *Board) clear() {
	b.lanes, b.groups = map[event.ID]*lane{}, map[event.ID]*group{}
	b.order, b.sources, b.ids, b.wholeBytes = nil, nil, 0, 0
}

// Take splits a batch, read up to pos, at now: direct are those to be handed on at
// once, in order; elsewhere is how many do not concern the sink; op is what the others
// do to the board, nil where there is nothing. The caller fills in the rest of op.Settled and
// makes it durable before the batch is acknowledged. Nothing changes yet.
func (b *Board) Take(batch []event.Alert, pos event.Position, now time.Time) (direct []event.Alert, elsewhere int, op *Op) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := taker{b: b, now: b.clock(now), index: map[event.ID]uint32{}, fresh: map[event.ID]int{}, muted: map[*Policy]bool{}}
	for i := range batch {
		a := &batch[i]
		t.inhibits(a)
		outcome, p := b.tree.Decide(a, b.sink)
		t.leave(a, i, p)
		switch outcome {
		case Grouped:
			t.take(a, i, p)
		case Direct:
			direct = append(direct, *a)
		default:
			elsewhere++
		}
	}
	return direct, elsewhere, t.op(batch, pos)
}

// taker makes the operation of one batch.
type taker struct {
	b       *Board
	now     int64
	groups  []joined
	chosen  [][]int32 // of each group the items that may be kept whole
	index   map[event.ID]uint32
	fresh   map[event.ID]int // groups of a lane that this batch begins
	rules   []string
	items   []item
	at      []int32 // of each item its place in the batch
	sources []source
	muted   map[*Policy]bool
	values  []string
	moved   int // items that are no emissions
}

// leave takes an alert out of the groups of routes other than that of p: what routes ask
// for, as the severity, has changed, and news of it, its end too, go elsewhere now. p nil
// = it joins no group any more.
func (t *taker) leave(a *event.Alert, place int, p *Policy) {
	if stateOf(a) == isNew {
		return
	}
	other := func(lane event.ID) bool { return p == nil || lane != p.id }
	var left []uint32
	for i := len(t.items) - 1; i >= 0; i-- {
		it := &t.items[i]
		if it.id == a.ID && other(t.groups[it.group].lane) && !slices.Contains(left, it.group) {
			left = append(left, it.group)
			if it.state < isResolved {
				t.move(a, place, it.group)
			}
		}
	}
	for _, g := range t.b.order {
		if other(g.lane.id) && g.has(a.ID) {
			if i := t.add(joined{lane: g.lane.id, key: g.key, route: g.lane.route, labels: g.labels}); !slices.Contains(left, i) {
				t.move(a, place, i)
			}
		}
	}
}

func (t *taker) move(a *event.Alert, place int, g uint32) {
	t.items = append(t.items, item{group: g, rule: t.rule(a.RuleID), id: a.ID, state: isMoved, severity: min(a.Severity, event.SeverityCritical), time: nanos(a.Time)})
	t.at, t.moved = append(t.at, int32(place)), t.moved+1
}

// take adds an alert to the group that its route and labels say, or to that in which
// it is known already.
func (t *taker) take(a *event.Alert, place int, p *Policy) {
	key := t.key(a, p)
	state := stateOf(a)
	g := t.group(a, state, p, key)
	it := item{group: g, rule: t.rule(a.RuleID), id: a.ID, state: state, severity: min(a.Severity, event.SeverityCritical), time: nanos(a.Time)}
	it.hush, it.reason, _ = t.b.hushOf(a, t.now)
	if it.reason == reasonOver && t.isMuted(p) {
		it.reason = reasonMuted
	}
	t.items, t.at = append(t.items, it), append(t.at, int32(place))
	if state != isResolved {
		t.choose(g, int32(len(t.items)-1))
	}
}

func stateOf(a *event.Alert) uint8 {
	switch a.State {
	case event.AlertResolved:
		return isResolved
	case event.AlertUpdated:
		return isUpdated
	}
	return isNew
}

// key is the group of an alert by its labels; the labels stay in t.values.
func (t *taker) key(a *event.Alert, p *Policy) event.ID {
	t.values = append(t.values[:0], p.prefix)
	if p.fields == nil && len(p.GroupBy) > 0 {
		t.values = append(t.values, string(a.ID[:]))
	}
	for _, f := range p.fields {
		t.values = append(t.values, f.Value(a))
	}
	return event.NewID(t.values...)
}

// group is where an alert belongs: where it is open already, as its labels may have
// changed; else the group of its labels, which may be begun.
func (t *taker) group(a *event.Alert, state uint8, p *Policy, key event.ID) uint32 {
	g := t.b.groups[key]
	if state != isNew && (g == nil || !g.has(a.ID)) {
		for i := len(t.items) - 1; i >= 0; i-- {
			if it := &t.items[i]; it.id == a.ID && t.groups[it.group].lane == p.id {
				return it.group
			}
		}
		for _, o := range t.b.order {
			if o.lane.id == p.id && o.has(a.ID) {
				g = o
				break
			}
		}
	}
	if g != nil {
		return t.add(joined{lane: p.id, key: g.key, route: p.Route, labels: g.labels})
	}
	if i, ok := t.index[key]; ok {
		return i
	}
	return t.begin(a, p, key)
}

func (g *group) has(id event.ID) bool {
	_, ok := find(g.entries, id)
	return ok
}

// begin is a new group, or the overflow group of the route where there are too many.
func (t *taker) begin(a *event.Alert, p *Policy, key event.ID) uint32 {
	size := t.fresh[p.id]
	if l := t.b.lanes[p.id]; l != nil {
		size += l.size
	}
	if size >= MaxGroups {
		return t.add(joined{lane: p.id, key: overflowKey(p.id), route: p.Route, labels: []event.Detail{{Name: "group", Value: Overflow}}})
	}
	t.fresh[p.id]++
	g := joined{lane: p.id, key: key, route: p.Route}
	for _, f := range p.fields {
		g.labels = append(g.labels, event.Detail{Name: f.Name, Value: f.Value(a)})
	}
	return t.add(g)
}

// Overflow is the value of the only label of a group that takes what is beyond MaxGroups.
const Overflow = "further groups"

func overflowKey(lane event.ID) event.ID { return event.NewID(string(lane[:]), "\x00overflow") }

func (t *taker) add(g joined) uint32 {
	i, ok := t.index[g.key]
	if !ok {
		i = uint32(len(t.groups))
		t.index[g.key] = i
		t.groups, t.chosen = append(t.groups, g), append(t.chosen, nil)
	}
	return i
}

func (t *taker) rule(id string) uint32 {
	id = capped(id, MaxLabel)
	if i := slices.Index(t.rules, id); i >= 0 {
		return uint32(i)
	}
	t.rules = append(t.rules, id)
	return uint32(len(t.rules) - 1)
}

func (t *taker) isMuted(p *Policy) bool {
	muted, ok := t.muted[p]
	if !ok {
		muted = p.unmuted(t.now) > t.now
		t.muted[p] = muted
	}
	return muted
}

// choose notes an item as one that may be kept whole.
func (t *taker) choose(g uint32, i int32) {
	list := t.chosen[g]
	at, _ := slices.BinarySearchFunc(list, i, func(have, i int32) int {
		a, b := &t.items[have], &t.items[i]
		return cmp.Or(cmp.Compare(b.severity, a.severity), cmp.Compare(b.time, a.time), cmp.Compare(i, have))
	})
	if at == MaxWhole {
		return
	}
	if len(list) == MaxWhole {
		list = list[:MaxWhole-1]
	}
	t.chosen[g] = slices.Insert(list, at, i)
}

func (t *taker) op(batch []event.Alert, pos event.Position) *Op {
	if len(t.items) == 0 && len(t.sources) == 0 {
		return nil
	}
	for _, list := range t.chosen {
		for _, i := range list {
			t.items[i].raw = slim(&batch[t.at[i]])
		}
	}
	return &Op{
		Kind: OpJoin, Sink: t.b.sink, Time: at(t.now), Position: pos, Settled: event.Settled{Grouped: uint64(len(t.items) - t.moved)},
		rules: t.rules, groups: t.groups, items: t.items, sources: t.sources,
	}
}

// errMisfit is an operation that was made of another state.
var errMisfit = errors.New("it does not fit the state")

// Apply does an operation that is durable. An OpJoin of a frame that was done before (its
// Settled.Notify is not above that of the last one) changes nothing; one whose Position is
// behind that of the last is of a reader that was set back, and counts. It fails for an
// operation of another board and for one that does not fit the state, which is then
// unchanged.
func (b *Board) Apply(op *Op) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if op.Sink != b.sink || op.Kind != OpJoin && op.Kind != OpTold {
		return fmt.Errorf("apply routing operation: it is not of the board of %s", b.sink)
	}
	if op.Kind == OpTold {
		if err := b.fits(op); err != nil {
			return fmt.Errorf("apply routing operation: %w", err)
		}
	} else if n := op.Settled.Notify; n != 0 && n <= b.settled.Notify {
		return nil
	}
	b.ops++
	b.pass(nanos(op.Time))
	if op.Kind == OpTold {
		b.applyTold(op)
	} else {
		b.applyJoin(op)
	}
	b.forgetLanes()
	return nil
}

func (b *Board) applyJoin(op *Op) {
	b.taken, b.settled = op.Position, op.Settled
	for i := range op.sources {
		b.applySource(op.sources[i])
	}
	groups := make([]*group, len(op.groups))
	for i := range op.items {
		it := &op.items[i]
		j := &op.groups[it.group]
		g := groups[it.group]
		if g == nil {
			g = b.groups[j.key]
		}
		if g == nil && it.state == isMoved {
			continue
		}
		if g == nil && it.state == isResolved {
			b.account.Grouped++
			b.account.add(it.reason, 1)
			continue
		}
		if g == nil {
			g = b.begin(j)
		}
		groups[it.group] = g
		if len(g.labels) == 1 && g.labels[0].Value == Overflow && g.key == overflowKey(j.lane) {
			b.bounds.Groups++
		}
		b.takeItem(g, it, op.rules[it.rule], b.now)
		if b.tidy(g); b.groups[j.key] == nil {
			groups[it.group] = nil
		}
	}
}

func (b *Board) begin(j *joined) *group {
	l := b.lanes[j.lane]
	if l == nil {
		l = &lane{id: j.lane, route: j.route}
		b.lanes[j.lane] = l
	}
	g := &group{key: j.key, lane: l, episode: b.ops, labels: j.labels, opened: b.now, dirty: true}
	l.size++
	b.groups[g.key] = g
	b.order = append(b.order, g)
	return g
}

// forgetLanes forgets routes without groups whose rate is of no interest any more.
func (b *Board) forgetLanes() {
	for id, l := range b.lanes {
		if l.size == 0 && l.summary.seq == 0 && (len(l.times) == 0 || l.times[len(l.times)-1] < b.now-int64(MaxTime)) {
			delete(b.lanes, id)
		}
	}
}

// Taken is the position behind the last batch that joined, with what became of that
// batch: where a reader's cursor is behind it, it is acknowledged before anything is read.
func (b *Board) Taken() (event.Position, event.Settled) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.taken, b.settled
}

// StateHash is a hash of the state: equal for equal operations.
func (b *Board) StateHash() event.ID { return event.HashContent(b.AppendState(nil)) }

// Account adds up what became of the alerts that joined:
// Grouped = Notified + Silenced + Inhibited + Muted + Over + Open.
type Account struct {
	Grouped   uint64 `json:"grouped"`
	Notified  uint64 `json:"notified"`  // a notice stood for it, delivered or in the dead letter
	Silenced  uint64 `json:"silenced"`  // over before the silence was
	Inhibited uint64 `json:"inhibited"` // over before the graver alert was
	Muted     uint64 `json:"muted"`     // over before the mute was
	Over      uint64 `json:"over"`      // over before anybody was to be told
	Open      uint64 `json:"open"`      // not told yet
}

// Balanced reports whether the account adds up.
func (a Account) Balanced() bool {
	return a.Grouped == a.Notified+a.Silenced+a.Inhibited+a.Muted+a.Over+a.Open
}

// Bounds counts how often a bound of the board was met.
type Bounds struct {
	Groups  uint64 `json:"groups"`  // alerts that joined an overflow group
	Tracked uint64 `json:"tracked"` // alerts that are known by number alone
	Whole   uint64 `json:"whole"`   // alerts whose text was not kept for want of memory
	Sources uint64 `json:"sources"` // sources of inhibitions that were forgotten
	Rate    uint64 `json:"rate"`    // groups that were told by a summary
}

// Status is what an operator sees of a board.
type Status struct {
	Sink      string    `json:"sink"`
	Groups    int       `json:"groups"`        // that are open
	Alerts    uint64    `json:"alerts"`        // of these
	Silenced  uint64    `json:"silenced"`      // of these, at the moment
	Inhibited uint64    `json:"inhibited"`     // of these, at the moment
	Muted     int       `json:"muted"`         // groups whose route is muted at the moment
	Next      time.Time `json:"next,omitzero"` // when somebody is told next, as it looks
	Account   Account   `json:"account"`
	Bounds    Bounds    `json:"bounds"`
}

// Status tells of the board at now.
func (b *Board) Status(now time.Time) Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.clock(now)
	s := Status{Sink: b.sink, Groups: len(b.groups), Account: b.counted(), Bounds: b.bounds, Next: at(b.wake(t))}
	for _, g := range b.order {
		l := b.look(g, t)
		s.Alerts += l.open
		s.Silenced, s.Inhibited = s.Silenced+l.hushed[reasonSilenced], s.Inhibited+l.hushed[reasonInhibited]
		if l.policy != nil && l.policy.unmuted(t) > t {
			s.Muted++
		}
	}
	return s
}

// counted is the account with what is not told yet.
func (b *Board) counted() Account {
	a := b.account
	for _, g := range b.order {
		a.Open += g.pending()
	}
	for _, l := range b.lanes {
		a.Open += l.summary.news
	}
	return a
}

// pending is how many emissions of a group were not told.
func (g *group) pending() uint64 {
	n := g.news
	for i := range g.entries {
		n += uint64(g.entries[i].pending)
	}
	for i := range g.crowds {
		n += uint64(g.crowds[i].pending)
	}
	return n
}
