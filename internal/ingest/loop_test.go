package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
)

type memoryLog struct{ frames []*event.Frame }

func (m *memoryLog) Fit(*event.Frame) {}

func (m *memoryLog) Reserve(ctx context.Context) error { return ctx.Err() }

func (m *memoryLog) Append(f *event.Frame) (func(context.Context) error, error) {
	f.LSN = uint64(len(m.frames) + 1)
	m.frames = append(m.frames, f)
	return func(context.Context) error { return nil }, nil
}

type countDetector struct{ events int }

func (d *countDetector) Apply(f *event.Frame) { d.events += len(f.Events) }

// script answers each Read in turn, then blocks until the context ends.
type script struct {
	steps   []func(cursor []byte) (event.Page, error)
	cursors []string
}

func (s *script) Read(ctx context.Context, cursor []byte) (event.Page, error) {
	s.cursors = append(s.cursors, string(cursor))
	if len(s.steps) == 0 {
		<-ctx.Done()
		return event.Page{}, ctx.Err()
	}
	step := s.steps[0]
	s.steps = s.steps[1:]
	return step(cursor)
}

func page(next string, events ...event.Event) func([]byte) (event.Page, error) {
	return func([]byte) (event.Page, error) {
		return event.Page{Events: events, Fetched: len(events), Cursor: []byte(next), Wait: time.Second}, nil
	}
}

func fails(err error) func([]byte) (event.Page, error) {
	return func([]byte) (event.Page, error) { return event.Page{}, err }
}

func rec(id, content string) event.Event {
	return event.Event{ID: event.NewID(id), Content: event.HashContent([]byte(content)), UpstreamID: id, Time: time.Now()}
}

func run(t *testing.T, src *script, d time.Duration, change func(*Options)) (*Loop, *memoryLog, *countDetector) {
	t.Helper()
	log, det := &memoryLog{}, &countDetector{}
	o := Options{Key: "entra/t/audits", Source: src, Lane: NewLane(det, log), Seen: NewSeen(time.Hour)}
	if change != nil {
		change(&o)
	}
	l := NewLoop(o)
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := l.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return l, log, det
}

func TestADuplicateIsDroppedAndAnEnrichedRecordIsANewVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &script{steps: []func([]byte) (event.Page, error){
			page("c1", rec("a", "1"), rec("b", "1"), rec("a", "1")),
			page("c2", rec("a", "1"), rec("b", "2")),
		}}
		l, log, det := run(t, src, time.Minute, nil)
		if det.events != 3 {
			t.Errorf("%d events went through detect, want 3", det.events)
		}
		if v := log.frames[1].Events[0].Version; v != 1 {
			t.Errorf("version %d of the changed record, want 1", v)
		}
		if diff := cmp.Diff([]string{"", "c1", "c2"}, src.cursors); diff != "" {
			t.Error(diff)
		}
		want := event.Account{Fetched: 5, New: 3, Seen: 2}
		if got := l.Status().Account; got != want || !got.Balanced() {
			t.Errorf("account %+v, want %+v", got, want)
		}
	})
}

func TestAFailureIsMetByItsClass(t *testing.T) {
	for _, c := range []struct {
		name  string
		err   error
		after time.Duration // of the second read
		state State
	}{
		{"a transient one is tried again within two seconds", errors.New("reset"), 2 * time.Second, StateRetrying},
		{"a throttled one waits as long as it was told", fault.NewThrottled(42*time.Second, errors.New("429")), 42 * time.Second, StateThrottled},
		{"a refused credential is tried again slowly", fault.NewAuth(errors.New("401")), slowRetry, StateFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				var second time.Duration
				src := &script{}
				src.steps = append(src.steps, fails(c.err), func([]byte) (event.Page, error) {
					second = time.Since(start)
					return event.Page{}, c.err
				})
				l, log, _ := run(t, src, c.after+time.Second, nil)
				if second == 0 || second > c.after {
					t.Errorf("second read after %v, want at most %v", second, c.after)
				}
				if s := l.Status(); s.State != c.state || len(log.frames) != 0 {
					t.Errorf("state %q with %d frames, want %q and none", s.State, len(log.frames), c.state)
				}
			})
		})
	}
}

func TestAForeignOriginStopsTheSource(t *testing.T) {
	src := &script{steps: []func([]byte) (event.Page, error){fails(fault.NewUntrusted(errors.New("nextLink points to evil.example")))}}
	l, _, _ := run(t, src, time.Hour, nil) // returns at once, not after the hour
	if s := l.Status(); s.State != StateStopped || len(src.cursors) != 1 {
		t.Errorf("state %q after %d reads, want stopped after one", s.State, len(src.cursors))
	}
}

func TestAnAccountThatDoesNotAddUpRaisesTheAlarmOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		short := func(cursor string) func([]byte) (event.Page, error) {
			return func([]byte) (event.Page, error) {
				return event.Page{Fetched: 2, Events: []event.Event{rec(cursor, "1")}, Cursor: []byte(cursor)}, nil
			}
		}
		alarms := 0
		run(t, &script{steps: []func([]byte) (event.Page, error){short("1"), short("2")}}, time.Minute, func(o *Options) {
			o.OnImbalance = func(string, event.Account) { alarms++ }
		})
		if alarms != 1 {
			t.Errorf("%d alarms, want 1", alarms)
		}
	})
}

func TestMetricsSayTheAccountAndTheLateness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMetrics(prometheus.NewRegistry())
		late := rec("late", "1")
		late.Time = time.Now().Add(-2 * time.Hour)
		old := rec("old", "1")
		old.Time, old.Backfill = time.Now().Add(-48*time.Hour), true
		run(t, &script{steps: []func([]byte) (event.Page, error){page("c", late, old)}}, time.Minute, func(o *Options) { o.Metrics = m })
		if n := testutil.ToFloat64(m.records.WithLabelValues("entra/t/audits", "new")); n != 2 {
			t.Errorf("%v new records counted, want 2", n)
		}
		if n := testutil.CollectAndCount(m.lateness); n != 1 {
			t.Errorf("%d lateness series, want 1", n)
		}
	})
}

func TestTheIdSetIsTheSameAfterReplaySnapshotAndRestore(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	live, replayed, restored := NewSeen(time.Hour), NewSeen(time.Hour), NewSeen(time.Hour)
	for i := range 200 {
		now := at.Add(time.Duration(i) * time.Minute)
		a, b := rec(fmt.Sprint(i), "1"), rec(fmt.Sprint(i/2), fmt.Sprint(i))
		a.Time, b.Time = now, now
		f := &event.Frame{Time: now, CompleteThrough: []event.SourceTime{{Time: now}}}
		f.Events, _ = live.Filter([]event.Event{a, b}, now)
		f.Quarantined, _ = live.FilterQuarantined([]event.Quarantine{{Reason: "no_id", Raw: []byte(fmt.Sprint(i / 3))}}, now)
		replayed.Observe(f)
	}
	if live.Len() > 300 {
		t.Errorf("%d ids kept, want the old ones forgotten", live.Len())
	}
	bytesOf := func(s *Seen) []byte {
		var b bytes.Buffer
		if err := s.Snapshot(&b); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	if !bytes.Equal(bytesOf(live), bytesOf(replayed)) {
		t.Error("the replay differs from the live set")
	}
	if err := restored.Restore(bytes.NewReader(bytesOf(live))); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(bytesOf(live), bytesOf(restored)) {
		t.Error("the restored set differs")
	}
	if err := restored.Restore(bytes.NewReader(bytesOf(live)[:50])); err == nil {
		t.Error("a cut snapshot was accepted")
	}
}

func TestARecordIsRememberedForKeepAfterItWasReadEvenWhenItIsOld(t *testing.T) {
	s := NewSeen(time.Hour)
	now := time.Unix(1_700_000_000, 0)
	old := rec("a", "1")
	old.Time = now.Add(-7 * 24 * time.Hour)
	s.Filter([]event.Event{old}, now)
	if _, seen := s.Filter([]event.Event{old}, now.Add(30*time.Minute)); seen != 1 {
		t.Error("an old record that was read half an hour ago counts as new")
	}
}

func TestEveryFailureIsHeardAndLoggedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		src := &script{}
		for i := range 40 {
			src.steps = append(src.steps, fails(&numbered{i}))
		}
		most := 0
		run(t, src, 10*time.Minute, func(o *Options) {
			o.Log = zap.New(core)
			o.OnState = func(s Status) { most = max(most, s.Attempts) }
		})
		if most < 10 {
			t.Errorf("attempts grew to %d only", most)
		}
		if n := logs.FilterMessage("source failed").Len(); n < 3 || n > 11 {
			t.Errorf("%d lines in ten minutes", n)
		}
		if got := logs.All()[0].ContextMap()["request_id"]; got != "id-0" {
			t.Errorf("request id %v", got)
		}
	})
}

type numbered struct{ n int }

func (e *numbered) Error() string     { return "500" }
func (e *numbered) RequestID() string { return fmt.Sprintf("id-%d", e.n) }

func TestARecordThatCannotBeDecodedIsQuarantinedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := func(cursor, raw string) func([]byte) (event.Page, error) {
			return func([]byte) (event.Page, error) {
				return event.Page{Fetched: 1, Quarantined: []event.Quarantine{{Reason: "no_id", Raw: []byte(raw)}}, Cursor: []byte(cursor), Wait: time.Second}, nil
			}
		}
		l, log, _ := run(t, &script{steps: []func([]byte) (event.Page, error){bad("1", "x"), bad("2", "x"), bad("3", "y")}}, time.Minute, nil)
		if got, want := l.Status().Account, (event.Account{Fetched: 3, Quarantined: 2, Seen: 1}); got != want || len(log.frames[1].Quarantined) != 0 {
			t.Errorf("account %+v, want %+v", got, want)
		}
	})
}

func TestIDsExpireByTheMarkNotByTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ahead := time.Duration(0)
		jump := func(d time.Duration, step func([]byte) (event.Page, error)) func([]byte) (event.Page, error) {
			return func(c []byte) (event.Page, error) {
				ahead = d
				return step(c)
			}
		}
		a := rec("a", "1")
		src := &script{steps: []func([]byte) (event.Page, error){page("1", a), jump(365*24*time.Hour, page("2", rec("b", "1"))), jump(0, page("3", a))}}
		l, _, _ := run(t, src, time.Minute, func(o *Options) { o.Now = func() time.Time { return time.Now().Add(ahead) } })
		if got := l.Status().Account; got.New != 2 || got.Seen != 1 {
			t.Errorf("account %+v: after a jump of the clock a known record is new", got)
		}
	})
}

func TestAFailureSaysWhenItIsWorthAnotherTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &script{}
		for range 5 {
			src.steps = append(src.steps, fails(fault.WithAfter(fault.NewAuth(errors.New("no licence")), 24*time.Hour)))
		}
		if run(t, src, 25*time.Hour, nil); len(src.cursors) != 2 {
			t.Errorf("%d tries in 25 hours", len(src.cursors))
		}
	})
}

// A source that cannot be read may say from where it goes on once it can: that is kept,
// and it counts as failed all the same.
func TestAMarkBesideAFailureIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		refused := func(cursor []byte) (event.Page, error) {
			asked = append(asked, string(cursor))
			return event.Page{Cursor: []byte("since")}, fault.NewAuth(errors.New("no licence"))
		}
		after := func(cursor []byte) (event.Page, error) {
			asked = append(asked, string(cursor))
			return event.Page{}, fault.NewAuth(errors.New("no licence"))
		}
		l, log, _ := run(t, &script{steps: []func([]byte) (event.Page, error){refused, after}}, 6*time.Minute, nil)
		if s := l.Status(); s.State != StateFailed || !s.LastRead.IsZero() || s.Account != (event.Account{}) {
			t.Errorf("%+v", s)
		}
		if len(asked) < 2 || asked[0] != "" || asked[1] != "since" || len(log.frames) != 1 || string(log.frames[0].Mark) != "since" || log.frames[0].Source != "entra/t/audits" {
			t.Errorf("asked with %q, frames %+v", asked, log.frames)
		}
	})
}
