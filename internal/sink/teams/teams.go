// Package teams owns the sink that posts alerts as Adaptive Cards to a workflow
// of Microsoft Teams ("Send webhook alerts to a channel").
package teams

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/sink/post"
)

// Config is the body of `sink "teams" "NAME" {}`; its URL is that of the workflow.
type Config post.Hook

// Validate returns every mistake of c that can be found without a network.
func (c Config) Validate() deliver.Problems { return post.Hook(c).Validate("teams") }

// Sink posts one card per alert.
type Sink struct {
	*post.Client
	url   func() (string, error)
	links post.Links
}

// New checks the configuration and opens the secret; it connects to nothing.
func New(c Config, open post.Opener) (*Sink, error) {
	client, url, err := post.Hook(c).Open("teams", open)
	if err != nil {
		return nil, err
	}
	return &Sink{Client: client, url: url, links: post.NewLinks(c.Links)}, nil
}

// Write posts the alerts one by one.
func (s *Sink) Write(ctx context.Context, batch []event.Alert) error {
	return s.Each(ctx, batch, s.send)
}

// maxMessage bounds a message, in bytes: Teams takes 28 KB.
const maxMessage = 27_000

type message struct {
	Type        string       `json:"type"`
	Attachments []attachment `json:"attachments"`
}

type attachment struct {
	ContentType string `json:"contentType"`
	Content     card   `json:"content"`
}

type card struct {
	Schema  string   `json:"$schema"`
	Type    string   `json:"type"`
	Version string   `json:"version"`
	Body    []rich   `json:"body"`
	Actions []action `json:"actions,omitempty"`
	Teams   struct {
		Width string `json:"width"`
	} `json:"msteams"`
}

// rich is a RichTextBlock: unlike a TextBlock and a Fact it knows no markup, so
// what others chose stays text.
type rich struct {
	Type    string `json:"type"`
	Spacing string `json:"spacing,omitempty"`
	Inlines []run  `json:"inlines"`
}

type run struct {
	Type   string `json:"type"`
	Text   string `json:"text"`
	Size   string `json:"size,omitempty"`
	Weight string `json:"weight,omitempty"`
	Color  string `json:"color,omitempty"`
}

type action struct {
	Type  string `json:"type"`
	Title string `json:"title"`
	URL   string `json:"url"`
}

func colour(a *event.Alert) string {
	switch {
	case a.State == event.AlertResolved:
		return "good"
	case a.Severity >= event.SeverityHigh:
		return "attention"
	case a.Severity == event.SeverityMedium:
		return "warning"
	default:
		return "default"
	}
}

// card shows a with texts of at most max bytes.
// https://learn.microsoft.com/en-us/connectors/teams/#microsoft-teams-webhook
func (s *Sink) card(a *event.Alert, max int) message {
	c := card{Schema: "http://adaptivecards.io/schemas/adaptive-card.json", Type: "AdaptiveCard", Version: "1.4"}
	c.Teams.Width = "Full"
	add := func(spacing string, runs ...run) {
		for i := range runs {
			runs[i].Type = "TextRun"
		}
		c.Body = append(c.Body, rich{"RichTextBlock", spacing, runs})
	}
	add("", run{Text: post.Title(a, 256), Size: "large", Weight: "bolder", Color: colour(a)})
	if summary := post.Text(a.Summary, 4*max); summary != "" && a.Summary != a.Title {
		add("", run{Text: summary})
	}
	for _, f := range post.Facts(a, max) {
		add("small", run{Text: f.Name + ": ", Weight: "bolder"}, run{Text: f.Value})
	}
	for _, l := range s.links.Of(a) {
		c.Actions = append(c.Actions, action{"Action.OpenUrl", post.Text(l.Name, 64), l.URL})
	}
	return message{"message", []attachment{{"application/vnd.microsoft.card.adaptive", c}}}
}

func (s *Sink) body(a *event.Alert) ([]byte, error) {
	for _, max := range []int{512, 128, 48} {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(s.card(a, max)); err != nil || b.Len() <= maxMessage {
			return b.Bytes(), err
		}
	}
	return nil, fmt.Errorf("the card is larger than %d bytes: its links are too long", maxMessage)
}

func (s *Sink) send(ctx context.Context, a *event.Alert) error {
	url, err := s.url()
	if err != nil {
		return err
	}
	body, err := s.body(a)
	if err != nil {
		return fault.NewPermanent(fmt.Errorf("encode card: %w", err))
	}
	answer, err := s.Send(ctx, post.Request{URL: url, Body: body, Secrets: []string{url}})
	if err != nil {
		return err
	}
	return post.Refusal(s.judge(answer))
}

func (s *Sink) judge(answer post.Answer) error {
	err := s.Judge(answer)
	if fault.Of(err) == fault.Auth && answer.Status >= 400 {
		return fault.WithHint(err, "the workflow is gone, switched off, or its URL was replaced: open it in Teams or Power Automate, and replace the secret")
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
