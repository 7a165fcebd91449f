package entralogin

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/servicetest"
)

// onMachine makes a login on a machine of Azure whose clock is ahead of ours by what the
// test adds.
func onMachine(t *testing.T) (*servicetest.MachineServer, *Login, *clock) {
	t.Helper()
	for _, name := range []string{"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "MSI_ENDPOINT", "IMDS_ENDPOINT"} {
		t.Setenv(name, "")
	}
	m, c := servicetest.Machine(t, testClient), &clock{}
	l, err := New(Config{ClientID: testClient, Proofs: Proofs{ManagedIdentity: &ManagedIdentity{}}}, Options{Now: c.read, Dial: m.Dial})
	if err != nil {
		t.Fatal(err)
	}
	return m, l, c
}

// A machine is asked once for all who want a token, by one request at a time, again
// after half of the token's life, and at once where a token was refused.
func TestTokensOfAMachineAreKept(t *testing.T) {
	m, l, c := onMachine(t)
	step := func(story, want string, asked int) {
		t.Helper()
		got, err := token(t.Context(), l)
		if n, _ := m.Requests(); err != nil || got != want || n != asked {
			t.Errorf("%s: %q, %v, after %d requests; want %q after %d", story, got, err, n, want, asked)
		}
	}
	var all sync.WaitGroup
	for range 30 {
		all.Go(func() {
			if got, err := token(t.Context(), l); got != "token 1" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	all.Wait()
	step("it is kept", "token 1", 1)
	c.add(11 * time.Hour)
	step("for half of its life", "token 1", 1)
	m.Set(http.StatusGone, 24*time.Hour)
	c.add(2 * time.Hour)
	step("longer where there is no new one", "token 1", 2)
	step("which is not tried all the time", "token 1", 2)
	c.add(renewAgain)
	step("but again", "token 1", 3)
	m.Set(http.StatusOK, 11*time.Hour) // a day by the machine's clock
	c.add(renewAgain)
	step("until it comes", "token 4", 4)
	l.Forget()
	step("a token that was refused is not given again", "token 5", 5)
	if _, most := m.Requests(); most != 1 {
		t.Errorf("%d requests at a time", most)
	}
}

// A token that is about to end is not given out, nor one that has.
func TestATokenOfAMachineEnds(t *testing.T) {
	m, l, c := onMachine(t)
	passed := time.Duration(0)
	for i, x := range []struct {
		wait   time.Duration
		status int
		want   string // "" = none
	}{{0, 200, "token 1"}, {54 * time.Minute, 503, "token 1"}, {2 * time.Minute, 503, "token 1"}, {3 * time.Minute, 503, ""}, {0, 200, "token 4"}} {
		c.add(x.wait)
		passed += x.wait
		m.Set(x.status, time.Hour+passed) // an hour by the machine's clock
		got, err := token(t.Context(), l)
		if got != x.want || (err == nil) != (x.want != "") {
			t.Errorf("step %d: %q, %v", i, got, err)
		}
	}
}

// Documented: 404, 410, 429 and 5xx pass, other refusals need somebody.
func TestWhatAMachineRefuses(t *testing.T) {
	for status, class := range map[int]fault.Class{404: fault.Transient, 410: fault.Transient, 429: fault.Throttled, 500: fault.Transient, 503: fault.Transient, 400: fault.Auth, 403: fault.Auth} {
		m, l, _ := onMachine(t)
		m.Set(status, 0)
		_, err := token(t.Context(), l)
		if n, _ := m.Requests(); fault.Of(err) != class || !strings.Contains(err.Error(), fmt.Sprintf("this machine's token service answered %d", status)) || n != 1 {
			t.Errorf("%d: %v of class %v after %d requests", status, err, fault.Of(err), n)
		}
		if class == fault.Throttled && fault.After(err) != 7*time.Second {
			t.Errorf("%d: again after %s", status, fault.After(err))
		}
		if class == fault.Auth && !strings.Contains(fault.Hint(err), "assign the managed identity") {
			t.Errorf("%d: hint %q", status, fault.Hint(err))
		}
	}
}

// Whoever waits for a token waits no longer than they want to.
func TestWaitingForAMachineEnds(t *testing.T) {
	_, l, _ := onMachine(t)
	if err := l.proofs[0].ready(); err != nil {
		t.Fatal(err)
	}
	tokens, _ := l.proofs[0].current.TokenCredential.(machineTokens)
	tokens.ask <- struct{}{} // somebody asks, and gets no answer
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := token(ctx, l); err == nil || !strings.Contains(err.Error(), context.Canceled.Error()) {
		t.Error(err)
	}
}
