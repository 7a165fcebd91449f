package msgraph

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/appgovd/appgovd/internal/fault"
)

// imds is the token service of a machine, as it is documented: it wants a header and a
// version, and gives tokens that live a day.
// https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
type imds struct {
	t *testing.T

	mu     sync.Mutex
	status int // of its answers; 0 = 200
	life   int // seconds that a token lives
	asked  int
	inside int // requests at this moment
	most   int // of them
}

func (m *imds) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if r.URL.Path != "/metadata/identity/oauth2/token" || r.Header.Get("Metadata") != "true" || q.Get("api-version") != "2018-02-01" || q.Get("resource") == "" || q.Get("client_id") != testClient {
		m.t.Errorf("asked for %s with %v", r.URL, r.Header)
	}
	m.mu.Lock()
	m.asked++
	m.inside++
	m.most = max(m.most, m.inside)
	n, status, life := m.asked, m.status, m.life
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		m.inside--
		m.mu.Unlock()
	}()
	if status != 0 {
		if status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "7")
		}
		answer(w, status, map[string]any{"error": "invalid_request", "error_description": "Identity not found"})
		return
	}
	answer(w, 200, map[string]any{"access_token": fmt.Sprintf("token %d", n), "refresh_token": "", "expires_in": fmt.Sprint(life), "ext_expires_in": fmt.Sprint(life),
		"expires_on": fmt.Sprint(time.Now().Unix() + int64(life)), "not_before": fmt.Sprint(time.Now().Unix()), "resource": q.Get("resource"), "token_type": "Bearer"})
}

func (m *imds) set(status, life int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.status, m.life = status, life
}

func (m *imds) requests() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asked
}

// RoundTrip lets a client find it at the fixed address.
func (m *imds) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != "169.254.169.254" {
		m.t.Errorf("asked %s", r.URL)
	}
	w := httptest.NewRecorder()
	m.ServeHTTP(w, r)
	return w.Result(), nil
}

// onMachine makes credentials of a machine whose clock is ahead of ours by what the
// returned function adds to.
func onMachine(t *testing.T) (*imds, *credentials, func(time.Duration)) {
	t.Helper()
	for _, name := range []string{"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "MSI_ENDPOINT", "IMDS_ENDPOINT"} {
		t.Setenv(name, "")
	}
	m := &imds{t: t, life: 86400}
	var mu sync.Mutex
	var ahead time.Duration
	now := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return time.Now().Add(ahead)
	}
	cfg := good()
	cfg.ClientSecret, cfg.ClientID, cfg.ManagedIdentity = "", testClient, &ManagedIdentity{}
	o := azcore.ClientOptions{Retry: policy.RetryOptions{MaxRetries: -1}}
	return m, &credentials{cfg: cfg, now: now, proofs: []*proof{managed(cfg, o, now, &http.Client{Transport: m})}}, func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		ahead += d
	}
}

func graphToken(ctx context.Context, c *credentials) (string, error) {
	t, err := c.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://graph.example/.default"}})
	return t.Token, err
}

// A machine is asked once for all who want a token, by one request at a time, again
// after half of the token's life, and at once where a token was refused.
func TestTokensOfAMachineAreKept(t *testing.T) {
	m, c, wait := onMachine(t)
	step := func(story, want string, asked int) {
		t.Helper()
		got, err := graphToken(t.Context(), c)
		if err != nil || got != want || m.requests() != asked {
			t.Errorf("%s: %q, %v, after %d requests; want %q after %d", story, got, err, m.requests(), want, asked)
		}
	}
	var all sync.WaitGroup
	for range 30 {
		all.Go(func() {
			if got, err := graphToken(t.Context(), c); got != "token 1" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	all.Wait()
	step("it is kept", "token 1", 1)
	wait(11 * time.Hour)
	step("for half of its life", "token 1", 1)
	m.set(410, 86400)
	wait(2 * time.Hour)
	step("longer where there is no new one", "token 1", 2)
	step("which is not tried all the time", "token 1", 2)
	wait(renewAgain)
	step("but again", "token 1", 3)
	m.set(0, 86400-13*3600) // a day by the machine's clock
	wait(renewAgain)
	step("until it comes", "token 4", 4)
	c.forget()
	step("a token that was refused is not given again", "token 5", 5)
	if m.most != 1 {
		t.Errorf("%d requests at a time", m.most)
	}
}

// A token that is about to end is not given out, nor one that has.
func TestATokenOfAMachineEnds(t *testing.T) {
	m, c, wait := onMachine(t)
	passed := time.Duration(0)
	for i, x := range []struct {
		wait   time.Duration
		status int
		want   string // "" = none
	}{{0, 0, "token 1"}, {54 * time.Minute, 503, "token 1"}, {2 * time.Minute, 503, "token 1"}, {3 * time.Minute, 503, ""}, {0, 0, "token 4"}} {
		wait(x.wait)
		passed += x.wait
		m.set(x.status, 3600+int(passed.Seconds())) // an hour by the machine's clock
		got, err := graphToken(t.Context(), c)
		if got != x.want || (err == nil) != (x.want != "") {
			t.Errorf("step %d: %q, %v", i, got, err)
		}
	}
}

// Documented: 404, 410, 429 and 5xx pass, other refusals need somebody.
func TestWhatAMachineRefuses(t *testing.T) {
	for status, class := range map[int]fault.Class{404: fault.Transient, 410: fault.Transient, 429: fault.Throttled, 500: fault.Transient, 503: fault.Transient, 400: fault.Auth, 403: fault.Auth} {
		m, c, _ := onMachine(t)
		m.set(status, 0)
		_, err := graphToken(t.Context(), c)
		if fault.Of(err) != class || !strings.Contains(err.Error(), fmt.Sprintf("this machine's token service answered %d", status)) || m.requests() != 1 {
			t.Errorf("%d: %v of class %v after %d requests", status, err, fault.Of(err), m.requests())
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
	_, c, _ := onMachine(t)
	if err := c.proofs[0].ready(); err != nil {
		t.Fatal(err)
	}
	tokens, _ := c.proofs[0].current.TokenCredential.(*machineTokens)
	tokens.ask <- struct{}{} // somebody asks, and gets no answer
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := graphToken(ctx, c); err == nil || !strings.Contains(err.Error(), context.Canceled.Error()) {
		t.Error(err)
	}
}
