package elastic

import (
	"encoding/base64"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/secret"
)

// A secret that is rotated in its file is in the next request, whichever kind
// it is.
func TestARotatedSecretIsUsedWithoutARestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	rotate := func(text string) {
		if err := os.WriteFile(file+".new", []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	basic := func(password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte("appgov:"+password))
	}
	for _, tt := range []struct {
		name string
		edit func(*Config)
		want func(secret string) string
	}{
		{"an API key", func(c *Config) { c.APIKey = secret.File(file) }, func(s string) string { return "ApiKey " + s }},
		{"a service token", func(c *Config) { c.ServiceToken = secret.File(file) }, func(s string) string { return "Bearer " + s }},
		{"a password", func(c *Config) { c.Username, c.Password = "appgov", secret.File(file) }, basic},
	} {
		t.Run(tt.name, func(t *testing.T) {
			api := &fake{}
			srv := httptest.NewTLSServer(api)
			defer srv.Close()
			c := Config{Addresses: []string{srv.URL}, TLS: &TLS{CAFile: sinktest.Authority(t, srv)}}
			tt.edit(&c)
			rotate("first")
			s, err := New(c, Options{Secret: secret.Resolver{}.Open})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			for _, now := range []string{"first", "second"} {
				rotate(now)
				if err := s.Write(t.Context(), sinktest.Batch(1)); err != nil {
					t.Fatal(err)
				}
				api.mu.Lock()
				if api.auth != tt.want(now) {
					t.Errorf("the request had %q, want %q", api.auth, tt.want(now))
				}
				api.mu.Unlock()
			}
		})
	}
}
