package msgraph

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestBudget(t *testing.T) {
	t.Run("sources of a family share its rate, less a safety share", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBudgets(0.8)[familyReports]
			start := time.Now()
			for range 4 + 40 {
				if err := b.take(t.Context(), 1, false); err != nil {
					t.Fatal(err)
				}
			}
			if took := time.Since(start); took < 99*time.Second || took > 101*time.Second {
				t.Fatalf("44 requests took %v, want 100 s behind the burst", took)
			}
		})
	})
	t.Run("a sweep leaves half of the rate to polls", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBudgets(0.8)[familyReports]
			done := make(chan time.Duration)
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				for ctx.Err() == nil {
					_ = b.take(ctx, 1, true)
				}
			}()
			go func() {
				<-time.After(time.Minute) // of the bubble: the sweep uses up the burst
				start := time.Now()
				for range 20 {
					_ = b.take(ctx, 1, false)
				}
				done <- time.Since(start)
			}()
			if took := <-done; took > 101*time.Second {
				t.Errorf("20 polls took %v beside a sweep", took)
			}
			cancel()
		})
	})
	t.Run("a wait ends with its context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBudgets(0.8)[familyReports]
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			var err error
			for err == nil {
				err = b.take(ctx, 1, false)
			}
			if !errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
				t.Fatalf("error %v", err)
			}
		})
	})
	t.Run("the load tells when poll and sweep no longer fit", func(t *testing.T) {
		b := newBudgets(0.8)[familyReports]
		b.need("a", 6, time.Minute)
		b.need("a sweep", 1200, time.Hour)
		if got := b.state(); got.Load < 1.08 || got.Load > 1.09 {
			t.Fatalf("load %v: 0.1 + 0.333 of 0.4 a second", got.Load)
		}
		b.need("a sweep", 120, time.Hour)
		if got := b.state(); got.Load > 0.4 {
			t.Fatalf("load %v after a smaller sweep", got.Load)
		}
	})
}
