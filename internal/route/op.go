package route

import (
	"fmt"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// OpKind says what an operation does.
type OpKind uint8

// Kinds of operations.
const (
	OpJoin    OpKind = iota + 1 // alerts of one batch join groups of a board
	OpTold                      // notices were sent, or found needless: of a board
	OpSilence                   // a silence is added
	OpExpire                    // a silence ends early
)

// Op is one operation: the only thing that changes a board or the silences. It is made
// by Board.Take, Board.Due, Silences.Add and Silences.Expire, made durable by the
// caller, and then applied. What it does depends on the state alone, not on the
// configuration.
type Op struct {
	Kind OpKind
	Sink string    // whose board it is of; "" = of the silences
	Time time.Time // when it is appended: the board's time from then on

	// Position is the place behind the batch of an OpJoin, and Settled what became of
	// the others of that batch: after a crash the caller acknowledges them first.
	// Settled.Grouped is filled in; Settled.Notify, the number of the frame that holds the
	// operation, is not part of the encoding: whoever appends or reads the frame sets it
	// before Apply.
	Position event.Position
	Settled  event.Settled

	rules   []string
	groups  []joined
	items   []item
	sources []source // last 0 = it is over

	tells []tell
	lanes []laneTold

	silence Silence  // OpSilence
	expire  event.ID // OpExpire
}

// joined is a group that alerts join, and how to begin it where there is none.
type joined struct {
	lane, key event.ID
	route     string
	labels    []event.Detail
}

// reason is why an alert is not told.
type reason uint8

const (
	reasonOver reason = iota // none but that it is over
	reasonSilenced
	reasonInhibited
	reasonMuted
	reasons
)

// item is one emission of an alert that joins.
type item struct {
	group, rule uint32 // in the lists of the operation
	id          event.ID
	state       uint8 // isNew, isUpdated, isResolved, isMoved
	severity    event.Severity
	reason      reason // for which it was not told should it be over now
	hush        hush
	time        int64  // of the alert, ns
	raw         []byte // the alert, where it may be one of those kept whole
}

const (
	isNew uint8 = iota
	isUpdated
	isResolved
	isMoved // no emission: the alert belongs to another route now, or to none
)

// hush is by what an alert can be kept from being told, as was known when it came.
type hush struct {
	silence uint64             // short for its id; 0 = none
	targets [maxTargets]uint64 // short for an inhibition and the values that must be equal; 0 = none
}

// maxTargets is how many inhibitions are kept of an alert that is not kept whole.
const maxTargets = 2

// source is an open alert that inhibits others.
type source struct {
	target uint64 // as in hush
	rule   uint64 // short for the inhibition
	id     event.ID
	last   int64 // ns, of its last news
}

// tell is what became of one group.
type tell struct {
	key     event.ID
	how     uint8 // toldNothing, toldNotice, toldSummary
	close   bool
	left    []leaving // open, and left out of what was told; sorted
	expired []leaving // over for want of news; sorted
}

const (
	toldNothing uint8 = iota
	toldNotice
	toldSummary
)

type leaving struct {
	id     event.ID
	reason reason
}

// laneTold is what became of a route at this sink.
type laneTold struct {
	lane    event.ID
	notices uint32 // that count against its rate
	late    bool   // the last of them told that something is over
	summary uint8  // summaryNone, summaryTold, summaryClosed
	face    event.ID
}

const (
	summaryNone uint8 = iota
	summaryTold
	summaryClosed
)

const opVersion = 1

// Append appends the encoding of o; see docs/format.md.
func (o *Op) Append(dst []byte) []byte {
	e := encoder{dst}
	e.uint(opVersion)
	e.uint(uint64(o.Kind))
	e.str(o.Sink)
	e.int(nanos(o.Time))
	switch o.Kind {
	case OpJoin:
		o.appendJoin(&e)
	case OpTold:
		o.appendTold(&e)
	case OpSilence:
		e.silence(&o.silence)
	case OpExpire:
		e.id(o.expire)
	}
	return e.b
}

func (o *Op) appendJoin(e *encoder) {
	e.uint(o.Position.LSN)
	e.uint(uint64(o.Position.Index))
	e.uint(o.Settled.Accepted)
	e.uint(o.Settled.DeadLetter)
	e.uint(o.Settled.Skipped)
	e.uint(uint64(len(o.rules)))
	for _, r := range o.rules {
		e.str(r)
	}
	e.uint(uint64(len(o.groups)))
	for i := range o.groups {
		g := &o.groups[i]
		e.id(g.lane)
		e.id(g.key)
		e.str(g.route)
		e.details(g.labels)
	}
	e.uint(uint64(len(o.items)))
	for i := range o.items {
		e.item(&o.items[i])
	}
	e.sources(o.sources)
}

func (e *encoder) item(it *item) {
	e.uint(uint64(it.group))
	e.uint(uint64(it.rule))
	e.id(it.id)
	e.uint(uint64(it.state))
	e.uint(uint64(it.severity))
	e.uint(uint64(it.reason))
	e.hush(&it.hush)
	e.int(it.time)
	e.bytes(it.raw)
}

func (e *encoder) hush(h *hush) {
	flags := byte(0)
	if h.silence != 0 {
		flags = 1
	}
	for i, t := range h.targets {
		if t != 0 {
			flags |= 2 << i
		}
	}
	e.b = append(e.b, flags)
	if h.silence != 0 {
		e.word(h.silence)
	}
	for _, t := range h.targets {
		if t != 0 {
			e.word(t)
		}
	}
}

func (e *encoder) sources(list []source) {
	e.uint(uint64(len(list)))
	for i := range list {
		e.word(list[i].target)
		e.word(list[i].rule)
		e.id(list[i].id)
		e.int(list[i].last)
	}
}

func (o *Op) appendTold(e *encoder) {
	e.uint(uint64(len(o.tells)))
	for i := range o.tells {
		t := &o.tells[i]
		e.id(t.key)
		e.uint(uint64(t.how))
		e.bool(t.close)
		e.leaving(t.left)
		e.leaving(t.expired)
	}
	e.uint(uint64(len(o.lanes)))
	for i := range o.lanes {
		l := &o.lanes[i]
		e.id(l.lane)
		e.uint(uint64(l.notices))
		e.bool(l.late)
		e.uint(uint64(l.summary))
		e.id(l.face)
	}
}

func (e *encoder) leaving(list []leaving) {
	e.uint(uint64(len(list)))
	for i := range list {
		e.id(list[i].id)
		e.uint(uint64(list[i].reason))
	}
}

// DecodeOp reads what Append wrote, all of it. Garbage is an error, never a panic;
// memory is bounded by the length of b. Nothing of b is kept.
func DecodeOp(b []byte) (*Op, error) {
	d := decoder{b: b}
	d.version(opVersion)
	o := &Op{Kind: OpKind(d.upTo(255, "the kind")), Sink: d.str(), Time: at(d.int())}
	switch o.Kind {
	case OpJoin:
		o.decodeJoin(&d)
	case OpTold:
		o.decodeTold(&d)
	case OpSilence:
		o.silence = d.silence()
	case OpExpire:
		o.expire = d.id()
	default:
		d.fail("kind %d is not known", o.Kind)
	}
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("decode routing operation: %w", err)
	}
	return o, nil
}

func (o *Op) decodeJoin(d *decoder) {
	o.Position = event.Position{LSN: d.uint(), Index: uint32(d.upTo(1<<32-1, "the index"))}
	o.Settled = event.Settled{Accepted: d.uint(), DeadLetter: d.uint(), Skipped: d.uint()}
	o.rules = make([]string, d.count(1))
	for i := range o.rules {
		o.rules[i] = d.str()
	}
	o.groups = make([]joined, d.count(34))
	for i := range o.groups {
		o.groups[i] = joined{lane: d.id(), key: d.id(), route: d.str(), labels: d.details()}
	}
	o.items = make([]item, d.count(24))
	for i := range o.items {
		o.items[i] = d.item(len(o.groups), len(o.rules))
	}
	o.Settled.Grouped = uint64(len(o.items))
	o.sources = d.sources()
}

func (d *decoder) item(groups, rules int) (it item) {
	if it.group = uint32(d.uint()); int(it.group) >= groups {
		d.fail("group %d of %d", it.group, groups)
	}
	if it.rule = uint32(d.uint()); int(it.rule) >= rules {
		d.fail("rule %d of %d", it.rule, rules)
	}
	it.id = d.id()
	it.state = uint8(d.upTo(uint64(isMoved), "the state"))
	it.severity = event.Severity(d.upTo(uint64(event.SeverityCritical), "the severity"))
	it.reason = reason(d.upTo(uint64(reasons-1), "the reason"))
	it.hush = d.hush()
	it.time = d.int()
	it.raw = d.bytes()
	return it
}

func (d *decoder) hush() (h hush) {
	flags := d.upTo(2<<maxTargets-1, "the flags")
	if flags&1 != 0 {
		h.silence = d.word()
	}
	for i := range h.targets {
		if flags&(2<<i) != 0 {
			h.targets[i] = d.word()
		}
	}
	return h
}

func (d *decoder) sources() []source {
	list := make([]source, d.count(33))
	for i := range list {
		list[i] = source{target: d.word(), rule: d.word(), id: d.id(), last: d.int()}
	}
	return list
}

func (o *Op) decodeTold(d *decoder) {
	o.tells = make([]tell, d.count(20))
	for i := range o.tells {
		o.tells[i] = tell{key: d.id(), how: uint8(d.upTo(uint64(toldSummary), "the way")), close: d.bool(), left: d.leaving(), expired: d.leaving()}
	}
	o.lanes = make([]laneTold, d.count(35))
	for i := range o.lanes {
		o.lanes[i] = laneTold{
			lane: d.id(), notices: uint32(d.upTo(1<<32-1, "the notices")), late: d.bool(),
			summary: uint8(d.upTo(uint64(summaryClosed), "the summary")), face: d.id(),
		}
	}
}

func (d *decoder) leaving() []leaving {
	list := make([]leaving, d.count(17))
	for i := range list {
		list[i] = leaving{id: d.id(), reason: reason(d.upTo(uint64(reasons-1), "the reason"))}
		if i > 0 && !less(list[i-1].id, list[i].id) {
			d.fail("%w", errTwice)
		}
	}
	return list
}
