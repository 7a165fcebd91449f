package servicetest

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// TokenServer is a token endpoint for client credentials (RFC 6749, section 4.4) whose tokens KafkaServer.TLS takes
// with OAUTHBEARER: JSON web tokens without a signature. It is safe for concurrent use.
type TokenServer struct {
	// URL is the endpoint.
	URL string
	// ClientID and ClientSecret are who gets a token.
	ClientID, ClientSecret string

	mu         sync.Mutex
	life, said time.Duration
	given      int
}

// Tokens starts a token endpoint for one test. Its tokens live for an hour, until SetLife says otherwise.
func Tokens(t testing.TB) *TokenServer {
	t.Helper()
	s := &TokenServer{ClientID: "app", ClientSecret: "hush", life: time.Hour, said: time.Hour}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.URL = server.URL + "/token"
	return s
}

// SetLife is for the tokens that are given from now on: how long the broker takes each, and what the endpoint says of
// it (expires_in, in whole seconds). With life below zero they have expired before they are used.
func (s *TokenServer) SetLife(life, said time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life, s.said = life, said
}

// Given is how many tokens were given.
func (s *TokenServer) Given() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.given
}

// ServeHTTP answers as Microsoft Entra ID does.
func (s *TokenServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.FormValue("grant_type") != "client_credentials" || r.FormValue("client_id") != s.ClientID || r.FormValue("client_secret") != s.ClientSecret || !strings.HasSuffix(r.FormValue("scope"), "/.default") {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided.\r\nTrace ID: 1"}`)
		return
	}
	s.mu.Lock()
	life, said := s.life, s.said
	s.given++
	s.mu.Unlock()
	_, _ = fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":%d,"access_token":%q}`, int(said.Seconds()), UnsignedToken(life))
}

// UnsignedToken is a JSON web token without a signature that lives so long from now on.
func UnsignedToken(life time.Duration) string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	now := time.Now()
	claims := fmt.Sprintf(`{"sub":"appgov","iat":%d,"exp":%.3f}`, now.Add(-24*time.Hour).Unix(), float64(now.Add(life).UnixMilli())/1000)
	return part(`{"alg":"none"}`) + "." + part(claims) + "."
}
