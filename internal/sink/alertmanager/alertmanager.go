// Package alertmanager owns the sink that posts alerts to the API v2 of
// Prometheus' Alertmanager, which groups, silences and routes them.
package alertmanager

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/secret"
	"github.com/appgovd/appgovd/internal/sink/post"
)

// Config is the body of `sink "alertmanager" "NAME" {}`.
type Config struct {
	URL     string            `hcl:"url"`              // https://host:9093, with the path prefix where there is one
	Labels  map[string]string `hcl:"labels,optional"`  // of every alert, beside our own
	Fires   string            `hcl:"fires,optional"`   // how long a detection fires, which nobody resolves; "24h"
	Links   map[string]string `hcl:"links,optional"`   // pages by name; those of the agent
	Timeout string            `hcl:"timeout,optional"` // of one request, "30s"

	// At most one of the two proves who we are.
	BearerToken secret.Ref `hcl:"bearer_token,optional"`
	Username    string     `hcl:"username,optional"`
	Password    secret.Ref `hcl:"password,optional"`

	Proxy string    `hcl:"proxy,optional"` // URL; "" = of the environment, "none" = no proxy
	TLS   *post.TLS `hcl:"tls,block"`
}

const defaultFires = 24 * time.Hour

var labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// Validate returns every mistake of c that can be found without a network.
func (c Config) Validate() deliver.Problems {
	var p deliver.Problems
	post.CheckURL(&p, "url", c.URL, `write "https://alertmanager.example.com:9093"`)
	own := (&Sink{}).labels(&event.Alert{})
	for name := range c.Labels {
		_, taken := own[name]
		p.Must(labelName.MatchString(name) && !taken, "labels", fmt.Sprintf("%q is no name for a label of yours", name), "letters, digits and '_', and none that every alert has")
	}
	p.Duration("fires", c.Fires, time.Minute)
	p.Must(c.BearerToken.IsZero() || c.Username == "", "bearer_token", "is given beside username", "keep one of them")
	p.Pair("password", c.Username != "", !c.Password.IsZero(), "username and password belong together")
	post.CheckLinks(&p, c.Links)
	post.Check(&p, c.Timeout, c.TLS)
	return p
}

// Sink posts a batch as one array.
type Sink struct {
	*post.Client
	url             string
	extra           map[string]string
	fires           time.Duration
	links           post.Links
	token, password func() (string, error)
	user            string
	now             func() time.Time
}

// New checks the configuration and opens the secrets; it connects to nothing.
func New(c Config, open post.Opener) (*Sink, error) {
	if err := c.Validate().Err(); err != nil {
		return nil, err
	}
	client, err := post.New(post.Options{Name: "alertmanager", Timeout: c.Timeout, Proxy: c.Proxy, TLS: c.TLS, Secret: open})
	if err != nil {
		return nil, err
	}
	s := &Sink{
		Client: client, url: strings.TrimSuffix(strings.TrimRight(c.URL, "/"), "/api/v2/alerts") + "/api/v2/alerts", extra: c.Labels,
		fires: deliver.DurationOr(c.Fires, defaultFires), links: post.NewLinks(c.Links), user: c.Username, now: time.Now,
	}
	if s.token, err = client.Open(c.BearerToken); err != nil {
		return nil, err
	}
	s.password, err = client.Open(c.Password)
	return s, err
}

// alert is one of the array. Its labels are its identity.
// https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
type alert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     *time.Time        `json:"startsAt,omitempty"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

// maxLabel and maxAnnotation bound a value, in bytes.
const (
	maxLabel      = 256
	maxAnnotation = 4 << 10
)

// labels stay the same over the life of an alert, but for its severity.
func (s *Sink) labels(a *event.Alert) map[string]string {
	l := map[string]string{
		"alertname": a.RuleID, "alert_id": a.ID.String(), "severity": a.Severity.String(), "tenant": a.Tenant, "provider": a.Provider,
		"app_id": a.App.Key(), "kind": a.Kind, "detection_source": event.DetectionSource,
	}
	if g := a.Group; g != nil {
		l = groupLabels(a, g)
	}
	for name, value := range s.extra {
		l[name] = value
	}
	for name, value := range l {
		l[name] = post.Text(value, maxLabel)
	}
	if l["alertname"] == "" {
		l["alertname"] = "appgovd"
	}
	return l
}

// groupLabels are those of a notice: Alertmanager knows an alert by all its labels, so
// that beside the severity only what stays the same while the group lives is one.
func groupLabels(a *event.Alert, g *event.Group) map[string]string {
	l := map[string]string{"alertname": g.Route, "alert_id": a.ID.String(), "severity": a.Severity.String(), "kind": "group", "detection_source": event.DetectionSource}
	for _, x := range g.Labels {
		l["group_"+strings.ReplaceAll(x.Name, ".", "_")] = x.Value
	}
	return l
}

func (s *Sink) alert(a *event.Alert) alert {
	out := alert{Labels: s.labels(a), Annotations: map[string]string{"summary": post.Title(a, maxAnnotation), "description": post.Text(a.Summary, maxAnnotation)}}
	for _, f := range post.Facts(a, maxAnnotation) {
		out.Annotations[strings.ReplaceAll(strings.ToLower(f.Name), " ", "_")] = f.Value
	}
	links := s.links.Of(a)
	for i, l := range links {
		out.Annotations["link_"+strconv.Itoa(i+1)] = l.URL
	}
	if len(links) > 0 {
		out.GeneratorURL = links[0].URL
	}
	now := s.now().UTC()
	switch {
	case a.State == event.AlertResolved:
		out.EndsAt = now
	case a.Kind == event.AlertDetection && a.Group == nil, a.RuleID == event.TestRule:
		out.EndsAt = now.Add(s.fires)
	default: // until it is resolved: then its end is told
		out.EndsAt = now.AddDate(1, 0, 0)
	}
	if start := a.Opened.UTC(); !a.Opened.IsZero() && start.Before(out.EndsAt) {
		out.StartsAt = &start
	} else if a.State == event.AlertResolved {
		out.StartsAt = &out.EndsAt
	}
	return out
}

// life is a as Alertmanager has to be told. The severity is part of an alert's
// identity there, because routes ask for it; so that one which changed does not
// fire on beside its successor, a later emission ends whatever the alert may have
// been before. To end what never was is nothing to Alertmanager.
func (s *Sink) life(a *event.Alert) (out []alert) {
	now := s.alert(a)
	if a.State == event.AlertNew { // its first emission
		return []alert{now}
	}
	for severity := event.SeverityInformational; severity <= event.SeverityCritical; severity++ {
		if severity != a.Severity {
			before := *a
			before.Severity, before.State = severity, event.AlertResolved
			out = append(out, s.alert(&before))
		}
	}
	return append(out, now)
}

// Write posts the batch. Alertmanager takes what is valid of it and refuses the
// whole; it knows alerts by their labels, so that taking one twice changes nothing.
func (s *Sink) Write(ctx context.Context, batch []event.Alert) error {
	if err := s.Ready(ctx); err != nil || len(batch) == 0 {
		return err
	}
	h, secrets, err := s.header()
	if err != nil {
		return err
	}
	alerts := make([]alert, 0, len(batch))
	for i := range batch {
		alerts = append(alerts, s.life(&batch[i])...)
	}
	body, err := json.Marshal(alerts)
	if err != nil {
		return fmt.Errorf("encode alerts: %w", err)
	}
	answer, err := s.Send(ctx, post.Request{URL: s.url, Header: h, Body: body, Secrets: secrets})
	if err != nil {
		return err
	}
	if err := s.Judge(answer); err != nil {
		return err
	}
	if len(bytes.TrimSpace(answer.Body)) > 0 { // it answers with nothing
		return s.Foreign(answer)
	}
	return nil
}

func (s *Sink) header() (h http.Header, secrets []string, err error) {
	token, err := s.token()
	password, err2 := s.password()
	if err := errors.Join(err, err2); err != nil {
		return nil, nil, err
	}
	h = http.Header{}
	switch {
	case token != "":
		h.Set("Authorization", "Bearer "+token)
	case s.user != "":
		basic := base64.StdEncoding.EncodeToString([]byte(s.user + ":" + password))
		h.Set("Authorization", "Basic "+basic)
		secrets = append(secrets, basic)
	}
	return h, append(secrets, token, password), nil
}

// Probe tries the way to the destination and gives it nothing; found is what is there.
func (s *Sink) Probe(ctx context.Context) (found string, err error) { return s.Reach(ctx, s.url) }
