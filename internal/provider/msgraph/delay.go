package msgraph

import (
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// Delay is how far complete_through of the source called name may lie behind
// the clock while all is well: its lateness, three polls (one of them may be
// throttled, one may fail) and the time that reading takes; where only sweeps
// read what is that late, two of their intervals besides.
func (c Config) Delay(name string) time.Duration {
	c = c.withDefaults()
	for _, s := range specs() {
		if s.name != name {
			continue
		}
		plan := c.schedule(s)
		reading := 5 * time.Minute
		if s.inventory { // a full read of a large tenant
			reading = 30 * time.Minute
		}
		if s.objects == event.ObjectAppCalls { // the day that goes on, and the rows of the last one
			reading += widest + deepReach/8
		}
		if !s.inventory && plan.overlap < plan.lateness && plan.sweeps() {
			reading += 2 * plan.sweepEvery
		}
		return plan.lateness + 3*plan.poll + reading
	}
	return 0
}
