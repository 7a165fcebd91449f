package deliver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
)

// deskBoard groups every alert whose title begins with "g", and tells of them a minute
// after the first. It notes in which order things happen.
type deskBoard struct {
	log     []string
	mu      sync.Mutex // of titles and due
	titles  []string
	due     time.Time
	changed chan struct{}
	full    int // so many journal entries find no room
	lies    bool
}

func (b *deskBoard) Take(batch []event.Alert, pos event.Position) (direct []event.Alert, elsewhere uint64, join Join) {
	var titles []string
	for _, a := range batch {
		switch a.Title[0] {
		case 'g':
			titles = append(titles, a.Title)
		case 'x':
			elsewhere++
		default:
			direct = append(direct, a)
		}
	}
	if titles == nil {
		return direct, elsewhere, nil
	}
	return direct, elsewhere, func(n event.Settled) (event.Settled, error) {
		if err := b.room(); err != nil {
			return event.Settled{}, err
		}
		n.Grouped, n.Notify = uint64(len(titles)), 7
		b.mu.Lock()
		defer b.mu.Unlock()
		b.log = append(b.log, fmt.Sprintf("join %v at %d, %d accepted", titles, pos.LSN, n.Accepted))
		if b.titles = append(b.titles, titles...); b.due.IsZero() {
			b.due = time.Now().Add(time.Minute)
		}
		return n, nil
	}
}

func (b *deskBoard) room() error {
	if b.full--; b.full >= 0 {
		return fmt.Errorf("append: %w", unix.ENOSPC)
	}
	return nil
}

func (b *deskBoard) Wake() (time.Time, <-chan struct{}) {
	if b.lies {
		return time.Now(), b.changed
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.due, b.changed
}

func (b *deskBoard) Due() ([]event.Alert, func() error) {
	if b.lies {
		b.log = append(b.log, "nothing is due")
		return nil, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.due.IsZero() || b.due.After(time.Now()) {
		return nil, nil
	}
	return []event.Alert{{Title: "notice of " + strings.Join(b.titles, " ")}}, func() error {
		if err := b.room(); err != nil {
			return err
		}
		b.log = append(b.log, "sent")
		b.mu.Lock()
		defer b.mu.Unlock()
		b.titles, b.due = nil, time.Time{}
		return nil
	}
}

// run runs a worker with the board for an hour.
func (b *deskBoard) run(t *testing.T, r Reader, write func(n int, titles []string) error) *sinkFunc {
	t.Helper()
	s := &sinkFunc{write: func(n int, titles []string) error {
		b.log = append(b.log, fmt.Sprintf("write %v", titles))
		return write(n, titles)
	}}
	w := New(Options{Name: "s", Sink: s, Reader: r, DeadLetters: &graves{}, Board: b})
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if err := w.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

func taken(int, []string) error { return nil }

func TestABatchIsSentThenGroupedThenAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &oneBatch{alerts: []event.Alert{{Title: "g1"}, {Title: "a"}, {Title: "x"}, {Title: "g2"}}}
		b := &deskBoard{full: 2} // what has no room is tried again, with the same counts
		b.run(t, r, taken)
		want := []string{"write [a]", "join [g1 g2] at 2, 1 accepted", "write [notice of g1 g2]", "sent"}
		if diff := cmp.Diff(want, b.log) + cmp.Diff([]event.Settled{{Accepted: 1, Skipped: 1, Grouped: 2, Notify: 7}}, r.acked); diff != "" {
			t.Error(diff)
		}
	})
}

func TestANoticeIsSentUntilItIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &oneBatch{alerts: []event.Alert{{Title: "g1"}}}
		b := &deskBoard{}
		b.run(t, r, func(n int, _ []string) error {
			if n == 1 {
				b.full = 2 // and its note finds no room, either: it is not sent once more for that
				return fmt.Errorf("connection refused")
			}
			return nil
		})
		want := []string{"join [g1] at 2, 0 accepted", "write [notice of g1]", "write [notice of g1]", "sent"}
		if diff := cmp.Diff(want, b.log); diff != "" {
			t.Error(diff)
		}
	})
}

// resent is a batch that went out before.
type resent struct{ oneBatch }

func (r *resent) Again() bool { return true }

func (r *resent) More() bool { return false }

func TestWhatGoesOutAgainIsNotGroupedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &resent{oneBatch{alerts: []event.Alert{{Title: "g1"}, {Title: "a"}}}}
		b := &deskBoard{}
		b.run(t, r, taken)
		if diff := cmp.Diff([]string{"write [a]"}, b.log); diff != "" {
			t.Error(diff)
		}
	})
}

func TestABoardThatChangesIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &deskBoard{changed: make(chan struct{}, 1)}
		go func() {
			<-time.After(10 * time.Minute)
			b.mu.Lock()
			b.titles, b.due = []string{"late"}, time.Now() // nothing wakes it but the channel
			b.mu.Unlock()
			b.changed <- struct{}{}
		}()
		b.run(t, &oneBatch{}, taken)
		if diff := cmp.Diff([]string{"write [notice of late]", "sent"}, b.log); diff != "" {
			t.Error(diff)
		}
	})
}

// A board that is mistaken about what is due costs a look a second, not a processor.
func TestABoardThatHasNothingAfterAllIsNotAskedWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &deskBoard{lies: true}
		b.run(t, &oneBatch{}, taken)
		if n := len(b.log); n < 3000 || n > 3700 {
			t.Errorf("asked %d times in an hour", n)
		}
	})
}

// A notice that is refused is told as such, not as delivered; what is delivered afterwards
// adds up, and a sink that recovers keeps the counts.
func TestNoticesAreCountedByWhatBecameOfThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := &deskBoard{changed: make(chan struct{}, 1)}, &sinkFunc{write: func(n int, _ []string) error {
			switch n {
			case 1:
				return fault.NewPermanent(errors.New("422 no"))
			case 2:
				return errors.New("connection refused")
			}
			return nil
		}}
		g := &graves{}
		w := New(Options{Name: "s", Sink: s, Reader: &oneBatch{}, DeadLetters: g, Board: b, Batch: Batch{Wait: time.Minute}})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		for _, want := range []Notices{{0, 1}, {1, 1}} {
			b.mu.Lock()
			b.titles, b.due = []string{"x"}, time.Now()
			b.mu.Unlock()
			b.changed <- struct{}{}
			<-time.After(10 * time.Minute)
			synctest.Wait()
			if got := w.Status(); got.Notices != want || got.State != StateHealthy || len(g.reasons) != 1 {
				t.Errorf("%+v, refused %v, want %+v", got, g.reasons, want)
			}
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Where people are told nothing waits for a batch: groups do that.
func TestNothingWaitsWhereThereIsABoard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newFeed(1), &writes{began: time.Now()}
		w := New(Options{Name: "s", Sink: s, Reader: f, DeadLetters: &graves{}, Board: &deskBoard{}, Batch: Batch{Wait: time.Minute}})
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if err := w.Run(ctx); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"1 at 0s"}, s.list); diff != "" {
			t.Errorf("writes (-want +got):\n%s", diff)
		}
	})
}
