package msgraph

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/appgovd/appgovd/internal/entralogin"
	"github.com/appgovd/appgovd/internal/fault"
)

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
			cfg.ClientSecret, cfg.ManagedIdentity = "", &entralogin.ManagedIdentity{SystemAssigned: system}
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
		cfg.ClientSecret, cfg.ManagedIdentity, cfg.ClientID = "", &entralogin.ManagedIdentity{}, "99999999-8888-4777-8666-555555555550"
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
