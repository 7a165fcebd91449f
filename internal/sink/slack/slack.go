// Package slack owns the sink that posts alerts to an incoming webhook of Slack.
package slack

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/sink/post"
)

// Config is the body of `sink "slack" "NAME" {}`; its URL is that of the incoming webhook.
type Config post.Hook

// Validate returns every mistake of c that can be found without a network.
func (c Config) Validate() deliver.Problems { return post.Hook(c).Validate("slack") }

// Sink posts one message per alert.
type Sink struct {
	*post.Client
	url   func() (string, error)
	links post.Links
}

// New checks the configuration and opens the secret; it connects to nothing.
func New(c Config, open post.Opener) (*Sink, error) {
	client, url, err := post.Hook(c).Open("slack", open)
	if err != nil {
		return nil, err
	}
	return &Sink{Client: client, url: url, links: post.NewLinks(c.Links)}, nil
}

// Write posts the alerts one by one.
func (s *Sink) Write(ctx context.Context, batch []event.Alert) error {
	return s.Each(ctx, batch, s.send)
}

// Limits of Slack, in characters.
const (
	maxHeader  = 150
	maxSection = 3000
	maxField   = 2000
	maxFields  = 10
)

type message struct {
	Text    string  `json:"text"` // of notifications
	Blocks  []block `json:"blocks"`
	Mrkdwn  bool    `json:"mrkdwn"`
	Unfurl  bool    `json:"unfurl_links"`
	Preview bool    `json:"unfurl_media"`
}

type block struct {
	Type     string `json:"type"`
	Text     *text  `json:"text,omitempty"`
	Fields   []text `json:"fields,omitempty"`
	Elements []text `json:"elements,omitempty"`
}

type text struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	Emoji    *bool  `json:"emoji,omitempty"`
	Verbatim bool   `json:"verbatim,omitempty"`
}

// plain is text in which Slack looks for no markup: what others chose goes
// nowhere else.
func plain(s string) text { return text{Type: "plain_text", Text: s, Emoji: new(bool)} }

// escaped is text for where Slack does.
// https://docs.slack.dev/messaging/formatting-message-text#escaping
func escaped(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

// https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
func (s *Sink) message(a *event.Alert) message {
	title := plain(post.Title(a, maxHeader))
	m := message{Text: escaped(post.Title(a, maxHeader)), Blocks: []block{{Type: "header", Text: &title}}}
	if summary := post.Text(a.Summary, maxSection); summary != "" && a.Summary != a.Title {
		t := plain(summary)
		m.Blocks = append(m.Blocks, block{Type: "section", Text: &t})
	}
	var fields []text
	for _, f := range post.Facts(a, maxField/4) {
		fields = append(fields, plain(f.Name+": "+f.Value))
	}
	for len(fields) > 0 {
		n := min(len(fields), maxFields)
		m.Blocks = append(m.Blocks, block{Type: "section", Fields: fields[:n]})
		fields = fields[n:]
	}
	if links := s.markup(a); links != "" {
		m.Blocks = append(m.Blocks, block{Type: "context", Elements: []text{{Type: "mrkdwn", Text: links, Verbatim: true}}})
	}
	return m
}

// markup is the links of a, as many of them as a text holds. It counts bytes, of which
// there are never fewer than characters.
func (s *Sink) markup(a *event.Alert) (links string) {
	for _, l := range s.links.Of(a) {
		link := "<" + l.URL + "|" + escaped(strings.ReplaceAll(l.Name, "|", " ")) + ">"
		if links != "" {
			link = " · " + link
		}
		if len(links)+len(link) <= maxSection {
			links += link
		}
	}
	return links
}

func (s *Sink) send(ctx context.Context, a *event.Alert) error {
	url, err := s.url()
	if err != nil {
		return err
	}
	body, err := json.Marshal(s.message(a))
	if err != nil {
		return fault.NewPermanent(fmt.Errorf("encode message: %w", err))
	}
	answer, err := s.Send(ctx, post.Request{URL: url, Body: body, Secrets: []string{url}})
	if err != nil {
		return err
	}
	return post.Refusal(s.judge(answer))
}

func (s *Sink) judge(answer post.Answer) error {
	err := s.Judge(answer)
	switch said := strings.TrimSpace(string(answer.Body)); {
	case err == nil && said != "ok":
		return s.Foreign(answer)
	case fault.Of(err) == fault.Permanent && strings.HasPrefix(said, "invalid_token"), fault.Of(err) == fault.Auth && (answer.Status == 403 || answer.Status == 404 || answer.Status == 410):
		return fault.WithHint(fault.NewAuth(err), "the webhook was revoked, or its channel is archived or closed to it: make a new one and replace the secret")
	}
	return err
}

// Probe tries the way to the destination and gives it nothing; found is what is there.
func (s *Sink) Probe(ctx context.Context) (found string, err error) {
	url, err := s.url()
	if err != nil {
		return "", err
	}
	return s.Reach(ctx, url)
}
