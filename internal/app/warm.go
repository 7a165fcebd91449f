package app

import (
	"context"

	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/detect"
	"github.com/appgovd/appgovd/internal/event"
)

// warm lets rules that are new or changed learn from the history that the ledger
// holds, one tenant after the other, and then speak. What it did not finish is begun
// anew at the next start.
func (a *Agent) warm(ctx context.Context) error {
	for _, t := range a.tenants {
		if err := a.warmTenant(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// warming is the way of one tenant's rules through the history.
type warming struct {
	*detect.Learner
	a    *Agent
	t    *tenant
	next uint64 // frame to read
}

func (a *Agent) warmTenant(ctx context.Context, t *tenant) error {
	w := &warming{a: a, t: t}
	err := t.lane.Hold(func(uint64) (err error) {
		w.Learner, err = t.machine.Learn(a.ledger.First() <= 1)
		return err
	})
	if err != nil || w.Learner == nil {
		return err
	}
	rules := w.Left()
	for n := enough; n >= enough; {
		if n, err = w.read(ctx); err != nil {
			return err
		}
	}
	for w.Left() > 0 {
		f := &event.Frame{Source: t.key, Time: a.o.Now().UTC()}
		if err := t.lane.Finish(ctx, f, func(f *event.Frame) error { return w.handOver(ctx, f) }); err != nil {
			return err
		}
	}
	a.log.Info("rules know the history and speak", zap.String("source", t.key), zap.Int("rules", rules), zap.Uint64("events", w.Events()))
	return nil
}

// enough frames to read are read before detection has to wait for the rest.
const enough = 64

// read takes in the frames that have come since, and says how many. A history that
// cannot be read is an alarm, no end: the rules begin with nothing.
func (w *warming) read(ctx context.Context) (int, error) {
	n := 0
	err := w.a.ledger.Frames(w.next, func(f *event.Frame) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		w.next = f.LSN + 1
		if n++; w.t.owns(f) {
			w.Apply(f)
		}
		return nil
	})
	key := "warming/" + w.t.key
	switch {
	case ctx.Err() != nil:
		return n, ctx.Err()
	case err != nil:
		w.GiveUp()
		w.a.health.Raise(key, event.SeverityMedium, "New rules cannot learn from the history", w.t.key+": they begin with what comes: "+err.Error())
		return 0, nil
	}
	w.a.health.Resolve(key, "the history was read")
	return n, nil
}

// handOver takes in the rest, while no frame of the tenant can come, and makes the
// frame behind it.
func (w *warming) handOver(ctx context.Context, f *event.Frame) error {
	if err := w.a.ledger.AwaitDurable(w.a.ledger.Head()); err != nil {
		return err
	}
	if _, err := w.read(ctx); err != nil {
		return err
	}
	return w.Fill(f)
}
