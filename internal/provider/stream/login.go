package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/segmentio/kafka-go/sasl"

	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/kafkalogin"
	"github.com/appgovd/appgovd/internal/outbound"
)

// connectionUser is whom a connection string of Event Hubs logs in.
const connectionUser = "$ConnectionString"

// newLogin opens the secret of the block sasl.
func newLogin(c KafkaConfig, o Options) (sasl.Mechanism, error) {
	s := *c.SASL
	if s.Mechanism == mechanismBearer {
		return newBearer(c, o)
	}
	password, err := o.Secret(s.Password)
	if err != nil {
		return nil, err
	}
	return &login{mechanism: s.Mechanism, username: s.Username, password: password, topics: c.Topics}, nil
}

// login is a mechanism with the password of the moment, so that a rotated secret
// needs no restart.
type login struct {
	mechanism, username string
	password            func() (string, error)
	topics              []string
}

// Name is the mechanism as Kafka calls it.
func (l *login) Name() string { return l.mechanism }

// Start begins one log-in.
func (l *login) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	m, err := l.build()
	if err != nil {
		return nil, nil, err
	}
	return m.Start(ctx)
}

func (l *login) build() (sasl.Mechanism, error) {
	password, err := l.password()
	if err != nil {
		return nil, fault.NewAuth(err)
	}
	if l.username == connectionUser {
		if err := checkConnection(password, l.topics); err != nil {
			return nil, err
		}
	}
	return kafkalogin.Mechanism(l.mechanism, l.username, password)
}

// checkConnection finds what is wrong with a connection string without showing it.
func checkConnection(s string, topics []string) error {
	parts := map[string]string{}
	for _, p := range strings.Split(strings.TrimSpace(s), ";") {
		name, value, _ := strings.Cut(p, "=")
		parts[strings.ToLower(name)] = value
	}
	hub := parts["entitypath"]
	switch {
	case !strings.HasPrefix(parts["endpoint"], "sb://"), parts["sharedaccesskey"] == "" && parts["sharedaccesssignature"] == "":
		return fault.WithHint(fault.NewAuth(errors.New("the password is no connection string of Event Hubs")),
			"copy \"Connection string-primary key\" of a shared access policy with the claim Listen: Endpoint=sb://NAMESPACE.servicebus.windows.net/;SharedAccessKeyName=...;SharedAccessKey=...")
	case hub != "" && slices.ContainsFunc(topics, func(t string) bool { return !strings.EqualFold(t, hub) }):
		return fault.WithHint(fault.NewAuth(fmt.Errorf("the connection string is for the Event Hub %q alone, topics says %s", hub, strings.Join(topics, ", "))),
			"write that name in topics, or take the connection string of a policy of the whole namespace, which has no EntityPath")
	}
	return nil
}

// bearer is OAUTHBEARER (RFC 7628) with a token by client credentials, which is kept
// until it is about to expire. It is safe for concurrent use.
type bearer struct {
	tokenURL, clientID, scope string
	secret                    func() (string, error)
	client                    *http.Client
	now                       func() time.Time

	mu      sync.Mutex
	token   string
	expires time.Time
}

func newBearer(c KafkaConfig, o Options) (*bearer, error) {
	secret, err := o.Secret(c.SASL.ClientSecret)
	if err != nil {
		return nil, err
	}
	b := &bearer{tokenURL: c.SASL.TokenURL, clientID: c.SASL.ClientID, scope: c.SASL.Scope, secret: secret, now: o.Now}
	if b.scope == "" {
		host, _, _ := strings.Cut(c.Brokers[0], ":")
		b.scope = "https://" + host + "/.default"
	}
	u, err := url.Parse(b.tokenURL)
	if err != nil {
		return nil, fmt.Errorf("parse token_url: %w", err)
	}
	b.client, err = outbound.Client(outbound.Options{Origins: []string{u.Scheme + "://" + u.Host}, CAFile: c.SASL.CAFile, MaxBody: 1 << 20, Timeout: 30 * time.Second})
	return b, err
}

// Name is the mechanism as Kafka calls it.
func (b *bearer) Name() string { return mechanismBearer }

// Start asks for a token, unless there is one.
func (b *bearer) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	token, err := b.get(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("get token: %w", err)
	}
	return &bearing{b: b}, []byte("n,,\x01auth=Bearer " + token + "\x01\x01"), nil
}

// bearing is one log-in.
type bearing struct{ b *bearer }

// Next takes the server's answer: nothing, or why it refused.
func (s *bearing) Next(_ context.Context, challenge []byte) (bool, []byte, error) {
	if len(challenge) == 0 {
		return true, nil, nil
	}
	s.b.forget()
	var why struct{ Status string }
	if json.Unmarshal(challenge, &why) != nil || why.Status == "" {
		why.Status = "refused"
	}
	return false, nil, fault.WithHint(fault.NewAuth(fmt.Errorf("the broker does not take the token: %s", outbound.Clean(why.Status, 200))),
		"give the app the role Azure Event Hubs Data Receiver on the namespace or the hub, and check scope: https://NAMESPACE.servicebus.windows.net/.default")
}

func (b *bearer) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.token = ""
}

// early is how long before its end a token is replaced.
const early = 5 * time.Minute

func (b *bearer) get(ctx context.Context) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.token != "" && b.now().Before(b.expires.Add(-early)) {
		return b.token, nil
	}
	secret, err := b.secret()
	if err != nil {
		return "", fault.NewAuth(err)
	}
	answer, err := b.ask(ctx, url.Values{"grant_type": {"client_credentials"}, "client_id": {b.clientID}, "client_secret": {secret}, "scope": {b.scope}})
	if err != nil {
		return "", err
	}
	b.token, b.expires = answer.AccessToken, b.now().Add(time.Duration(answer.ExpiresIn)*time.Second)
	return b.token, nil
}

// tokenAnswer is a token, or why there is none (RFC 6749, sections 5.1 and 5.2).
type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	ExpiresIn   int64  `json:"expires_in"`
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

func (b *bearer) ask(ctx context.Context, form url.Values) (tokenAnswer, error) {
	var a tokenAnswer
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, b.tokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return a, fault.NewPermanent(err)
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
	bad := json.Unmarshal(body, &a)
	switch {
	case a.Error != "":
		first, _, _ := strings.Cut(a.Description, "\r\n")
		return a, fault.WithHint(fault.NewAuth(fmt.Errorf("%s: %s", outbound.Clean(a.Error, 100), outbound.Clean(first, 400))), "check client_id, client_secret, token_url (it names the tenant) and scope of the sasl block")
	case resp.StatusCode != http.StatusOK:
		return a, outbound.Classify(resp.StatusCode, resp.Header, b.now(), fmt.Errorf("the token endpoint answers %d", resp.StatusCode))
	case bad != nil || a.AccessToken == "":
		return a, errors.New("the token endpoint's answer has no token")
	}
	return a, nil
}
