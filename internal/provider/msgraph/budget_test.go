package msgraph

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/sim"
)

func TestBudget(t *testing.T) {
	t.Run("sources of a family share its rate, less a safety share", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBudgets(0.8)[familyReports]
			start := time.Now()
			for range 1 + 40 {
				if err := b.take(t.Context(), 1, false); err != nil {
					t.Fatal(err)
				}
			}
			if took := time.Since(start); took < 99*time.Second || took > 101*time.Second {
				t.Fatalf("41 requests took %v, want 100 s behind the burst", took)
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
		b.need("a", load{0.1, 1200.0 / 3600})
		if got := b.state(); got.Load < 1.66 || got.Load > 1.67 || got.Sources["a"] < 1.08 || got.Sources["a"] > 1.09 {
			t.Fatalf("load %+v: 0.1 + 0.333 of 0.4 a second, and sweeps have half of it", got)
		}
		b.need("a", load{0.1, 120.0 / 3600})
		if got := b.state(); got.Load > 0.4 {
			t.Fatalf("load %v after a smaller sweep", got.Load)
		}
	})
	t.Run("no window of time holds more than the limit", func(t *testing.T) {
		for _, share := range []float64{0.1, 0.5, 0.8, 0.95, 1} {
			for family, limit := range map[string]struct {
				units float64
				span  time.Duration
			}{familyReports: {5, 10 * time.Second}, familyDirectory: {3500, 10 * time.Second}, familySecurity: {150, time.Minute}} {
				b := newBudgets(share)[family]
				if most := float64(b.all.Burst()) + float64(b.all.Limit())*limit.span.Seconds(); most > limit.units+1e-6 {
					t.Errorf("%s with a share of %v: %v units in %v", family, share, most, limit.span)
				}
			}
		}
	})
	t.Run("one source that is told to wait pauses its family", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			bs := newBudgets(0.8)
			bs[familyReports].pause(5 * time.Second)
			start := time.Now()
			if err := bs[familySecurity].take(t.Context(), 1, false); err != nil || time.Since(start) > 0 {
				t.Fatalf("another family waited %v: %v", time.Since(start), err)
			}
			if err := bs[familyReports].take(t.Context(), 1, false); err != nil || time.Since(start) < 5*time.Second || time.Since(start) > 7*time.Second {
				t.Fatalf("waited %v: %v", time.Since(start), err)
			}
			bs[familyReports].pause(time.Minute)
			if err := bs[familyReports].take(t.Context(), 1, false); fault.Of(err) != fault.Throttled || fault.After(err) < time.Minute {
				t.Fatalf("a long pause: %v, after %v", err, fault.After(err))
			}
		})
	})
}

// TestLimitsAreKept lets ten readers ask as fast as the budget lets them, over a
// network that delays each request by up to a second, a cloud that counts.
func TestLimitsAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := sim.New(sim.Options{Seed: 1, TenantID: testTenant, ClientID: testClient, ClientSecret: "hush", Limits: true, Apps: 5, Users: 5, Events: 50, TokenLifetime: 24 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		h := c.Handler()
		token := simToken(t, h)
		budgets := newBudgets(0.8)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
		defer cancel()
		var mu sync.Mutex
		answers := map[string]int{}
		var wg sync.WaitGroup
		for i := range 10 {
			for family, path := range map[string]string{familyReports: "/v1.0/auditLogs/directoryAudits", familySecurity: "/v1.0/security/alerts_v2"} {
				wg.Go(func() {
					rnd := rand.New(rand.NewPCG(uint64(i), 1))
					for budgets[family].take(ctx, 1, i%2 == 0) == nil {
						<-time.After(time.Duration(rnd.Int64N(int64(time.Second))))
						r := httptest.NewRequest(http.MethodGet, path+"?$top=1", nil)
						r.Header.Set("Authorization", "Bearer "+token)
						w := httptest.NewRecorder()
						h.ServeHTTP(w, r)
						mu.Lock()
						answers[family+" "+strconv.Itoa(w.Code)]++
						mu.Unlock()
					}
				})
			}
		}
		wg.Wait()
		t.Log(answers)
		if answers[familyReports+" 200"] < 450 || answers[familySecurity+" 200"] < 2300 || len(answers) != 2 {
			t.Fatalf("answers %v", answers)
		}
	})
}

func simToken(t *testing.T, h http.Handler) string {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {testClient}, "client_secret": {"hush"}, "scope": {"https://example.com/.default"}}
	r := httptest.NewRequest(http.MethodPost, "/"+testTenant+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var got struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Token == "" {
		t.Fatalf("token answer %s", w.Body)
	}
	return got.Token
}

// A request that is dearer than a family's burst could never be sent.
func TestEverySourceFitsTheBudgetOfItsFamily(t *testing.T) {
	for _, share := range []float64{0.1, 0.8, 1} {
		budgets := newBudgets(share)
		for _, s := range specs() {
			if b := budgets[s.family]; b == nil || b.all.Burst() < s.cost || b.sweeps.Burst() < s.cost || b.all.Limit() <= 0 {
				t.Errorf("share %v: %s costs %d: %+v", share, s.name, s.cost, b)
			}
		}
	}
}
