// Package pagerduty owns the sink that triggers and resolves incidents by the
// Events API v2 of PagerDuty.
package pagerduty

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/format"
	"github.com/appgovd/appgovd/internal/secret"
	"github.com/appgovd/appgovd/internal/sink/post"
)

// Config is the body of `sink "pagerduty" "NAME" {}`.
type Config struct {
	RoutingKey secret.Ref        `hcl:"routing_key"`      // of an integration "Events API v2"
	Region     string            `hcl:"region,optional"`  // "us" (default) or "eu"
	URL        string            `hcl:"url,optional"`     // instead of region: a relay
	Links      map[string]string `hcl:"links,optional"`   // pages by name; those of the agent
	Timeout    string            `hcl:"timeout,optional"` // of one request, "30s"
	Proxy      string            `hcl:"proxy,optional"`   // URL; "" = of the environment, "none" = no proxy
	TLS        *post.TLS         `hcl:"tls,block"`
}

const (
	urlUS = "https://events.pagerduty.com/v2/enqueue"
	urlEU = "https://events.eu.pagerduty.com/v2/enqueue"
)

// Validate returns every mistake of c that can be found without a network.
func (c Config) Validate() deliver.Problems {
	var p deliver.Problems
	p.Must(!c.RoutingKey.IsZero(), "routing_key", "is empty", `write credential("pagerduty-key")`)
	p.OneOf("region", c.Region, "us", "eu")
	p.Must(c.Region == "" || c.URL == "", "url", "is given beside region", "keep one of them")
	if c.URL != "" {
		post.CheckURL(&p, "url", c.URL, fmt.Sprintf("write %q", urlUS))
	}
	post.CheckLinks(&p, c.Links)
	post.Check(&p, c.Timeout, c.TLS)
	return p
}

// Sink sends one event per alert.
type Sink struct {
	*post.Client
	url   string
	key   func() (string, error)
	links post.Links
}

// New checks the configuration and opens the secret; it connects to nothing.
func New(c Config, open post.Opener) (*Sink, error) {
	if err := c.Validate().Err(); err != nil {
		return nil, err
	}
	client, err := post.New(post.Options{Name: "pagerduty", Timeout: c.Timeout, Proxy: c.Proxy, TLS: c.TLS, Secret: open})
	if err != nil {
		return nil, err
	}
	s := &Sink{Client: client, url: c.URL, links: post.NewLinks(c.Links)}
	if s.url == "" {
		s.url = map[string]string{"": urlUS, "us": urlUS, "eu": urlEU}[c.Region]
	}
	s.key, err = client.Open(c.RoutingKey)
	return s, err
}

// Write sends the alerts one by one.
func (s *Sink) Write(ctx context.Context, batch []event.Alert) error {
	return s.Each(ctx, batch, s.send)
}

// Limits of the API, in characters and bytes.
const (
	maxSummary = 1024
	maxField   = 255
	maxEvent   = 512_000
)

// request is one event. dedup_key is the alert's id, so that an update adds to
// the incident and the resolution ends it.
// https://developer.pagerduty.com/docs/events-api-v2/trigger-events/
type request struct {
	RoutingKey string   `json:"routing_key"`
	Action     string   `json:"event_action"`
	DedupKey   string   `json:"dedup_key"`
	Client     string   `json:"client,omitempty"`
	Links      []link   `json:"links,omitempty"`
	Payload    *payload `json:"payload,omitempty"`
}

type link struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

type payload struct {
	Summary   string          `json:"summary"`
	Source    string          `json:"source"`
	Severity  string          `json:"severity"`
	Timestamp string          `json:"timestamp,omitempty"`
	Component string          `json:"component,omitempty"`
	Group     string          `json:"group,omitempty"`
	Class     string          `json:"class,omitempty"`
	Details   json.RawMessage `json:"custom_details,omitempty"`
}

func (s *Sink) event(a *event.Alert, key string) (b []byte, err error) {
	r := request{RoutingKey: key, Action: "trigger", DedupKey: a.ID.String(), Client: "appgovd"}
	if a.State == event.AlertResolved {
		r.Action, r.Client = "resolve", ""
		return json.Marshal(r)
	}
	for _, l := range s.links.Of(a) {
		r.Links = append(r.Links, link{l.URL, l.Name})
	}
	r.Payload = &payload{
		Summary: post.Title(a, maxSummary), Source: source(a), Severity: severity(a.Severity), Component: post.Text(a.App.Key(), maxField),
		Group: post.Text(a.Tenant, maxField), Class: post.Text(a.RuleID, maxField),
	}
	if !a.Time.IsZero() {
		r.Payload.Timestamp = a.Time.UTC().Format(time.RFC3339Nano)
	}
	for _, room := range []int{maxEvent, maxEvent / 8} { // escapes make it six times as long at the most
		r.Payload.Details = format.AppendJSONWithin(nil, a, room)
		if b, err = json.Marshal(r); err != nil || len(b) <= maxEvent {
			break
		}
	}
	return b, err
}

func source(a *event.Alert) string {
	for _, s := range []string{a.App.Name, a.App.Key(), a.Tenant} {
		if s = post.Text(s, maxField); s != "" {
			return s
		}
	}
	return "appgovd"
}

func severity(s event.Severity) string {
	switch s {
	case event.SeverityCritical:
		return "critical"
	case event.SeverityHigh:
		return "error"
	case event.SeverityMedium:
		return "warning"
	default:
		return "info"
	}
}

// patience is how long PagerDuty is left alone that asks for it without a time.
const patience = time.Minute

func (s *Sink) send(ctx context.Context, a *event.Alert) error {
	key, err := s.key()
	if err != nil {
		return err
	}
	body, err := s.event(a, key)
	if err != nil {
		return fault.NewPermanent(fmt.Errorf("encode event: %w", err))
	}
	answer, err := s.Send(ctx, post.Request{URL: s.url, Body: body, Secrets: []string{key}})
	if err != nil {
		return err
	}
	return post.Refusal(s.judge(answer))
}

func (s *Sink) judge(answer post.Answer) error {
	var r struct {
		Status string   `json:"status"`
		Errors []string `json:"errors"`
	}
	known := json.Unmarshal(answer.Body, &r) == nil
	err := s.Judge(answer)
	switch {
	case err == nil && (!known || r.Status != "success"):
		return s.Foreign(answer)
	case fault.Of(err) == fault.Permanent && strings.Contains(strings.Join(r.Errors, " "), "routing_key"):
		return fault.WithHint(fault.NewAuth(err), "PagerDuty does not know the routing key: copy it from an integration of kind Events API v2")
	case fault.Of(err) == fault.Throttled && fault.After(err) == 0:
		return fault.WithAfter(err, patience)
	}
	return err
}

// Probe tries the way to the destination and gives it nothing; found is what is there.
func (s *Sink) Probe(ctx context.Context) (found string, err error) { return s.Reach(ctx, s.url) }
