// Package deliver owns the loop ledger -> sink: route, batch, back-off, partial
// rejection, dead letter. One worker per sink; a dead sink costs the others
// nothing.
package deliver

import (
	"context"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// Sink is one destination. It does not retry, buffer or change alerts. The
// worker owns the slice; Write must not keep it. Write returns nil when every
// alert is accepted; a *Rejected when some are refused for good (the others
// are accepted); any other error, classified by package fault, means that none
// is known to be accepted and the same batch comes again.
type Sink interface {
	Write(ctx context.Context, batch []event.Alert) error
	Close() error
}

// Unacknowledged is a Sink whose destination never says that it took anything.
// It keeps what it sent last, as much as it is told to.
type Unacknowledged interface {
	Sink
	// Lost gets a value when the connection broke behind alerts that may not
	// have arrived. The next Write, an empty one where there is nothing new,
	// sends them again; the worker sees to it.
	Lost() <-chan struct{}
}

// Rejected lists the items that the destination refused for good and those to
// be sent again. Items in neither list are accepted.
type Rejected struct {
	Items []Rejection
	Retry []int // indexes into the batch
	After error // classified reason for Retry, may be nil; a permanent one asks for smaller batches, at once
}

// Rejection is one refused item.
type Rejection struct {
	Index  int // into the batch
	Reason string
}

// Reader is one sink's view of the ledger. It is used by one goroutine.
type Reader interface {
	// Next returns alerts behind the last returned ones, at most max of them,
	// all of them from whole frames or parts of one, and the position after
	// the last. It blocks until there is one or ctx ends.
	Next(ctx context.Context, max int) ([]event.Alert, event.Position, error)
	// More reports whether Next hands out alerts at once that one Ack may settle
	// together with those that it returned before.
	More() bool
	// Ack makes durable that everything before pos, where Next returned last, is
	// settled: accepted, refused (dead letter), routed elsewhere or grouped, by count.
	Ack(pos event.Position, c event.Settled) error
	// Again reports whether the alerts that Next returned last went out before and
	// were settled then.
	Again() bool
}

// Board makes few notices of many alerts for people. What it knows is durable. Its
// functions are called by one goroutine, and each of Join and Sent before the next Take
// or Due.
type Board interface {
	// Take splits a batch that was read up to pos: direct alerts are for the sink now;
	// of the others join, nil where there is nothing to it, makes durable that they
	// joined groups, together with n, what became of the direct ones. It returns n with
	// those that joined, to be acknowledged. elsewhere do not concern the sink.
	Take(batch []event.Alert, pos event.Position) (direct []event.Alert, elsewhere uint64, join Join)
	// Wake is when notices are due next, zero = none is awaited, and a channel that is
	// closed when that is to be asked again.
	Wake() (time.Time, <-chan struct{})
	// Due are the notices that are due by now, and what makes durable that they are
	// settled, nil where nothing is due. Without it they are given again, with equal
	// delivery ids.
	Due() (notices []event.Alert, sent func() error)
}

// Join makes a batch durable.
type Join func(n event.Settled) (event.Settled, error)

// DeadLetters keeps what a sink refused for good.
type DeadLetters interface {
	// PutDeadLetter returns once d is durable.
	PutDeadLetter(d event.DeadLetter) error
}
