package jsmops

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/secret"
	"github.com/appgovd/appgovd/internal/sink/post"
)

const key = "01234567-89ab-cdef-0123-456789abcdef"

func open(secret.Ref) (func() (string, error), error) {
	return func() (string, error) { return key, nil }, nil
}

// recorder is the integration API of Jira Service Management Operations; no independent one can be had.
//
// Documented by Atlassian: the paths, GenieKey, the fields, 202 with a requestId, close by alias, 422 for what is not valid,
// 429. Assumed: the limits of the fields, which are those of the Opsgenie API (message 130, alias 512, description 15,000,
// details 8,000 together, 20 tags of 50, source 100).
func recorder() *sinktest.Recorder {
	return &sinktest.Recorder{
		Read: func(r *http.Request, body []byte) ([]sinktest.Item, error) {
			if r.Method != http.MethodPost || r.Header.Get("Authorization") != "GenieKey "+key {
				return nil, fmt.Errorf("%s %s %v", r.Method, r.URL, r.Header)
			}
			alias, closes := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/v2/alerts/"), "/close")
			if closes && r.URL.RawQuery == "identifierType=alias" {
				return []sinktest.Item{{ID: "closed " + alias}}, json.Unmarshal(body, &closing{})
			}
			if r.URL.Path != "/v2/alerts" {
				return nil, fmt.Errorf("path %s", r.URL)
			}
			var c create
			if err := json.Unmarshal(body, &c); err != nil {
				return nil, err
			}
			return []sinktest.Item{{ID: c.Details["Delivery"], Title: c.Message}}, fits(c)
		},
		Accept: func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusAccepted)
			_, _ = fmt.Fprint(w, `{"result":"Request will be processed","took":0.1,"requestId":"43a29c5c-3dbf-4fa4-9c26-f4f71023e120"}`)
		},
		Refuse: func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = fmt.Fprintf(w, `{"message":%q,"took":0.1,"requestId":"x"}`, sinktest.Reason)
		},
	}
}

func fits(c create) error {
	details := 0
	for k, v := range c.Details {
		details += utf8.RuneCountInString(k) + utf8.RuneCountInString(v)
	}
	tags := 0
	for _, tag := range c.Tags {
		tags = max(tags, utf8.RuneCountInString(tag))
	}
	got := map[string][2]int{
		"message": {utf8.RuneCountInString(c.Message), 130}, "alias": {len(c.Alias), 512}, "description": {utf8.RuneCountInString(c.Description), 15_000},
		"details": {details, 8_000}, "entity": {utf8.RuneCountInString(c.Entity), 512}, "source": {utf8.RuneCountInString(c.Source), 100}, "tags": {len(c.Tags), 20}, "tag": {tags, 50},
	}
	for name, n := range got {
		if n[0] > n[1] {
			return fmt.Errorf("%s has %d, at most %d", name, n[0], n[1])
		}
	}
	if c.Message == "" || c.Alias == "" || !strings.Contains("P1 P2 P3 P4 P5", c.Priority) {
		return fmt.Errorf("%+v", c)
	}
	return nil
}

func sinkAt(t *testing.T, url, ca string) *Sink {
	t.Helper()
	s, err := New(Config{URL: url + "/v2/alerts", APIKey: secret.Env("K"), Tags: []string{"hq"}, Proxy: "none", TLS: &post.TLS{CAFile: ca}}, open)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	sinktest.RunRecorders(t, sinktest.Recorders{
		New: func(t *testing.T, url, ca string) deliver.Sink { return sinkAt(t, url, ca) }, Peer: recorder, Secrets: []string{key},
	})
}

func TestAnAlertIsCreatedCountedAndClosed(t *testing.T) {
	r := recorder()
	url, ca := r.Start(t)
	life := []event.Alert{sinktest.Full(), sinktest.Full(), sinktest.Full()}
	for i, state := range []event.AlertState{event.AlertNew, event.AlertUpdated, event.AlertResolved} {
		life[i].State, life[i].Reason = state, "the app is gone"
	}
	if err := sinkAt(t, url, ca).Write(t.Context(), life); err != nil {
		t.Fatal(err)
	}
	var got []string
	var note closing
	for _, q := range r.Requests() {
		var c create
		if err := json.Unmarshal(q.Body, &c); err != nil {
			t.Fatal(err)
		}
		got = append(got, q.Path+" "+c.Alias+" "+c.Priority)
		_ = json.Unmarshal(q.Body, &note)
	}
	id := life[0].ID.String()
	if diff := cmp.Diff([]string{"/v2/alerts " + id + " P1", "/v2/alerts " + id + " P1", "/v2/alerts/" + id + "/close  "}, got); diff != "" || note.Note != "resolved: the app is gone" {
		t.Errorf("%s, note %q", diff, note.Note)
	}
}

func TestEveryAlertFits(t *testing.T) {
	links := post.DefaultLinks()
	for i := range 6 {
		links[fmt.Sprint(i)] = "https://portal.example/" + strings.Repeat("x", 900) + "/{app_id}"
	}
	s := &Sink{links: post.NewLinks(links), tags: []string{"a"}}
	for _, text := range sinktest.Hostile() {
		a := sinktest.Full()
		a.Title, a.Summary, a.App.Name, a.App.AppID, a.Actor.UPN, a.Target.Name, a.Resource.Name, a.Reason, a.RuleID, a.Action, a.Tenant = text, text, text, text, text, text, text, text, text, text, text
		if err := fits(s.create(&a)); err != nil {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

func TestMistakesInTheConfiguration(t *testing.T) {
	ok := Config{APIKey: secret.Env("K")}
	if err := ok.Validate().Err(); err != nil {
		t.Error(err)
	}
	for _, tt := range []struct {
		name string
		edit func(*Config)
		want string
	}{
		{"no key", func(c *Config) { c.APIKey = "" }, "api_key"},
		{"no TLS", func(c *Config) { c.URL = "http://x.example.com/" }, "url"},
		{"an empty tag", func(c *Config) { c.Tags = []string{""} }, "tags"},
		{"too many tags", func(c *Config) { c.Tags = make([]string, 18) }, "tags"},
		{"a link that is none", func(c *Config) { c.Links = map[string]string{"x": "y"} }, "links"},
	} {
		c := ok
		tt.edit(&c)
		if err := c.Validate().Err(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %s", tt.name, err, tt.want)
		}
	}
}

func TestDetailsShowTheGroup(t *testing.T) {
	a := sinktest.Notice()
	got := (&Sink{}).create(&a).Details
	if got["Group"] != sinktest.NoticeLine || got["Alerts"] != "one (high); two (low)" {
		t.Errorf("%q", got)
	}
}
