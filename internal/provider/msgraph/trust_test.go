package msgraph

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/appgovd/appgovd/internal/entralogin"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/servicetest"
)

// TestForeignLinks: no request, with or without a token, reaches a host that is
// not configured.
func TestForeignLinks(t *testing.T) {
	var reached atomic.Int32
	foreign := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reached.Add(1)
		answer(w, 200, map[string]any{"value": []any{}})
	}))
	defer foreign.Close()
	page := func(member string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			answer(w, 200, map[string]any{"value": []any{map[string]any{"id": "x", "activityDateTime": epoch()}}, member: foreign.URL + "/v1.0/next?$skiptoken=1"})
		}
	}
	stored := func(c any) []byte { return encodeCursor(c) }
	for _, tt := range []struct {
		story, source string
		graph         http.HandlerFunc
		cursor        []byte
	}{
		{"a nextLink of a log", nameAudits, page("@odata.nextLink"), nil},
		{"a nextLink of a delta", nameApplications, page("@odata.nextLink"), nil},
		{"a deltaLink", nameGrants, page("@odata.deltaLink"), nil},
		{"a redirect", nameAudits, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, foreign.URL+r.URL.RequestURI(), http.StatusFound)
		}, nil},
		{"a nextLink read back from state", nameAudits, page(""), stored(windowCursor{V: 1, Start: epoch(), Live: epoch(), Mark: epoch(), Poll: &job{Low: epoch(), High: epoch(), Until: epoch(), Next: foreign.URL + "/x"}})},
		{"a deltaLink read back from state", namePrincipals, page(""), stored(deltaCursor{V: 1, Gen: 1, Based: true, Delta: foreign.URL + "/x", FullAt: epoch()})},
		{"a nextLink of assignments read back from state", nameAssignments, page(""), stored(assignCursor{V: 1, Pass: 1, Resources: []resource{{ID: testClient}}, Next: foreign.URL + "/x"})},
		{"a link in clear text to the same host", nameAudits, func(w http.ResponseWriter, r *http.Request) {
			answer(w, 200, map[string]any{"value": []any{}, "@odata.nextLink": "http://" + r.Host + "/v1.0/x"})
		}, nil},
	} {
		t.Run(tt.story+" stops the source", func(t *testing.T) {
			c := newCloud(t, tt.graph)
			_, err := c.provider(t, nil).named(t, tt.source).Read(t.Context(), tt.cursor)
			if err == nil || fault.Of(err) != fault.Untrusted || fault.Hint(err) == "" {
				t.Fatalf("error %v of class %v, hint %q", err, fault.Of(err), fault.Hint(err))
			}
			if strings.Contains(err.Error(), "skiptoken") {
				t.Fatalf("the error shows a query: %v", err)
			}
		})
	}
	t.Run("a token endpoint that the configuration document names elsewhere is not asked", func(t *testing.T) {
		c := newCloud(t, page(""))
		c.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			base := foreign.URL + "/" + testTenant
			answer(w, 200, map[string]any{"issuer": base + "/v2.0", "authorization_endpoint": base + "/a", "token_endpoint": base + "/t"})
		})
		if _, err := c.provider(t, nil).named(t, nameAudits).Read(t.Context(), nil); err == nil {
			t.Fatal("no error")
		}
	})
	if n := reached.Load(); n != 0 {
		t.Fatalf("%d requests reached the foreign host", n)
	}
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		story, source string
		graph         http.HandlerFunc
		class         fault.Class
		after         time.Duration
		text, hint    string
	}{
		{"a missing permission is named", nameAlerts, func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, 403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
		}, fault.Auth, 0, "403 Authorization_RequestDenied", "SecurityAlert.Read.All"},
		{"a missing licence is named", nameInteractive, func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, 403, "Authentication_RequestFromNonPremiumTenantOrB2CTenant", "Neither tenant is B2C or tenant doesn't have premium license")
		}, fault.Auth, 24 * time.Hour, "NonPremium", "licence"},
		{"a limit is kept with the time that it asks for", nameAudits, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "17")
			refuse(w, 429, "TooManyRequests", "slow down")
		}, fault.Throttled, 17 * time.Second, "429", "client_id"},
		{"a refused filter is permanent, with the server's words", nameAudits, func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, 400, "BadRequest", "Invalid filter clause\r\nInjected: line\x1b[31m")
		}, fault.Permanent, 0, "400 BadRequest: Invalid filter clause Injected: line", "initial_lookback"},
		{"a refusal in HTML is a gateway's mood at first", nameAudits, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(403)
		}, fault.Transient, 0, "403 Forbidden", ""},
		{"so is one that comes wrapped in JSON", nameAudits, func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, 403, "UnknownError", "<html><head><title>403 Forbidden</title></head></html>")
		}, fault.Transient, 0, "403 UnknownError", ""},
		{"a page of HTML in place of an answer is transient", nameAudits, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<html>"))
		}, fault.Transient, 0, "HTML", ""},
		{"a cloud without the endpoint is named", nameAlerts, func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, 400, "BadRequest", "Resource not found for the segment 'security'.")
		}, fault.Permanent, 0, "segment", "this cloud"},
		{"a server error is transient", nameGrants, func(w http.ResponseWriter, _ *http.Request) { refuse(w, 502, "", "") }, fault.Transient, 0, "502 Bad Gateway", ""},
	} {
		t.Run(tt.story, func(t *testing.T) {
			_, err := newCloud(t, tt.graph).provider(t, nil).named(t, tt.source).Read(t.Context(), nil)
			if err == nil || fault.Of(err) != tt.class || fault.After(err) != tt.after {
				t.Fatalf("error %v of class %v after %v", err, fault.Of(err), fault.After(err))
			}
			if !strings.Contains(err.Error(), tt.text) || !strings.Contains(fault.Hint(err), tt.hint) {
				t.Fatalf("error %q, hint %q", err, fault.Hint(err))
			}
			if got := fault.ReasonOf(err); (got == fault.NotLicensed) != strings.Contains(tt.hint, "licence") || (got == fault.NotInCloud) != strings.Contains(tt.hint, "cloud") {
				t.Fatalf("reason %q", got)
			}
			if strings.ContainsAny(err.Error(), "\r\n\x1b?") {
				t.Fatalf("the text is not clean: %q", err)
			}
		})
	}
}

func TestLastingHTMLNeedsAHuman(t *testing.T) {
	c := newCloud(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(403)
	})
	s := c.provider(t, nil).named(t, nameAudits)
	var err error
	for range htmlPatience + 1 {
		_, err = s.Read(t.Context(), nil)
	}
	if fault.Of(err) != fault.Auth || !strings.Contains(fault.Hint(err), "gateway") {
		t.Fatalf("%v, hint %q", err, fault.Hint(err))
	}
}

func TestRefusedTokenIsReplacedOnce(t *testing.T) {
	c := newCloud(t, nil)
	c.graph = func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer token-1" {
			refuse(w, 401, "InvalidAuthenticationToken", "Lifetime validation failed, the token is expired.")
			return
		}
		answer(w, 200, map[string]any{"value": []any{}})
	}
	s := c.provider(t, nil).named(t, nameAudits)
	_, err := s.Read(t.Context(), nil)
	if err == nil || fault.Of(err) != fault.Transient {
		t.Fatalf("the first refusal: %v, class %v", err, fault.Of(err))
	}
	if _, err := s.Read(t.Context(), nil); err != nil {
		t.Fatalf("with a fresh token: %v", err)
	}
	c.set(func() {
		c.graph = func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, 401, "InvalidAuthenticationToken", "wrong audience")
		}
	})
	_, _ = s.Read(t.Context(), nil)
	if _, err := s.Read(t.Context(), nil); fault.Of(err) != fault.Auth || !strings.Contains(fault.Hint(err), "login_url") {
		t.Fatalf("a fresh token refused: %v, hint %q", err, fault.Hint(err))
	}
}

func TestTokenErrors(t *testing.T) {
	refused := func(status int, code string, number int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			answer(w, status, map[string]any{"error": code, "error_description": text + "\r\nTrace ID: 1", "error_codes": []int{number}})
		}
	}
	for _, tt := range []struct {
		story string
		token http.HandlerFunc
		class fault.Class
		text  string
		hint  string
	}{
		{"a wrong secret", refused(401, "invalid_client", 7000215, "AADSTS7000215: Invalid client secret provided."), fault.Auth, "AADSTS7000215", "client secret is wrong"},
		{"an expired secret", refused(401, "invalid_client", 7000222, "AADSTS7000222: expired"), fault.Auth, "AADSTS7000222", "has expired"},
		{"an unknown app", refused(400, "unauthorized_client", 700016, "AADSTS700016: not found in the directory"), fault.Auth, "AADSTS700016", "client_id"},
		{"a wrong tenant", refused(400, "invalid_request", 90002, "AADSTS90002: Tenant not found."), fault.Auth, "AADSTS90002", "tenant_id"},
		{"an unknown refusal of the client", refused(401, "invalid_client", 1, "something"), fault.Auth, "invalid_client: something", "client_secret"},
		{"a login service that is down", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, fault.Transient, "503", ""},
		{"a login service that is busy", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "9")
			w.WriteHeader(429)
		}, fault.Throttled, "429", ""},
	} {
		t.Run(tt.story, func(t *testing.T) {
			c := newCloud(t, nil)
			c.set(func() { c.token = tt.token })
			_, err := c.provider(t, nil).named(t, nameAudits).Read(t.Context(), nil)
			if err == nil || fault.Of(err) != tt.class || !strings.Contains(err.Error(), tt.text) || !strings.Contains(fault.Hint(err), tt.hint) {
				t.Fatalf("error %v of class %v, hint %q", err, fault.Of(err), fault.Hint(err))
			}
			if strings.Contains(err.Error(), "hush") || strings.ContainsAny(err.Error(), "\r\n") || len(err.Error()) > 700 {
				t.Fatalf("text %q", err)
			}
		})
	}
	t.Run("an authority that is not trusted", func(t *testing.T) {
		c := newCloud(t, nil)
		_, err := c.provider(t, func(cfg *Config) { cfg.CAFile = "" }).named(t, nameAudits).Read(t.Context(), nil)
		if fault.Of(err) != fault.Auth || !strings.Contains(fault.Hint(err), "ca_file") {
			t.Fatalf("error %v, hint %q", err, fault.Hint(err))
		}
	})
}

func TestSecretIsReadAgainWhenItChanges(t *testing.T) {
	var got atomic.Value
	c := newCloud(t, func(w http.ResponseWriter, _ *http.Request) { refuse(w, 401, "InvalidAuthenticationToken", "") })
	c.set(func() {
		c.token = func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm()
			got.Store(r.PostForm.Get("client_secret"))
			answer(w, 200, map[string]any{"token_type": "Bearer", "expires_in": 3600, "access_token": "t"})
		}
	})
	file := filepath.Join(t.TempDir(), "secret")
	write := func(s string) {
		if err := os.WriteFile(file, []byte(s+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	cfg := c.config()
	cfg.ClientSecret = secretFile(file)
	p, err := New(t.Context(), cfg, Options{Name: "contoso", Decoder: testDecoder{}, Now: c.clock.read})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	s := p.named(t, nameAudits)
	for _, want := range []string{"first", "the second, which is longer"} {
		write(want)
		_, _ = s.Read(t.Context(), nil)
		if got.Load() != want {
			t.Fatalf("the token was asked for with %q, want %q", got.Load(), want)
		}
	}
}

func TestCertificate(t *testing.T) {
	c := newCloud(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, map[string]any{"value": []any{}}) })
	var assertion atomic.Value
	c.set(func() {
		c.token = func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm()
			assertion.Store(r.PostForm.Get("client_assertion"))
			answer(w, 200, map[string]any{"token_type": "Bearer", "expires_in": 3600, "access_token": "t"})
		}
	})
	file := filepath.Join(t.TempDir(), "client.pem")
	servicetest.SelfSigned(t, file)
	p := c.provider(t, func(cfg *Config) {
		cfg.ClientSecret, cfg.ClientCertificates = "", []entralogin.Certificate{{File: file}}
	})
	if _, err := p.named(t, nameAudits).Read(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if s, _ := assertion.Load().(string); strings.Count(s, ".") != 2 {
		t.Fatalf("the client assertion is %q", s)
	}
	t.Run("a file that is no certificate is refused at once", func(t *testing.T) {
		if err := os.WriteFile(file, []byte("nothing"), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := c.config()
		cfg.ClientSecret, cfg.ClientCertificates = "", []entralogin.Certificate{{File: file}}
		if _, err := New(t.Context(), cfg, Options{Name: "contoso", Decoder: testDecoder{}}); err == nil || !strings.Contains(err.Error(), "client_certificate") {
			t.Fatalf("error %v", err)
		}
	})
}

func TestTwoProvidersShareARegistry(t *testing.T) {
	c := newCloud(t, nil)
	reg := prometheus.NewRegistry()
	for _, name := range []string{"contoso", "fabrikam"} {
		p, err := New(t.Context(), c.config(), Options{Name: name, Metrics: reg, Decoder: testDecoder{}})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
	}
	p, err := New(t.Context(), c.config(), Options{Name: "contoso", Metrics: reg, Decoder: testDecoder{}})
	if err == nil {
		p.Close()
		t.Fatal("the same name twice is no error")
	}
}

func TestLinksOfAnotherOriginAreDroppedWhenTheConfigurationChanged(t *testing.T) {
	old := home{Origin: "https://old.example", Tenant: testTenant}
	at := epoch().Add(-time.Hour)
	window := func(next string) []byte {
		return encodeCursor(windowCursor{V: 1, Start: at, Live: at, Mark: at, Swept: at, Home: old, Poll: &job{Low: at, High: epoch(), Until: epoch(), Next: next}})
	}
	delta := func(link string) []byte {
		return encodeCursor(deltaCursor{V: 1, Gen: 4, Based: true, Delta: link, FullAt: at, Home: old})
	}
	assign := func(link string) []byte {
		return encodeCursor(assignCursor{V: 1, Pass: 2, Resources: []resource{{ID: testClient}}, Next: link, Home: old})
	}
	for name, cursor := range map[string]func(string) []byte{nameAudits: window, nameGrants: delta, nameAssignments: assign} {
		t.Run(name+" goes on at the new origin", func(t *testing.T) {
			c := newCloud(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.RawQuery == "old" {
					t.Errorf("the old link was followed")
				}
				answer(w, 200, map[string]any{"value": []any{}, "@odata.deltaLink": "https://" + r.Host + "/v1.0/d"})
			})
			p, err := c.provider(t, nil).named(t, name).Read(t.Context(), cursor("https://old.example/v1.0/x?old"))
			if err != nil || len(c.requests()) == 0 {
				t.Fatalf("%d requests, error %v", len(c.requests()), err)
			}
			if name == nameGrants && (p.Sync.Generation != 5 || p.Sync.Baseline) {
				t.Fatalf("%+v", p.Sync)
			}
		})
		t.Run(name+" stops where the link never led to its own origin", func(t *testing.T) {
			c := newCloud(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, map[string]any{"value": []any{}}) })
			_, err := c.provider(t, nil).named(t, name).Read(t.Context(), cursor("https://evil.example/v1.0/x?old"))
			if fault.Of(err) != fault.Untrusted || len(c.requests()) != 0 {
				t.Fatalf("%d requests, error %v", len(c.requests()), err)
			}
		})
	}
}
