package post

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/format"
	"github.com/appgovd/appgovd/internal/secret"
)

func client(t *testing.T) *Client {
	t.Helper()
	c, err := New(Options{Name: "test", Proxy: "none"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestOneByOne(t *testing.T) {
	busy, poison := Refusal(errors.New("busy")), fault.NewPermanent(errors.New("poison"))
	for _, tt := range []struct {
		name    string
		apps    string // one letter per alert
		fail    map[int]error
		sent    []int
		refused []int
		retry   []int
	}{
		{"all are taken", "abc", nil, []int{0, 1, 2}, nil, nil},
		{"one is refused for good, the others go on", "aaa", map[int]error{1: poison}, []int{0, 1, 2}, []int{1}, nil},
		{"behind one that waits the others of its app wait", "abaa", map[int]error{0: busy}, []int{0, 1}, nil, []int{0, 2, 3}},
		{"three in a row end the round", "abcdef", map[int]error{1: busy, 2: busy, 3: busy}, []int{0, 1, 2, 3}, nil, []int{1, 2, 3, 4, 5}},
		{"a failure of the network ends the round", "abc", map[int]error{1: errors.New("reset")}, []int{0, 1}, nil, []int{1, 2}},
		{"throttling ends the round", "abc", map[int]error{1: Refusal(fault.NewThrottled(0, errors.New("slow")))}, []int{0, 1}, nil, []int{1, 2}},
		{"refused credentials end the round", "abc", map[int]error{1: Refusal(fault.NewAuth(errors.New("who")))}, []int{0, 1}, nil, []int{1, 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			batch := sinktest.Batch(len(tt.apps))
			for i := range batch {
				batch[i].App.AppID = tt.apps[i : i+1]
				batch[i].Sequence = uint32(i)
			}
			var sent, refused []int
			err := client(t).Each(t.Context(), batch, func(_ context.Context, a *event.Alert) error {
				sent = append(sent, int(a.Sequence))
				return tt.fail[int(a.Sequence)]
			})
			var v deliver.Rejected
			if r := new(deliver.Rejected); errors.As(err, &r) {
				v = *r
			} else if (err != nil) != (len(tt.retry) > 0) {
				t.Errorf("error %v", err)
			}
			for _, x := range v.Items {
				refused = append(refused, x.Index)
			}
			if diff := cmp.Diff(tt.sent, sent) + cmp.Diff(tt.refused, refused) + cmp.Diff(tt.retry, v.Retry); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFactsOfAGroup(t *testing.T) {
	a := sinktest.Notice()
	a.Group.Labels[0].Value = "r\n"
	got := map[string]string{}
	for _, f := range Facts(&a, 256) {
		got[f.Name] = f.Value
	}
	if got["Group"] != strings.Replace(sinktest.NoticeLine, "=r", "=r ", 1) || got["Alerts"] != "one (high); two (low)" || got["Matches"] != "" {
		t.Errorf("%q", got)
	}
}

func TestLinks(t *testing.T) {
	a := sinktest.Full()
	a.App.AppID, a.App.ID, a.Upstream.URL = `x" onclick=<|>)&#/../`, "sp", "https://security.microsoft.com/alerts/1?tid=2"
	want := []format.Link{
		{Name: "Alert", URL: "https://security.microsoft.com/alerts/1?tid=2"},
		{Name: "Entra admin centre", URL: "https://entra.microsoft.com/#view/Microsoft_AAD_IAM/ManagedAppMenuBlade/~/Overview/objectId/sp/appId/x%22%20onclick%3D%3C%7C%3E%29%26%23%2F..%2F"},
		{Name: "Microsoft Defender", URL: "https://security.microsoft.com/app?oauthAppId=x%22%20onclick%3D%3C%7C%3E%29%26%23%2F..%2F"},
	}
	if diff := cmp.Diff(want, NewLinks(nil).Of(&a)); diff != "" {
		t.Error(diff)
	}
	for _, page := range []string{"http://security.microsoft.com/x", "https://microsoft.com.evil.example/", "https://evil.example/.microsoft.com", "https://security.microsoft.com/|<x>", "javascript:alert(1)//.microsoft.com", "https://u@security.microsoft.com/"} {
		a.Upstream.URL = page
		if got := NewLinks(nil).Of(&a); len(got) != 2 {
			t.Errorf("%q became a link: %v", page, got)
		}
	}
	long := NewLinks(map[string]string{"long": "https://portal.example/" + strings.Repeat("{app_id}", 40), "short": "https://portal.example/{app_id}"})
	if got := long.Of(&event.Alert{App: event.App{AppID: strings.Repeat("x", 100)}}); len(got) != 1 || got[0].Name != "short" {
		t.Errorf("a page that is too long is a link: %v", got)
	}
	a.App = event.App{}
	if got := NewLinks(nil).Of(&a); len(got) != 0 {
		t.Errorf("an alert without an app has links to one: %v", got)
	}
	if got := NewLinks(map[string]string{}).Of(&a); len(got) != 0 {
		t.Errorf("links that were switched off: %v", got)
	}
}

// The host of a link is the template's, whatever the alert holds.
func TestAValueNeverMovesALink(t *testing.T) {
	links := NewLinks(nil)
	rapid.Check(t, func(t *rapid.T) {
		a := event.Alert{App: event.App{ID: rapid.String().Draw(t, "id"), AppID: rapid.String().Draw(t, "app")}}
		for _, l := range links.Of(&a) {
			u, err := url.Parse(l.URL)
			if err != nil || !strings.HasSuffix(u.Host, ".microsoft.com") || strings.ContainsAny(l.URL, " <>|\"'()[]\n\x00") || !utf8.ValidString(l.URL) {
				t.Fatalf("%q, %v", l.URL, err)
			}
		}
	})
}

func TestTemplatesOfLinksAreChecked(t *testing.T) {
	for template, want := range map[string]string{
		"https://portal.example/apps/{app_id}?t={tenant}":     "",
		"https://{tenant}.example/x":                          "no template",
		"https://portal.example{app_id}/":                     "no template",
		"https://evil@portal.example/":                        "no template",
		"http://portal.example/{app_id}":                      "no template",
		"javascript:alert({app_id})":                          "no template",
		"/apps/{app_id}":                                      "no template",
		"https://portal.example/{name}":                       "unknown placeholder {name}",
		"https://portal.example/" + strings.Repeat("x", 2000): "no template",
	} {
		var p deliver.Problems
		CheckLinks(&p, map[string]string{"x": template})
		if err := p.Err(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", template, err, want)
		}
	}
	var p deliver.Problems
	CheckLinks(&p, DefaultLinks())
	if len(p) > 0 {
		t.Error(p)
	}
}

func TestTextsFit(t *testing.T) {
	for _, s := range sinktest.Hostile() {
		for _, max := range []int{16, 150, 1024} {
			a := event.Alert{Title: s, Severity: event.SeverityHigh, State: event.AlertResolved}
			for _, got := range []string{Text(s, max), Title(&a, max)} {
				if len(got) > max || !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }) {
					t.Errorf("%d bytes of %.40q: %d, %q", max, s, len(got), got)
				}
			}
		}
	}
	if got := Title(&event.Alert{RuleID: "entra.x", Severity: event.SeverityHigh, State: event.AlertUpdated}, 100); got != "[UPDATED HIGH] entra.x" {
		t.Errorf("title %q", got)
	}
}

func TestARequestHasALimitOfItsOwn(t *testing.T) {
	quit := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-quit }))
	defer srv.Close()
	defer close(quit)
	c, err := New(Options{Name: "test", Proxy: "none", Timeout: "50ms"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Send(t.Context(), Request{URL: srv.URL}); err == nil || fault.Of(err) != fault.Transient || !strings.Contains(fault.Hint(err), "in time") {
		t.Errorf("class %v, hint %q of %v", fault.Of(err), fault.Hint(err), err)
	}
}

func TestAnswersThatRepeatASecret(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprintf(w, "no entry for %s with %s", r.URL, r.Header.Get("Authorization"))
	}))
	defer srv.Close()
	c := client(t)
	a, err := c.Send(t.Context(), Request{URL: srv.URL + "/T000/B000/XXXX?key=YYYY", Header: http.Header{"Authorization": {"Bearer ZZZZ"}}, Secrets: []string{"ZZZZ"}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Judge(a).Error(), "write to test: status 403: no entry for (redacted) with Bearer (redacted)"; got != want {
		t.Errorf("error %q, want %q", got, want)
	}
	for page, secret := range map[string]string{"/flow?v=1&sig=a-long-signature": "a-long-signature", "/services/T0/B0/a-very-long-part": "a-very-long-part"} {
		a, err := c.Send(t.Context(), Request{URL: srv.URL + page, Header: http.Header{"Authorization": {secret}}})
		if err != nil || strings.Contains(c.Judge(a).Error(), secret) {
			t.Errorf("%v: %v", c.Judge(a), err)
		}
	}
	srv.Close()
	if _, err := c.Send(t.Context(), Request{URL: srv.URL + "/T000/B000/XXXX?key=YYYY"}); err == nil || strings.Contains(err.Error(), "XXXX") || strings.Contains(err.Error(), "YYYY") {
		t.Errorf("error %v", err)
	}
	for _, bad := range []string{"", "https://", "https://x:y:z/SECRET", "SECRET", "https://h/%zzSECRET"} {
		if _, err := c.Send(t.Context(), Request{URL: bad}); fault.Of(err) != fault.Auth || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%q: class %v of %v", bad, fault.Of(err), err)
		}
	}
}

func TestASecretIsReadAnew(t *testing.T) {
	value, broken := "one", error(nil)
	c, err := New(Options{Name: "test", Secret: func(secret.Ref) (func() (string, error), error) {
		return func() (string, error) { return value, broken }, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	get, err := c.Open(secret.Env("X"))
	if err != nil {
		t.Fatal(err)
	}
	value = "two"
	if got, err := get(); got != "two" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	broken = errors.New("no such file")
	if _, err := get(); fault.Of(err) != fault.Auth {
		t.Errorf("class %v of %v: a human must bring it back", fault.Of(err), err)
	}
	if get, err := c.Open(""); err != nil {
		t.Error(err)
	} else if got, err := get(); got != "" || err != nil {
		t.Errorf("no secret is %q, %v", got, err)
	}
}

func TestReachShowsNothingButTheOrigin(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, r.Method+" "+r.URL.String()+" "+r.Header.Get("Authorization")+string(body))
		w.WriteHeader(http.StatusMethodNotAllowed)
	}))
	c, err := New(Options{Name: "slack", Proxy: "none", Timeout: "1m"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	found, err := c.Reach(t.Context(), server.URL+"/services/T0/B0/secretsecretsecret?sig=hush")
	if err != nil || !strings.HasPrefix(found, "answers at "+server.URL+";") || !slices.Equal(asked, []string{"HEAD / "}) {
		t.Errorf("%q, %v; asked %q", found, err, asked)
	}
	server.Close()
	if found, err := c.Reach(t.Context(), server.URL+"/services/secretsecretsecret"); err == nil || strings.Contains(err.Error(), "secretsecret") {
		t.Errorf("of nobody: %q, %v", found, err)
	}
	if _, err := c.Reach(t.Context(), "no url"); fault.Of(err) != fault.Auth {
		t.Errorf("of no URL: %v", err)
	}
}
