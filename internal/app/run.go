package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ingest"
)

// ErrReload is the cause of a context that ends because another agent takes
// over: sinks get a moment for what is under way, the rest waits for that one.
var ErrReload = errors.New("reload")

const reloadPatience = 2 * time.Second

// Run works until ctx ends, then drains and closes. An error means that the
// process cannot go on.
func (a *Agent) Run(ctx context.Context) error {
	reading, stopReading := context.WithCancelCause(ctx)
	defer stopReading(nil)
	delivering, stopDelivering := context.WithCancel(context.WithoutCancel(ctx))
	defer stopDelivering()
	var readers, writers sync.WaitGroup
	run := func(wg *sync.WaitGroup, c context.Context, what func(context.Context) error) {
		wg.Go(func() {
			if err := what(c); err != nil && c.Err() == nil {
				stopReading(err)
			}
		})
	}
	for _, w := range a.workers {
		run(&writers, delivering, w.Run)
	}
	for _, t := range a.tenants {
		if err := t.useRules(reading, a.plan.blob, a.plan.set.Revision, a.o.Now()); err != nil {
			stopReading(err)
		}
	}
	for _, t := range a.tenants {
		for _, l := range t.loops {
			run(&readers, reading, l.Run)
		}
	}
	run(&readers, reading, a.warm)
	run(&readers, reading, a.keepTime)
	run(&readers, reading, a.sayHealth)
	a.log.Info("appgovd is running", zap.Int("sources", len(a.tenants)), zap.Int("sinks", len(a.workers)), zap.Int("rules", len(a.plan.set.Rules)+len(a.plan.set.Policies)))
	<-reading.Done()
	a.ledger.Hurry()
	readers.Wait()
	for _, w := range a.workers {
		w.Hurry()
	}
	err := a.drain(reading)
	stopDelivering()
	writers.Wait()
	if ctx.Err() == nil { // not asked to stop: something failed
		err = errors.Join(context.Cause(reading), err)
	}
	return errors.Join(err, a.Close())
}

// drain gives the sinks a moment to take what is there, and stores a snapshot,
// so that the next start is quick.
func (a *Agent) drain(ctx context.Context) error {
	if err := a.health.flush(a.appendHealth(ctx)); err != nil {
		return err
	}
	err := a.Snapshot()
	patience := a.plan.Config.Agent.ShutdownTimeout
	if errors.Is(context.Cause(ctx), ErrReload) {
		patience = min(patience, reloadPatience)
	}
	until := time.Now().Add(patience)
	for time.Now().Before(until) && !a.settled() {
		<-time.After(20 * time.Millisecond)
	}
	return err
}

func (a *Agent) settled() bool {
	for _, r := range a.ledger.Stats().Readers {
		if r.Waiting > 0 {
			return false
		}
	}
	return true
}

// keepTime appends ticks and takes snapshots.
func (a *Agent) keepTime(ctx context.Context) error {
	tick := time.NewTicker(a.plan.Config.Agent.Tick)
	defer tick.Stop()
	debug.FreeOSMemory() // the recovery needed more than what it left
	last := a.stand()
	a.progress.set(time.Now())
	defer a.progress.set(time.Time{})
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for _, t := range a.tenants {
			if err := t.tick(ctx, a.o.Now()); err != nil {
				return err
			}
			a.workAhead(t)
		}
		a.watch()
		if now := a.stand(); a.snapshotDue(last, now) && a.keepState() {
			last = now
		}
		a.progress.set(time.Now())
	}
}

// stand is where the ledger is at a moment.
type stand struct {
	at    time.Time
	head  uint64
	bytes int64
}

func (a *Agent) stand() stand { return stand{a.o.Now(), a.ledger.Head(), a.ledger.Stats().Bytes} }

const snapshotFrames = 20_000

// snapshotDue: by time, by number of frames, and before the ledger is full of
// frames that only a newer snapshot, or two, would let go.
func (a *Agent) snapshotDue(last, now stand) bool {
	c := a.plan.Config.Agent
	return now.at.Sub(last.at) >= c.Snapshot || now.head-last.head > snapshotFrames || now.bytes-last.bytes > c.MaxBytes/8 || now.bytes >= c.MaxBytes
}

// keepState stores a snapshot. One that fails is an alarm, no end: it only
// makes the next start slower, and is tried again at the next tick.
func (a *Agent) keepState() bool {
	if err := a.Snapshot(); err != nil {
		a.health.Raise("snapshot", event.SeverityHigh, "The state cannot be stored", err.Error())
		return false
	}
	a.health.Resolve("snapshot", "the state is stored again")
	debug.FreeOSMemory()
	return true
}

// Snapshot stores the state of every tenant as of one frame. The tenants wait while
// it is kept as it is, and go on while it is encoded, compressed and stored.
func (a *Agent) Snapshot() error {
	store, err := a.freeze()
	if err != nil {
		return err
	}
	return store()
}

func (a *Agent) freeze() (store func() error, err error) {
	a.healthMu.Lock()
	defer a.healthMu.Unlock()
	a.routing.mu.Lock()
	defer a.routing.mu.Unlock()
	err = a.holdAll(a.tenants, func() error {
		from := time.Now()
		defer func() { a.paused.Store(int64(time.Since(from))) }()
		keep, err := a.ledger.Freeze(a.ledger.Head())
		if err != nil {
			return err
		}
		write, err := a.state()
		store = func() error { return keep(write) }
		return err
	})
	return store, err
}

func (a *Agent) holdAll(rest []*tenant, fn func() error) error {
	if len(rest) == 0 {
		return fn()
	}
	return rest[0].lane.Hold(func(uint64) error { return a.holdAll(rest[1:], fn) })
}

// state keeps the state as it is now; write writes it.
func (a *Agent) state() (write func(io.Writer) error, err error) {
	var head bytes.Buffer
	if err := a.health.snapshot(&head); err != nil {
		return nil, err
	}
	var names []string
	var tenants []func(io.Writer) error
	for _, t := range a.tenants {
		write, err := t.freeze()
		if err != nil {
			return nil, err
		}
		names, tenants = append(names, t.key), append(tenants, write)
	}
	if err := writeText(&head, []byte(strings.Join(names, "\n"))); err != nil {
		return nil, err
	}
	var tail bytes.Buffer
	if err := a.routing.snapshot(&tail); err != nil {
		return nil, err
	}
	return func(w io.Writer) error {
		if _, err := w.Write(head.Bytes()); err != nil {
			return err
		}
		for _, t := range tenants {
			if err := writeSection(w, t); err != nil {
				return err
			}
		}
		_, err := w.Write(tail.Bytes())
		return err
	}, nil
}

// sayHealth appends health alerts as they come.
func (a *Agent) sayHealth(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.health.signal:
		}
		if err := a.health.flush(a.appendHealth(ctx)); err != nil {
			return err
		}
	}
}

func (a *Agent) appendHealth(ctx context.Context) func(*event.Frame) error {
	return func(f *event.Frame) error {
		a.healthMu.Lock()
		defer a.healthMu.Unlock()
		wait, err := a.ledger.Append(f)
		if err != nil {
			return fmt.Errorf("append health: %w", err)
		}
		a.health.appended(f)
		return wait(context.WithoutCancel(ctx))
	}
}

// sourceState raises an alarm for a source that needs a human, at once, and for
// one that goes on failing.
func (a *Agent) sourceState(s ingest.Status) {
	key := "source/" + s.Key
	switch s.State {
	case ingest.StateHealthy:
		a.health.Resolve(key, "the source is healthy")
	case ingest.StateFailed, ingest.StateStopped:
		a.health.Raise(key, event.SeverityHigh, "A source has stopped collecting", joinAdvice(s.Key+": "+s.Error, s.Hint))
	case ingest.StateRetrying, ingest.StateThrottled, ingest.StateStarting:
		if s.Attempts >= 10 {
			a.health.Raise(key, event.SeverityMedium, "A source keeps failing", joinAdvice(s.Key+": "+s.Error, s.Hint))
		}
	}
}
