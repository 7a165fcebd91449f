package ledger

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/event"
)

// grouping takes a batch, writes the notify frame that tells what became of it, and
// does not acknowledge it: a crash came between.
func grouping(t *testing.T, l *Ledger, r *Reader, limit int, n event.Settled) Grouped {
	t.Helper()
	_, pos, err := r.Next(t.Context(), limit)
	if err != nil {
		t.Fatal(err)
	}
	f := &event.Frame{Kind: event.FrameNotify, Notify: []byte("op")}
	put(t, l, f)
	n.Notify = f.LSN
	return Grouped{pos, n}
}

func TestWhatANotifyFrameTellsIsNotHandedOutAgain(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	if _, err := l.Reader("pagerduty/soc", ReaderOptions{}); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		put(t, l, frame(i, 3))
	}
	again := func(g Grouped) *Reader {
		t.Helper()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = open(t, dir, Options{})
		r, err := l.Reader("pagerduty/soc", ReaderOptions{Grouped: g})
		if err != nil {
			t.Fatal(err)
		}
		if b := l.Stats().Readers["pagerduty/soc"].Balance; b != "" {
			t.Error(b)
		}
		return r
	}
	r := again(Grouped{})
	within := grouping(t, l, r, 2, event.Settled{Skipped: 1, Grouped: 1}) // a position within a frame
	r = again(within)
	if got := take(t, r, 1); !slices.Equal(got, []string{"0.2"}) {
		t.Errorf("got %v", got)
	}
	end := grouping(t, l, r, 3, event.Settled{Grouped: 3})
	again(end)
	r = again(end) // what was taken over is taken over once
	if got := take(t, r, 3); !slices.Equal(got, []string{"2.0", "2.1", "2.2"}) {
		t.Errorf("got %v", got)
	}
	end = grouping(t, l, r, 3, event.Settled{Accepted: 1, DeadLetter: 1, Grouped: 1})
	again(end)
	s := l.Stats().Readers["pagerduty/soc"]
	s.LSN, s.LastAck = 0, s.LastAck.Truncate(0)
	if diff := cmp.Diff(ReaderStats{Accepted: 5, DeadLetter: 1, Skipped: 1, Grouped: 5}, s); diff != "" {
		t.Error(diff)
	}
}

// A sink that is sent back on purpose gets its alerts again: what was grouped before
// does not stand in the way.
func TestARewoundReaderIsNotMovedByOlderNotifyFrames(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	r, err := l.Reader("slack/soc", ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	put(t, l, frame(0, 3))
	g := grouping(t, l, r, 10, event.Settled{Grouped: 3})
	if err := r.Ack(g.Position, g.Settled); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Rewind(dir, "slack/soc", Target{LSN: 1}, true, Options{}); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, Options{})
	if r, err = l.Reader("slack/soc", ReaderOptions{Grouped: g}); err != nil {
		t.Fatal(err)
	}
	if got := take(t, r, 10); len(got) != 3 {
		t.Errorf("got %v", got)
	}
}

func TestWhatGoesOutAgainIsKnown(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	r, err := l.Reader("syslog/siem", ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	put(t, l, frame(0, 3))
	take(t, r, 10)
	put(t, l, frame(1, 3))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, Options{})
	if r, err = l.Reader("syslog/siem", ReaderOptions{ResendWindow: 2}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		first string
		again bool
	}{{"0.1", true}, {"1.0", false}} {
		batch, pos, err := r.Next(t.Context(), 10)
		if err != nil || batch[0].Title != want.first || r.Again() != want.again {
			t.Errorf("%v, again %v, %v, want %+v", titles(batch), r.Again(), err, want)
		}
		if err := r.Ack(pos, event.Settled{Accepted: uint64(len(batch))}); err != nil {
			t.Fatal(err)
		}
	}
}

// Dropped and grouped at the same time is counted once, whatever became of the alerts.
func TestWhatIsTakenAwayFromAnAccountIsTakenOnce(t *testing.T) {
	all := event.Settled{Accepted: 1, DeadLetter: 2, Skipped: 3, Grouped: 4, Notify: 9}
	for away := range uint64(12) {
		got := less(all, away)
		if want := 10 - min(away, 10); got.Total() != want || got.Notify != 9 {
			t.Errorf("%d taken away: %+v, want %d left", away, got, want)
		}
	}
}
