package servicenow

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/secret"
	"github.com/appgovd/appgovd/internal/sink/post"
)

const password = "pass-word-of-the-user"

var basic = base64.StdEncoding.EncodeToString([]byte("appgovd:" + password))

func open(secret.Ref) (func() (string, error), error) {
	return func() (string, error) { return password, nil }, nil
}

// recorder is Event Management's endpoint for events; no independent one can be had.
//
// Documented by ServiceNow: the path, records and their fields, the severities 0 to 5, additional_info as the text of a JSON
// object, the time's layout, the answer that counts what was inserted. Assumed: the limits of 100 and 4,000 characters; that
// an event which is refused lets the whole request fail.
func recorder() *sinktest.Recorder {
	n := 0
	return &sinktest.Recorder{
		Read: func(r *http.Request, body []byte) (items []sinktest.Item, err error) {
			if r.Method != http.MethodPost || r.URL.Path != "/api/global/em/jsonv2" || r.Header.Get("Authorization") != "Basic "+basic {
				return nil, fmt.Errorf("%s %s %v", r.Method, r.URL, r.Header)
			}
			var q struct{ Records []record }
			if err := json.Unmarshal(body, &q); err != nil {
				return nil, err
			}
			for _, x := range q.Records {
				item, err := read(x)
				if err != nil {
					return nil, err
				}
				items = append(items, item)
			}
			n = len(items)
			return items, nil
		},
		Accept: func(w http.ResponseWriter) {
			_, _ = fmt.Fprintf(w, `{"result":{"Default Bulk Endpoint":"%d events were inserted"}}`, n)
		},
		Refuse: func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprintf(w, `{"error":{"message":%q,"detail":""},"status":"failure"}`, sinktest.Reason)
		},
	}
}

func read(x record) (sinktest.Item, error) {
	var info struct {
		Title      string `json:"title"`
		DeliveryID string `json:"delivery_id"`
	}
	if err := json.Unmarshal([]byte(x.Info), &info); err != nil {
		return sinktest.Item{}, fmt.Errorf("additional_info: %w", err)
	}
	if _, err := time.Parse(time.DateTime, x.Time); err != nil {
		return sinktest.Item{}, err
	}
	for _, s := range []string{x.Source, x.EventClass, x.Node, x.Resource, x.MetricName, x.Type, x.MessageKey} {
		if s == "" || utf8.RuneCountInString(s) > 100 {
			return sinktest.Item{}, fmt.Errorf("a field %q", s)
		}
	}
	if utf8.RuneCountInString(x.Text) > 4000 || !strings.Contains("012345", x.Severity) || len(x.Severity) != 1 {
		return sinktest.Item{}, fmt.Errorf("description of %d, severity %q", len(x.Text), x.Severity)
	}
	return sinktest.Item{ID: info.DeliveryID, Title: info.Title}, nil
}

func sinkAt(t *testing.T, url, ca string) *Sink {
	t.Helper()
	s, err := New(Config{URL: url, Username: "appgovd", Password: secret.Env("P"), Proxy: "none", TLS: &post.TLS{CAFile: ca}}, open)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	sinktest.RunRecorders(t, sinktest.Recorders{
		New: func(t *testing.T, url, ca string) deliver.Sink { return sinkAt(t, url, ca) }, Peer: recorder, Secrets: []string{password, basic}, Batches: true,
	})
}

func TestAnAlertIsOpenedUpdatedAndClosed(t *testing.T) {
	s := &Sink{links: post.NewLinks(nil), node: "entra"}
	var got [][]string
	for _, state := range []event.AlertState{event.AlertNew, event.AlertUpdated, event.AlertResolved} {
		a := sinktest.Full()
		a.State, a.App.AppID, a.Upstream = state, "11", nil
		r := s.record(&a)
		got = append(got, []string{r.MessageKey, r.Severity, r.State, r.Node, r.Resource})
		var info map[string]any
		if err := json.Unmarshal([]byte(r.Info), &info); err != nil || info["link_2"] != "https://security.microsoft.com/app?oauthAppId=11" {
			t.Errorf("additional_info %s, %v", r.Info, err)
		}
	}
	id := sinktest.Full().ID.String()
	if diff := cmp.Diff([][]string{{id, "1", "New", "entra", "11"}, {id, "1", "New", "entra", "11"}, {id, "0", "Closing", "entra", "11"}}, got); diff != "" {
		t.Error(diff)
	}
}

func TestEveryEventFits(t *testing.T) {
	s := &Sink{links: post.NewLinks(nil)}
	for _, text := range sinktest.Hostile() {
		a := sinktest.Full()
		a.Title, a.Summary, a.App.Name, a.App.AppID, a.RuleID, a.Kind, a.Tenant = text, text, text, text, text, text, text
		for range 64 {
			a.Evidence = append(a.Evidence, event.Evidence{EventID: a.ID, Summary: text})
		}
		r := s.record(&a)
		if _, err := read(r); err != nil || len(r.Info) > maxInfo {
			t.Errorf("%.40q: %v, %d bytes of additional_info", text, err, len(r.Info))
		}
	}
}

func TestWhatIsNotInsertedIsNoSuccess(t *testing.T) {
	s := sinkAt(t, "https://x.example", "")
	for _, tt := range []struct {
		body string
		want fault.Class
		ok   bool
	}{
		{`{"Default Bulk Endpoint":"3 events were inserted"}`, 0, true},
		{`{"result":{"Default Bulk Endpoint":"2 events were inserted"}}`, fault.Permanent, false},
		{`{"result":{"Default Bulk Endpoint":"0 events were inserted"}}`, fault.Permanent, false},
		{`3 events were inserted`, fault.Transient, false},
		{`{"result":"ok"}`, fault.Transient, false},
	} {
		if err := s.judge(post.Answer{Status: 200, Body: []byte(tt.body)}, 3); (err == nil) != tt.ok || fault.Of(err) != tt.want {
			t.Errorf("%s: class %v of %v", tt.body, fault.Of(err), err)
		}
	}
}

func TestMistakesInTheConfiguration(t *testing.T) {
	ok := Config{URL: "https://x.service-now.com", Username: "u", Password: secret.Env("P")}
	if err := ok.Validate().Err(); err != nil {
		t.Error(err)
	}
	for _, tt := range []struct {
		name string
		edit func(*Config)
		want string
	}{
		{"no TLS", func(c *Config) { c.URL = "http://x.service-now.com" }, "url"},
		{"nobody", func(c *Config) { c.Username, c.Password = "", "" }, "username"},
		{"both", func(c *Config) { c.BearerToken = secret.Env("T") }, "username"},
		{"a user without a password", func(c *Config) { c.Password = "" }, "password"},
		{"a link that is none", func(c *Config) { c.Links = map[string]string{"x": "y"} }, "links"},
	} {
		c := ok
		tt.edit(&c)
		if err := c.Validate().Err(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %s", tt.name, err, tt.want)
		}
	}
}

func TestAdditionalInfoHasTheGroup(t *testing.T) {
	a := sinktest.Notice()
	var got struct {
		Group struct {
			Route string
			Total int
		}
	}
	if err := json.Unmarshal([]byte((&Sink{}).info(&a)), &got); err != nil || got.Group.Route != "oncall" || got.Group.Total != 5 {
		t.Errorf("%v %+v", err, got)
	}
}
