package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// On a host with other agents memory is dearer than processor time: garbage may be
// half of what is in use, and of a large state less, so that a tenant of 100,000 apps
// stays within 512 MB while a snapshot is stored. While a state is read no snapshot is
// stored: the heap may have that room, and is collected a few times in place of twenty.
const (
	garbagePercent = 50
	garbageRoom    = 24 << 20 // bytes of garbage that a small state may have: else it is collected a hundred times a second while a sink catches up
	leanPercent    = 16
	leanFrom       = 192 << 20 // bytes in use
	startRoom      = 340 << 20 // bytes of heap, garbage in it, while a state is read
	startLook      = 20 * time.Millisecond
)

// keepLean sets how much garbage there may be by what is in use, until ctx ends. It looks
// behind each collection: what is in use may have grown by much since the last one.
func keepLean(ctx context.Context, running func() bool) {
	collected := make(chan struct{}, 1)
	tellCollections(ctx, collected)
	percent := 0
	for {
		want, look := percentFor(inUse()), time.Minute
		if !running() {
			want, look = startPercentFor(inUse()), startLook
		}
		if want != percent {
			percent = want
			debug.SetGCPercent(percent)
		}
		select {
		case <-ctx.Done():
			return
		case <-collected:
		case <-time.After(look):
		}
	}
}

// tellCollections sends to c behind each garbage collection, until ctx ends: what nothing
// refers to is cleaned up by the next one.
func tellCollections(ctx context.Context, c chan<- struct{}) {
	runtime.AddCleanup(new([16]byte), func(c chan<- struct{}) {
		select {
		case c <- struct{}{}:
		default:
		}
		if ctx.Err() == nil {
			tellCollections(ctx, c)
		}
	}, c)
}

// percentFor lets a small state have garbageRoom.
func percentFor(bytes uint64) int {
	if bytes < leanFrom {
		return max(garbagePercent, int(garbageRoom*100/max(bytes, 4<<20)))
	}
	return leanPercent
}

// startPercentFor lets the heap grow to startRoom.
func startPercentFor(bytes uint64) int {
	if bytes >= startRoom {
		return leanPercent
	}
	return max(leanPercent, int((startRoom-bytes)*100/max(bytes, 4<<20)))
}

// inUse is how many bytes the last garbage collection found in use.
func inUse() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return s[0].Value.Uint64()
}
