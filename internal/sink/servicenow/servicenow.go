// Package servicenow owns the sink that posts events to ServiceNow's Event
// Management.
package servicenow

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/format"
	"github.com/appgovd/appgovd/internal/secret"
	"github.com/appgovd/appgovd/internal/sink/post"
)

// Config is the body of `sink "servicenow" "NAME" {}`.
type Config struct {
	URL     string            `hcl:"url"`              // https://instance.service-now.com
	Node    string            `hcl:"node,optional"`    // the configuration item that events are about; the app's name
	Links   map[string]string `hcl:"links,optional"`   // pages by name; those of the agent
	Timeout string            `hcl:"timeout,optional"` // of one request, "30s"

	// One of the two proves who we are; the user needs the role evt_mgmt_integration.
	BearerToken secret.Ref `hcl:"bearer_token,optional"`
	Username    string     `hcl:"username,optional"`
	Password    secret.Ref `hcl:"password,optional"`

	Proxy string    `hcl:"proxy,optional"` // URL; "" = of the environment, "none" = no proxy
	TLS   *post.TLS `hcl:"tls,block"`
}

// Validate returns every mistake of c that can be found without a network.
func (c Config) Validate() deliver.Problems {
	var p deliver.Problems
	post.CheckURL(&p, "url", c.URL, `write "https://instance.service-now.com"`)
	p.Must(c.BearerToken.IsZero() != (c.Username == ""), "username", "or bearer_token, one of the two, is needed", "write username and password, or bearer_token")
	p.Pair("password", c.Username != "", !c.Password.IsZero(), "username and password belong together")
	post.CheckLinks(&p, c.Links)
	post.Check(&p, c.Timeout, c.TLS)
	return p
}

// Sink posts a batch as one request.
type Sink struct {
	*post.Client
	url    string
	node   string
	links  post.Links
	user   string
	secret func() (string, error)
}

const path = "/api/global/em/jsonv2"

// New checks the configuration and opens the secret; it connects to nothing.
func New(c Config, open post.Opener) (*Sink, error) {
	if err := c.Validate().Err(); err != nil {
		return nil, err
	}
	client, err := post.New(post.Options{Name: "servicenow", Timeout: c.Timeout, Proxy: c.Proxy, TLS: c.TLS, Secret: open})
	if err != nil {
		return nil, err
	}
	s := &Sink{Client: client, url: strings.TrimSuffix(strings.TrimRight(c.URL, "/"), path) + path, node: c.Node, links: post.NewLinks(c.Links), user: c.Username}
	ref := c.BearerToken
	if c.Username != "" {
		ref = c.Password
	}
	s.secret, err = client.Open(ref)
	return s, err
}

// Limits of the fields of an event, in characters.
const (
	maxField       = 100
	maxDescription = 4_000
	maxInfo        = 64 << 10
)

// record is one event; message_key is the alert's id, so that ServiceNow's own
// alert is one, however often it is updated, and closes with it.
// https://www.servicenow.com/docs/csh?topicname=send-events-via-web-service.html
type record struct {
	Source     string `json:"source"`
	EventClass string `json:"event_class"`
	Node       string `json:"node"`
	Resource   string `json:"resource"`
	MetricName string `json:"metric_name"`
	Type       string `json:"type"`
	MessageKey string `json:"message_key"`
	Severity   string `json:"severity"`
	Text       string `json:"description"`
	Info       string `json:"additional_info"` // a JSON object, as text
	Time       string `json:"time_of_event,omitempty"`
	State      string `json:"resolution_state"`
}

func (s *Sink) record(a *event.Alert) record {
	r := record{
		Source: "appgovd", EventClass: event.DetectionSource, Node: s.about(a), Resource: post.Text(a.App.Key(), maxField),
		MetricName: post.Text(a.RuleID, maxField), Type: post.Text(a.Kind, maxField), MessageKey: a.ID.String(), Severity: severity(a.Severity),
		Text: post.Text(post.Title(a, maxDescription)+" "+a.Summary, maxDescription), Info: s.info(a), State: "New",
	}
	if a.State == event.AlertResolved {
		r.Severity, r.State = "0", "Closing"
	}
	if !a.Time.IsZero() {
		r.Time = a.Time.UTC().Format("2006-01-02 15:04:05")
	}
	return r
}

// info is the document with as many links as half of it holds; shorter where it would be
// too large.
func (s *Sink) info(a *event.Alert) string {
	var links []byte
	for i, l := range s.links.Of(a) {
		if link := `,"link_` + strconv.Itoa(i+1) + `":"` + l.URL + `"`; len(links)+len(link) <= maxInfo/2 { // an URL of ours needs no escapes
			links = append(links, link...)
		}
	}
	b := format.AppendJSONWithin(nil, a, maxInfo-len(links))
	return string(append(append(b[:len(b)-1], links...), '}'))
}

// about is the configuration item that a is about: a name of which something can be seen.
func (s *Sink) about(a *event.Alert) string {
	for _, name := range []string{s.node, a.App.Name, a.App.Key()} {
		if name = post.Text(name, maxField); name != "" {
			return name
		}
	}
	return "appgovd"
}

func severity(s event.Severity) string {
	switch s {
	case event.SeverityCritical:
		return "1"
	case event.SeverityHigh:
		return "2"
	case event.SeverityMedium:
		return "3"
	case event.SeverityLow:
		return "4"
	default:
		return "5"
	}
}

// body is the request for batch.
func (s *Sink) body(batch []event.Alert) ([]byte, error) {
	records := make([]record, len(batch))
	for i := range batch {
		records[i] = s.record(&batch[i])
	}
	return json.Marshal(map[string]any{"records": records})
}

// Write posts the batch.
func (s *Sink) Write(ctx context.Context, batch []event.Alert) error {
	if err := s.Ready(ctx); err != nil || len(batch) == 0 {
		return err
	}
	key, err := s.secret()
	if err != nil {
		return err
	}
	h, secrets := http.Header{"Accept": {"application/json"}}, []string{key}
	if s.user != "" {
		key = base64.StdEncoding.EncodeToString([]byte(s.user + ":" + key))
		h.Set("Authorization", "Basic "+key)
		secrets = append(secrets, key)
	} else {
		h.Set("Authorization", "Bearer "+key)
	}
	body, err := s.body(batch)
	if err != nil {
		return fmt.Errorf("encode events: %w", err)
	}
	answer, err := s.Send(ctx, post.Request{URL: s.url, Header: h, Body: body, Secrets: secrets})
	if err != nil {
		return err
	}
	return s.judge(answer, len(batch))
}

var inserted = regexp.MustCompile(`(\d+) events? (?:were|was) inserted`)

// judge: ServiceNow says how many events it has inserted, not which. Fewer than
// there were is a refusal of the whole, which a smaller batch narrows down; what
// was inserted is known again by its message_key.
func (s *Sink) judge(answer post.Answer, n int) error {
	if err := s.Judge(answer); err != nil {
		return err
	}
	m := inserted.FindSubmatch(answer.Body)
	if m == nil || !json.Valid(answer.Body) {
		return s.Foreign(answer)
	}
	if got, err := strconv.Atoi(string(m[1])); err != nil || got < n {
		return fault.NewPermanent(fmt.Errorf("%w: %d events were sent", s.Error(answer), n))
	}
	return nil
}

// Probe tries the way to the destination and gives it nothing; found is what is there.
func (s *Sink) Probe(ctx context.Context) (found string, err error) { return s.Reach(ctx, s.url) }
