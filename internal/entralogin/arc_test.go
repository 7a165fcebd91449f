package entralogin

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/fault"
)

// arc is the token service of a machine outside Azure that Azure Arc manages. Documented:
// the two variables of the environment, the header Metadata and the version; a request
// without a key is answered 401 with the path of a file that only the group himds can
// read, and the key in that file, good for one request, is sent as the Basic credentials
// as it stands. Assumed from Azure's library: the key lies in a file *.key of at most
// 4,096 bytes below /var/opt/azcmagent/tokens, and an agent that knows identities which
// were assigned to the machine says in its answer which one it used.
// https://learn.microsoft.com/azure/azure-arc/servers/managed-identity-authentication
type arc struct {
	t    *testing.T
	dir  string // where keys lie
	echo bool   // it says which identity it used

	mu     sync.Mutex
	asked  int
	key    string // that it waits for
	lost   bool   // the files of its keys are not there
	tokens int
}

const arcKeys = "/var/opt/azcmagent/tokens"

func (m *arc) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked++
	q := r.URL.Query()
	if r.URL.Path != "/metadata/identity/oauth2/token" || r.Header.Get("Metadata") != "true" || q.Get("api-version") != "2020-06-01" || q.Get("resource") != "https://graph.example" {
		m.t.Errorf("asked for %s with %v", r.URL, r.Header)
	}
	got, given := strings.CutPrefix(r.Header.Get("Authorization"), "Basic ")
	switch {
	case !given:
		m.challenge(w)
	case m.key == "" || got != m.key:
		m.t.Errorf("the key is %q, want %q", got, m.key)
		w.WriteHeader(http.StatusUnauthorized)
	default:
		m.key = ""
		m.tokens++
		body := map[string]any{"access_token": fmt.Sprintf("token %d", m.tokens), "expires_in": "86400", "expires_on": fmt.Sprint(time.Now().Unix() + 86400), "resource": q.Get("resource"), "token_type": "Bearer"}
		if id := q.Get("client_id"); id != "" && m.echo {
			body["client_id"] = id
		}
		reply(w, http.StatusOK, body)
	}
}

// challenge writes a new key.
func (m *arc) challenge(w http.ResponseWriter) {
	m.key = fmt.Sprintf("key-%d", m.asked)
	file := filepath.Join(m.dir, fmt.Sprintf("appgovd-test-%d-%d.key", os.Getpid(), m.asked))
	if !m.lost {
		if err := os.WriteFile(file, []byte(m.key), 0o600); err != nil {
			m.t.Error(err)
		}
		m.t.Cleanup(func() { _ = os.Remove(file) })
	}
	w.Header().Set("WWW-Authenticate", "Basic realm="+file)
	w.WriteHeader(http.StatusUnauthorized)
}

// onArc makes the credentials of such a machine by the way that the daemon takes.
func onArc(t *testing.T, systemAssigned bool) (*arc, *Login) {
	t.Helper()
	if err := os.MkdirAll(arcKeys, 0o700); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the folder of Azure Arc's keys cannot be made, which CI=true forbids: %v", err)
		}
		t.Skipf("SKIPPED: Azure's library takes keys from %s alone: %v", arcKeys, err)
	}
	t.Cleanup(func() { // as far as they are empty, and so ours
		_ = os.Remove(arcKeys)
		_ = os.Remove(filepath.Dir(arcKeys))
	})
	m := &arc{t: t, dir: arcKeys, echo: true}
	srv := httptest.NewServer(m)
	t.Cleanup(srv.Close)
	t.Setenv("IDENTITY_ENDPOINT", srv.URL+"/metadata/identity/oauth2/token")
	t.Setenv("IMDS_ENDPOINT", srv.URL)
	t.Setenv("IDENTITY_HEADER", "")
	t.Setenv("MSI_ENDPOINT", "")
	c, err := New(Config{ClientID: testClient, Proofs: Proofs{ManagedIdentity: &ManagedIdentity{SystemAssigned: systemAssigned}}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m, c
}

func TestAzureArcGivesTokensForAKey(t *testing.T) {
	for _, systemAssigned := range []bool{true, false} {
		m, c := onArc(t, systemAssigned)
		for range 3 {
			if got, err := token(t.Context(), c); got != "token 1" || err != nil {
				t.Fatalf("%q, %v", got, err)
			}
		}
		c.Forget()
		if got, err := token(t.Context(), c); got != "token 2" || err != nil || m.asked != 4 {
			t.Errorf("after a refusal: %q, %v, %d requests", got, err, m.asked)
		}
	}
}

// A key that cannot be read is told as such: the answer before it, 401, is none.
func TestAKeyOfAzureArcThatCannotBeRead(t *testing.T) {
	m, c := onArc(t, true)
	m.lost = true
	_, err := token(t.Context(), c)
	if fault.Of(err) != fault.Auth || !strings.Contains(err.Error(), arcKeys) || !strings.Contains(fault.Hint(err), "group himds") {
		t.Errorf("%v of class %v, hint %q", err, fault.Of(err), fault.Hint(err))
	}
}

// An old agent gives the token of the machine itself, whatever is asked for: it is not
// taken.
func TestAnOldAgentOfAzureArc(t *testing.T) {
	m, c := onArc(t, false)
	m.echo = false
	got, err := token(t.Context(), c)
	if err == nil || got != "" || fault.Of(err) != fault.Auth || !strings.Contains(fault.Hint(err), "system_assigned") {
		t.Errorf("%q, %v of class %v, hint %q", got, err, fault.Of(err), fault.Hint(err))
	}
}

// The agent is found by its program too, without the environment: at an address of this
// machine that is always the same.
func TestTheAddressOfAzureArcMayBeAsked(t *testing.T) {
	for _, name := range []string{"IDENTITY_ENDPOINT", "MSI_ENDPOINT", "IMDS_ENDPOINT"} {
		t.Setenv(name, "")
	}
	c, err := machineClient(nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:40342/metadata/identity/oauth2/token", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(r)
	if err == nil {
		_ = resp.Body.Close()
	} else if fault.Of(err) == fault.Untrusted {
		t.Error(err)
	}
}
