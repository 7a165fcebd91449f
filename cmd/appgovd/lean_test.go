package main

import (
	"context"
	"runtime"
	"testing"
	"time"
)

func TestALargeStateMayHaveLessGarbage(t *testing.T) {
	small, large := percentFor(leanFrom-1), percentFor(leanFrom)
	if small != garbagePercent || large != leanPercent || large >= small {
		t.Errorf("%d and %d percent", small, large)
	}
	if percent := uint64(percentFor(8 << 20)); percent*(8<<20)/100 != garbageRoom {
		t.Errorf("a state of 8 MB may have %d percent of garbage", percent)
	}
	runtime.GC()
	if n := inUse(); n == 0 {
		t.Error("nothing is in use")
	}
}

func TestEachCollectionIsTold(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	collected := make(chan struct{}, 1)
	tellCollections(ctx, collected)
	for range 3 {
		runtime.GC()
		select {
		case <-collected:
		case <-time.After(time.Minute):
			t.Fatal("a collection was not told")
		}
	}
}

func TestAStateThatIsReadMayHaveTheRoomOfASnapshot(t *testing.T) {
	for _, n := range []uint64{0, 1 << 20, 64 << 20, 200 << 20, startRoom - 1, startRoom, 4 << 30} {
		percent := uint64(startPercentFor(n))
		if percent < leanPercent {
			t.Errorf("%d bytes in use: %d percent, less than while running", n, percent)
		}
		if heap := n + max(n, 4<<20)*percent/100; percent > leanPercent && heap > startRoom {
			t.Errorf("%d bytes in use: the heap may grow to %d bytes", n, heap)
		}
	}
}
