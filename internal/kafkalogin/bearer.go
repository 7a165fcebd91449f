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
	"sync"
	"time"

	"github.com/segmentio/kafka-go/sasl"

	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/outbound"
)

// bearer is OAUTHBEARER (RFC 7628) with a token by client credentials, which is kept
// until it is about to expire. It is safe for concurrent use.
type bearer struct {
	tokenURL, clientID, scope string
	secret                    func() (string, error)
	target                    Target
	client                    *http.Client
	now                       func() time.Time

	mu             sync.Mutex
	token          string
	renew, expires time.Time
}

// When a token is replaced: early before its end, or after three quarters of a life that
// is short. Where no new one is to be had, the one that there is does until lastUse before
// its end, and another is asked for every renewAgain.
const (
	early      = 5 * time.Minute
	lastUse    = 30 * time.Second
	renewAgain = time.Minute
	unsaid     = 5 * time.Minute // how long a token lives of which the endpoint does not say it
)

func newBearer(s SASL, t Target, o Options) (*bearer, error) {
	secret, err := o.Secret(s.ClientSecret)
	if err != nil {
		return nil, err
	}
	b := &bearer{tokenURL: s.TokenURL, clientID: s.ClientID, scope: s.Scope, secret: secret, target: t, now: o.Now}
	if b.scope == "" {
		host, _, _ := strings.Cut(t.Brokers[0], ":")
		b.scope = "https://" + host + "/.default"
	}
	u, err := url.Parse(b.tokenURL)
	if err != nil {
		return nil, fmt.Errorf("parse token_url: %w", err)
	}
	b.client, err = outbound.Client(outbound.Options{Origins: []string{u.Scheme + "://" + u.Host}, CAFile: s.CAFile, MaxBody: 1 << 20, Timeout: 30 * time.Second})
	return b, err
}

// Name is the mechanism as Kafka calls it.
func (b *bearer) Name() string { return Bearer }

// Start asks for a token, unless there is one.
func (b *bearer) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	token, kept, err := b.get(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("get token: %w", err)
	}
	return &bearing{b: b, token: token, kept: kept}, []byte("n,,\x01auth=Bearer " + token + "\x01\x01"), nil
}

// bearing is one log-in.
type bearing struct {
	b     *bearer
	token string
	kept  bool // it was not made for this log-in
}

// Next takes the server's answer: nothing, or why it refused. A token that was kept may
// have expired by the broker's clock: the next log-in has a new one, and only where that
// is refused, too, a human is to help.
func (s *bearing) Next(_ context.Context, challenge []byte) (bool, []byte, error) {
	if len(challenge) == 0 {
		return true, nil, nil
	}
	s.b.forget(s.token)
	var why struct{ Status string }
	if json.Unmarshal(challenge, &why) != nil || why.Status == "" {
		why.Status = "refused"
	}
	err := fmt.Errorf("the broker does not take the token: %s", outbound.Clean(string(outbound.Redact([]byte(why.Status), s.token)), 200))
	if s.kept {
		return false, nil, fault.WithHint(err, "the next attempt asks for a new token")
	}
	return false, nil, fault.WithHint(fault.NewAuth(err), s.b.advice())
}

func (b *bearer) advice() string {
	if b.target.IsHubs() {
		return "give the app the role " + b.target.role() + " on the namespace or the hub, and check scope: https://NAMESPACE.servicebus.windows.net/.default"
	}
	return "check that the broker trusts who issues the token (token_url), and expects its audience and scope; and the clocks of both"
}

// forget drops a token; one that came after it stays.
func (b *bearer) forget(token string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.token == token {
		b.token = ""
	}
}

func (b *bearer) due() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.token != "" && !b.now().Before(b.renew)
}

// get returns a token, and whether it was kept from before.
func (b *bearer) get(ctx context.Context) (token string, kept bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.token != "" && b.now().Before(b.renew) {
		return b.token, true, nil
	}
	answer, err := b.ask(ctx)
	switch now := b.now(); {
	case err == nil:
		life := cmp.Or(time.Duration(answer.ExpiresIn)*time.Second, unsaid)
		b.token, b.expires, b.renew = answer.AccessToken, now.Add(life), now.Add(life-min(early, life/4))
	case b.token != "" && now.Before(b.expires.Add(-lastUse)):
		b.renew = now.Add(renewAgain)
		return b.token, true, nil
	default:
		return "", false, err
	}
	return b.token, false, nil
}

// tokenAnswer is a token, or why there is none (RFC 6749, sections 5.1 and 5.2).
type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	ExpiresIn   int64  `json:"expires_in"`
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

func (b *bearer) ask(ctx context.Context) (a tokenAnswer, err error) {
	secret, err := b.secret()
	if err != nil {
		return a, fault.NewAuth(err)
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {b.clientID}, "client_secret": {secret}, "scope": {b.scope}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, b.tokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return a, fault.NewAuth(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := outbound.Do(b.client, r)
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
		return a, outbound.Classify(resp.StatusCode, resp.Header, b.now(), said)
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
