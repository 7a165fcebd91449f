package msgraph

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	abs "github.com/microsoft/kiota-abstractions-go"
	azauth "github.com/microsoft/kiota-authentication-azure-go"
	kiota "github.com/microsoft/kiota-http-go"
	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/entralogin"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/outbound"
)

// client sends requests to one API of one tenant: Graph, or the Management Activity
// API. One try each, no redirect to elsewhere, no link to elsewhere.
type client struct {
	origin  *url.URL // of the API
	adapter *kiota.NetHttpRequestAdapter
	http    *http.Client
	creds   *entralogin.Login
	cfg     Config
	agent   string
	now     func() time.Time
	metrics *metrics
}

// newLogin builds what asks for tokens. All APIs of a tenant share it.
func newLogin(cfg Config, o Options) (*entralogin.Login, error) {
	return entralogin.New(entralogin.Config{TenantID: cfg.TenantID, ClientID: cfg.ClientID, Proofs: cfg.proofs(), LoginURL: cfg.LoginURL, CAFile: cfg.CAFile, Proxy: cfg.Proxy},
		entralogin.Options{Now: o.Now, Secret: o.Secret, Dial: o.Dial, UnknownAPI: cfg.unknownAPI})
}

// unknownAPI is what helps where the tenant's cloud does not know an API.
func (c Config) unknownAPI(resource string) string {
	if resource != c.GraphURL {
		return "the tenant does not know " + resource + ": office_url and login_url must belong to the same cloud, the one that holds the tenant; a tenant without Microsoft 365 has no such API: take the office_ sources out of collect"
	}
	return "the tenant's cloud does not know " + resource + ": graph_url and login_url must belong to the same cloud, the one that holds the tenant"
}

// newClient builds the client of the API at an origin, for which tokens are asked.
func newClient(cfg Config, at string, creds *entralogin.Login, o Options, m *metrics) (*client, error) {
	origin, err := url.Parse(at)
	if err != nil {
		return nil, errors.New("parse the API's origin: not a URL")
	}
	httpClient, err := outbound.Client(outbound.Options{Origins: []string{at}, CAFile: cfg.CAFile, Proxy: cfg.Proxy, Dial: o.Dial, MaxBody: maxBody, HeaderTimeout: 2 * time.Minute})
	if err != nil {
		return nil, fmt.Errorf("build client of %s: %w", at, err)
	}
	auth, err := azauth.NewAzureIdentityAuthenticationProviderWithScopesAndValidHostsAndObservabilityOptionsAndIsCaeEnabled(
		creds, []string{scopeOf(at)}, []string{origin.Hostname()}, azauth.ObservabilityOptions{}, false)
	if err != nil {
		return nil, fmt.Errorf("build authentication: %w", err)
	}
	// The adapter builds and authenticates requests; it never sends one, so that
	// none of its middleware follows a redirect or tries again.
	adapter, err := kiota.NewNetHttpRequestAdapterWithParseNodeFactoryAndSerializationWriterFactoryAndHttpClient(auth, nil, nil, httpClient)
	if err != nil {
		return nil, fmt.Errorf("build request adapter: %w", err)
	}
	return &client{origin: origin, adapter: adapter, http: httpClient, creds: creds, cfg: cfg, agent: "appgovd/" + o.Version, now: o.Now, metrics: m}, nil
}

// scopeOf is what a token for the API at an origin is asked for with.
func scopeOf(origin string) string { return origin + "/.default" }

// errNoToken guards against a request that would leave without a token.
var errNoToken = errors.New("no token was given for this host")

func (c *client) close() {
	c.http.CloseIdleConnections()
	c.creds.Close()
}

// link is the request for a link of an earlier answer. A link to another origin
// is of class fault.Untrusted.
func (c *client) link(link string) (*abs.RequestInformation, error) {
	if err := outbound.CheckLink(c.origin, link); err != nil {
		return nil, err
	}
	u, err := url.Parse(link)
	if err != nil {
		return nil, fault.NewUntrusted(errors.New("parse link: not a URL"))
	}
	info := abs.NewRequestInformation()
	info.Method = abs.GET
	info.SetUri(*u)
	info.Headers.TryAdd("Accept", "application/json")
	return info, nil
}

// caller is the client as one source uses it, from one goroutine.
type caller struct {
	*client
	spec   spec
	key    string
	budget *budget
	reason func(error) string // why a record could not be decoded
	log    *zap.Logger

	date  time.Time     // of the last answer, by the service's clock
	heard time.Time     // when it came, by ours
	skew  time.Duration // of the service's clock against ours; 0 when it is small

	distrust bool // the service's clock led to times that it refused

	tried time.Time // when the first read failed, by the service's clock; what was to be read then is read once it can be

	refused int // 401 answers in a row
	html    int // refusals in HTML in a row
}

// manner is how a request is sent.
type manner struct {
	sweep bool          // it waits behind polls
	limit time.Duration // for the answer; 0 = that of the client
	form  form          // of the answer
}

// form is how an answer is laid out.
type form int

// Forms of answers.
const (
	formPage   form = iota // a page of a collection
	formSingle             // one object
	formHunt               // a result of a hunting query
	formList               // a list without anything around it; its header leads on
)

// page sends one request and reads its answer. Links of the answer are checked
// before they are returned.
func (c *caller) page(ctx context.Context, info *abs.RequestInformation, how manner, each func(raw []byte)) (links, error) {
	if err := c.budget.take(ctx, c.spec.cost, how.sweep); err != nil {
		return links{}, err
	}
	if how.sweep {
		info.Headers.TryAdd("x-ms-throttle-priority", "Low")
	}
	if how.limit == 0 {
		return c.read(ctx, info, how.form, each)
	}
	limited, cancel := context.WithTimeout(ctx, how.limit)
	defer cancel()
	l, err := c.read(limited, info, how.form, each)
	if limited.Err() != nil && ctx.Err() == nil && err != nil {
		err = &lostAnswer{fmt.Errorf("no answer within %s: %w", how.limit, context.DeadlineExceeded)}
	}
	return l, err
}

func (c *caller) read(ctx context.Context, info *abs.RequestInformation, f form, each func(raw []byte)) (links, error) {
	resp, err := c.send(ctx, info)
	if err != nil {
		return links{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	if err := c.refusal(resp); err != nil {
		return links{}, err
	}
	counted := &counter{r: resp.Body}
	decode := decodePage
	switch f {
	case formSingle:
		decode = decodeSingle
	case formHunt:
		decode = decodeHunt
	case formList:
		decode = decodeList
	case formPage:
	}
	l, err := decode(counted, each)
	c.metrics.bytes.WithLabelValues(c.key).Add(float64(counted.n))
	if err != nil {
		if ctx.Err() != nil {
			return links{}, fmt.Errorf("read page: %w", ctx.Err())
		}
		return links{}, err
	}
	if f == formList {
		l.next = resp.Header.Get("NextPageUri")
	}
	return l, c.check(l)
}

func (c *caller) check(l links) error {
	for _, s := range []string{l.next, l.delta} {
		if s == "" {
			continue
		}
		if err := outbound.CheckLink(c.origin, s); err != nil {
			return err
		}
	}
	return nil
}

func (c *caller) send(ctx context.Context, info *abs.RequestInformation) (*http.Response, error) {
	native, err := c.adapter.ConvertToNativeRequest(ctx, info)
	if err != nil {
		return nil, fmt.Errorf("build request: %w", err)
	}
	r, ok := native.(*http.Request)
	if !ok {
		return nil, fault.NewPermanent(errors.New("build request: not an HTTP request"))
	}
	if r.Header.Get("Authorization") == "" {
		return nil, fault.NewAuth(fmt.Errorf("build request: %w", errNoToken))
	}
	r.Header.Set("User-Agent", c.agent)
	resp, err := outbound.Do(c.http, r)
	if err != nil {
		c.metrics.requests.WithLabelValues(c.key, "none").Inc()
		if ctx.Err() == nil && fault.Of(err) == fault.Transient {
			err = &lostAnswer{err}
		}
		return nil, err
	}
	c.metrics.requests.WithLabelValues(c.key, strconv.Itoa(resp.StatusCode)).Inc()
	c.hear(resp.Header)
	return resp, nil
}

// smallSkew is what network and whole seconds explain.
const smallSkew = 5 * time.Second

// hear takes the service's time from an answer.
func (c *caller) hear(h http.Header) {
	t, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return
	}
	if c.distrust {
		c.date, c.heard, c.skew = time.Time{}, c.now(), 0
		return
	}
	c.date, c.heard = t.UTC(), c.now()
	if c.skew = c.date.Sub(c.heard); c.skew.Abs() <= smallSkew {
		c.skew = 0
	}
}

// time is the service's, as far as it has told it: records are read by it, so
// that a wrong clock of this machine loses nothing.
func (c *caller) time() time.Time { return c.now().UTC().Add(c.skew) }

// missed notes that a read failed: the first one counts, where nothing was read yet.
func (c *caller) missed(cursor []byte, err error) {
	if err != nil && len(cursor) == 0 && c.tried.IsZero() {
		c.tried = c.time()
	}
}

// unopened reports whether the service tells a source that was never read that it may
// not: for want of a licence or of a permission. Its cursor says so from then on: what
// happens meanwhile is read once it may, over restarts too, or is a gap.
func (c *caller) unopened(cursor []byte, err error) bool {
	denied := fault.Of(err) == fault.Auth && !c.heard.IsZero() // by the API, whose clock is known
	return len(cursor) == 0 && (denied || fault.ReasonOf(err) == fault.NotLicensed)
}

// since is from where a source looks back that was never read: now, or when it first
// could not be.
func (c *caller) since(now time.Time) time.Time {
	if c.tried.IsZero() {
		return now
	}
	return earlier(now, c.tried)
}

// upstream bounds t by the time of the last answer: nothing later was read.
func (c *caller) upstream(t time.Time) time.Time {
	if c.date.IsZero() {
		return t
	}
	return earlier(t, c.date)
}

// refusal is nil for a 200 with JSON, else the classified error.
func (c *caller) refusal(resp *http.Response) error {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode == http.StatusOK && kind != "text/html" {
		c.refused, c.html = 0, 0
		return nil
	}
	r := readRefusal(resp)
	if c.spec.feed != "" {
		if err := c.feedRefusal(resp, r); err != nil {
			return err
		}
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		return &broken{err: errors.New("the answer is a page of HTML")}
	case resp.StatusCode == http.StatusUnauthorized:
		return c.unauthorized(r)
	case resp.StatusCode == http.StatusForbidden:
		return c.forbidden(r, kind == "text/html" || r.code == "UnknownError") // the gateway's HTML comes wrapped, too
	case resp.StatusCode == http.StatusTooManyRequests:
		return c.throttled(resp, r)
	case r.noLicence():
		return fault.WithHint(unlicensed(r), r.hint())
	case r.notInCloud():
		return fault.WithReason(fault.WithHint(outbound.Classify(resp.StatusCode, resp.Header, c.now(), r), r.hint()), fault.NotInCloud)
	default:
		return fault.WithHint(outbound.Classify(resp.StatusCode, resp.Header, c.now(), r), r.hint())
	}
}

func (c *caller) throttled(resp *http.Response, r *refusal) error {
	return fault.WithHint(fault.NewThrottled(c.budget.throttled(outbound.RetryAfter(resp.Header, c.now())), r), r.hint())
}

// unauthorized: a token may have been revoked or aged on the way; the next try
// brings a new one, and only its refusal needs a human.
func (c *caller) unauthorized(r *refusal) error {
	c.creds.Forget()
	if c.refused++; c.refused <= 1 {
		return r
	}
	name, option := c.spec.api()
	return fault.WithHint(fault.NewAuth(r), name+" refuses fresh tokens: check that "+option+" and login_url belong to the same cloud, and this machine's clock")
}

// htmlPatience is how many refusals in HTML are taken for a gateway's mood.
const htmlPatience = 3

// licenceRetry is how often a source without licence is tried.
const licenceRetry = 24 * time.Hour

// unlicensed is a refusal that only a purchase helps against.
func unlicensed(err error) error {
	return fault.WithReason(fault.WithAfter(fault.NewAuth(err), licenceRetry), fault.NotLicensed)
}

func (c *caller) forbidden(r *refusal, html bool) error {
	if html {
		if c.html++; c.html <= htmlPatience {
			return r
		}
		return fault.WithHint(fault.NewAuth(r), "a gateway in front of the service, or a proxy on the way, refuses these requests")
	}
	err := fault.NewAuth(r)
	if r.noLicence() {
		err = unlicensed(r)
	}
	return fault.WithHint(err, r.forbiddenHint(c.spec, c.cfg.ClientID))
}

// counter counts the bytes of a body.
type counter struct {
	r interface{ Read([]byte) (int, error) }
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
