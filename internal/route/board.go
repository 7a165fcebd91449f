package route

import (
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// Bounds of a board. What is beyond them is counted, never lost.
const (
	MaxWhole    = 20      // alerts of a group of which more than the number is known
	MaxTracked  = 1000    // open alerts of a group that are known by id
	MaxGroups   = 1000    // groups of one route; further alerts join its overflow group
	MaxAllIDs   = 100_000 // open alerts of a board that are known by id
	MaxSources  = 1000    // open sources of an inhibition
	WholeBudget = 16 << 20
)

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
}

// NewBoard is an empty board of that sink.
func NewBoard(sink string, t *Tree, s *Silences) *Board {
	return &Board{sink: sink, tree: t, silences: s}
}

// Take splits a batch, read up to pos, at now: direct are those to be handed on at
// once, in order; elsewhere is how many do not concern the sink; op is what the others
// do to the board, nil where there is nothing. The caller fills in op.Settled and
// makes it durable before the batch is acknowledged. Nothing changes yet.
func (b *Board) Take(batch []event.Alert, pos event.Position, now time.Time) (direct []event.Alert, elsewhere int, op *Op) {
	return batch, 0, nil
}

// Apply does an operation that is durable. One that was done before (its Position is
// not ahead of the board's) changes nothing. It fails for an operation of another
// board and for one that does not fit the state, which is then unchanged.
func (b *Board) Apply(op *Op) error { return nil }

// Taken is the position behind the last batch that joined, with what became of that
// batch: where a reader's cursor is behind it, it is acknowledged before anything is read.
func (b *Board) Taken() (event.Position, event.Settled, uint64) {
	return event.Position{}, event.Settled{}, 0
}

// Due is what there is to tell at now: notices, the gravest first, none where op only
// tidies up, and the op to be made durable once each is accepted or in the dead letter.
// op is nil where nothing is due. The caller sets op.Time to the time of the append.
// Until the op is applied Due gives the same notices with the same delivery ids.
func (b *Board) Due(now time.Time) (notices []event.Alert, op *Op) { return nil, nil }

// Wake is when Due has something next, as it looks now: zero = nothing is waiting.
// A change of the silences may bring it forward (Silences.Changed).
func (b *Board) Wake(now time.Time) time.Time { return time.Time{} }

// AppendState appends the whole state for a snapshot: equal states have equal bytes.
func (b *Board) AppendState(dst []byte) []byte { return dst }

// Restore takes over what AppendState wrote. It fails, and changes nothing, where that
// is damaged.
func (b *Board) Restore(state []byte) error { return nil }

// StateHash is a hash of the state: equal for equal operations.
func (b *Board) StateHash() event.ID { return event.HashContent(b.AppendState(nil)) }

// Account adds up what became of the alerts that joined:
// Grouped = Notified + Silenced + Inhibited + Muted + Over + Open.
type Account struct {
	Grouped   uint64 `json:"grouped"`
	Notified  uint64 `json:"notified"`  // a notice stood for it
	Silenced  uint64 `json:"silenced"`  // over before the silence was
	Inhibited uint64 `json:"inhibited"` // over before the graver alert was
	Muted     uint64 `json:"muted"`     // over before the mute was
	Over      uint64 `json:"over"`      // over before anybody was to be told
	Open      uint64 `json:"open"`      // not told yet
}

// Status is what an operator sees of a board.
type Status struct {
	Sink      string    `json:"sink"`
	Groups    int       `json:"groups"`        // that are open
	Alerts    uint64    `json:"alerts"`        // of these
	Silenced  uint64    `json:"silenced"`      // of these, at the moment
	Inhibited uint64    `json:"inhibited"`     // of these, at the moment
	Muted     int       `json:"muted"`         // groups that wait for a mute to end
	Next      time.Time `json:"next,omitzero"` // when somebody is told next
	Account   Account   `json:"account"`
	Bounds    Bounds    `json:"bounds"`
}

// Bounds counts how often a bound of the board was met.
type Bounds struct {
	Groups  uint64 `json:"groups"`  // alerts that joined an overflow group
	Tracked uint64 `json:"tracked"` // alerts that are known by number alone
	Whole   uint64 `json:"whole"`   // alerts whose text was not kept for want of memory
	Sources uint64 `json:"sources"` // sources of inhibitions that were forgotten
	Rate    uint64 `json:"rate"`    // groups that were told by a summary
}

// Status tells of the board at now.
func (b *Board) Status(now time.Time) Status { return Status{Sink: b.sink} }
