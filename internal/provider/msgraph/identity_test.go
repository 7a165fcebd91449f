package msgraph

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/appgovd/appgovd/internal/fault"
)

// registration is a token endpoint that knows some certificates and notes what it was
// shown. Documented: AADSTS700027 for a key that is not registered.
type registration struct {
	mu     sync.Mutex
	knows  map[string]bool // by x5t#S256
	shown  []string        // thumbprints, or assertions as they are
	opaque bool            // any assertion is taken
}

func (g *registration) token(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	_ = r.ParseForm()
	a := r.PostForm.Get("client_assertion")
	print := a
	if !g.opaque {
		head, _ := base64.RawURLEncoding.DecodeString(strings.SplitN(a, ".", 2)[0])
		var h struct {
			SHA256 string `json:"x5t#S256"`
		}
		_ = json.Unmarshal(head, &h)
		print = h.SHA256
	}
	g.shown = append(g.shown, print)
	if !g.opaque && !g.knows[print] {
		answer(w, 401, map[string]any{"error": "invalid_client", "error_codes": []int{700027}, "error_description": "AADSTS700027: The certificate with identifier used to sign the client assertion is not registered on application."})
		return
	}
	answer(w, 200, map[string]any{"token_type": "Bearer", "expires_in": 3600, "access_token": "t"})
}

func (g *registration) took() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := g.shown
	g.shown = nil
	return out
}

// learn registers a certificate, forget takes it away.
func (g *registration) learn(prints ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.knows = map[string]bool{}
	for _, p := range prints {
		g.knows[p] = true
	}
}

// signedBy reports whether an assertion was signed with a certificate.
func signedBy(t *testing.T, content []byte, shown string) bool {
	t.Helper()
	b, _ := pem.Decode(content)
	c, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(c.Raw)
	return strings.Contains(shown, base64.RawURLEncoding.EncodeToString(sum[:])) || strings.Contains(shown, base64.StdEncoding.EncodeToString(sum[:]))
}

func TestCertificatesAreRotatedWithoutAGap(t *testing.T) {
	g := &registration{}
	c := newCloud(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, map[string]any{"value": []any{}}) })
	c.set(func() { c.token = g.token })
	dir := t.TempDir()
	old, fresh := selfSigned(t), selfSignedFrom(t, epoch().AddDate(0, 6, 0))
	write := func(name string, content []byte) Certificate {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return Certificate{File: file}
	}
	p := c.provider(t, func(cfg *Config) {
		cfg.ClientSecret, cfg.ClientCertificates = "", []Certificate{write("old.pem", old), write("new.pem", fresh)}
	})
	ask := func() error {
		p.client.creds.forget()
		_, err := p.client.creds.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{scopeOf(c.URL)}})
		return err
	}
	if err := ask(); err == nil || !strings.Contains(err.Error(), "new.pem") || fault.Of(err) != fault.Auth || !strings.Contains(fault.Hint(err), "upload its public part") {
		t.Fatalf("with no certificate registered: %v, hint %q", err, fault.Hint(err))
	}
	first := g.took()
	if len(first) != 2 || !signedBy(t, fresh, first[0]) || !signedBy(t, old, first[1]) {
		t.Fatalf("shown %q: the newest is not shown first", first)
	}
	g.learn(first[1])
	c.clock.add(again)
	if err := ask(); err != nil {
		t.Fatalf("with the old one registered: %v", err)
	}
	if got := g.took(); len(got) != 2 || got[1] != first[1] {
		t.Fatalf("shown %q", got)
	}
	if err := ask(); err != nil || len(g.took()) != 1 {
		t.Fatalf("a certificate that was refused a moment ago is shown again: %v", err)
	}
	g.learn(first...)
	c.clock.add(again)
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	if got := g.took(); len(got) != 1 || got[0] != first[0] {
		t.Fatalf("with both registered %q is shown", got)
	}
	write("new.pem", []byte("half a file"))
	if err := ask(); err != nil {
		t.Fatalf("one broken file of two: %v", err)
	}
	if got := g.took(); len(got) != 1 || got[0] != first[1] {
		t.Fatalf("with a broken file %q is shown", got)
	}
}

func TestCertificatesOfOneTimeAreOrderedByThumbprint(t *testing.T) {
	mk := func(print string, days int) *proof {
		return &proof{field: print, current: &identity{thumbprint: print, from: epoch().AddDate(0, 0, days)}}
	}
	b, a, newest, refused := mk("bb", 0), mk("aa", 0), mk("cc", 1), mk("00", 9)
	refused.refused = epoch()
	all := []*proof{refused, b, a, newest}
	order(all, epoch().Add(time.Minute))
	for i, want := range []string{"cc", "aa", "bb", "00"} {
		if all[i].field != want {
			t.Errorf("place %d has %s, want %s", i, all[i].field, want)
		}
	}
}

func TestAWorkloadIdentityShowsTheTokenOfItsFile(t *testing.T) {
	g := &registration{opaque: true}
	c := newCloud(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, map[string]any{"value": []any{}}) })
	c.set(func() { c.token = g.token })
	file := filepath.Join(t.TempDir(), "token")
	p := c.provider(t, func(cfg *Config) { cfg.ClientSecret, cfg.WorkloadIdentity = "", &WorkloadIdentity{TokenFile: file} })
	read := func() error {
		p.client.creds.forget()
		_, err := p.named(t, nameAudits).Read(t.Context(), nil)
		return err
	}
	if err := read(); fault.Of(err) != fault.Auth || !strings.Contains(err.Error(), "workload_identity.token_file") {
		t.Fatalf("without a file: %v", err)
	}
	for _, token := range []string{"first.token.of-the-issuer", "second.token.of-the-issuer"} {
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := read(); err != nil {
			t.Fatal(err)
		}
		if got := g.took(); len(got) != 1 || got[0] != token {
			t.Errorf("shown %q, want %q", got, token)
		}
	}
	t.Run("one that the registration does not trust has its advice", func(t *testing.T) {
		c.set(func() {
			c.token = func(w http.ResponseWriter, _ *http.Request) {
				answer(w, 401, map[string]any{"error": "invalid_client", "error_codes": []int{700213}, "error_description": "AADSTS700213: No matching federated identity record found for presented assertion subject 'x'."})
			}
		})
		if err := read(); fault.Of(err) != fault.Auth || !strings.Contains(fault.Hint(err), "issuer, subject and audience") {
			t.Errorf("%v, hint %q", err, fault.Hint(err))
		}
	})
}

func TestAManagedIdentityAsksTheMachine(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	status := 200
	machine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.Header.Get("X-IDENTITY-HEADER")+" "+r.URL.Query().Get("resource")+" "+r.URL.Query().Get("client_id"))
		if status != 200 {
			answer(w, status, map[string]any{"statusCode": status, "message": "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId."})
			return
		}
		answer(w, 200, map[string]any{"access_token": "of the machine", "token_type": "Bearer", "expires_on": "4102444800", "resource": "x"})
	}))
	defer machine.Close()
	// Documented for App Service: the endpoint and a header come from the environment.
	t.Setenv("IDENTITY_ENDPOINT", machine.URL+"/msi/token")
	t.Setenv("IDENTITY_HEADER", "proof of place")
	c := newCloud(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer of the machine" {
			refuse(w, 401, "InvalidAuthenticationToken", "no")
			return
		}
		answer(w, 200, map[string]any{"value": []any{}})
	})
	for _, system := range []bool{false, true} {
		p := c.provider(t, func(cfg *Config) {
			cfg.ClientSecret, cfg.ManagedIdentity = "", &ManagedIdentity{SystemAssigned: system}
		})
		if _, err := p.named(t, nameAudits).Read(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		want := "proof of place " + c.URL + " " + testClient
		if system {
			want = "proof of place " + c.URL + " "
		}
		mu.Lock()
		if len(asked) == 0 || asked[len(asked)-1] != want {
			t.Errorf("asked %q, want %q", asked, want)
		}
		mu.Unlock()
	}
	mu.Lock()
	status = 400
	mu.Unlock()
	p := c.provider(t, func(cfg *Config) {
		cfg.ClientSecret, cfg.ManagedIdentity, cfg.ClientID = "", &ManagedIdentity{}, "99999999-8888-4777-8666-555555555550"
	})
	if _, err := p.named(t, nameAudits).Read(t.Context(), nil); fault.Of(err) != fault.Auth || !strings.Contains(fault.Hint(err), "assign the managed identity") {
		t.Errorf("of an identity that the machine lacks: %v, hint %q", err, fault.Hint(err))
	}
}

func TestClouds(t *testing.T) {
	for _, tt := range []struct {
		story                string
		change               func(*Config)
		graph, login, office string
	}{
		{"none is named: the world", func(*Config) {}, DefaultGraphURL, DefaultLoginURL, "https://manage.office.com"},
		{"GCC shares Graph with the world", func(c *Config) { c.Cloud = "gcc" }, DefaultGraphURL, DefaultLoginURL, "https://manage-gcc.office.com"},
		{"GCC High", func(c *Config) { c.Cloud = "gcc_high" }, "https://graph.microsoft.us", "https://login.microsoftonline.us", "https://manage.office365.us"},
		{"DoD", func(c *Config) { c.Cloud = "dod" }, "https://dod-graph.microsoft.us", "https://login.microsoftonline.us", "https://manage.protection.apps.mil"},
		{"China", func(c *Config) { c.Cloud = "china" }, "https://microsoftgraph.chinacloudapi.cn", "https://login.chinacloudapi.cn", ""},
		{"a cloud by its Graph", func(c *Config) { c.GraphURL = "https://graph.microsoft.us/" }, "https://graph.microsoft.us", "https://login.microsoftonline.us", "https://manage.office365.us"},
		{"an address of one's own wins", func(c *Config) { c.Cloud, c.LoginURL = "dod", "https://login.example" }, "https://dod-graph.microsoft.us", "https://login.example", "https://manage.protection.apps.mil"},
	} {
		t.Run(tt.story, func(t *testing.T) {
			c := good()
			tt.change(&c)
			if got := c.withDefaults(); got.GraphURL != tt.graph || got.LoginURL != tt.login || got.OfficeURL != tt.office {
				t.Errorf("got %s, %s, %s", got.GraphURL, got.LoginURL, got.OfficeURL)
			}
		})
	}
}

func TestWhatACloudLacksIsSaidAndTheRestGoesOn(t *testing.T) {
	c := newCloud(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, map[string]any{"value": []any{}}) })
	p := c.provider(t, func(cfg *Config) { cfg.Cloud = china })
	_, err := p.named(t, nameAlerts).Read(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "not available in this cloud (china)") || fault.Of(err) != fault.Permanent || fault.After(err) != licenceRetry || !strings.Contains(fault.Hint(err), "take this source out of collect") {
		t.Errorf("alerts: %v, again after %s, hint %q", err, fault.After(err), fault.Hint(err))
	}
	if len(c.requests()) != 0 {
		t.Errorf("asked %q", c.requests())
	}
	if _, err := p.named(t, nameAudits).Read(t.Context(), nil); err != nil {
		t.Errorf("audits: %v", err)
	}
	for _, x := range p.client.cfg.Permissions() {
		if x.Name == "SecurityAlert.Read.All" || x.Name == "ThreatHunting.Read.All" {
			t.Errorf("the permission %s is asked for", x.Name)
		}
	}
}
