package servicetest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TokenServer is a token endpoint for client credentials (RFC 6749, section 4.4) whose tokens KafkaServer.TLS takes
// with OAUTHBEARER: JSON web tokens without a signature. It answers as Microsoft Entra ID does. Who asks shows a secret,
// an assertion that a certificate signed (RFC 7523), or the token of another issuer. It is safe for concurrent use.
type TokenServer struct {
	// URL is the endpoint, without TLS.
	URL string
	// LoginURL is the origin of Entra's endpoint for TenantID, with TLS by the authority of CAFile.
	LoginURL, CAFile string
	// TenantID is the tenant, ClientID and ClientSecret are who gets a token.
	TenantID, ClientID, ClientSecret string

	mu         sync.Mutex
	life, said time.Duration
	given      int
	asked      int
	down       int                       // status of its answers while it is; 0 = it is not
	trusted    map[string]*rsa.PublicKey // by thumbprint
	federated  string
	shown      []string
}

// Tokens starts a token endpoint for one test. Its tokens live for an hour, until SetLife says otherwise.
func Tokens(t testing.TB) *TokenServer {
	t.Helper()
	s := &TokenServer{TenantID: "11111111-2222-4333-8444-555555555555", ClientID: "99999999-8888-4777-8666-555555555555", ClientSecret: "hush", life: time.Hour, said: time.Hour}
	plain, secured := httptest.NewServer(s), httptest.NewTLSServer(s)
	t.Cleanup(plain.Close)
	t.Cleanup(secured.Close)
	s.URL, s.LoginURL = plain.URL+"/token", secured.URL
	s.CAFile = writeFile(t, filepath.Join(t.TempDir(), "login-ca.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secured.Certificate().Raw})))
	return s
}

// SetLife is for the tokens that are given from now on: how long the broker takes each, and what the endpoint says of
// it (expires_in, in whole seconds). With life below zero they have expired before they are used.
func (s *TokenServer) SetLife(life, said time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life, s.said = life, said
}

// Trust has the endpoint take what is signed with one of these certificates (PEM), and no other one.
func (s *TokenServer) Trust(t testing.TB, certificates ...[]byte) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trusted = map[string]*rsa.PublicKey{}
	for _, c := range certificates {
		cert := parseCertificate(t, c)
		key, ok := cert.PublicKey.(*rsa.PublicKey)
		if !ok {
			t.Fatalf("the certificate has a key of type %T", cert.PublicKey)
		}
		s.trusted[Thumbprint(t, c)] = key
	}
}

// TrustToken has the endpoint take a token of another issuer, and no other one.
func (s *TokenServer) TrustToken(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.federated = token
}

// SelfSigned makes a certificate that is valid from now on, and writes it with its key to a PEM file, whose content it
// returns.
func SelfSigned(t testing.TB, file string) []byte {
	t.Helper()
	return SelfSignedFrom(t, file, time.Now().Add(-time.Minute))
}

// SelfSignedFrom is SelfSigned with a begin of the certificate's validity.
func SelfSignedFrom(t testing.TB, file string, from time.Time) []byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatalf("make key: %v", err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: from.AddDate(1, 0, 0)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatalf("make certificate: %v", err)
	}
	pk, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatalf("marshal key: %v", err)
	}
	content := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pk})...)
	writeFile(t, file, string(content))
	return content
}

// Thumbprint is what an assertion names a certificate (PEM) by: x5t#S256 of RFC 7515, here in the plain base64 that Azure's
// library and Microsoft's examples write.
func Thumbprint(t testing.TB, certificate []byte) string {
	t.Helper()
	sum := sha256.Sum256(parseCertificate(t, certificate).Raw)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func parseCertificate(t testing.TB, content []byte) *x509.Certificate {
	t.Helper()
	b, _ := pem.Decode(content)
	if b == nil {
		t.Fatal("no PEM")
	}
	cert, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		t.Fatalf("parse certificate: %v", err)
	}
	return cert
}

// Given is how many tokens were given.
func (s *TokenServer) Given() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.given
}

// Fail has the endpoint answer every request for a token with a status; 0 = as it should.
func (s *TokenServer) Fail(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = status
}

// Asked is how many requests for a token there were.
func (s *TokenServer) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// Shown are the thumbprints of the certificates and the tokens of another issuer that were shown since it was last called.
func (s *TokenServer) Shown() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	shown := s.shown
	s.shown = nil
	return shown
}

// ServeHTTP answers as Microsoft Entra ID does.
func (s *TokenServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration") {
		base := s.LoginURL + "/" + s.TenantID
		answerJSON(w, http.StatusOK, map[string]any{"issuer": base + "/v2.0", "authorization_endpoint": base + "/oauth2/v2.0/authorize", "token_endpoint": base + "/oauth2/v2.0/token"})
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked++; s.down != 0 {
		w.WriteHeader(s.down)
		return
	}
	if code, text := s.refusal(r); code != 0 {
		answerJSON(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client", "error_codes": []int{code}, "error_description": fmt.Sprintf("AADSTS%d: %s\r\nTrace ID: 1", code, text)})
		return
	}
	s.given++
	answerJSON(w, http.StatusOK, map[string]any{"token_type": "Bearer", "expires_in": int(s.said.Seconds()), "access_token": UnsignedToken(s.life)})
}

// refusal is why a request gets no token; 0 = it gets one.
func (s *TokenServer) refusal(r *http.Request) (code int, text string) {
	const wrong = 7000215
	if r.FormValue("grant_type") != "client_credentials" || r.FormValue("client_id") != s.ClientID || !slices.ContainsFunc(strings.Fields(r.FormValue("scope")), isDefaultScope) {
		return wrong, "Invalid client secret provided."
	}
	shown := r.FormValue("client_assertion")
	switch {
	case shown == "" && r.FormValue("client_secret") == s.ClientSecret:
		return 0, ""
	case shown == "":
		return wrong, "Invalid client secret provided."
	case r.FormValue("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer":
		return 50027, "Invalid JWT token."
	case s.federated != "":
		if s.shown = append(s.shown, shown); shown != s.federated {
			return 700213, "No matching federated identity record found for presented assertion subject."
		}
		return 0, ""
	}
	if err := s.verify(shown, s.LoginURL+r.URL.Path); err != nil {
		return 700027, "The certificate with identifier used to sign the client assertion is not registered on application: " + err.Error()
	}
	return 0, ""
}

// isDefaultScope is of the one scope among those that are asked for that names an API; Azure's library adds others.
func isDefaultScope(s string) bool { return strings.HasSuffix(s, "/.default") }

// verify finds what is wrong with an assertion that a certificate signed.
// https://learn.microsoft.com/entra/identity-platform/certificate-credentials
func (s *TokenServer) verify(assertion, audience string) error {
	var head struct {
		Alg        string
		Thumbprint string `json:"x5t#S256"`
	}
	var claims struct {
		Aud, Iss, Sub, Jti string
		Exp, Nbf           int64
	}
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 || decodePart(parts[0], &head) != nil || decodePart(parts[1], &claims) != nil {
		return errors.New("no JSON web token")
	}
	s.shown = append(s.shown, head.Thumbprint)
	key, now := s.trusted[head.Thumbprint], time.Now().Unix()
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	switch {
	case key == nil:
		return errors.New("unknown certificate")
	case head.Alg != "PS256" || err != nil || rsa.VerifyPSS(key, crypto.SHA256, sum[:], signature, nil) != nil:
		return fmt.Errorf("the signature (%s) is not the certificate's", head.Alg)
	case claims.Aud != audience || claims.Iss != s.ClientID || claims.Sub != s.ClientID || claims.Jti == "" || claims.Exp <= now || claims.Nbf > now:
		return fmt.Errorf("claims %+v", claims)
	}
	return nil
}

func decodePart(part string, into any) error {
	b, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return fmt.Errorf("decode part of a token: %w", err)
	}
	return json.Unmarshal(b, into)
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// UnsignedToken is a JSON web token without a signature that lives so long from now on.
func UnsignedToken(life time.Duration) string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	now := time.Now()
	claims := fmt.Sprintf(`{"sub":"appgov","jti":%q,"iat":%d,"exp":%.3f}`, rand.Text(), now.Add(-24*time.Hour).Unix(), float64(now.Add(life).UnixMilli())/1000)
	return part(`{"alg":"none"}`) + "." + part(claims) + "."
}
