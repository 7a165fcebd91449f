package deliver

import (
	"runtime"
	"sync"
)

// leastPart is how many alerts at least are worth a goroutine of their own.
const leastPart = 100

// InParts calls f with consecutive parts of n alerts, [from, to), at once on all
// processors; it returns when all are done. A sink encodes its batches so: nothing else of
// a write can go on meanwhile.
func InParts(n int, f func(from, to int)) {
	part := max(leastPart, (n+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for from := 0; from < n; from += part {
		wg.Go(func() { f(from, min(from+part, n)) })
	}
	wg.Wait()
}
