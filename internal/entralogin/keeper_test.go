package entralogin

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// TestNobodyWaitsForWhoRenews: while one asks for a new token and gets no answer, the one
// that there is goes out, until its last moments; then whoever wants one waits.
func TestNobodyWaitsForWhoRenews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan error)
		asked := 0
		k := NewKeeper(func(context.Context, string) (azcore.AccessToken, error) {
			if asked++; asked > 1 {
				if err := <-answer; err != nil {
					return azcore.AccessToken{}, err
				}
			}
			return azcore.AccessToken{Token: string(rune('0' + asked)), ExpiresOn: time.Now().Add(time.Hour)}, nil
		}, 30*time.Second, nil)
		get := func() (string, bool) {
			got, kept, err := k.Get(t.Context(), "x")
			if err != nil {
				t.Error(err)
			}
			return got.Token, kept
		}
		if got, kept := get(); got != "1" || kept {
			t.Fatalf("%q, kept %t", got, kept)
		}
		<-time.After(56 * time.Minute) // of the bubble
		renewed := make(chan int)
		go func() { renewed <- k.Renewals(t.Context(), "x") }()
		synctest.Wait()
		if got, kept := get(); got != "1" || !kept || asked != 2 {
			t.Errorf("while one asks: %q, kept %t, asked %d times", got, kept, asked)
		}
		answer <- errors.New("down")
		if n := <-renewed; n != 0 {
			t.Errorf("renewed %d times", n)
		}
		<-time.After(3*time.Minute + 45*time.Second)
		waits := make(chan string)
		for range 2 {
			go func() { got, _ := get(); waits <- got }()
		}
		synctest.Wait()
		answer <- nil
		if a, b := <-waits, <-waits; a != "3" || b != "3" || asked != 3 {
			t.Errorf("at its end: %q and %q, asked %d times", a, b, asked)
		}
		if n := k.Renewals(t.Context(), "x"); n != 1 {
			t.Errorf("renewed %d times", n)
		}
	})
}

// TestHowLongATokenServes: when it is renewed, by its life.
func TestHowLongATokenServes(t *testing.T) {
	for life, want := range map[time.Duration]time.Duration{
		24 * time.Hour: 12 * time.Hour, time.Hour: 55 * time.Minute, 20 * time.Minute: 15 * time.Minute, 4 * time.Second: 3 * time.Second,
	} {
		if got := renewal(life); got != want {
			t.Errorf("of %s: after %s, want %s", life, got, want)
		}
	}
}

// A machine of Azure may be given the same token for a day: that is no renewal, which would
// end what was begun with it.
func TestTheSameTokenAgainIsNoRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := time.Now().Add(24 * time.Hour)
		k := NewKeeper(func(context.Context, string) (azcore.AccessToken, error) {
			if time.Now().After(end.Add(-time.Hour)) {
				return azcore.AccessToken{Token: "2", ExpiresOn: end.Add(24 * time.Hour)}, nil
			}
			return azcore.AccessToken{Token: "1", ExpiresOn: end}, nil
		}, time.Minute, nil)
		if _, _, err := k.Get(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		for time.Now().Before(end.Add(-2 * time.Hour)) {
			<-time.After(time.Hour)
			if n := k.Renewals(t.Context(), "x"); n != 0 {
				t.Fatalf("renewed %d times with the same token", n)
			}
		}
		<-time.After(2*time.Hour - time.Minute)
		if n := k.Renewals(t.Context(), "x"); n != 1 {
			t.Errorf("renewed %d times with another token", n)
		}
	})
}
