// Package webhook owns the sink that posts each alert to an URL of the
// configuration, as one of our documents or by a template, signed.
package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/format"
	"github.com/appgovd/appgovd/internal/secret"
	"github.com/appgovd/appgovd/internal/sink/post"
)

// Config is the body of `sink "webhook" "NAME" {}`.
type Config struct {
	URL      string                `hcl:"url"`
	Format   string                `hcl:"format,optional"`      // "json" (default), "ecs", "ocsf", "cim"
	Links    map[string]string     `hcl:"links,optional"`       // pages by name, in documents of alerts; those of the agent
	Template string                `hcl:"template,optional"`    // instead of format: a JSON document with placeholders
	Headers  map[string]secret.Ref `hcl:"headers,optional"`     // sent as they are
	HMAC     secret.Ref            `hcl:"hmac_secret,optional"` // signs id, time and body
	Timeout  string                `hcl:"timeout,optional"`     // of one request, "30s"
	Proxy    string                `hcl:"proxy,optional"`       // URL; "" = of the environment, "none" = no proxy
	TLS      *post.TLS             `hcl:"tls,block"`
}

// Validate returns every mistake of c that can be found without a network.
func (c Config) Validate() deliver.Problems {
	var p deliver.Problems
	post.CheckURL(&p, "url", c.URL, `write "https://host/path"`)
	p.Must(!strings.ContainsAny(c.URL, "{}"), "url", "holds braces: nothing of an alert gets into a URL", "put it into the body")
	_, err := format.Named(c.Format, nil)
	p.Must(err == nil && format.IsJSON(c.Format), "format", fmt.Sprintf("%q is no format of a body", c.Format), "write one of json, ecs, ocsf, cim")
	p.Must(c.Format == "" || c.Template == "", "template", "is given beside format", "keep one of them")
	if c.Template != "" {
		_, err := parse(c.Template)
		p.Must(err == nil, "template", fmt.Sprint("is no template: ", err), `write JSON with placeholders in its strings, "{title}"; docs/sinks.md lists them`)
	}
	for name := range c.Headers {
		p.Must(httpguts.ValidHeaderFieldName(name), "headers", fmt.Sprintf("%q is no name of a header", name), "")
		p.Must(!ours.MatchString(name), "headers", fmt.Sprintf("%q is set by the sink itself", name), "")
	}
	post.CheckLinks(&p, c.Links)
	post.Check(&p, c.Timeout, c.TLS)
	return p
}

// ours are the headers that are not for the configuration.
var ours = regexp.MustCompile(`(?i)^(host|content-length|content-type|transfer-encoding|connection|idempotency-key|webhook-.*)$`)

// Sink posts alerts one by one.
type Sink struct {
	*post.Client
	url     string
	encode  func([]byte, *event.Alert) ([]byte, error)
	headers map[string]func() (string, error)
	key     func() (string, error)
	now     func() time.Time
}

// New checks the configuration and opens the secrets; it connects to nothing.
func New(c Config, open post.Opener) (*Sink, error) {
	if err := c.Validate().Err(); err != nil {
		return nil, err
	}
	client, err := post.New(post.Options{Name: "webhook", Timeout: c.Timeout, Proxy: c.Proxy, TLS: c.TLS, Secret: open})
	if err != nil {
		return nil, err
	}
	s := &Sink{Client: client, url: c.URL, headers: map[string]func() (string, error){}, now: time.Now}
	if s.encode, err = c.encoder(); err != nil {
		return nil, fmt.Errorf("build webhook sink: %w", err)
	}
	if s.key, err = client.Open(c.HMAC); err != nil {
		return nil, err
	}
	for name, ref := range c.Headers {
		if s.headers[name], err = client.Open(ref); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (c Config) encoder() (func([]byte, *event.Alert) ([]byte, error), error) {
	if c.Template != "" {
		t, err := parse(c.Template)
		if err != nil {
			return nil, err
		}
		return t.append, nil
	}
	name := c.Format
	if name == "" {
		name = "json"
	}
	encode, err := format.Named(name, format.NewLinks(c.Links))
	return func(dst []byte, a *event.Alert) ([]byte, error) { return encode(dst, a), nil }, err
}

// Write posts the alerts one by one.
func (s *Sink) Write(ctx context.Context, batch []event.Alert) error {
	return s.Each(ctx, batch, s.send)
}

func (s *Sink) send(ctx context.Context, a *event.Alert) error {
	body, err := s.encode(nil, a)
	if err != nil {
		return fault.NewPermanent(err)
	}
	h, secrets, err := s.header(a.DeliveryID.String(), body)
	if err != nil {
		return err
	}
	answer, err := s.Send(ctx, post.Request{URL: s.url, Header: h, Body: body, Secrets: secrets})
	if err != nil {
		return err
	}
	return post.Refusal(s.Judge(answer))
}

// header signs as the Standard Webhooks specification says: webhook-signature is
// an HMAC-SHA-256 over id, time and body. The id is that of the delivery, so that
// what comes twice can be told.
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
func (s *Sink) header(id string, body []byte) (h http.Header, secrets []string, err error) {
	h = http.Header{}
	for name, get := range s.headers {
		v, err := get()
		if err != nil {
			return nil, nil, err
		}
		if !httpguts.ValidHeaderFieldValue(v) {
			return nil, nil, fault.WithHint(fault.NewAuth(errors.New("write to webhook: the secret of header "+name+" has a line end or another control character")), "check the secret's file")
		}
		h.Set(name, v)
		_, bare, _ := strings.Cut(v, " ") // of "Bearer x", x
		secrets = append(secrets, v, bare)
	}
	at := strconv.FormatInt(s.now().Unix(), 10)
	h.Set("Idempotency-Key", id)
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", at)
	key, err := s.key()
	if err != nil || key == "" {
		return h, secrets, err
	}
	signature, err := sign(key, id, at, body)
	if err != nil {
		return nil, nil, err
	}
	h.Set("Webhook-Signature", signature)
	return h, append(secrets, key), nil
}

// sign with key, or, where it begins with whsec_, with the bytes that its base64
// stands for.
func sign(key, id, at string, body []byte) (string, error) {
	raw := []byte(key)
	if text, ok := strings.CutPrefix(key, "whsec_"); ok {
		var err error
		if raw, err = base64.StdEncoding.DecodeString(text); err != nil {
			return "", fault.WithHint(fault.NewAuth(errors.New("write to webhook: what is behind whsec_ in hmac_secret is no base64")), "copy the secret as the receiver shows it")
		}
	}
	m := hmac.New(sha256.New, raw)
	m.Write([]byte(id + "." + at + "."))
	m.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(m.Sum(nil)), nil
}

// Probe tries the way to the destination and gives it nothing; found is what is there.
func (s *Sink) Probe(ctx context.Context) (found string, err error) { return s.Reach(ctx, s.url) }
