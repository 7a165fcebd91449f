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
