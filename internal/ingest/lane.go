package ingest

import (
	"context"
	"sync"

	"github.com/appgovd/appgovd/internal/event"
)

// Lane is what the sources of one tenant share: dedupe, detect and enqueue
// happen under one lock, so that the order of frames is the order of detection;
// the fsync is awaited outside it.
type Lane struct {
	mu       sync.Mutex
	detector Detector
	log      Log
	last     uint64
}

// NewLane joins a detector and the log.
func NewLane(d Detector, log Log) *Lane { return &Lane{detector: d, log: log} }

// Commit waits for room, lets prepare finish the frame under the lock (nil =
// nothing to do), applies it, appends it, and returns once it is durable. An
// error of the log means that the process cannot go on; ctx ends only the
// waiting for room.
func (l *Lane) Commit(ctx context.Context, f *event.Frame, prepare func(*event.Frame)) error {
	if err := l.log.Reserve(ctx); err != nil {
		return err
	}
	return l.put(ctx, f, prepare)
}

// Put is Commit for a frame that does not wait for room: one of few, without
// which nothing goes on.
func (l *Lane) Put(ctx context.Context, f *event.Frame) error { return l.put(ctx, f, nil) }

func (l *Lane) put(ctx context.Context, f *event.Frame, prepare func(*event.Frame)) error {
	wait, err := l.enqueue(f, prepare)
	if err != nil {
		return err
	}
	return wait(context.WithoutCancel(ctx))
}

func (l *Lane) enqueue(f *event.Frame, prepare func(*event.Frame)) (func(context.Context) error, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if prepare != nil {
		prepare(f)
	}
	l.detector.Apply(f)
	wait, err := l.log.Append(f)
	if err == nil {
		l.last = f.LSN
	}
	return wait, err
}

// Hold runs fn while no frame of the tenant is between detect and enqueue; lsn
// is the last frame that was applied here (0 = none since the start).
func (l *Lane) Hold(fn func(lsn uint64) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fn(l.last)
}
