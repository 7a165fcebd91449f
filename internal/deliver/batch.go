package deliver

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// Batch bounds what is written together.
type Batch struct {
	Events int // alerts, or events, at most; 500
	// Bytes at most, as the ledger has them, before compression; 0 = no bound. What is
	// larger alone is a batch of its own.
	Bytes int
	// Wait is how long the first of a batch that is not full waits for more, from when it
	// was taken from the ledger; 0 = not at all. Where there is a Board nothing waits.
	Wait time.Duration
}

// Hurry ends every wait for a batch to be filled, now and from now on.
func (w *Worker) Hurry() { w.rush() }

// fill adds to a batch what comes until it is full or its first has waited long enough.
// What goes out again is full: it is not counted with what does not.
func (w *Worker) fill(ctx context.Context, batch []event.Alert, pos event.Position) ([]event.Alert, event.Position, error) {
	if w.o.Batch.Wait == 0 || w.o.Board != nil || w.o.Reader.Again() || urgent(batch) {
		return batch, pos, nil
	}
	if err := w.pay(ctx); err != nil {
		return nil, pos, err
	}
	w.waitsSince(w.o.Now())
	defer w.waitsSince(time.Time{})
	timed, free := context.WithTimeout(ctx, w.o.Batch.Wait)
	defer free()
	filling, stop := context.WithCancelCause(timed)
	defer stop(nil)
	endBy(filling, stop, w.hurry, nil)
	if sink, ok := w.o.Sink.(Unacknowledged); ok {
		endBy(filling, stop, sink.Lost(), errLost)
	}
	for size := w.size(batch); len(batch) < w.o.Batch.Events && (w.o.Batch.Bytes == 0 || size < w.o.Batch.Bytes); {
		more, to, err := w.o.Reader.Next(filling, w.o.Batch.Events-len(batch))
		switch {
		case err == nil:
			if batch, pos, size = append(batch, more...), to, size+w.size(more); urgent(more) {
				return batch, pos, nil
			}
		case errors.Is(context.Cause(filling), errLost) && ctx.Err() == nil:
			return batch, pos, w.resend(ctx)
		case filling.Err() != nil && ctx.Err() == nil:
			return batch, pos, nil
		default:
			return nil, pos, err
		}
	}
	return batch, pos, nil
}

// urgent reports whether a batch has what appgovd says of itself: it waits for nothing,
// and the ledger tells of what it dropped until that is settled.
func urgent(batch []event.Alert) bool {
	return slices.ContainsFunc(batch, func(a event.Alert) bool { return a.Kind == event.AlertHealth })
}

// settleParts settles items in as many parts as the bound of bytes makes of them.
func (w *Worker) settleParts(ctx context.Context, items []event.Alert, pos event.Position) (n event.Settled, err error) {
	for {
		k := w.part(items)
		m, err := w.settle(ctx, items[:k:k], pos)
		n.Accepted, n.DeadLetter = n.Accepted+m.Accepted, n.DeadLetter+m.DeadLetter
		if items = items[k:]; err != nil || len(items) == 0 {
			return n, err
		}
	}
}

// part is how many of items are written together.
func (w *Worker) part(items []event.Alert) int {
	if w.o.Batch.Bytes == 0 {
		return len(items)
	}
	size := 0
	for i := range items {
		if size += w.size(items[i : i+1]); size > w.o.Batch.Bytes && i > 0 {
			return i
		}
	}
	return len(items)
}

// size is what items take in the ledger, in bytes; 0 where no bound asks for it.
func (w *Worker) size(items []event.Alert) (n int) {
	if w.o.Batch.Bytes == 0 {
		return 0
	}
	for i := range items {
		if a := &items[i]; a.Event != nil {
			w.room = event.AppendEvent(w.room[:0], a.Event)
		} else {
			w.room = event.AppendAlert(w.room[:0], a)
		}
		n += len(w.room)
	}
	return n
}
