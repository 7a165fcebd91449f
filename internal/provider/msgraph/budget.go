package msgraph

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/appgovd/appgovd/internal/fault"
)

// Families of Microsoft's limits; sources of one family share a budget. See
// https://learn.microsoft.com/graph/throttling-limits.
const (
	familyReports    = "reports"             // 5 requests in 10 s per app and tenant
	familyDirectory  = "directory"           // 3,500 resource units in 10 s per app and tenant, for the smallest tenants
	familySecurity   = "security"            // 150 requests a minute per app and tenant
	familyHunting    = "hunting"             // 45 queries a minute per tenant
	familyOffice     = "office"              // 2,000 requests a minute per tenant, at least
	familyProtection = "identity_protection" // 1 request a second per tenant, for all apps
)

// Budget says how much of a family's limit the sources need.
type Budget struct {
	Family  string
	Rate    float64            // units per second that we allow ourselves
	Demand  float64            // units per second that polls and sweeps need
	Load    float64            // above 1 poll and sweep no longer fit; sweeps have half of Rate
	Sources map[string]float64 // share of Rate that each source needs, by key
}

// budget is a token bucket that several sources share. Sweeps may use half of
// it, so that they never hold up a poll. A bucket lets burst + rate x time pass,
// so the burst is what the rate leaves of the limit: no window of time holds more
// than the limit, and a share that is left over absorbs the jitter of the network.
type budget struct {
	family string
	all    *rate.Limiter
	sweeps *rate.Limiter
	free   bool          // a cloud on this machine, without limits
	window time.Duration // of Microsoft's limit: how long a 429 lasts that does not say

	mu     sync.Mutex
	demand map[string]load
	closed time.Time // no request before: a source was told to wait
}

func newBudgets(share float64) map[string]*budget {
	b := map[string]*budget{}
	for _, f := range []struct {
		family string
		limit  float64 // units
		window float64 // seconds
		cost   float64 // of the dearest request
	}{{familyReports, 5, 10, 1}, {familyDirectory, 3500, 10, 5}, {familySecurity, 150, 60, 1}, {familyProtection, 1, 1, 1}, {familyHunting, 45, 60, 1}, {familyOffice, 2000, 60, 1}} {
		allowed, burst := share*f.limit, f.limit*(1-share)
		free := share > 1
		if free {
			burst = allowed
		}
		burst = max(float64(int(burst+1e-9)), f.cost)
		if !free {
			if rest := f.limit - burst; rest > 0 { // else one at a time keeps the distance
				allowed = min(allowed, rest)
			}
		}
		r := allowed / f.window
		b[f.family] = &budget{
			family: f.family,
			free:   free,
			window: time.Duration(f.window * float64(time.Second)),
			all:    rate.NewLimiter(rate.Limit(r), int(burst)),
			sweeps: rate.NewLimiter(rate.Limit(r/2), max(int(burst)/2, int(f.cost))),
			demand: map[string]load{},
		}
	}
	return b
}

// take waits for n units.
func (b *budget) take(ctx context.Context, n int, sweep bool) error {
	if err := b.open(ctx); err != nil {
		return err
	}
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

// throttled pauses the family after a 429, which may say for how long: Identity
// Protection and the reports do not. It returns how long.
func (b *budget) throttled(after time.Duration) time.Duration {
	if after <= 0 {
		after = max(b.window, leastPause)
	}
	b.pause(after)
	return after
}

// leastPause is waited after a 429 that says nothing.
const leastPause = 5 * time.Second

// pause keeps all sources of the family from asking: Microsoft's limits are those
// of the family, whichever source is told. Some jitter keeps several daemons apart.
func (b *budget) pause(after time.Duration) {
	if after <= 0 || b.free {
		return
	}
	until := time.Now().Add(after + time.Duration(rand.Int64N(int64(after/10)+int64(time.Second)))) //nolint:gosec // spreads load, guards nothing
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = later(b.closed, until)
}

// shortPause is waited out by the request; a longer one is an error, so that the
// source says what it waits for.
const shortPause = 10 * time.Second

var errPaused = errors.New("another source of the family was told to wait")

func (b *budget) open(ctx context.Context) error {
	for {
		b.mu.Lock()
		left := time.Until(b.closed)
		b.mu.Unlock()
		if left <= 0 {
			return nil
		}
		if left > shortPause {
			return wait(ctx, b.family, fault.NewThrottled(left, errPaused))
		}
		select {
		case <-ctx.Done():
			return wait(ctx, b.family, ctx.Err())
		case <-time.After(left):
		}
	}
}

// need records what a source needs.
func (b *budget) need(key string, d load) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.demand[key] = d
}

func (b *budget) state() Budget {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := Budget{Family: b.family, Rate: float64(b.all.Limit()), Sources: map[string]float64{}}
	sweeps := 0.0
	for key, d := range b.demand {
		s.Demand += d.Poll + d.Sweep
		sweeps += d.Sweep
		s.Sources[key] = (d.Poll + d.Sweep) / s.Rate
	}
	s.Load = max(s.Demand, 2*sweeps) / s.Rate
	return s
}
