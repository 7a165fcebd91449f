package teams

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/secret"
	"github.com/appgovd/appgovd/internal/sink/post"
)

const hook = "/workflows/0123456789abcdef/triggers/manual/paths/invoke?api-version=2016-06-01&sig=SIGNATURE-OF-THE-WORKFLOW"

// recorder is the trigger of a workflow; no independent one can be had.
//
// Documented by Microsoft: the message with one attachment of an Adaptive Card, 28 KB, RichTextBlock and TextRun without
// markup (schema 1.2). Assumed: 202 without content for what was taken; 400 for a card that is none; 401, 404 and 410 for a
// workflow that is gone; that a channel shows version 1.4.
func recorder() *sinktest.Recorder {
	return &sinktest.Recorder{
		Read: func(r *http.Request, body []byte) ([]sinktest.Item, error) {
			if r.Method != http.MethodPost || r.URL.RequestURI() != hook {
				return nil, fmt.Errorf("%s %s", r.Method, r.URL)
			}
			m, err := decode(body)
			if err != nil {
				return nil, err
			}
			id := ""
			for _, b := range m.Attachments[0].Content.Body {
				if b.Inlines[0].Text == "Delivery: " {
					id = b.Inlines[1].Text
				}
			}
			return []sinktest.Item{{ID: id, Title: m.Attachments[0].Content.Body[0].Inlines[0].Text}}, nil
		},
		Accept: func(w http.ResponseWriter) { w.WriteHeader(http.StatusAccepted) },
		Refuse: func(w http.ResponseWriter) { http.Error(w, sinktest.Reason, http.StatusBadRequest) },
	}
}

// decode reads a card and checks it: only elements without markup, links by https, one size.
func decode(body []byte) (message, error) {
	var m message
	if err := json.Unmarshal(body, &m); err != nil {
		return m, err
	}
	var errs []error
	must := func(ok bool, what string, v any) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s: %.200v", what, v))
		}
	}
	must(len(body) <= 28_000 && utf8.Valid(body), "bytes", len(body))
	must(m.Type == "message" && len(m.Attachments) == 1 && m.Attachments[0].ContentType == "application/vnd.microsoft.card.adaptive", "envelope", m.Type)
	c := m.Attachments[0].Content
	must(c.Type == "AdaptiveCard" && c.Version == "1.4" && len(c.Body) > 0, "card", c.Type)
	for _, b := range c.Body {
		must(b.Type == "RichTextBlock" && len(b.Inlines) > 0, "block", b)
		for _, x := range b.Inlines {
			must(x.Type == "TextRun" && x.Text != "", "run", x)
			must(!strings.ContainsFunc(x.Text, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }), "invisible characters", x)
		}
	}
	for _, a := range c.Actions {
		u, err := url.Parse(a.URL)
		must(err == nil && u.Scheme == "https" && a.Type == "Action.OpenUrl" && a.Title != "", "action", a)
	}
	return m, errors.Join(errs...)
}

func open(url string) post.Opener {
	return func(secret.Ref) (func() (string, error), error) {
		return func() (string, error) { return url, nil }, nil
	}
}

func sinkAt(t *testing.T, url, ca string) *Sink {
	t.Helper()
	s, err := New(Config{URL: secret.Env("U"), Proxy: "none", TLS: &post.TLS{CAFile: ca}}, open(url+hook))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	sinktest.RunRecorders(t, sinktest.Recorders{
		New: func(t *testing.T, url, ca string) deliver.Sink { return sinkAt(t, url, ca) }, Peer: recorder,
		Secrets: []string{hook, "SIGNATURE-OF-THE-WORKFLOW"}, HTTP: sinktest.HTTP{StatusOnly: true},
	})
}

func TestACard(t *testing.T) {
	r := recorder()
	url, ca := r.Start(t)
	a := sinktest.Full()
	a.State, a.Severity, a.Title, a.Summary, a.App = event.AlertUpdated, event.SeverityMedium, "**An app**", "it did", event.App{AppID: "11", ID: "22", Name: "[App](x)"}
	if err := sinkAt(t, url, ca).Write(t.Context(), []event.Alert{a}); err != nil {
		t.Fatal(err)
	}
	m, err := decode(r.Requests()[0].Body)
	if err != nil {
		t.Fatal(err)
	}
	c := m.Attachments[0].Content
	want := []rich{
		{"RichTextBlock", "", []run{{Type: "TextRun", Text: "[UPDATED MEDIUM] **An app**", Size: "large", Weight: "bolder", Color: "warning"}}},
		{"RichTextBlock", "", []run{{Type: "TextRun", Text: "it did"}}},
		{"RichTextBlock", "small", []run{{Type: "TextRun", Text: "App: ", Weight: "bolder"}, {Type: "TextRun", Text: "[App](x) (11)"}}},
	}
	if diff := cmp.Diff(want, c.Body[:3]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(c.Actions) != 2 || c.Actions[1] != (action{"Action.OpenUrl", "Microsoft Defender", "https://security.microsoft.com/app?oauthAppId=11"}) {
		t.Errorf("actions %+v", c.Actions)
	}
}

func TestEveryCardFits(t *testing.T) {
	links := map[string]string{}
	for i := range 8 {
		links[fmt.Sprint(i)] = "https://portal.example/" + strings.Repeat("x", 900) + "/{app_id}"
	}
	s, hungry := &Sink{links: post.NewLinks(links)}, map[string]string{}
	for i := range 8 {
		hungry[fmt.Sprint(i, strings.Repeat(`"`, 100))] = "https://portal.example/" + strings.Repeat("x", 480) + "/{app_id}{tenant}"
	}
	for _, text := range append(sinktest.Hostile(), strings.Repeat(`"`, 64<<10), strings.Repeat("\\", 64<<10)) {
		a := sinktest.Full()
		a.Title, a.Summary, a.App.Name, a.App.AppID, a.Actor.UPN, a.Target.Name, a.Resource.Name, a.Reason, a.RuleID, a.Action, a.Tenant = text, text+".", text, text, text, text, text, text, text, text, text
		for _, s := range []*Sink{s, {links: post.NewLinks(hungry)}} {
			a.Upstream.URL = "https://security.microsoft.com/" + strings.Repeat("x", 2000)
			b, err := s.body(&a)
			if err != nil {
				t.Errorf("%.40q: %v", text, err)
				continue
			}
			if _, err := decode(b); err != nil {
				t.Errorf("%.40q: %v", text, err)
			}
		}
	}
}

func TestAWorkflowThatIsGone(t *testing.T) {
	s, err := New(Config{URL: secret.Env("U")}, open("https://x.example/"))
	if err != nil {
		t.Fatal(err)
	}
	for _, status := range []int{401, 403, 404, 410} {
		if err := s.judge(post.Answer{Status: status}); fault.Of(err) != fault.Auth || !strings.Contains(fault.Hint(err), "Power Automate") {
			t.Errorf("%d: class %v, hint %q", status, fault.Of(err), fault.Hint(err))
		}
	}
}

func TestMistakesInTheConfiguration(t *testing.T) {
	for _, tt := range []struct {
		name string
		c    Config
		want string
	}{
		{"no URL", Config{}, "url: is empty"},
		{"an URL that everybody can read", Config{URL: "https://x.example/?sig=y"}, "url: is written"},
		{"a link that is none", Config{URL: secret.Env("U"), Links: map[string]string{"x": "y"}}, "links"},
	} {
		if err := tt.c.Validate().Err(); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "sig=y") {
			t.Errorf("%s: error %v, want %s", tt.name, err, tt.want)
		}
	}
	if err := (Config{URL: secret.Env("U")}).Validate().Err(); err != nil {
		t.Error(err)
	}
}

func TestACardShowsItsGroup(t *testing.T) {
	a := sinktest.Notice()
	b, err := (&Sink{}).body(&a)
	for _, want := range []string{sinktest.NoticeLine, "one (high); two (low)"} {
		if err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%v: %q is missing in %s", err, want, b)
		}
	}
}
