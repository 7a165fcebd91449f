package route

import (
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
// caller, and then applied. It does not depend on the configuration.
type Op struct {
	Kind OpKind
	Sink string    // whose board it is of; "" = of the silences
	Time time.Time // when it is appended: the board's time from then on

	// Position is the place behind the batch of an OpJoin, and Settled what became of
	// the others of that batch: after a crash the caller acknowledges them first.
	Position event.Position
	Settled  event.Settled
	Grouped  uint64 // alerts of the batch that joined groups
}

// Append appends the encoding of o.
func (o *Op) Append(dst []byte) []byte { return dst }

// DecodeOp reads what Append wrote, all of it. Garbage is an error, never a panic;
// memory is bounded by the length of b. Nothing of b is kept.
func DecodeOp(b []byte) (*Op, error) { return nil, nil }
