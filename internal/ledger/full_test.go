package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/appgovd/appgovd/internal/event"
)

var small = Options{MaxBytes: 6000, SegmentBytes: 600, OverflowDir: "/over", OverflowBytes: 4000}

func smallLedger(t *testing.T, fs *crashFS, alarms *[]string) *Ledger {
	t.Helper()
	o := small
	o.FS, o.OnAlarm = fs, func(a Alarm) {
		if alarms != nil {
			*alarms = append(*alarms, fmt.Sprint(a.Key, " ", a.Active))
		}
	}
	l, err := Open("/l", o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// fill appends up to n frames while there is room, each with a snapshot behind
// it; it returns their ids. A minute without room is none: time is not real.
func fill(t *testing.T, l *Ledger, from, n int) (ids []string) {
	t.Helper()
	for i := from; i < from+n; i++ {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		err := l.Reserve(ctx)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			return ids
		}
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, fmt.Sprintf("%d.1", i))
		put(t, l, modelFrame(ids[len(ids)-1]))
		if err := l.Snapshot(l.Head(), func(io.Writer) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	return ids
}

func reader(t *testing.T, l *Ledger, name string, w WhenFull) *Reader {
	t.Helper()
	r, err := l.Reader(name, ReaderOptions{FromStart: true, WhenFull: w})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDropOldestDeliversACountedGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newCrashFS()
		var alarms []string
		l := smallLedger(t, fs, &alarms)
		r := reader(t, l, "es/x", DropOldest)
		ids := fill(t, l, 0, 3)
		held, _, err := r.Next(t.Context(), 10) // in the sink's hands all the while
		if err != nil || len(held) == 0 {
			t.Fatal(err)
		}
		ids = append(ids, fill(t, l, 3, 200)...)
		if len(ids) != 203 {
			t.Fatalf("no room after %d frames", len(ids))
		}
		if !slices.Contains(alarms, "ledger_dropped/es-x true") {
			t.Errorf("alarms %v", alarms)
		}
		all := modelAlerts(ids)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the gap is told until it is acknowledged
			l = smallLedger(t, fs.crash(nil), nil)
			r = reader(t, l, "es/x", DropOldest)
			gap, pos, err := r.Next(t.Context(), 100)
			if err != nil || len(gap) != 1 || gap[0].Kind != event.AlertHealth || gap[0].Count == 0 {
				t.Fatalf("%d alerts, %v", len(gap), err)
			}
			n := gap[0].Count
			if err := r.Ack(pos, event.Settled{Accepted: 1}); err != nil {
				t.Fatal(err)
			}
			var got []string
			for len(got) < len(all)-n {
				got = append(got, take(t, r, 100)...)
			}
			if !slices.Equal(got, all[n:]) {
				t.Errorf("%d dropped, then %v, want %v", n, got, all[n:])
			}
			if s := l.Stats().Readers["es/x"]; s.Dropped != uint64(n) || s.Waiting != 0 || s.Accepted != uint64(len(got)) || s.Balance != "" {
				t.Errorf("stats %+v", s)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestAReaderThatBlocksIsNeverDroppedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := smallLedger(t, newCrashFS(), nil)
		reader(t, l, "es/x", DropOldest)
		r := reader(t, l, "kafka/y", Block)
		ids := fill(t, l, 0, 200)
		if len(ids) == 200 {
			t.Fatal("never full")
		}
		var got []string
		for want := modelAlerts(ids); len(got) < len(want); {
			got = append(got, take(t, r, 100)...)
		}
		if s := l.Stats().Readers; s["es/x"].Dropped != 0 || s["kafka/y"].Dropped != 0 {
			t.Errorf("stats %+v", s)
		}
		if more := fill(t, l, len(ids), 25); len(more) != 25 { // now only the other one holds it
			t.Errorf("no room after %d frames", len(more))
		}
		if s := l.Stats().Readers; s["es/x"].Dropped == 0 || s["kafka/y"].Dropped != 0 {
			t.Errorf("stats %+v", s)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestOverflowKeepsEverythingInASecondDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newCrashFS()
		l := smallLedger(t, fs, nil)
		reader(t, l, "es/x", Overflow)
		plain := smallLedger(t, newCrashFS(), nil)
		reader(t, plain, "es/x", Block)
		least := len(fill(t, plain, 0, 300))
		ids := fill(t, l, 0, 300)
		if len(ids) == 300 || len(ids) < least*3/2 || len(fs.names("/over")) < 3 {
			t.Fatalf("no room after %d frames, %d without overflow; there are %v", len(ids), least, fs.names("/over"))
		}
		if err := errors.Join(l.Close(), plain.Close()); err != nil {
			t.Fatal(err)
		}
		fs = fs.crash(nil)
		l = smallLedger(t, fs, nil)
		r := reader(t, l, "es/x", Overflow)
		var got, frames []string
		if err := l.Frames(1, func(f *event.Frame) error { frames = append(frames, f.Events[0].UpstreamID); return nil }); err != nil || !slices.Equal(frames, ids) {
			t.Errorf("%d frames of %d, %v", len(frames), len(ids), err)
		}
		for want := modelAlerts(ids); len(got) < len(want); {
			got = append(got, take(t, r, 100)...)
		}
		if !slices.Equal(got, modelAlerts(ids)) {
			t.Errorf("alerts %v", got)
		}
		if left := fs.names("/over"); len(left) > 0 {
			t.Errorf("settled and still there: %v", left)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// Crashes before every operation of dropping and of moving out: what is there
// plus what is told to be dropped is everything.
func TestCrashesWhileTheLedgerIsFull(t *testing.T) {
	for _, policy := range []WhenFull{DropOldest, Overflow} {
		synctest.Test(t, func(t *testing.T) {
			fs := newCrashFS()
			l := smallLedger(t, fs, nil)
			r := reader(t, l, "es/x", policy)
			var acked []string
			type crash struct {
				image *crashImage
				acked []string
			}
			var crashes []crash
			fs.watch = func() { crashes = append(crashes, crash{fs.image(), acked}) }
			for i := range 60 {
				acked = append(slices.Clip(acked), fill(t, l, i, 1)...)
			}
			fs.watch = nil
			_ = r
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			for i, c := range crashes {
				l := smallLedger(t, c.image.restart(nil), nil)
				r := reader(t, l, "es/x", policy)
				got, dropped := 0, 0
				for int(l.alerts)-int(r.handed) > 0 || r.cur.gap > 0 {
					batch, pos, err := r.Next(t.Context(), 100)
					if err != nil {
						t.Fatal(err)
					}
					if batch[0].Kind == event.AlertHealth {
						dropped += batch[0].Count
					} else {
						got += len(batch)
					}
					if err := r.Ack(pos, event.Settled{Accepted: uint64(len(batch))}); err != nil {
						t.Fatal(err)
					}
				}
				if want := len(modelAlerts(c.acked)); got+dropped < want || policy == Overflow && dropped > 0 || r.cur.lost > 0 {
					t.Fatalf("policy %d, crash %d: %d alerts and %d dropped, %d were appended; lost %d", policy, i, got, dropped, want, r.cur.lost)
				}
				if err := errors.Join(r.Balanced(), l.Close()); err != nil {
					t.Fatal(err)
				}
			}
			t.Logf("policy %d: %d crash points", policy, len(crashes))
		})
	}
}

// On a full disk the reserve is given up, so that a cursor can be stored; appends
// wait until there is room for the reserve again, and go on by themselves.
func TestAFullDiskGivesUpTheReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newCrashFS()
		var alarms []string
		l := smallLedger(t, fs, &alarms)
		r := reader(t, l, "es/x", Block)
		put(t, l, modelFrame("1.1"))
		until, released, written := time.Now().Add(time.Minute), false, 0
		fs.mu.Lock()
		fs.fail = func(_ int, what, name string) error {
			switch {
			case time.Now().After(until):
			case what == "truncate" && name == "/l/"+reserveName:
				released = true
			case what == "write" && strings.HasSuffix(name, ".seg"):
				written++
				return unix.ENOSPC
			case what == "allocate", what == "write" && !released:
				return unix.ENOSPC
			}
			return nil
		}
		fs.mu.Unlock()
		wait, err := l.Append(modelFrame("2.1"))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if err := l.Reserve(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("there is room for another page: %v", err)
		}
		cancel()
		if got := take(t, r, 10); len(got) != 1 || !released {
			t.Errorf("read %v, reserve released %v", got, released)
		}
		if err := wait(t.Context()); err != nil || time.Now().Before(until) {
			t.Errorf("acknowledged at %v, there is room from %v on: %v", time.Now(), until, err)
		}
		if err := l.Reserve(t.Context()); err != nil || written != 1 {
			t.Errorf("%d writes without room, want 1: frames must not take the reserve; %v", written, err)
		}
		if !slices.Contains(alarms, "disk_full true") || alarms[len(alarms)-1] != "disk_full false" {
			t.Errorf("alarms %v", alarms)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestASinkThatLeftIsKeptForForItsGrace(t *testing.T) {
	fs, now := newCrashFS(), time.Unix(1_800_000_000, 0)
	start := func() *Ledger {
		l, err := Open("/l", Options{FS: fs, ReaderGrace: 24 * time.Hour, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	stop := func(l *Ledger) {
		t.Helper()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	l := start()
	reader(t, l, "es/x", Block)
	put(t, l, modelFrame("1.1"), modelFrame("2.1"))
	stop(l)
	for _, hours := range []int{0, 23} { // it is gone, and comes back in time
		l = start()
		if names, err := l.ReleaseUnused(); len(names) > 0 || err != nil || l.unsettled() > 1 {
			t.Fatalf("released %v at once, %v", names, err)
		}
		stop(l)
		now = now.Add(time.Duration(hours) * time.Hour)
	}
	l = start()
	if got := take(t, reader(t, l, "es/x", Block), 1); len(got) != 1 {
		t.Errorf("after it came back: %v", got)
	}
	stop(l)
	now = now.Add(48 * time.Hour)
	l = start()
	if names, err := l.ReleaseUnused(); len(names) > 0 || err != nil { // its grace begins now
		t.Fatalf("released %v, %v", names, err)
	}
	now = now.Add(25 * time.Hour)
	if at := l.unsettled(); at != ^uint64(0) {
		t.Errorf("frame %d is kept for it after its grace", at)
	}
	stop(l)
	l = start()
	if names, err := l.ReleaseUnused(); len(names) != 1 || err != nil {
		t.Errorf("released %v, %v", names, err)
	}
	r, err := l.Reader("es/x", ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	put(t, l, modelFrame("4.1"))
	if got := take(t, r, 10); !slices.Equal(got, []string{"4.1.0"}) {
		t.Errorf("it comes back too late and gets %v, want what is new", got)
	}
	if err := r.Balanced(); err != nil {
		t.Error(err)
	}
	stop(l)
}

// How long a frame stays that nobody needs is counted from when it was written,
// over restarts.
func TestTheAgeOfASegmentSurvivesARestart(t *testing.T) {
	fs, now := newCrashFS(), time.Unix(1_800_000_000, 0)
	start := func() *Ledger {
		l, err := Open("/l", Options{FS: fs, SegmentBytes: 300, History: 24 * time.Hour, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	l := start()
	for i := range 9 {
		put(t, l, modelFrame(fmt.Sprintf("%d.1", i)))
	}
	if err := l.Snapshot(l.Head(), func(io.Writer) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for range 5 { // restarts every six hours
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if n := len(fs.names("/l/segments")); n < 2 {
			t.Fatalf("%d segments %v before a day is over", n, now)
		}
		now = now.Add(6 * time.Hour)
		l = start()
	}
	put(t, l, modelFrame("9.1"))
	if err := l.Snapshot(l.Head(), func(io.Writer) error { return nil }); err != nil {
		t.Fatal(err)
	}
	put(t, l, modelFrame("10.1"))
	if err := l.Snapshot(l.Head(), func(io.Writer) error { return nil }); err != nil { // two are kept: now both are behind the old segments
		t.Fatal(err)
	}
	if n := len(fs.names("/l/segments")); n > 2 {
		t.Errorf("%d segments after a day", n)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
