package ingest

import (
	"context"
	"fmt"
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
	failed   error // of an append: the detector is ahead of the log for good
}

// NewLane joins a detector and the log.
func NewLane(d Detector, log Log) *Lane { return &Lane{detector: d, log: log} }

// Note is Commit for what must not wait for room: the clock's and the rules'
// frames, which are small.
func (l *Lane) Note(ctx context.Context, f *event.Frame) error { return l.put(ctx, f, keep) }

func keep(*event.Frame) error { return nil }

// Commit moves what is too large to the quarantine, waits for room, lets prepare finish the frame under the lock (nil =
// nothing to do), applies it, appends it, and returns once it is durable. An
// error of the log means that the process cannot go on; ctx ends only the
// waiting for room.
func (l *Lane) Commit(ctx context.Context, f *event.Frame, prepare func(*event.Frame)) error {
	if prepare == nil {
		return l.Finish(ctx, f, keep)
	}
	return l.Finish(ctx, f, func(f *event.Frame) error {
		prepare(f)
		return nil
	})
}

// Finish is Commit of a frame that prepare may refuse: then nothing happens, and
// its error is returned.
func (l *Lane) Finish(ctx context.Context, f *event.Frame, prepare func(*event.Frame) error) error {
	l.log.Fit(f)
	if err := l.log.Reserve(ctx); err != nil {
		return err
	}
	return l.put(ctx, f, prepare)
}

func (l *Lane) put(ctx context.Context, f *event.Frame, prepare func(*event.Frame) error) error {
	wait, err := l.enqueue(f, prepare)
	if err != nil {
		return err
	}
	return wait(context.WithoutCancel(ctx))
}

func (l *Lane) enqueue(f *event.Frame, prepare func(*event.Frame) error) (func(context.Context) error, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return nil, l.failed
	}
	if err := prepare(f); err != nil {
		return nil, err
	}
	l.detector.Apply(f)
	wait, err := l.log.Append(f)
	if err != nil {
		l.failed = fmt.Errorf("the log refused a frame that was detected: %w", err)
		return nil, err
	}
	l.last = f.LSN
	return wait, nil
}

// Hold runs fn while no frame of the tenant is between detect and enqueue; lsn
// is the last frame that was applied here (0 = none since the start). After a
// refused append it is an error: the state is not that of any frame.
func (l *Lane) Hold(fn func(lsn uint64) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return l.failed
	}
	return fn(l.last)
}
