package msgraph

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Families of Microsoft's limits; sources of one family share a budget. See
// https://learn.microsoft.com/graph/throttling-limits.
const (
	familyReports   = "reports"   // 5 requests in 10 s per app and tenant
	familyDirectory = "directory" // 3,500 resource units in 10 s per app and tenant, for the smallest tenants
	familySecurity  = "security"  // 150 requests a minute per app and tenant
)

// Budget says how much of a family's limit the sources need.
type Budget struct {
	Family string
	Rate   float64 // units per second that we allow ourselves
	Demand float64 // units per second that polls and sweeps need
	Load   float64 // Demand / Rate: above 1 poll and sweep no longer fit
}

// budget is a token bucket that several sources share. Sweeps may use half of
// it, so that they never hold up a poll.
type budget struct {
	family string
	all    *rate.Limiter
	sweeps *rate.Limiter

	mu     sync.Mutex
	demand map[string]float64
}

func newBudgets(share float64) map[string]*budget {
	b := map[string]*budget{}
	for _, f := range []struct {
		family string
		rate   float64
		burst  int
	}{{familyReports, 0.5, 5}, {familyDirectory, 350, 3500}, {familySecurity, 2.5, 25}} {
		burst := max(int(share*float64(f.burst)), 2)
		b[f.family] = &budget{
			family: f.family,
			all:    rate.NewLimiter(rate.Limit(share*f.rate), burst),
			sweeps: rate.NewLimiter(rate.Limit(share*f.rate/2), max(burst/2, 2)),
			demand: map[string]float64{},
		}
	}
	return b
}

// take waits for n units.
func (b *budget) take(ctx context.Context, n int, sweep bool) error {
	if sweep {
		if err := b.sweeps.WaitN(ctx, n); err != nil {
			return wait(ctx, b.family, err)
		}
	}
	if err := b.all.WaitN(ctx, n); err != nil {
		return wait(ctx, b.family, err)
	}
	return nil
}

func wait(ctx context.Context, family string, err error) error {
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return fmt.Errorf("wait for the budget of %s: %w", family, err)
}

// need records what a source needs: so many units in each interval.
func (b *budget) need(key string, units float64, every time.Duration) {
	if every <= 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.demand[key] = units / every.Seconds()
}

func (b *budget) state() Budget {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := Budget{Family: b.family, Rate: float64(b.all.Limit())}
	for _, d := range b.demand {
		s.Demand += d
	}
	s.Load = s.Demand / s.Rate
	return s
}
