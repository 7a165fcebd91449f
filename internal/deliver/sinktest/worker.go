package sinktest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/event"
)

// limit only ends a test that hangs; under the race detector, on a busy machine, 1,000 requests take a while.
const limit = 5 * time.Minute

// once gives one batch to a worker and keeps what becomes of it.
type once struct {
	batch   []event.Alert
	done    context.CancelFunc
	settled event.Settled
	dead    []event.DeadLetter
}

func (o *once) Next(ctx context.Context, _ int) ([]event.Alert, event.Position, error) {
	if batch := o.batch; len(batch) > 0 {
		o.batch = nil
		return batch, event.Position{}, nil
	}
	<-ctx.Done()
	return nil, event.Position{}, ctx.Err()
}

func (o *once) Again() bool { return false }

func (o *once) More() bool { return false }

func (o *once) Ack(_ event.Position, n event.Settled) error {
	o.settled = n
	o.done()
	return nil
}

func (o *once) PutDeadLetter(d event.DeadLetter) error {
	o.dead = append(o.dead, d)
	return nil
}

// work lets a worker settle batch.
func work(t *testing.T, sink deliver.Sink, batch []event.Alert) (*deliver.Worker, *once) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	o := &once{batch: batch, done: cancel}
	w := deliver.New(deliver.Options{Name: "s", Sink: sink, Reader: o, DeadLetters: o})
	if err := w.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if o.settled == (event.Settled{}) {
		t.Fatalf("the batch was not settled: %+v", w.Status())
	}
	return w, o
}

// tenth: of 1,000 alerts of as many apps a tenth is refused for good and a
// tenth once. 900 arrive, once each; 100 lie in the dead letter with the
// destination's reason, and arrive when its cause is mended.
func (s Suite) tenth(t *testing.T) {
	p := s.start(t, RefuseTenth)
	batch := Batch(1000)
	var kept, refused []event.Alert
	for i := range batch {
		batch[i].App.AppID = fmt.Sprint("app-", i)
		switch i % 10 {
		case 3:
			batch[i].Title = Poison
			refused = append(refused, batch[i])
			continue
		case 7:
			batch[i].Title = Later
		}
		kept = append(kept, batch[i])
	}
	w, o := work(t, p.Sink, batch)
	if want := (event.Settled{Accepted: 900, DeadLetter: 100}); o.settled != want {
		t.Errorf("settled %+v, want %+v", o.settled, want)
	}
	same(t, "delivered", IDs(kept), p.Got(len(kept)))
	var dead []string
	for _, d := range o.dead {
		dead = append(dead, d.Alert.DeliveryID.String())
		if p.Reason == "" || !strings.Contains(d.Reason, p.Reason) {
			t.Fatalf("reason %q, want the destination's: %q", d.Reason, p.Reason)
		}
	}
	same(t, "in the dead letter", IDs(refused), dead)
	p.Mend()
	for _, d := range o.dead {
		if reason, err := w.Again(t.Context(), d.Alert); reason != "" || err != nil {
			t.Fatalf("tried again: %q, %v", reason, err)
		}
	}
	same(t, "delivered in the end", IDs(batch), p.Got(len(batch)))
}

// large: what is refused for its size is halved until it fits.
func (s Suite) large(t *testing.T) {
	p := s.start(t, RefuseLarge)
	batch := Batch(20)
	if _, o := work(t, p.Sink, batch); o.settled.Accepted != 20 || len(o.dead) != 0 {
		t.Errorf("settled %+v, want 20 accepted; refused %v", o.settled, o.dead)
	}
	same(t, "delivered", IDs(batch), p.Got(len(batch)))
}

func same(t *testing.T, what string, want, got []string) {
	t.Helper()
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s, by delivery id (-want +got):\n%.2000s", what, diff)
	}
}
