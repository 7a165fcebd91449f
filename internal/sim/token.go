package sim

import (
	"cmp"
	"crypto"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// tokenizer makes and checks access tokens and the opaque tokens of links.
// Both are signed with a key made from the seed, so that a restarted
// simulator honours the links of the one before it.
type tokenizer struct {
	key   [32]byte
	o     Options
	epoch int // tokens of an earlier epoch are expired; guarded by Cloud.mu
}

// claims is the body of an access token. Documented: names of an app-only
// token of v1.0.
type claims struct {
	Audience string   `json:"aud"`
	Issuer   string   `json:"iss"`
	IssuedAt int64    `json:"iat"`
	NotYet   int64    `json:"nbf"`
	Expires  int64    `json:"exp"`
	AppID    string   `json:"appid"`
	IDType   string   `json:"idtyp"`
	Roles    []string `json:"roles"`
	Tenant   string   `json:"tid"`
	Version  string   `json:"ver"`
	Epoch    int      `json:"sim_epoch"`
}

func newTokenizer(o Options) tokenizer {
	var seed [8]byte
	binary.BigEndian.PutUint64(seed[:], uint64(o.Seed))
	return tokenizer{key: sha256.Sum256(append([]byte("appgov-sim key of "+o.TenantID), seed[:]...)), o: o}
}

func (t *tokenizer) sign(text string) string {
	m := hmac.New(sha256.New, t.key[:])
	m.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// access makes an access token.
func (t *tokenizer) access(audience, issuer string, now time.Time) (string, error) {
	body, err := json.Marshal(claims{
		Audience: audience, Issuer: issuer, IssuedAt: now.Unix(), NotYet: now.Unix(), Expires: now.Add(t.o.TokenLifetime).Unix(),
		AppID: t.o.ClientID, IDType: "app", Roles: t.o.Roles, Tenant: t.o.TenantID, Version: "1.0", Epoch: t.epoch,
	})
	if err != nil {
		return "", fmt.Errorf("make token: %w", err)
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"JWT","alg":"HS256"}`)) + "." + base64.RawURLEncoding.EncodeToString(body)
	return text + "." + t.sign(text), nil
}

// verify returns the claims of a token that this tenant issued and that has
// not expired.
func (t *tokenizer) verify(token string, now time.Time) (claims, error) {
	var cl claims
	cut := strings.LastIndexByte(token, '.')
	if cut < 0 || !hmac.Equal([]byte(t.sign(token[:cut])), []byte(token[cut+1:])) {
		return cl, refusal("Access token validation failure. Invalid signature.")
	}
	_, body, _ := strings.Cut(token[:cut], ".")
	raw, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil || json.Unmarshal(raw, &cl) != nil {
		return cl, refusal("CompactToken parsing failed.")
	}
	if now.Unix() >= cl.Expires || cl.Epoch != t.epoch {
		return cl, refusal("Lifetime validation failed, the token is expired.")
	}
	return cl, nil
}

// seal makes the opaque text of a link's token; open reads it back.
func (t *tokenizer) seal(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	text := base64.RawURLEncoding.EncodeToString(raw)
	return text + "." + t.sign(text)[:16]
}

func (t *tokenizer) open(token string, v any) bool {
	text, mac, ok := strings.Cut(token, ".")
	if !ok || !hmac.Equal([]byte(t.sign(text)[:16]), []byte(mac)) {
		return false
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	return err == nil && json.Unmarshal(raw, v) == nil
}

// serveToken answers the client credentials flow. Documented: parameters,
// answer, error codes.
func (c *Cloud) serveToken(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	if err := r.ParseForm(); err != nil {
		c.refuseToken(w, http.StatusBadRequest, "invalid_request", 900144, "The request body could not be read.")
		return
	}
	if status, code, number, message := c.checkClient(r); status != 0 {
		c.refuseToken(w, status, code, number, message)
		return
	}
	audience, _ := audienceOf(r.PostForm.Get("scope"))
	c.mu.Lock()
	token, err := c.tokens.access(audience, origin(r)+"/"+c.o.TenantID+"/", c.o.Now())
	c.mu.Unlock()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	life := int(c.o.TokenLifetime / time.Second)
	writeJSON(w, http.StatusOK, object{{"token_type", "Bearer"}, {"expires_in", life}, {"ext_expires_in", life}, {"access_token", token}})
}

func (c *Cloud) checkClient(r *http.Request) (status int, code string, number int, message string) {
	form := r.PostForm
	switch {
	case r.PathValue("tenant") != c.o.TenantID:
		return 400, "invalid_request", 90002, fmt.Sprintf("Tenant '%s' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud.", r.PathValue("tenant"))
	case form.Get("grant_type") != "client_credentials":
		return 400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type."
	case form.Get("client_id") != c.o.ClientID:
		return 400, "unauthorized_client", 700016, fmt.Sprintf("Application with identifier '%s' was not found in the directory 'Contoso (simulated)'.", form.Get("client_id"))
	case !scoped(form.Get("scope")):
		return 400, "invalid_scope", 70011, "The provided request must include a 'scope' input parameter that ends with '/.default'."
	case form.Get("client_assertion") != "":
		if err := c.checkAssertion(form.Get("client_assertion")); err != nil {
			return 401, "invalid_client", 700027, "The certificate with identifier used to sign the client assertion is not registered on application. " + err.Error()
		}
	case form.Get("client_secret") != cmp.Or(c.Faults().ClientSecret, c.o.ClientSecret):
		return 401, "invalid_client", 7000215, "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '" + c.o.ClientID + "'."
	}
	return 0, "", 0, ""
}

// audienceOf is the resource of a scope list. Documented: one of its entries
// ends with /.default; client libraries add openid and others.
func audienceOf(scopes string) (string, bool) {
	for s := range strings.FieldsSeq(scopes) {
		if aud, ok := strings.CutSuffix(s, "/.default"); ok {
			return aud, true
		}
	}
	return "", false
}

func scoped(scopes string) bool {
	_, ok := audienceOf(scopes)
	return ok
}

// checkAssertion checks a client assertion of RFC 7523. Documented: RS256 or
// PS256, issuer and subject are the client. Assumed: without a configured
// certificate any signature passes.
func (c *Cloud) checkAssertion(jwt string) error {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return refusal("It is not a JSON web token.")
	}
	var head struct{ Alg string }
	var body struct {
		Iss, Sub string
		Exp      int64
	}
	if decodePart(parts[0], &head) != nil || decodePart(parts[1], &body) != nil {
		return refusal("It cannot be decoded.")
	}
	if body.Iss != c.o.ClientID || body.Sub != c.o.ClientID || body.Exp <= c.o.Now().Unix() {
		return refusal("Its issuer, subject or expiry is wrong.")
	}
	if c.o.ClientCert == nil {
		return nil
	}
	return verifySignature(c.o.ClientCert, head.Alg, parts)
}

func decodePart(text string, v any) error {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, v)
}

func verifySignature(der []byte, alg string, parts []string) error {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("parse client certificate: %w", err)
	}
	key, ok := cert.PublicKey.(*rsa.PublicKey)
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	if !ok || err != nil {
		return refusal("Its signature cannot be read.")
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if alg == "PS256" {
		return rsa.VerifyPSS(key, crypto.SHA256, sum[:], sig, nil)
	}
	return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], sig)
}

// refuseToken answers an error of the token endpoint in its documented shape.
func (c *Cloud) refuseToken(w http.ResponseWriter, status int, code string, number int, message string) {
	now := c.o.Now()
	trace := c.random(domFault, uint64(now.UnixNano())).guid()
	writeJSON(w, status, object{
		{"error", code},
		{"error_description", fmt.Sprintf("AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: %s", number, message, trace, trace, now.UTC().Format("2006-01-02 15:04:05Z"))},
		{"error_codes", list{number}}, {"timestamp", now.UTC().Format("2006-01-02 15:04:05Z")}, {"trace_id", trace}, {"correlation_id", trace},
	})
}

// serveConfiguration is the discovery document of OpenID Connect that MSAL
// asks for first. Documented.
func (c *Cloud) serveConfiguration(w http.ResponseWriter, r *http.Request) {
	base := origin(r) + "/" + r.PathValue("tenant")
	writeJSON(w, http.StatusOK, object{
		{"token_endpoint", base + "/oauth2/v2.0/token"}, {"authorization_endpoint", base + "/oauth2/v2.0/authorize"},
		{"issuer", base + "/v2.0"}, {"jwks_uri", base + "/discovery/v2.0/keys"},
		{"response_types_supported", []string{"code"}}, {"subject_types_supported", []string{"pairwise"}},
	})
}

// serveInstance answers MSAL's instance discovery. Documented.
func (c *Cloud) serveInstance(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, http.StatusOK, object{
		{"tenant_discovery_endpoint", origin(r) + "/" + c.o.TenantID + "/v2.0/.well-known/openid-configuration"}, {"api-version", "1.1"},
		{"metadata", list{object{{"preferred_network", r.Host}, {"preferred_cache", r.Host}, {"aliases", []string{r.Host}}}}},
	})
}
