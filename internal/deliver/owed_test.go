package deliver

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// queue hands out alerts one by one and keeps what is acknowledged.
type queue struct {
	alerts uint64
	at     uint64
	acked  []uint64 // positions
	n      event.Settled
}

func (q *queue) Next(ctx context.Context, _ int) ([]event.Alert, event.Position, error) {
	if q.at == q.alerts {
		<-ctx.Done()
	}
	if ctx.Err() != nil {
		return nil, event.Position{}, ctx.Err()
	}
	q.at++
	return make([]event.Alert, 1), event.Position{LSN: q.at}, nil
}

func (q *queue) Again() bool { return false }

func (q *queue) More() bool { return q.at < q.alerts }

func (q *queue) Ack(pos event.Position, n event.Settled) error {
	q.acked = append(q.acked, pos.LSN)
	q.n.Accepted += n.Accepted
	return nil
}

func (q *queue) last() uint64 {
	if len(q.acked) == 0 {
		return 0
	}
	return q.acked[len(q.acked)-1]
}

func TestWhatIsSettledIsAcknowledgedTogetherAndSoon(t *testing.T) {
	// begin runs a worker whose sink takes 10 ms for an alert; write is asked with the number of the alert.
	begin := func(t *testing.T, alerts uint64, write func(ctx context.Context, i uint64) error) (*queue, func() error) {
		q := &queue{alerts: alerts}
		sink := sinkOf(func(ctx context.Context, _ []event.Alert) error {
			<-time.After(10 * time.Millisecond)
			return write(ctx, q.at)
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- New(Options{Name: "s", Sink: sink, Reader: q, DeadLetters: &graves{}}).Run(ctx) }()
		return q, func() error { stop(); return <-done }
	}
	wait := func(d time.Duration) { <-time.After(d); synctest.Wait() }
	accepted := func(context.Context, uint64) error { return nil }
	for name, test := range map[string]func(*testing.T){
		"at most every 200 ms while there is more, and at once when there is none": func(t *testing.T) {
			q, end := begin(t, 100, accepted)
			wait(time.Second + time.Millisecond)
			if q.last() != 100 || q.n.Accepted != 100 || len(q.acked) > 6 {
				t.Errorf("acknowledged at %v, %d in all", q.acked, q.n.Accepted)
			}
			if err := end(); err != nil || len(q.acked) > 6 {
				t.Errorf("%v, acknowledged at %v", err, q.acked)
			}
		},
		"before a pause, but not what has failed": func(t *testing.T) {
			q, end := begin(t, 100, func(_ context.Context, i uint64) error {
				if i == 8 {
					return errors.New("away")
				}
				return nil
			})
			wait(90 * time.Millisecond)
			if q.last() != 7 || q.n.Accepted != 7 {
				t.Errorf("acknowledged at %v, %d in all", q.acked, q.n.Accepted)
			}
			if err := end(); err != nil || q.last() != 7 {
				t.Errorf("%v, acknowledged at %v", err, q.acked)
			}
		},
		"at the end, but not what is in flight": func(t *testing.T) {
			q, end := begin(t, 100, func(ctx context.Context, i uint64) error {
				if i == 8 {
					<-ctx.Done()
				}
				return ctx.Err()
			})
			wait(100 * time.Millisecond)
			if err := end(); err != nil || q.last() != 7 || q.n.Accepted != 7 {
				t.Errorf("%v, acknowledged at %v, %d in all", err, q.acked, q.n.Accepted)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
	}
}

// sinkOf is a sink of one function.
type sinkOf func(ctx context.Context, batch []event.Alert) error

func (s sinkOf) Write(ctx context.Context, batch []event.Alert) error { return s(ctx, batch) }

func (s sinkOf) Close() error { return nil }
