// Package jsmops owns the sink that creates and closes alerts of Atlassian's Jira
// Service Management (Operations).
package jsmops

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/secret"
	"github.com/appgovd/appgovd/internal/sink/post"
)

// Config is the body of `sink "jsm_ops" "NAME" {}`.
type Config struct {
	APIKey  secret.Ref        `hcl:"api_key"`          // of an API integration
	URL     string            `hcl:"url,optional"`     // Atlassian's
	Tags    []string          `hcl:"tags,optional"`    // beside our own
	Links   map[string]string `hcl:"links,optional"`   // pages by name; those of the agent
	Timeout string            `hcl:"timeout,optional"` // of one request, "30s"
	Proxy   string            `hcl:"proxy,optional"`   // URL; "" = of the environment, "none" = no proxy
	TLS     *post.TLS         `hcl:"tls,block"`
}

const defaultURL = "https://api.atlassian.com/jsm/ops/integration/v2/alerts"

// Limits of the API, in characters.
const (
	maxMessage     = 130
	maxDescription = 15_000
	maxDetails     = 8_000 // together
	maxField       = 512
	maxSource      = 100
	maxTag         = 50
	maxTags        = 20
	maxNote        = 1_000
)

// Validate returns every mistake of c that can be found without a network.
func (c Config) Validate() deliver.Problems {
	var p deliver.Problems
	p.Must(!c.APIKey.IsZero(), "api_key", "is empty", `write credential("jsm-key")`)
	if c.URL != "" {
		post.CheckURL(&p, "url", c.URL, fmt.Sprintf("write %q", defaultURL))
	}
	p.Must(len(c.Tags) <= maxTags-3, "tags", fmt.Sprintf("are more than %d", maxTags-3), "")
	for _, tag := range c.Tags {
		p.Must(tag != "" && len(tag) <= maxTag, "tags", fmt.Sprintf("%q is empty or longer than %d", tag, maxTag), "")
	}
	post.CheckLinks(&p, c.Links)
	post.Check(&p, c.Timeout, c.TLS)
	return p
}

// Sink sends one request per alert.
type Sink struct {
	*post.Client
	url   string
	key   func() (string, error)
	tags  []string
	links post.Links
}

// New checks the configuration and opens the secret; it connects to nothing.
func New(c Config, open post.Opener) (*Sink, error) {
	if err := c.Validate().Err(); err != nil {
		return nil, err
	}
	client, err := post.New(post.Options{Name: "jsm_ops", Timeout: c.Timeout, Proxy: c.Proxy, TLS: c.TLS, Secret: open})
	if err != nil {
		return nil, err
	}
	s := &Sink{Client: client, url: strings.TrimRight(c.URL, "/"), tags: c.Tags, links: post.NewLinks(c.Links)}
	if s.url == "" {
		s.url = defaultURL
	}
	s.key, err = client.Open(c.APIKey)
	return s, err
}

// Write sends the alerts one by one.
func (s *Sink) Write(ctx context.Context, batch []event.Alert) error {
	return s.Each(ctx, batch, s.send)
}

// create is a new alert, or one more of it: alias is the alert's id.
// https://developer.atlassian.com/cloud/jira/service-desk-ops/rest/v2/api-group-integration-events/
type create struct {
	Message     string            `json:"message"`
	Alias       string            `json:"alias"`
	Description string            `json:"description"`
	Details     map[string]string `json:"details"`
	Entity      string            `json:"entity,omitempty"`
	Source      string            `json:"source"`
	Priority    string            `json:"priority"`
	Tags        []string          `json:"tags"`
}

type closing struct {
	Source string `json:"source"`
	Note   string `json:"note"`
}

func (s *Sink) create(a *event.Alert) create {
	c := create{
		Message: post.Title(a, maxMessage), Alias: a.ID.String(), Description: post.Text(a.Summary, maxDescription), Details: map[string]string{},
		Entity: post.Text(a.App.Key(), maxField), Source: post.Text("appgovd "+a.Tenant, maxSource), Priority: priority(a.Severity),
		Tags: append([]string{event.DetectionSource, a.Severity.String(), a.Kind}, s.tags...),
	}
	room := maxDetails
	add := func(name, value string) {
		if room -= len(name) + len(value); room >= 0 {
			c.Details[name] = value
		}
	}
	for _, f := range post.Facts(a, maxField/2) {
		add(f.Name, f.Value)
	}
	for _, l := range s.links.Of(a) {
		add(l.Name, l.URL)
	}
	return c
}

// body is what is posted about a.
func (s *Sink) body(a *event.Alert) ([]byte, error) {
	if a.State == event.AlertResolved {
		return json.Marshal(closing{"appgovd", post.Text("resolved: "+a.Reason, maxNote)})
	}
	return json.Marshal(s.create(a))
}

func priority(s event.Severity) string {
	switch s {
	case event.SeverityCritical:
		return "P1"
	case event.SeverityHigh:
		return "P2"
	case event.SeverityMedium:
		return "P3"
	case event.SeverityLow:
		return "P4"
	default:
		return "P5"
	}
}

func (s *Sink) send(ctx context.Context, a *event.Alert) error {
	key, err := s.key()
	if err != nil {
		return err
	}
	url := s.url
	if a.State == event.AlertResolved {
		url += "/" + a.ID.String() + "/close?identifierType=alias"
	}
	body, err := s.body(a)
	if err != nil {
		return fault.NewPermanent(fmt.Errorf("encode alert: %w", err))
	}
	answer, err := s.Send(ctx, post.Request{URL: url, Header: http.Header{"Authorization": {"GenieKey " + key}}, Body: body, Secrets: []string{key}})
	if err != nil {
		return err
	}
	return post.Refusal(s.judge(answer))
}

func (s *Sink) judge(answer post.Answer) error {
	if err := s.Judge(answer); err != nil {
		return err
	}
	var r struct {
		RequestID string `json:"requestId"`
	}
	if json.Unmarshal(answer.Body, &r) != nil || r.RequestID == "" {
		return s.Foreign(answer)
	}
	return nil
}

// Probe tries the way to the destination and gives it nothing; found is what is there.
func (s *Sink) Probe(ctx context.Context) (found string, err error) { return s.Reach(ctx, s.url) }
