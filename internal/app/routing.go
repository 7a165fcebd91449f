package app

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ledger"
	"github.com/appgovd/appgovd/internal/route"
)

// routing is what the agent knows of groups and silences. It changes by notify frames
// alone, live as at recovery.
type routing struct {
	tree     *route.Tree
	silences *route.Silences
	boards   map[string]*board // by sink: of every sink, since groups may be left of former routes
	names    []string          // of boards, as sinks are configured
	now      func() time.Time
	log      *zap.Logger

	failed uint64 // notify frames that could not be replayed; of the start alone
	why    string // of the last of them

	mu     sync.Mutex // order of notify frames and snapshots
	ledger *ledger.Ledger
}

func newRouting(p *Plan, now func() time.Time, log *zap.Logger) (*routing, error) {
	r := &routing{tree: p.tree, boards: map[string]*board{}, now: now, log: log}
	var err error
	if r.silences, err = route.NewSilences(p.matcher, p.silences); err != nil {
		return nil, fmt.Errorf("build silences: %w", err)
	}
	for _, s := range p.sinks {
		name := s.block.Key()
		r.boards[name] = &board{Board: route.NewBoard(name, r.tree, r.silences), r: r}
		r.names = append(r.names, name)
	}
	return r, nil
}

// of is the board of a sink that tells people, or still has to; nil of any other.
func (r *routing) of(sink string) deliver.Board {
	if r.notifies(sink) {
		return r.boards[sink]
	}
	return nil
}

func (r *routing) notifies(sink string) bool {
	if r.tree.Notifies(sink) {
		return true
	}
	s := r.boards[sink].Status(r.now())
	return s.Groups > 0 || !s.Next.IsZero() // the end of what a summary stood for is told, too
}

// match decides whether an alert is handed on to a sink without a board.
func (r *routing) match(sink string) func(*event.Alert) bool {
	return func(a *event.Alert) bool {
		outcome, _ := r.tree.Decide(a, sink)
		return outcome == route.Direct
	}
}

// grouped is what the last notify frame of a sink says.
func (r *routing) grouped(sink string) ledger.Grouped {
	pos, n := r.boards[sink].Taken()
	return ledger.Grouped{Position: pos, Settled: n}
}

// commit makes op durable and does it. It does not end before: what is in the ledger
// must be in the state that a snapshot keeps.
func (r *routing) commit(op *route.Op) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := &event.Frame{Kind: event.FrameNotify, Time: r.now().UTC(), Notify: op.Append(nil)}
	wait, err := r.ledger.Append(f)
	if err != nil {
		return fmt.Errorf("append notify frame: %w", err)
	}
	if err := wait(context.Background()); err != nil {
		return fmt.Errorf("append notify frame: %w", err)
	}
	return r.apply(op, f.LSN)
}

func (r *routing) apply(op *route.Op, lsn uint64) error {
	op.Settled.Notify = lsn
	if op.Sink == "" {
		return r.silences.Apply(op)
	}
	if b := r.boards[op.Sink]; b != nil {
		return b.Apply(op)
	}
	return nil // its sink left the configuration
}

// replay does what a stored frame says. One that cannot be read, or does not fit, is of
// a defect: it is an alarm, and what it would have changed is told again or late.
func (r *routing) replay(f *event.Frame) {
	op, err := route.DecodeOp(f.Notify)
	if err == nil {
		err = r.apply(op, f.LSN)
	}
	if err != nil {
		r.failed, r.why = r.failed+1, fmt.Sprintf("%d: %v", f.LSN, err)
		r.log.Error("a notify frame cannot be replayed", zap.Uint64("frame", f.LSN), zap.Error(err))
	}
}

// unread is how many notify frames could not be replayed at the start, and why the last.
func (r *routing) unread() (n uint64, last string) { return r.failed, r.why }

// snapshot writes the state as one section; the caller holds mu.
func (r *routing) snapshot(w io.Writer) error {
	return writeSection(w, func(w io.Writer) error {
		if err := writeText(w, r.silences.AppendState(nil)); err != nil {
			return err
		}
		if err := writeText(w, []byte(strings.Join(r.names, "\n"))); err != nil {
			return err
		}
		for _, name := range r.names {
			if err := writeText(w, r.boards[name].AppendState(nil)); err != nil {
				return err
			}
		}
		return nil
	})
}

// restore reads the section; there is none in snapshots of builds that did not group.
// What was there before is gone: it may be of a newer snapshot that proved damaged.
func (r *routing) restore(from io.Reader) error {
	r.forget()
	var first [1]byte
	if _, err := io.ReadFull(from, first[:]); err == io.EOF {
		return nil
	}
	err := r.read(io.MultiReader(strings.NewReader(string(first[:])), from))
	if err != nil {
		r.forget()
	}
	return err
}

func (r *routing) forget() {
	r.silences.Forget()
	for name, b := range r.boards {
		b.Board = route.NewBoard(name, r.tree, r.silences)
	}
}

func (r *routing) read(from io.Reader) error {
	return readSection(from, func(from io.Reader) error {
		b, err := readState(from)
		if err == nil {
			err = r.silences.Restore(b)
		}
		if err != nil {
			return err
		}
		names, err := readText(from)
		if err != nil || len(names) == 0 {
			return err
		}
		for name := range strings.SplitSeq(string(names), "\n") {
			state, err := readState(from)
			if b := r.boards[name]; err == nil && b != nil { // else its sink left the configuration
				err = b.Restore(state)
			}
			if err != nil {
				return fmt.Errorf("groups of %s: %w", name, err)
			}
		}
		return nil
	})
}

// readState is a section as a whole, however long: what a board holds is bounded by the
// board itself, and a snapshot that was stored must be read.
func readState(from io.Reader) (b []byte, err error) {
	err = readSection(from, func(from io.Reader) error {
		b, err = io.ReadAll(from)
		return err
	})
	return b, err
}

// board is the groups of one sink, as its worker sees them.
type board struct {
	*route.Board
	r *routing
}

// Take implements deliver.Board.
func (b *board) Take(batch []event.Alert, pos event.Position) ([]event.Alert, uint64, deliver.Join) {
	direct, elsewhere, op := b.Board.Take(batch, pos, b.r.now())
	if op == nil {
		return direct, uint64(elsewhere), nil
	}
	grouped := op.Settled.Grouped
	return direct, uint64(elsewhere), func(n event.Settled) (event.Settled, error) {
		n.Grouped = grouped
		op.Settled = n
		err := b.r.commit(op)
		return op.Settled, err
	}
}

// Wake implements deliver.Board.
func (b *board) Wake() (time.Time, <-chan struct{}) {
	changed := b.r.silences.Changed()
	return b.Board.Wake(b.r.now()), changed
}

// Due implements deliver.Board.
func (b *board) Due() ([]event.Alert, func() error) {
	notices, op := b.Board.Due(b.r.now())
	if op == nil {
		return nil, nil
	}
	return notices, func() error {
		op.Time = b.r.now()
		return b.r.commit(op)
	}
}
