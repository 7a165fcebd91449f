package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// On a host with other agents memory is dearer than processor time: garbage may be
// half of what is in use, and of a large state less, so that a tenant of 100,000 apps
// stays within 512 MB while a snapshot is stored.
const (
	garbagePercent = 50
	leanPercent    = 18
	leanFrom       = 192 << 20 // bytes in use
	leanLook       = 500 * time.Millisecond
)

// keepLean sets how much garbage there may be by what is in use, until ctx ends.
func keepLean(ctx context.Context) {
	look := time.NewTicker(leanLook)
	defer look.Stop()
	percent := 0
	for {
		if want := percentFor(inUse()); want != percent {
			percent = want
			debug.SetGCPercent(percent)
		}
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}

func percentFor(bytes uint64) int {
	if bytes < leanFrom {
		return garbagePercent
	}
	return leanPercent
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
