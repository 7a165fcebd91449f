// Package elastic owns the sink that writes alerts to a data stream of
// Elasticsearch or OpenSearch by bulk requests: `create` with the delivery id as
// _id, so that what comes twice is stored once, and a verdict for every single
// alert.
package elastic

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/elastic/elastic-transport-go/v8/elastictransport"
	"github.com/elastic/go-elasticsearch/v8/esapi"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/format"
	"github.com/appgovd/appgovd/internal/outbound"
	"github.com/appgovd/appgovd/internal/secret"
)

// Options of New.
type Options struct {
	Secret func(secret.Ref) (func() (string, error), error) // opens references; needed with credentials
	Events bool                                             // what comes are events: their stream is logs-appgov.events-NAMESPACE
}

// Sink writes to one data stream. It has one request in flight.
type Sink struct {
	stream    string
	server    product
	template  string    // of Setup
	retention string    // of Setup, where the template cannot say it
	looked    time.Time // when covered last found the stream; zero = not yet
	encode    func([]byte, *event.Alert) []byte
	authorize func() (string, error) // value of the header Authorization, "" = none
	timeout   time.Duration
	transport *elastictransport.Client
	idle      func()
	closed    atomic.Bool
	now       func() time.Time
}

// maxAnswer bounds an answer: a verdict takes less than 1 KiB, except for the
// reasons of the refused.
const maxAnswer = 32 << 20

// New checks the configuration and opens the secrets; it connects to nothing.
func New(c Config, o Options) (*Sink, error) {
	if err := c.Validate().Err(); err != nil {
		return nil, err
	}
	authorize, err := authorizer(c, o)
	if err != nil {
		return nil, fmt.Errorf("build elasticsearch sink: %w", err)
	}
	namespace := c.Namespace
	if namespace == "" {
		namespace = "default"
	}
	of := "alerts"
	if o.Events {
		of = "events"
	}
	s := &Sink{
		stream: "logs-appgov." + of + "-" + namespace, server: c.product(), template: c.Template(), retention: c.retention(), authorize: authorize,
		timeout: deliver.DurationOr(c.Timeout, defaultTimeout), now: time.Now,
	}
	s.encode = format.ECS(namespace, func() time.Time { return s.now() }, format.NewLinks(c.Links))
	if err := s.connect(c); err != nil {
		return nil, fmt.Errorf("build elasticsearch sink: %w", err)
	}
	return s, nil
}

// connect builds the pool of nodes. It retries nothing and follows no redirect;
// a node that failed is left alone for a while where there are others.
func (s *Sink) connect(c Config) error {
	o := outbound.Options{Origins: c.Addresses, Proxy: c.Proxy, MaxBody: maxAnswer, HeaderTimeout: s.timeout, Timeout: s.timeout}
	if c.TLS != nil {
		o.CAFile, o.CertFile, o.KeyFile, o.ServerName = c.TLS.CAFile, c.TLS.CertFile, c.TLS.KeyFile, c.TLS.ServerName
	}
	client, err := outbound.Client(o)
	if err != nil {
		return err
	}
	urls := make([]*url.URL, 0, len(c.Addresses))
	for _, a := range c.Addresses {
		u, err := url.Parse(a)
		if err != nil {
			return errors.New("parse addresses: not a URL")
		}
		urls = append(urls, u)
	}
	s.idle = client.CloseIdleConnections
	options := []elastictransport.Option{
		elastictransport.WithURLs(urls...), elastictransport.WithTransport(client.Transport),
		elastictransport.WithDisableRetry(), elastictransport.WithUserAgent("appgovd"),
	}
	if c.Gzip == nil || *c.Gzip {
		options = append(options, elastictransport.WithCompression())
	}
	s.transport, err = elastictransport.NewClient(options...)
	return err
}

func authorizer(c Config, o Options) (func() (string, error), error) {
	scheme, ref := "", secret.Ref("")
	switch {
	case !c.APIKey.IsZero():
		scheme, ref = "ApiKey ", c.APIKey
	case !c.ServiceToken.IsZero():
		scheme, ref = "Bearer ", c.ServiceToken
	case c.Username != "":
		scheme, ref = "Basic ", c.Password
	default:
		return func() (string, error) { return "", nil }, nil
	}
	if o.Secret == nil {
		return nil, errors.New("no way to open secrets")
	}
	get, err := o.Secret(ref)
	if err != nil {
		return nil, err
	}
	return func() (string, error) {
		v, err := get()
		if err != nil {
			return "", fault.NewAuth(err)
		}
		if c.Username != "" {
			v = base64.StdEncoding.EncodeToString([]byte(c.Username + ":" + v))
		}
		return scheme + v, nil
	}, nil
}

// Write sends the batch in one bulk request.
// https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk
func (s *Sink) Write(ctx context.Context, batch []event.Alert) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.closed.Load() {
		return fmt.Errorf("write to %s: the sink is closed", s.server.name)
	}
	if len(batch) == 0 {
		return nil
	}
	request := esapi.BulkRequest{Index: s.stream, Body: bytes.NewReader(s.body(nil, batch))}
	if s.server.name == elasticsearch {
		must := true
		request.RequireDataStream = &must
	} else if err := s.covered(ctx); err != nil {
		return err
	}
	status, answer, err := s.do(ctx, "write to", func(ctx context.Context, h http.Header) (*esapi.Response, error) {
		h.Set("Content-Type", "application/x-ndjson")
		request.Header = h
		return request.Do(ctx, s.transport)
	})
	if err != nil {
		return err
	}
	return s.server.judge(status, answer, batch)
}

// body appends the request for batch: a line that says create and a document,
// for each alert. Its event.ingested is when it is sent; one that is sent again keeps that
// of the first by create.
func (s *Sink) body(dst []byte, batch []event.Alert) []byte {
	if dst == nil {
		dst = make([]byte, 0, len(batch)*(2<<10))
	}
	for i := range batch {
		dst = append(dst, `{"create":{"_id":"`...)
		dst = append(dst, batch[i].DeliveryID.String()...)
		dst = append(dst, "\"}}\n"...)
		dst = append(s.encode(dst, &batch[i]), '\n')
	}
	return dst
}

// do sends one request and reads its answer; one that is not 2xx, or of another
// product, is a classified error. What is done is in what, for example "write to".
func (s *Sink) do(ctx context.Context, what string, send func(context.Context, http.Header) (*esapi.Response, error)) (int, []byte, error) {
	what += " " + s.server.name
	authorization, err := s.authorize()
	if err != nil {
		return 0, nil, fmt.Errorf("%s: %w", what, err)
	}
	header := http.Header{}
	if authorization != "" {
		header.Set("Authorization", authorization)
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	resp, err := send(ctx, header)
	if err != nil {
		return 0, nil, outbound.Explain(fmt.Errorf("%s: %w", what, withoutURL(err)))
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, fmt.Errorf("%s: read answer: %w", what, err)
	}
	_, token, _ := strings.Cut(authorization, " ")
	answer = outbound.Redact(answer, token)
	if s.server.name == openSearch && resp.Header.Get(productHeader) != "" {
		return resp.StatusCode, nil, mistaken(what, "Elasticsearch", elasticsearch)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		err := s.refused(what, resp, answer)
		if s.unmarked(resp) {
			err = s.explainUnmarked(ctx, header, what, err)
		}
		return resp.StatusCode, nil, err
	}
	return resp.StatusCode, answer, nil
}

// withoutURL takes the address off err: it may be long, and says nothing new.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// Close releases the connections; more than once is harmless.
func (s *Sink) Close() error {
	s.closed.Store(true)
	s.idle()
	return nil
}
