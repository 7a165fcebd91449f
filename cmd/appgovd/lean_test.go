package main

import (
	"runtime"
	"testing"
)

func TestALargeStateMayHaveLessGarbage(t *testing.T) {
	small, large := percentFor(leanFrom-1), percentFor(leanFrom)
	if small != garbagePercent || large != leanPercent || large >= small {
		t.Errorf("%d and %d percent", small, large)
	}
	runtime.GC()
	if n := inUse(); n == 0 {
		t.Error("nothing is in use")
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
