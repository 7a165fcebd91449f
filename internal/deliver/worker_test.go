package deliver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
)

type oneBatch struct {
	alerts []event.Alert
	acked  []event.Settled
}

func (r *oneBatch) Next(ctx context.Context, _ int) ([]event.Alert, event.Position, error) {
	if b := r.alerts; b != nil {
		r.alerts = nil
		return b, event.Position{LSN: 2}, nil
	}
	<-ctx.Done()
	return nil, event.Position{}, ctx.Err()
}

func (r *oneBatch) Again() bool { return false }

func (r *oneBatch) More() bool { return false }

func (r *oneBatch) Ack(_ event.Position, n event.Settled) error {
	r.acked = append(r.acked, n)
	return nil
}

type graves struct{ reasons []string }

func (g *graves) PutDeadLetter(d event.DeadLetter) error {
	g.reasons = append(g.reasons, d.Alert.Title+": "+d.Reason)
	return nil
}

// sinkFunc is a sink that records what it was given.
type sinkFunc struct {
	got   [][]string
	write func(n int, titles []string) error
}

func (s *sinkFunc) Write(_ context.Context, batch []event.Alert) error {
	var titles []string
	for _, a := range batch {
		titles = append(titles, a.Title)
	}
	s.got = append(s.got, titles)
	return s.write(len(s.got), titles)
}

func (s *sinkFunc) Close() error { return nil }

func TestABatchIsSettledByWhatTheSinkSays(t *testing.T) {
	poison := func(_ int, titles []string) error {
		for _, s := range titles {
			if s == "c" {
				return fault.NewPermanent(errors.New("400 bad document"))
			}
		}
		return nil
	}
	for _, c := range []struct {
		name  string
		write func(int, []string) error
		got   [][]string
		dead  []string
		want  event.Settled
	}{
		{"accepted", func(int, []string) error { return nil }, [][]string{{"a", "b", "c", "d"}}, nil, event.Settled{Accepted: 4, Skipped: 1}},
		{"a transient failure sends the same batch again", func(n int, _ []string) error {
			if n == 1 {
				return errors.New("reset")
			}
			return nil
		}, [][]string{{"a", "b", "c", "d"}, {"a", "b", "c", "d"}}, nil, event.Settled{Accepted: 4, Skipped: 1}},
		{"refused items go to the dead letter, others again in order", func(n int, _ []string) error {
			if n == 1 {
				return &Rejected{Items: []Rejection{{1, "mapping"}}, Retry: []int{0, 3}}
			}
			return nil
		}, [][]string{{"a", "b", "c", "d"}, {"a", "d"}}, []string{"b: mapping"}, event.Settled{Accepted: 3, DeadLetter: 1, Skipped: 1}},
		{"a batch refused as a whole is bisected down to the poison", poison,
			[][]string{{"a", "b", "c", "d"}, {"a", "b"}, {"c", "d"}, {"c"}, {"d"}}, []string{"c: 400 bad document"}, event.Settled{Accepted: 3, DeadLetter: 1, Skipped: 1}},
		{"what is left of a batch and refused for good among others is bisected, too", func(n int, titles []string) error {
			if n == 1 {
				return &Rejected{Retry: []int{1, 2, 3}, After: fault.NewPermanent(errors.New("too large together"))}
			}
			return poison(n, titles)
		}, [][]string{{"a", "b", "c", "d"}, {"b"}, {"c", "d"}, {"c"}, {"d"}}, []string{"c: 400 bad document"}, event.Settled{Accepted: 3, DeadLetter: 1, Skipped: 1}},
		{"what is left alone is asked about once more, and not for ever", func(int, []string) error {
			return &Rejected{Retry: []int{0}, After: fault.NewPermanent(errors.New("too large"))}
		}, [][]string{{"a", "b", "c", "d"}, {"a"}}, []string{"a: too large"}, event.Settled{Accepted: 3, DeadLetter: 1, Skipped: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &oneBatch{alerts: []event.Alert{{Title: "a"}, {Title: "b"}, {Title: "x"}, {Title: "c"}, {Title: "d"}}}
				g, s := &graves{}, &sinkFunc{write: c.write}
				w := New(Options{Name: "s", Sink: s, Reader: r, DeadLetters: g, Match: func(a *event.Alert) bool { return a.Title != "x" }})
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				if err := w.Run(ctx); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff([]event.Settled{c.want}, r.acked) + cmp.Diff(c.got, s.got) + cmp.Diff(c.dead, g.reasons); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// fullDisk fails the first writes of a dead letter and of a cursor.
type fullDisk struct {
	oneBatch
	graves
	left int
}

func (f *fullDisk) full() error {
	if f.left--; f.left >= 0 {
		return fmt.Errorf("store: %w", unix.ENOSPC)
	}
	return nil
}

func (f *fullDisk) PutDeadLetter(d event.DeadLetter) error {
	if err := f.full(); err != nil {
		return err
	}
	f.left = 3 // the cursor finds none, either
	return f.graves.PutDeadLetter(d)
}

func (f *fullDisk) Ack(pos event.Position, n event.Settled) error {
	if err := f.full(); err != nil {
		return err
	}
	return f.oneBatch.Ack(pos, n)
}

func TestAFullDiskIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fullDisk{oneBatch: oneBatch{alerts: []event.Alert{{Title: "a"}, {Title: "b"}}}, left: 5}
		s := &sinkFunc{write: func(int, []string) error { return &Rejected{Items: []Rejection{{1, "mapping"}}} }}
		var states []string
		w := New(Options{Name: "s", Sink: s, Reader: f, DeadLetters: f, OnState: func(s Status) { states = append(states, string(s.State)) }})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := w.Run(ctx); err != nil {
			t.Fatal(err)
		}
		want := []event.Settled{{Accepted: 1, DeadLetter: 1}}
		if diff := cmp.Diff(want, f.acked) + cmp.Diff([]string{"b: mapping"}, f.reasons) + cmp.Diff([][]string{{"a", "b"}}, s.got); diff != "" {
			t.Error(diff)
		}
		if !slices.Contains(states, string(StateRetrying)) || w.Status().State != StateHealthy {
			t.Errorf("states %v: nobody is told", states)
		}
	})
}

// A destination that takes a few alerts at a time is not waited for longer and
// longer: two minutes a message would be half a day for this batch.
func TestASlowSinkThatGetsOnIsNotLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &oneBatch{alerts: make([]event.Alert, 200)}
		s := &sinkFunc{}
		s.write = func(_ int, titles []string) error {
			if len(titles) == 1 {
				return nil
			}
			retry := make([]int, 0, len(titles))
			for i := range titles[1:] {
				retry = append(retry, i+1)
			}
			return &Rejected{Retry: retry, After: fault.NewThrottled(time.Second, errors.New("429"))}
		}
		w := New(Options{Name: "s", Sink: s, Reader: r, DeadLetters: &graves{}})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		if err := w.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]event.Settled{{Accepted: 200}}, r.acked); diff != "" {
			t.Error(diff)
		}
	})
}

func TestRefusedCredentialsPauseAndRecover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &oneBatch{alerts: []event.Alert{{Title: "a"}}}
		s := &sinkFunc{write: func(n int, _ []string) error {
			if n < 3 {
				return fault.WithHint(fault.NewAuth(errors.New("401")), "check the API key")
			}
			return nil
		}}
		var told []string
		tell := func(s Status) { told = append(told, fmt.Sprint(s.State, " ", s.Attempts)) }
		w := New(Options{Name: "s", Sink: s, Reader: r, DeadLetters: &graves{}, OnState: tell})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		began := time.Now()
		go func() { done <- w.Run(ctx) }()
		synctest.Wait()
		if st := w.Status(); st.State != StatePaused || st.Hint != "check the API key" || !st.Oldest.Equal(began) {
			t.Errorf("status %+v", st)
		}
		<-time.After(2*slowRetry + time.Second)
		synctest.Wait()
		if st := w.Status(); st.State != StateHealthy || len(r.acked) != 1 || !st.Oldest.IsZero() {
			t.Errorf("status %+v, acked %v", st, r.acked)
		}
		if want := []string{"paused 1", "paused 2", "healthy 0"}; !slices.Equal(told, want) {
			t.Errorf("told %v, want %v: every failure and the end", told, want)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// unacknowledged is a sink whose connection a test can break.
type unacknowledged struct {
	sinkFunc
	lost chan struct{}
}

func (s *unacknowledged) Lost() <-chan struct{} { return s.lost }

func TestALostConnectionIsMendedWithoutWaitingForTheNextAlert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &oneBatch{alerts: []event.Alert{{Title: "a"}}}
		s := &unacknowledged{lost: make(chan struct{}, 1)}
		s.write = func(n int, _ []string) error {
			if n == 2 {
				return errors.New("connection refused")
			}
			return nil
		}
		w := New(Options{Name: "s", Sink: s, Reader: r, DeadLetters: &graves{}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		synctest.Wait()
		s.lost <- struct{}{}
		synctest.Wait()
		if st := w.Status(); st.State != StateRetrying || st.Error != "connection refused" {
			t.Errorf("status %+v", st)
		}
		<-time.After(time.Minute)
		synctest.Wait()
		if st := w.Status(); st.State != StateHealthy {
			t.Errorf("status %+v", st)
		}
		if diff := cmp.Diff([][]string{{"a"}, nil, nil}, s.got); diff != "" {
			t.Errorf("writes (-want +got):\n%s", diff)
		}
		if len(r.acked) != 1 {
			t.Errorf("acknowledged %v", r.acked)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
