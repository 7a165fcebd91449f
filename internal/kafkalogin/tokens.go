package kafkalogin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/appgovd/appgovd/internal/entralogin"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/outbound"
)

// giver asks for one token. Its errors have a class.
type giver = func(ctx context.Context, scope string) (azcore.AccessToken, error)

// newEntra asks Microsoft Entra ID, or the machine of a managed identity.
func newEntra(s SASL, t Target, o Options) (giver, error) {
	login, err := entralogin.New(entralogin.Config{TenantID: s.TenantID, ClientID: s.ClientID, Proofs: s.proofs(), LoginURL: cmp.Or(s.LoginURL, t.loginURL()), CAFile: s.CAFile},
		entralogin.Options{Now: o.Now, Secret: o.Secret, Dial: o.Dial, UnknownAPI: t.unknownAPI})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, scope string) (azcore.AccessToken, error) {
		login.Forget() // the one that there was is kept by who asks
		return login.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
	}, nil
}

// server is a token endpoint for client credentials (RFC 6749, section 4.4).
type server struct {
	url, clientID string
	secret        func() (string, error)
	client        *http.Client
	now           func() time.Time
}

// unsaid is how long a token lives of which the endpoint does not say it.
const unsaid = 5 * time.Minute

func newServer(s SASL, o Options) (giver, error) {
	secret, err := o.Secret(s.ClientSecret)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(s.TokenURL)
	if err != nil {
		return nil, fmt.Errorf("parse token_url: %w", err)
	}
	client, err := outbound.Client(outbound.Options{Origins: []string{u.Scheme + "://" + u.Host}, CAFile: s.CAFile, Dial: o.Dial, MaxBody: 1 << 20, Timeout: 30 * time.Second})
	return (&server{url: s.TokenURL, clientID: s.ClientID, secret: secret, client: client, now: o.Now}).give, err
}

func (s *server) give(ctx context.Context, scope string) (azcore.AccessToken, error) {
	a, err := s.ask(ctx, scope)
	if err != nil {
		return azcore.AccessToken{}, fmt.Errorf("get token: %w", err)
	}
	return azcore.AccessToken{Token: a.AccessToken, ExpiresOn: s.now().Add(cmp.Or(time.Duration(a.ExpiresIn)*time.Second, unsaid))}, nil
}

// tokenAnswer is a token, or why there is none (RFC 6749, sections 5.1 and 5.2).
type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	ExpiresIn   int64  `json:"expires_in"`
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

func (s *server) ask(ctx context.Context, scope string) (a tokenAnswer, err error) {
	secret, err := s.secret()
	if err != nil {
		return a, fault.NewAuth(err)
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {s.clientID}, "client_secret": {secret}, "scope": {scope}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, strings.NewReader(form.Encode()))
	if err != nil {
		return a, fault.NewAuth(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := outbound.Do(s.client, r)
	if err != nil {
		return a, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return a, err
	}
	bad := json.Unmarshal(outbound.Redact(body, secret), &a)
	said := fmt.Errorf("the token endpoint answers %d", resp.StatusCode)
	switch {
	case resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode >= http.StatusInternalServerError:
		return a, outbound.Classify(resp.StatusCode, resp.Header, s.now(), said)
	case a.Error != "":
		first, _, _ := strings.Cut(a.Description, "\r\n")
		said = fmt.Errorf("%s: %s", outbound.Clean(a.Error, 100), outbound.Clean(first, 400))
		fallthrough
	case resp.StatusCode != http.StatusOK: // never permanent: it is about no alert
		return a, fault.WithHint(fault.NewAuth(said), "check client_id, client_secret, token_url (it names the tenant) and scope of the sasl block")
	case bad != nil || a.AccessToken == "":
		return a, errors.New("the token endpoint's answer has no token")
	}
	return a, nil
}
