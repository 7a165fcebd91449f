package deliver

import (
	"runtime"
	"sync"
)

// InParts calls f with consecutive parts of n items, [from, to), at once on all processors,
// each part of at least so many items that it is worth a goroutine; it returns when all
// are done. A sink encodes its batches so: nothing else of a write can go on meanwhile.
func InParts(n, least int, f func(from, to int)) {
	part := max(least, (n+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for from := 0; from < n; from += part {
		wg.Go(func() { f(from, min(from+part, n)) })
	}
	wg.Wait()
}
