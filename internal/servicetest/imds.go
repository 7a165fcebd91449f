package servicetest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// MachineServer is the token service of a machine of Azure for a managed identity. Documented: the fixed address, the
// path, the header Metadata, the version, the parameters resource and client_id, the members of the answer and that
// numbers come as texts, a life of up to a day, the statuses 404, 410, 429 and 5xx for a while and 400 for an identity
// that the machine lacks. Assumed: the texts of refusals, and that a wrong request gets 400. Nobody here has seen a real
// one. It is safe for concurrent use.
// https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
type MachineServer struct {
	// Token makes the text of the n-th token, from 1 on. It is set before the first request.
	Token func(n int, life time.Duration) string
	// ClientID is the identity that was assigned to the machine; "" is the machine's own.
	ClientID string

	t    testing.TB
	addr string

	mu                  sync.Mutex
	status              int // of its answers
	life                time.Duration
	asked, inside, most int
	resource            string
}

// Machine starts a token service for one test. Its tokens live for a day, until Set says otherwise.
func Machine(t testing.TB, clientID string) *MachineServer {
	t.Helper()
	m := &MachineServer{ClientID: clientID, t: t, status: http.StatusOK, life: 24 * time.Hour}
	m.Token = func(n int, _ time.Duration) string { return fmt.Sprintf("token %d", n) }
	server := httptest.NewServer(m)
	t.Cleanup(server.Close)
	m.addr = server.Listener.Addr().String()
	return m
}

// Dial leads from the fixed address to it, and from nowhere else.
func (m *MachineServer) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if address != "169.254.169.254:80" {
		m.t.Errorf("asked %s", address)
		return nil, fmt.Errorf("dial %s: not the machine's token service", address)
	}
	return (&net.Dialer{}).DialContext(ctx, network, m.addr)
}

// Set is for the answers from now on.
func (m *MachineServer) Set(status int, life time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.status, m.life = status, life
}

// Requests is how many there were, and how many of them at most at a time.
func (m *MachineServer) Requests() (all, most int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asked, m.most
}

// Resource is what the last token was for.
func (m *MachineServer) Resource() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.resource
}

// ServeHTTP answers as the service does.
func (m *MachineServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if r.URL.Path != "/metadata/identity/oauth2/token" || r.Header.Get("Metadata") != "true" || q.Get("api-version") != "2018-02-01" || q.Get("resource") == "" || q.Get("client_id") != m.ClientID {
		m.t.Errorf("asked for %s with %v", r.URL, r.Header)
		answerJSON(w, http.StatusBadRequest, map[string]any{"error": "invalid_request", "error_description": "Required metadata header not specified"})
		return
	}
	n, status, life := m.enter(q.Get("resource"))
	defer m.leave()
	if status != http.StatusOK {
		if status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "7")
		}
		answerJSON(w, status, map[string]any{"error": "invalid_request", "error_description": "Identity not found"})
		return
	}
	now, seconds := time.Now().Unix(), int64(life.Seconds())
	answerJSON(w, status, map[string]any{"access_token": m.Token(n, life), "refresh_token": "", "expires_in": fmt.Sprint(seconds), "ext_expires_in": fmt.Sprint(seconds),
		"expires_on": fmt.Sprint(now + seconds), "not_before": fmt.Sprint(now), "resource": q.Get("resource"), "token_type": "Bearer"})
}

func (m *MachineServer) enter(resource string) (n, status int, life time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked++
	m.inside++
	m.most, m.resource = max(m.most, m.inside), resource
	return m.asked, m.status, m.life
}

func (m *MachineServer) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inside--
}
