package slack

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
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

const hook = "/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX"

// recorder is an incoming webhook; no independent one can be had.
//
// Documented by Slack: the blocks and their limits (header 150 characters of plain_text, section 3,000, 10 fields of 2,000,
// 50 blocks), the escapes, the answer "ok", words such as invalid_payload with 400, no_service with 404, 429 with
// Retry-After. Assumed: that plain_text shows <...> and *...* as they are.
func recorder() *sinktest.Recorder {
	return &sinktest.Recorder{
		Read: func(r *http.Request, body []byte) ([]sinktest.Item, error) {
			if r.Method != http.MethodPost || r.URL.Path != hook {
				return nil, fmt.Errorf("%s %s", r.Method, r.URL)
			}
			var m message
			if err := json.Unmarshal(body, &m); err != nil {
				return nil, err
			}
			id := ""
			for _, b := range m.Blocks {
				for _, f := range b.Fields {
					if v, ok := strings.CutPrefix(f.Text, "Delivery: "); ok {
						id = v
					}
				}
			}
			return []sinktest.Item{{ID: id, Title: m.Blocks[0].Text.Text}}, errors.Join(valid(m), utf8OK(body))
		},
		Accept: func(w http.ResponseWriter) { _, _ = fmt.Fprint(w, "ok") },
		Refuse: func(w http.ResponseWriter) { http.Error(w, "invalid_blocks: "+sinktest.Reason, http.StatusBadRequest) },
	}
}

func utf8OK(body []byte) error {
	if !utf8.Valid(body) {
		return errors.New("no UTF-8")
	}
	return nil
}

var link = regexp.MustCompile(`^(<https://[^<>|\s]+\|[^<>|]+>( · )?)*$`)

// valid checks the limits of blocks, and that markup is only where nothing of an alert is.
func valid(m message) error {
	var errs []error
	must := func(ok bool, what string, v any) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s: %.200v", what, v))
		}
	}
	must(!m.Mrkdwn && !m.Unfurl && !m.Preview, "markup or previews are on", m)
	must(m.Text != "" && !strings.ContainsAny(m.Text, "<>"), "text", m.Text)
	must(len(m.Blocks) > 0 && len(m.Blocks) <= 50, "blocks", len(m.Blocks))
	check := func(t text, most int) {
		must(t.Type == "plain_text" && t.Text != "" && utf8.RuneCountInString(t.Text) <= most, "text", t)
		must(!strings.ContainsFunc(t.Text, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }), "invisible characters", t)
	}
	for _, b := range m.Blocks {
		switch b.Type {
		case "header":
			check(*b.Text, 150)
		case "section":
			must((b.Text == nil) != (len(b.Fields) == 0) && len(b.Fields) <= 10, "section", b)
			if b.Text != nil {
				check(*b.Text, 3000)
			}
			for _, f := range b.Fields {
				check(f, 2000)
			}
		case "context":
			must(len(b.Elements) == 1 && b.Elements[0].Type == "mrkdwn" && b.Elements[0].Verbatim && link.MatchString(b.Elements[0].Text) && len(b.Elements[0].Text) <= 3000, "links", b.Elements)
		default:
			must(false, "block", b)
		}
	}
	return errors.Join(errs...)
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
		New: func(t *testing.T, url, ca string) deliver.Sink { return sinkAt(t, url, ca) }, Peer: recorder, Secrets: []string{hook, "XXXXXXXXXXXXXXXXXXXXXXXX"},
	})
}

func TestAMessage(t *testing.T) {
	r := recorder()
	url, ca := r.Start(t)
	a := sinktest.Full()
	a.Title, a.Summary, a.App = "An app <b> & more", "it did", event.App{AppID: "11", ID: "22", Name: "<!channel> *App*"}
	if err := sinkAt(t, url, ca).Write(t.Context(), []event.Alert{a}); err != nil {
		t.Fatal(err)
	}
	var m message
	if err := json.Unmarshal(r.Requests()[0].Body, &m); err != nil {
		t.Fatal(err)
	}
	got := []string{m.Text, m.Blocks[0].Text.Text, m.Blocks[1].Text.Text, m.Blocks[2].Fields[0].Text, m.Blocks[len(m.Blocks)-1].Elements[0].Text}
	want := []string{
		"[RESOLVED CRITICAL] An app &lt;b&gt; &amp; more", "[RESOLVED CRITICAL] An app <b> & more", "it did", "App: <!channel> *App* (11)",
		"<https://entra.microsoft.com/#view/Microsoft_AAD_IAM/ManagedAppMenuBlade/~/Overview/objectId/22/appId/11|Entra admin centre> · <https://security.microsoft.com/app?oauthAppId=11|Microsoft Defender>",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestHostileTextStaysText(t *testing.T) {
	s := &Sink{links: post.NewLinks(map[string]string{"a|b<c>": "https://portal.example/{app_id}"})}
	for _, text := range sinktest.Hostile() {
		a := sinktest.Full()
		a.Title, a.Summary, a.App.Name, a.App.AppID, a.Actor.UPN, a.Reason, a.RuleID, a.Action = text, text+".", text, text, text, text, text, text
		if err := valid(s.message(&a)); err != nil {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

// Links are as many as a text of Slack's holds, however long they are.
func TestLinksAreBounded(t *testing.T) {
	links := map[string]string{"9 last": "https://portal.example/{app_id}"}
	for i := range 7 {
		links[fmt.Sprint(i)] = "https://portal.example/" + strings.Repeat("x", 900) + "/{app_id}"
	}
	a := sinktest.Full()
	a.App.AppID = "11"
	m := (&Sink{links: post.NewLinks(links)}).message(&a)
	if err := valid(m); err != nil {
		t.Error(err)
	}
	shown := m.Blocks[len(m.Blocks)-1].Elements[0].Text
	if n := strings.Count(shown, "<https://"); n != 4 || !strings.HasSuffix(shown, "<https://portal.example/11|9 last>") {
		t.Errorf("%d links: %s", n, shown)
	}
}

func TestWhatSlackSaysIsClassified(t *testing.T) {
	s, err := New(Config{URL: secret.Env("U")}, open("https://hooks.slack.com"+hook))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		status int
		said   string
		want   fault.Class
		hint   string
	}{
		{400, "invalid_payload", fault.Permanent, ""},
		{400, "invalid_token", fault.Auth, "make a new one"},
		{403, "action_prohibited", fault.Auth, "make a new one"},
		{404, "no_service", fault.Auth, "make a new one"},
		{410, "channel_is_archived", fault.Auth, "make a new one"},
		{500, "rollup_error", fault.Transient, ""},
		{429, "rate_limited", fault.Throttled, ""},
		{200, "<html>", fault.Transient, "proxy"},
	} {
		err := s.judge(post.Answer{Status: tt.status, Header: http.Header{}, Body: []byte(tt.said)})
		if err == nil || fault.Of(err) != tt.want || !strings.Contains(fault.Hint(err), tt.hint) {
			t.Errorf("%d %s: class %v, hint %q of %v", tt.status, tt.said, fault.Of(err), fault.Hint(err), err)
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
		{"an URL that everybody can read", Config{URL: "https://hooks.slack.com/services/x"}, "url: is written"},
		{"a link that is none", Config{URL: secret.Env("U"), Links: map[string]string{"x": "y"}}, "links"},
	} {
		if err := tt.c.Validate().Err(); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "services/x") {
			t.Errorf("%s: error %v, want %s", tt.name, err, tt.want)
		}
	}
	if err := (Config{URL: secret.Env("U")}).Validate().Err(); err != nil {
		t.Error(err)
	}
}

func TestAMessageShowsItsGroup(t *testing.T) {
	a := sinktest.Notice()
	b, err := json.Marshal((&Sink{}).message(&a))
	for _, want := range []string{"Group: " + sinktest.NoticeLine, "Alerts: one (high); two (low)"} {
		if err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%v: %q is missing in %s", err, want, b)
		}
	}
}
