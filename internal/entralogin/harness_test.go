package entralogin

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/appgovd/appgovd/internal/servicetest"
)

const testClient = "99999999-8888-4777-8666-555555555555"

func epoch() time.Time { return time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC) }

// clock is the machine's, ahead by what the test adds.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// newLogin makes a login at a token endpoint.
func newLogin(t *testing.T, s *servicetest.TokenServer, p Proofs, c *clock) *Login {
	t.Helper()
	l, err := New(Config{TenantID: s.TenantID, ClientID: s.ClientID, Proofs: p, LoginURL: s.LoginURL, CAFile: s.CAFile}, Options{Now: c.read})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func token(ctx context.Context, l *Login) (string, error) {
	t, err := l.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://graph.example/.default"}})
	return t.Token, err
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
