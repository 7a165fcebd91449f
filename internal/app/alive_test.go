package app

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ledger"
)

func TestTheWatchdogSeesProgress(t *testing.T) {
	live(t, "an agent whose clock stands still is not alive, until it goes on", func(t *testing.T, w *world) {
		var gate atomic.Pointer[chan struct{}] // nil = open
		now := func() time.Time {
			if g := gate.Load(); g != nil {
				<-*g
			}
			return time.Now()
		}
		a, done, stop := w.start(t, w.plan(t), Options{Now: now})
		pass(time.Hour)
		w.wantAlive(t, a, "")
		stuck := make(chan struct{})
		gate.Store(&stuck)
		pass(3 * w.step)
		w.wantAlive(t, a, "")
		pass(w.step + 30*time.Second)
		w.wantAlive(t, a, "no tick became durable for")
		gate.Store(nil)
		close(stuck)
		pass(w.step)
		w.wantAlive(t, a, "")
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	live(t, "a ledger that is full is alive and not ready: a restart would bring no room", func(t *testing.T, w *world) {
		p := w.plan(t)
		p.Config.Agent.MaxBytes = 20_000
		w.set(func() { w.write = func([]event.Alert) error { return errors.New("never") } })
		a, done, stop := w.start(t, p, Options{})
		something(a, "one") // what the sink does not take
		if why, _ := a.notReady(); why != "" {
			t.Errorf("not ready: %s", why)
		}
		full := func() bool { s := a.ledger.Stats(); return s.Bytes >= s.MaxBytes }
		for range 10 * 24 {
			if pass(time.Hour); full() {
				break
			}
		}
		if !full() {
			t.Fatalf("the ledger is not full: %+v", a.ledger.Stats())
		}
		w.wantAlive(t, a, "")
		if why, _ := a.notReady(); why != "the ledger waits for room" {
			t.Errorf("not ready: %q", why)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestAGracefulStop(t *testing.T) {
	live(t, "gives a sink the time to take what is there", func(t *testing.T, w *world) {
		p := w.plan(t)
		p.Config.Agent.ShutdownTimeout = 20 * time.Second
		var tries, got atomic.Int64
		w.set(func() {
			w.write = func(batch []event.Alert) error {
				if tries.Add(1) <= 2 {
					return errors.New("not yet")
				}
				got.Add(int64(len(batch)))
				return nil
			}
		})
		a, done, stop := w.start(t, p, Options{})
		something(a, "one")
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if got.Load() != 1 {
			t.Errorf("the sink got %d alerts in %d tries", got.Load(), tries.Load())
		}
	})
	live(t, "ends in time when a sink takes nothing, and the alert is there at the next start", func(t *testing.T, w *world) {
		w.set(func() { w.write = func([]event.Alert) error { return errors.New("never") } })
		a, done, stop := w.start(t, w.plan(t), Options{})
		something(a, "one")
		began := time.Now()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took < time.Second || took > 1100*time.Millisecond {
			t.Errorf("it took %s; shutdown_timeout is 1s", took)
		}
		l, err := ledger.Open(w.plan(t).Config.Agent.StateDir, ledger.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Reader(theSink, ledger.ReaderOptions{}); err != nil {
			t.Fatal(err)
		}
		if n := l.Stats().Readers[theSink].Waiting; n != 1 {
			t.Errorf("%d alerts wait", n)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A sink that is down is often why the configuration is read again: until it
// takes something, nothing would be read.
func TestAReloadDoesNotWaitForADeadSink(t *testing.T) {
	live(t, "for longer than a moment, whatever shutdown_timeout is", func(t *testing.T, w *world) {
		p := w.plan(t)
		p.Config.Agent.ShutdownTimeout = time.Minute
		w.set(func() { w.write = func([]event.Alert) error { return errors.New("never") } })
		a, done, stop := w.startFor(t, p, Options{})
		something(a, "one")
		began := time.Now()
		stop(ErrReload)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > reloadPatience+100*time.Millisecond {
			t.Errorf("it took %s", took)
		}
	})
}

func (w *world) start(t *testing.T, p *Plan, o Options) (a *Agent, done <-chan error, stop func()) {
	t.Helper()
	a, done, cancel := w.startFor(t, p, o)
	return a, done, func() { cancel(nil) }
}

// startFor runs an agent until stop is called with a cause; done has what Run
// returned.
func (w *world) startFor(t *testing.T, p *Plan, o Options) (a *Agent, done <-chan error, stop context.CancelCauseFunc) {
	t.Helper()
	o.Stdout = &w.out
	a, err := New(t.Context(), p, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	pass(time.Second)
	return a, ended, cancel
}

func (w *world) wantAlive(t *testing.T, a *Agent, why string) {
	t.Helper()
	err := a.Alive()
	if (err == nil) != (why == "") || err != nil && !strings.Contains(err.Error(), why) {
		t.Errorf("%v, want %q", err, why)
	}
}
