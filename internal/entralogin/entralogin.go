// Package entralogin owns how we come to what Microsoft Entra ID guards: the proofs of who
// we are (a secret, certificates, the token of another issuer, the machine's own identity)
// with their blocks of configuration and what is wrong with them, the tokens that Entra or
// the machine gives for a proof, and what helps where it gives none.
package entralogin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/outbound"
	"github.com/appgovd/appgovd/internal/secret"
)

// Where Microsoft's clouds give tokens.
const (
	Worldwide    = "https://login.microsoftonline.com"
	USGovernment = "https://login.microsoftonline.us"
	China        = "https://login.chinacloudapi.cn"
)

// Config is who asks for tokens, and where.
type Config struct {
	TenantID string // not needed for a managed identity
	ClientID string // application id; of a managed identity its own, "" for the machine's
	Proofs
	LoginURL string // scheme://host[:port] of what gives tokens; "" = Worldwide
	CAFile   string // PEM authorities instead of the system's
	Proxy    string // URL; "" = of the environment, "none" = no proxy
}

// Options of New.
type Options struct {
	Now    func() time.Time                                 // nil = the machine's clock
	Secret func(secret.Ref) (func() (string, error), error) // opens references; the function that it returns gives the current value; nil = secret.Resolver
	Dial   outbound.Dial                                    // nil = over the network

	// UnknownAPI is the advice where the tenant's cloud does not know what a token is
	// asked for, as in "https://graph.microsoft.com".
	UnknownAPI func(resource string) string
}

// Login gives tokens, as an azcore.TokenCredential does. Proofs are read again when they
// change, and cached tokens can be forgotten. It is safe for concurrent use. Its errors
// have a class and a hint.
type Login struct {
	cfg     Config
	now     func() time.Time
	unknown func(resource string) string

	client *http.Client // that asks for tokens

	mu     sync.Mutex
	proofs []*proof
}

// New opens the secrets, and reads the certificates: a file that is none is told at once.
// It sends nothing.
func New(cfg Config, o Options) (*Login, error) {
	cfg.LoginURL = strings.TrimRight(cmp.Or(cfg.LoginURL, Worldwide), "/")
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Secret == nil {
		o.Secret = secret.Resolver{}.Open
	}
	l := &Login{cfg: cfg, now: o.Now, unknown: o.UnknownAPI}
	c, err := cfg.client(o)
	if err != nil {
		return nil, err
	}
	l.client = c
	if l.proofs, err = proofs(cfg, o, c); err != nil {
		return nil, err
	}
	if len(cfg.ClientCertificates) > 0 {
		for _, p := range l.proofs {
			if err := p.ready(); err != nil {
				return nil, err
			}
		}
	}
	return l, nil
}

// client is what asks for tokens: LoginURL, or the machine, which is asked past every proxy.
func (c Config) client(o Options) (*http.Client, error) {
	if c.ManagedIdentity != nil {
		return machineClient(o.Dial)
	}
	login, err := outbound.Client(outbound.Options{Origins: []string{c.LoginURL}, CAFile: c.CAFile, Proxy: c.Proxy, Dial: o.Dial, MaxBody: maxAnswer, Timeout: time.Minute})
	if err != nil {
		return nil, fmt.Errorf("build login client: %w", err)
	}
	return login, nil
}

// GetToken returns a cached token or asks for one: with the first proof, and where
// the service refuses that one with the next.
func (l *Login) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	all, err := l.ready()
	if len(all) == 0 {
		return azcore.AccessToken{}, fault.NewAuth(err)
	}
	var first error
	for _, p := range all {
		t, err := l.ask(ctx, p.identity, o)
		var refused *refusedProof
		if err == nil || !errors.As(err, &refused) {
			return t, err
		}
		l.refuse(p.proof)
		if len(all) > 1 {
			err = fmt.Errorf("%s: %w", p.field, err)
		}
		first = cmp.Or(first, err)
	}
	return azcore.AccessToken{}, first
}

func (l *Login) ask(ctx context.Context, cred azcore.TokenCredential, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	var last answer
	t, err := cred.GetToken(context.WithValue(ctx, answerKey{}, &last), o)
	if err != nil {
		if ctx.Err() != nil {
			return t, fmt.Errorf("get token: %w", ctx.Err())
		}
		return t, l.explain(&last, resourceOf(o.Scopes), err)
	}
	return t, nil
}

// usable is a proof with the identity that it has now.
type usable struct {
	*proof
	identity
}

// ready returns the proofs that can be used, in the order in which they are to be; err
// is what is wrong with another one.
func (l *Login) ready() (all []usable, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var good []*proof
	for _, p := range l.proofs {
		if e := p.ready(); e != nil {
			err = cmp.Or(err, e)
			continue
		}
		good = append(good, p)
	}
	order(good, l.now())
	for _, p := range good {
		all = append(all, usable{p, *p.current})
	}
	return all, err
}

func (l *Login) refuse(p *proof) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.refused = l.now()
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

// Forget drops the cached tokens, so that the next request brings a new one:
// after a refusal, since permissions are fixed when a token is issued.
func (l *Login) Forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.proofs {
		p.current = nil
	}
}

// Close releases idle connections, which else end by themselves after a while; more than
// once is harmless.
func (l *Login) Close() { l.client.CloseIdleConnections() }
