// Package post owns what the sinks that send JSON over HTTP have in common: one
// request and its classified answer, alerts one by one in their order, links to
// portals, and texts that fit for others' screens. It knows no destination.
package post

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/outbound"
	"github.com/appgovd/appgovd/internal/secret"
)

// TLS is the block `tls {}`.
type TLS struct {
	CAFile     string `hcl:"ca_file,optional"`     // PEM authorities instead of the system's
	CertFile   string `hcl:"cert_file,optional"`   // PEM client certificate, for mutual TLS
	KeyFile    string `hcl:"key_file,optional"`    // its key
	ServerName string `hcl:"server_name,optional"` // that the server's certificate carries, where it is not its host
}

// Check notes the mistakes in the attributes that every sink of this kind has.
func Check(p *deliver.Problems, timeout string, t *TLS) {
	p.Duration("timeout", timeout, time.Second)
	if t != nil {
		p.Pair("tls.cert_file", t.CertFile != "", t.KeyFile != "", "mutual TLS needs cert_file and key_file")
	}
}

// CheckURL notes a mistake unless text is a URL to post to: https, or http to
// this machine, for a local proxy.
func CheckURL(p *deliver.Problems, field, text, advice string) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		p.Must(false, field, "is no URL", advice)
		return
	}
	p.Must(u.User == nil, field, "holds a user name or a password", "a header or a secret of its own is the place for it")
	local := u.Hostname() == "localhost" || u.Hostname() == "127.0.0.1" || u.Hostname() == "::1"
	p.Must(u.Scheme == "https" || local, field, "sends alerts without TLS", "write https://")
}

// Options of New.
type Options struct {
	Name    string // of the destination, in errors: "slack"
	Timeout string // of one request; "" = 30s
	Proxy   string
	TLS     *TLS
	Secret  Opener
}

// Opener opens references to secrets; the function that it returns gives the
// value as it is then.
type Opener = func(secret.Ref) (func() (string, error), error)

// Client sends to one destination. Who embeds it is closed by its Close.
type Client struct {
	name   string
	http   *http.Client
	open   Opener
	closed atomic.Bool
	now    func() time.Time
}

// maxAnswer bounds an answer in bytes; none that is expected takes 64 KiB.
const maxAnswer = 1 << 20

const defaultTimeout = 30 * time.Second

// New connects to nothing.
func New(o Options) (*Client, error) {
	t := deliver.DurationOr(o.Timeout, defaultTimeout)
	out := outbound.Options{Proxy: o.Proxy, MaxBody: maxAnswer, HeaderTimeout: t, Timeout: t}
	if o.TLS != nil {
		out.CAFile, out.CertFile, out.KeyFile, out.ServerName = o.TLS.CAFile, o.TLS.CertFile, o.TLS.KeyFile, o.TLS.ServerName
	}
	client, err := outbound.Client(out) // without origins it follows no redirect
	if err != nil {
		return nil, fmt.Errorf("build %s sink: %w", o.Name, err)
	}
	return &Client{name: o.Name, http: client, open: o.Secret, now: time.Now}, nil
}

// Open opens a reference to a secret; "" is a secret that is empty. A secret that
// cannot be read later is of class auth.
func (c *Client) Open(ref secret.Ref) (func() (string, error), error) {
	if ref.IsZero() {
		return func() (string, error) { return "", nil }, nil
	}
	if c.open == nil {
		return nil, fmt.Errorf("build %s sink: no way to open secrets", c.name)
	}
	get, err := c.open(ref)
	if err != nil {
		return nil, fmt.Errorf("build %s sink: %w", c.name, err)
	}
	return func() (string, error) {
		v, err := get()
		if err != nil {
			return "", fault.NewAuth(fmt.Errorf("write to %s: %w", c.name, err))
		}
		return v, nil
	}, nil
}

// SetJar gives the client a place for cookies; not while a request is under way.
func (c *Client) SetJar(jar http.CookieJar) { c.http.Jar = jar }

// Ready returns an error when there is nothing to be sent any more.
func (c *Client) Ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.closed.Load() {
		return fmt.Errorf("write to %s: the sink is closed", c.name)
	}
	return nil
}

// Close releases the connections; more than once is harmless.
func (c *Client) Close() error {
	c.closed.Store(true)
	c.http.CloseIdleConnections()
	return nil
}

// Reach tries the way to a destination: name, proxy, TLS and an answer, whatever its
// status, to a HEAD of the origin of at. It shows nobody a path, a secret or an alert.
func (c *Client) Reach(ctx context.Context, at string) (found string, err error) {
	u, err := url.Parse(at)
	if err != nil || u.Host == "" {
		return "", fault.WithHint(fault.NewAuth(fmt.Errorf("reach %s: its URL is none", c.name)), "check the URL that the secret holds")
	}
	origin := url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"}
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, origin.String(), nil)
	if err != nil {
		return "", fmt.Errorf("reach %s: %w", c.name, err)
	}
	req.Header.Set("User-Agent", "appgovd")
	resp, err := c.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return "", outbound.Explain(fmt.Errorf("reach %s: %w", c.name, err))
	}
	_ = resp.Body.Close()
	return "answers at " + origin.Scheme + "://" + origin.Host + "; whether it takes alerts, `appgovd sink test` tells", nil
}

// Request is one POST.
type Request struct {
	URL     string
	Header  http.Header // Content-Type is application/json where it says nothing
	Body    []byte
	Secrets []string // taken out of the answer
}

// Answer is what came back.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// OK tells a status that says success.
func (a Answer) OK() bool { return a.Status >= 200 && a.Status < 300 }

// Send posts r and reads the answer whole. The error is one of the network,
// classified; it shows neither path nor query of the URL.
func (c *Client) Send(ctx context.Context, r Request) (Answer, error) {
	failed := func(err error) (Answer, error) {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return Answer{}, outbound.Explain(fmt.Errorf("write to %s: %w", c.name, err))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL, bytes.NewReader(r.Body))
	if err != nil || req.URL.Host == "" {
		return Answer{}, fault.WithHint(fault.NewAuth(fmt.Errorf("write to %s: its URL is none", c.name)), "check the URL that the secret holds")
	}
	for name, values := range r.Header {
		req.Header[name] = values
	}
	if req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("User-Agent", "appgovd")
	resp, err := c.http.Do(req)
	if err != nil {
		return failed(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return failed(fmt.Errorf("read answer: %w", err))
	}
	return Answer{resp.StatusCode, resp.Header, outbound.Redact(body, append(r.Secrets, parts(req.URL)...)...)}, nil
}

// longPart is how long a part of an URL is, in bytes, that may be a secret.
const longPart = 12

// parts are what of u may be a secret: some destinations know us by nothing else.
func parts(u *url.URL) []string {
	list := []string{u.RequestURI(), u.EscapedPath(), u.Path, u.RawQuery}
	for _, values := range u.Query() {
		list = append(list, values...)
	}
	list = append(list, strings.Split(u.Path, "/")...)
	return slices.DeleteFunc(list, func(s string) bool { return len(s) < longPart })
}

// maxReason bounds what of an answer goes into an error, in bytes.
const maxReason = 1 << 10

// Error is the error for an answer, without a class.
func (c *Client) Error(a Answer) error {
	return fmt.Errorf("write to %s: status %d: %s", c.name, a.Status, outbound.Clean(string(a.Body[:min(len(a.Body), 4*maxReason)]), maxReason))
}

// Judge is nil for a success and else the class that HTTP gives the status.
// Permanent is only what is about the content; a conflict, as with a first try that
// is still under way, passes; what is about the address, the method or the account
// waits for a human.
func (c *Client) Judge(a Answer) error {
	err := c.Error(a)
	pause := func(hint string) error { return fault.WithHint(fault.NewAuth(err), hint) }
	switch code := a.Status; {
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return pause("the destination refuses us: check its secrets in the configuration, and what they may do")
	case code == http.StatusProxyAuthRequired:
		return pause("the proxy wants credentials: write them into the URL of proxy")
	case code < 200, code >= 300 && code < 400:
		return pause("redirects are not followed: write the URL that the destination answers at")
	case code == http.StatusConflict, code == http.StatusLocked, code == http.StatusFailedDependency:
		return err // the first try may be under way
	case code == http.StatusBadRequest, code == http.StatusRequestEntityTooLarge, code == http.StatusUnprocessableEntity,
		code == http.StatusTooManyRequests, code == http.StatusRequestTimeout, code == http.StatusTooEarly, code >= 500, a.OK():
		return outbound.Classify(code, a.Header, c.now(), err)
	default:
		return pause("what answers there does not take our requests: check the URL")
	}
}

// Foreign is the error for a success that the destination did not say in its
// own words.
func (c *Client) Foreign(a Answer) error {
	return fault.WithHint(fmt.Errorf("write to %s: status %d, but the answer is not its own", c.name, a.Status),
		"something between here and there may have answered; check the URL and the proxy")
}

// patience is how many alerts in a row may fail before the rest waits.
const patience = 3

// Each sends the alerts of batch one by one and adds up what became of them. Of
// one app none overtakes another: behind one that is to be sent again the others
// of its app wait. What is about the destination, not about an alert, ends the
// round.
func (c *Client) Each(ctx context.Context, batch []event.Alert, send func(context.Context, *event.Alert) error) error {
	if err := c.Ready(ctx); err != nil {
		return err
	}
	var v deliver.Rejected
	waits, row := map[string]bool{}, 0
	for i := range batch {
		key := batch[i].App.Key()
		if row == patience || waits[key] && key != "" {
			v.Retry = append(v.Retry, i)
			continue
		}
		err := send(ctx, &batch[i])
		switch class := fault.Of(err); {
		case err == nil:
			row = 0
			continue
		case class == fault.Permanent:
			v.Items = append(v.Items, deliver.Rejection{Index: i, Reason: err.Error()})
			continue
		case class != fault.Transient || ctx.Err() != nil || !isRefusal(err):
			row = patience
		default:
			row++
		}
		v.Retry, v.After, waits[key] = append(v.Retry, i), err, true
	}
	return Verdict(&v, len(batch))
}

// Verdict is v as Write returns it: nil where nothing was refused, the bare
// reason where nothing was accepted or judged.
func Verdict(v *deliver.Rejected, n int) error {
	switch {
	case len(v.Items) == 0 && len(v.Retry) == 0:
		return nil
	case len(v.Items) == 0 && len(v.Retry) == n:
		return v.After
	}
	return v
}

// isRefusal tells an answer about one alert from a failure on the way.
func isRefusal(err error) bool { return errors.As(err, new(refusal)) }

type refusal struct{ error }

// Unwrap returns what was said.
func (r refusal) Unwrap() error { return r.error }

// Refusal marks the error of an answer that is about one alert: the next may
// fare better.
func Refusal(err error) error {
	if err == nil {
		return nil
	}
	return refusal{err}
}

// Text is s on one line of at most max bytes, without characters that steer a
// terminal or change the direction of writing.
func Text(s string, max int) string { return outbound.Clean(s, max-len("...")) }

// Title is the headline of a in at most max bytes: its state where it is not
// new, its severity and its title.
func Title(a *event.Alert, max int) string {
	state := ""
	if a.State == event.AlertUpdated || a.State == event.AlertResolved {
		state = string(a.State) + " "
	}
	title := Text(a.Title, max)
	if title == "" {
		title = Text(a.RuleID, max)
	}
	return Text("["+strings.ToUpper(state+a.Severity.String())+"] "+title, max)
}
