package deliver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/event"
)

// feed hands out alerts as they come: one for each value of in, by its title.
type feed struct {
	in    chan string
	at    uint64
	again bool
	acked []uint64
}

// alarm is the title of what appgovd says of itself.
const alarm = "alarm"

func newFeed(now int) *feed {
	f := &feed{in: make(chan string, 1000)}
	for range now {
		f.put("a")
	}
	return f
}

func (f *feed) put(title string) { f.in <- title }

func (f *feed) Next(ctx context.Context, most int) (batch []event.Alert, _ event.Position, _ error) {
	for len(batch) < most {
		if len(batch) > 0 && len(f.in) == 0 {
			break
		}
		select {
		case <-ctx.Done():
			return nil, event.Position{}, ctx.Err()
		case title := <-f.in:
			f.at++
			a := event.Alert{Title: title}
			if title == alarm {
				a.Kind = event.AlertHealth
			}
			batch = append(batch, a)
		}
	}
	return batch, event.Position{LSN: f.at}, nil
}

func (f *feed) Again() bool { return f.again }

func (f *feed) More() bool { return len(f.in) > 0 }

func (f *feed) Ack(pos event.Position, _ event.Settled) error {
	f.acked = append(f.acked, pos.LSN)
	return nil
}

// writes are what a sink was given: how many alerts, and when, since the test began.
type writes struct {
	began time.Time
	list  []string
}

func (s *writes) Write(_ context.Context, batch []event.Alert) error {
	s.list = append(s.list, fmt.Sprint(len(batch), " at ", time.Since(s.began)))
	return nil
}

func (s *writes) Close() error { return nil }

func TestABatchEndsByCountBytesAndTime(t *testing.T) {
	seconds := func(n int) <-chan time.Time { return time.After(time.Duration(n) * time.Second) }
	trickle := func(f *feed, _ *Worker) { // one each second
		for range 5 {
			<-seconds(1)
			f.put("a")
		}
	}
	small := len(event.AppendAlert(nil, &event.Alert{Title: "a"}))
	for _, tt := range []struct {
		name  string
		batch Batch
		first int // that are there at once
		then  func(*feed, *Worker)
		again bool
		want  []string
	}{
		{"by count, what is there", Batch{Events: 4}, 10, nil, false, []string{"4 at 0s", "4 at 0s", "2 at 0s"}},
		{"nothing waits where nothing is said", Batch{}, 1, trickle, false, []string{"1 at 0s", "1 at 1s", "1 at 2s", "1 at 3s", "1 at 4s", "1 at 5s"}},
		{"by time, from the first on", Batch{Wait: 2500 * time.Millisecond}, 1, trickle, false, []string{"3 at 2.5s", "3 at 5.5s"}},
		{"by count, before the time is over", Batch{Events: 3, Wait: time.Minute}, 1, trickle, false, []string{"3 at 2s", "3 at 5s"}},
		{"by bytes, before the time is over", Batch{Bytes: 3 * small, Wait: time.Minute}, 1, trickle, false, []string{"3 at 2s", "3 at 5s"}},
		{"by bytes, what is there", Batch{Bytes: 4*small - 1}, 7, nil, false, []string{"3 at 0s", "3 at 0s", "1 at 0s"}},
		{"one that is larger than the bound goes by itself", Batch{Bytes: 3 * small}, 1, func(f *feed, _ *Worker) {
			<-seconds(1)
			for _, title := range []string{"a", strings.Repeat("a", 4*small), "a", "a"} {
				f.put(title)
			}
		}, false, []string{"1 at 0s", "1 at 1s", "1 at 1s", "2 at 1s"}},
		{"what goes out again does not wait", Batch{Wait: time.Minute}, 1, trickle, true, []string{"1 at 0s", "1 at 1s", "1 at 2s", "1 at 3s", "1 at 4s", "1 at 5s"}},
		{"an alarm of appgovd waits for nothing", Batch{Wait: time.Minute}, 1, func(f *feed, _ *Worker) {
			for range 2 {
				<-seconds(1)
				f.put(alarm)
			}
		}, false, []string{"2 at 1s", "1 at 2s"}},
		{"in a hurry nothing waits, now and later", Batch{Wait: time.Minute}, 1, func(f *feed, w *Worker) {
			<-seconds(1)
			w.Hurry()
			w.Hurry()
			<-seconds(1)
			f.put("a")
		}, false, []string{"1 at 1s", "1 at 2s"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, s := newFeed(tt.first), &writes{began: time.Now()}
				f.again = tt.again
				w := New(Options{Name: "s", Sink: s, Reader: f, DeadLetters: &graves{}, Batch: tt.batch})
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- w.Run(ctx) }()
				if tt.then != nil {
					tt.then(f, w)
				}
				<-time.After(10 * time.Second)
				synctest.Wait()
				if diff := cmp.Diff(tt.want, s.list); diff != "" {
					t.Errorf("writes (-want +got):\n%s", diff)
				}
				stop()
				if err := <-done; err != nil || f.acked[len(f.acked)-1] != f.at {
					t.Errorf("%v, acknowledged %v of %d", err, f.acked, f.at)
				}
			})
		})
	}
}

// What waits is not acknowledged, and what was settled before it is; the end of the worker
// waits for nothing.
func TestAWaitHoldsNeitherTheEndNorWhatIsSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newFeed(6), &writes{began: time.Now()}
		w := New(Options{Name: "s", Sink: s, Reader: f, DeadLetters: &graves{}, Batch: Batch{Events: 4, Wait: time.Minute}})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		<-time.After(time.Second)
		synctest.Wait()
		if diff := cmp.Diff([]uint64{4}, f.acked); diff != "" || w.Status().Oldest.IsZero() {
			t.Errorf("status %+v, acknowledged (-want +got):\n%s", w.Status(), diff)
		}
		stop()
		if err := <-done; err != nil || time.Since(s.began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(s.began))
		}
		if diff := cmp.Diff([]string{"4 at 0s"}, s.list) + cmp.Diff([]uint64{4}, f.acked); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// A connection that is lost while a batch waits is mended at once, and the batch goes,
// also where nothing of it is for this sink.
func TestALostConnectionEndsTheWait(t *testing.T) {
	for name, tt := range map[string]struct {
		match func(*event.Alert) bool
		want  [][]string
	}{
		"the batch goes behind what may be lost":   {nil, [][]string{nil, {"a"}}},
		"what may be lost goes where nothing else": {func(*event.Alert) bool { return false }, [][]string{nil}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &unacknowledged{lost: make(chan struct{}, 1), sinkFunc: sinkFunc{write: func(int, []string) error { return nil }}}
				w := New(Options{Name: "s", Sink: s, Reader: newFeed(1), DeadLetters: &graves{}, Batch: Batch{Wait: time.Minute}, Match: tt.match})
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- w.Run(ctx) }()
				<-time.After(time.Second)
				s.lost <- struct{}{}
				synctest.Wait()
				if diff := cmp.Diff(tt.want, s.got); diff != "" {
					t.Errorf("writes (-want +got):\n%s", diff)
				}
				stop()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// broken is a feed whose ledger fails behind its first batch.
type broken struct {
	feed
	asked int
}

func (b *broken) Next(ctx context.Context, most int) ([]event.Alert, event.Position, error) {
	if b.asked++; b.asked > 1 {
		return nil, event.Position{}, errors.New("the ledger failed")
	}
	return b.feed.Next(ctx, most)
}

func TestALedgerThatFailsWhileABatchWaitsEndsTheWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &writes{began: time.Now()}
		w := New(Options{Name: "s", Sink: s, Reader: &broken{feed: *newFeed(1)}, DeadLetters: &graves{}, Batch: Batch{Wait: time.Minute}})
		if err := w.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "the ledger failed") || len(s.list) > 0 {
			t.Errorf("%v, writes %v", err, s.list)
		}
	})
}
