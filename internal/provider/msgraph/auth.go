package msgraph

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/go-json-experiment/json"

	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/outbound"
	"github.com/appgovd/appgovd/internal/secret"
)

const maxTokenAnswer = 1 << 20

// credentials is a token credential whose secret or certificate is read again
// when it changes, and whose cached token can be forgotten. It is safe for
// concurrent use.
type credentials struct {
	cfg  Config
	http *http.Client
	now  func() time.Time
	// proof returns what proves who we are: the client secret, or the content
	// of the certificate file; password is for the latter.
	proof    func() (string, error)
	password func() (string, error)

	mu      sync.Mutex
	current azcore.TokenCredential
	made    string // the proof that current was made of
}

func newCredentials(cfg Config, c *http.Client, now func() time.Time, open func(secret.Ref) (func() (string, error), error)) (*credentials, error) {
	cr := &credentials{cfg: cfg, http: c, now: now}
	var err error
	if cfg.ClientCertificate == nil {
		if cr.proof, err = open(cfg.ClientSecret); err != nil {
			return nil, fmt.Errorf("read client_secret: %w", err)
		}
		return cr, nil
	}
	file := cfg.ClientCertificate.File
	cr.proof = func() (string, error) {
		b, err := os.ReadFile(file)
		return string(b), err
	}
	if !cfg.ClientCertificate.Password.IsZero() {
		if cr.password, err = open(cfg.ClientCertificate.Password); err != nil {
			return nil, fmt.Errorf("read client_certificate.password: %w", err)
		}
	}
	if _, err := cr.credential(); err != nil {
		return nil, err
	}
	return cr, nil
}

// GetToken returns a cached token or asks for one, once.
func (c *credentials) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	cred, err := c.credential()
	if err != nil {
		return azcore.AccessToken{}, fault.NewAuth(err)
	}
	var last tokenAnswer
	t, err := cred.GetToken(context.WithValue(ctx, tokenAnswerKey{}, &last), o)
	if err != nil {
		if ctx.Err() != nil {
			return t, fmt.Errorf("get token: %w", ctx.Err())
		}
		return t, last.explain(c.cfg, resourceOf(o.Scopes), c.now(), err)
	}
	return t, nil
}

// resourceOf is the API that a token with those scopes is for.
func resourceOf(scopes []string) string {
	for _, s := range scopes {
		if api, ok := strings.CutSuffix(s, "/.default"); ok {
			return api
		}
	}
	return ""
}

// forget drops the cached token, so that the next request brings a new one:
// after a refusal, since permissions are fixed when a token is issued.
func (c *credentials) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current = nil
}

func (c *credentials) credential() (azcore.TokenCredential, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	proof, err := c.proof()
	if err != nil {
		return nil, fmt.Errorf("read client credential: %w", err)
	}
	if c.current != nil && proof == c.made {
		return c.current, nil
	}
	cred, err := c.build(proof)
	if err != nil {
		return nil, err
	}
	c.current, c.made = cred, proof
	return cred, nil
}

func (c *credentials) build(proof string) (azcore.TokenCredential, error) {
	o := azcore.ClientOptions{
		Cloud:     azcloud.Configuration{ActiveDirectoryAuthorityHost: c.cfg.LoginURL, Services: map[azcloud.ServiceName]azcloud.ServiceConfiguration{}},
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Transport: (*tokenTransport)(c.http),
	}
	// The login origin is pinned by ourselves; the discovery of instances would
	// ask another host.
	if c.cfg.ClientCertificate == nil {
		cred, err := azidentity.NewClientSecretCredential(c.cfg.TenantID, c.cfg.ClientID, proof,
			&azidentity.ClientSecretCredentialOptions{ClientOptions: o, DisableInstanceDiscovery: true})
		if err != nil {
			return nil, fmt.Errorf("use client_secret: %w", err)
		}
		return cred, nil
	}
	var password []byte
	if c.password != nil {
		p, err := c.password()
		if err != nil {
			return nil, fmt.Errorf("read client_certificate.password: %w", err)
		}
		password = []byte(p)
	}
	certs, key, err := azidentity.ParseCertificates([]byte(proof), password)
	if err != nil {
		return nil, fmt.Errorf("parse client_certificate %s: %w", c.cfg.ClientCertificate.File, err)
	}
	cred, err := azidentity.NewClientCertificateCredential(c.cfg.TenantID, c.cfg.ClientID, certs, key,
		&azidentity.ClientCertificateCredentialOptions{ClientOptions: o, DisableInstanceDiscovery: true, SendCertificateChain: true})
	if err != nil {
		return nil, fmt.Errorf("use client_certificate: %w", err)
	}
	return cred, nil
}

// tokenAnswer is the last thing that the token endpoint did during one call of
// GetToken: azidentity's own error repeats whole answers and loses causes.
type tokenAnswer struct {
	err    error
	status int
	header http.Header
	body   []byte
}

type tokenAnswerKey struct{}

// tokenTransport sends azidentity's requests and notes what failed.
type tokenTransport http.Client

// Do implements policy.Transporter.
func (t *tokenTransport) Do(r *http.Request) (*http.Response, error) {
	a, _ := r.Context().Value(tokenAnswerKey{}).(*tokenAnswer)
	if a == nil {
		a = &tokenAnswer{}
	}
	resp, err := outbound.Do((*http.Client)(t), r)
	if err != nil {
		a.err = err
		return nil, err
	}
	body, err := io.ReadAll(outbound.LimitBody(resp.Body, maxTokenAnswer))
	_ = resp.Body.Close()
	if err != nil {
		a.err = fmt.Errorf("read token answer: %w", err)
		return nil, a.err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	*a = tokenAnswer{}
	if resp.StatusCode != http.StatusOK {
		*a = tokenAnswer{status: resp.StatusCode, header: resp.Header, body: body}
	}
	return resp, nil
}

// explain turns a failed call into one sentence with a class and a hint.
func (a *tokenAnswer) explain(cfg Config, resource string, now time.Time, err error) error {
	switch {
	case a.err != nil:
		return fmt.Errorf("get token: %w", a.err)
	case a.status == 0:
		return fmt.Errorf("get token: %s", outbound.Clean(err.Error(), 300))
	}
	var e struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
		Codes       []int  `json:"error_codes"`
	}
	_ = json.Unmarshal(a.body, &e)
	// The description goes on with trace ids and a timestamp in lines of their own.
	first, _, _ := strings.Cut(e.Description, "\r\n")
	first, _, _ = strings.Cut(first, " Trace ID:")
	said := outbound.Clean(e.Error+": "+first, 400)
	if e.Error == "" {
		said = http.StatusText(a.status)
	}
	cause := fmt.Errorf("get token: %s answered %d: %s", cfg.LoginURL, a.status, said)
	if a.status == http.StatusTooManyRequests || a.status >= 500 {
		return outbound.Classify(a.status, a.header, now, cause)
	}
	return fault.WithHint(fault.NewAuth(cause), tokenHint(e.Codes, e.Error, said, resource, cfg))
}

// tokenHint is what helps; see
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes.
func tokenHint(codes []int, code, said, resource string, cfg Config) string {
	for _, n := range codes {
		switch n {
		case 7000215:
			return "the client secret is wrong: client_secret must be the secret's value, not its id; a new value is read without a restart"
		case 7000222:
			return "the client secret has expired: create a new one for the app registration; a new value is read without a restart"
		case 700016, 700038:
			return "the app registration " + cfg.ClientID + " is not in tenant " + cfg.TenantID + ": check client_id and tenant_id"
		case 90002, 900023, 900021, 50059:
			return "there is no tenant " + cfg.TenantID + " at " + cfg.LoginURL + ": check tenant_id, and login_url for a national cloud"
		case 700024:
			return "the client assertion is not valid by the service's clock: set this machine's clock, as by NTP"
		case 500011, 500014, 650057, 900382, 900384:
			if resource != cfg.GraphURL {
				return "the tenant does not know " + resource + ": office_url and login_url must belong to the same cloud, the one that holds the tenant; a tenant without Microsoft 365 has no such API: take the office_ sources out of collect"
			}
			return "the tenant's cloud does not know " + resource + ": graph_url and login_url must belong to the same cloud, the one that holds the tenant"
		case 700027, 7000273:
			if strings.Contains(strings.ToLower(said), "expired") {
				return "the client certificate has expired: upload the public part of a new one to the app registration, and put the new file in its place; it is read without a restart"
			}
			return "the client certificate was refused: upload its public part to the app registration, and check its dates and this machine's clock"
		case 700023:
			return "the client certificate was refused: upload its public part to the app registration, and check its dates and this machine's clock"
		case 53003, 530003:
			return "a Conditional Access policy for workload identities blocks this sign-in: exempt this machine's address or the app"
		case 7000112:
			return "the app is disabled in the tenant: enable the service principal again"
		}
	}
	if code == "invalid_client" {
		return "the client secret or certificate was refused: check client_secret, its expiry, and client_id"
	}
	return "check tenant_id, client_id and the credential of the app registration"
}

// errNoToken guards against a request that would leave without a token.
var errNoToken = errors.New("no token was given for this host")
