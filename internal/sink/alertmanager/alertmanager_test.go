package alertmanager

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

func open(secret.Ref) (func() (string, error), error) {
	return func() (string, error) { return password, nil }, nil
}

// recorder refuses, which Alertmanager itself does not for what we send; server_test.go has the real one.
func recorder() *sinktest.Recorder {
	return &sinktest.Recorder{
		Read: func(r *http.Request, body []byte) (items []sinktest.Item, err error) {
			if r.Method != http.MethodPost || r.URL.Path != "/am/api/v2/alerts" || r.Header.Get("Authorization") != "Bearer "+password {
				return nil, fmt.Errorf("%s %s %v", r.Method, r.URL, r.Header)
			}
			var alerts []alert
			if err := json.Unmarshal(body, &alerts); err != nil {
				return nil, err
			}
			for _, a := range alerts {
				items = append(items, sinktest.Item{ID: a.Annotations["delivery"], Title: a.Annotations["summary"]})
			}
			return items, nil
		},
		Accept: func(http.ResponseWriter) {},
		Refuse: func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprintf(w, "%q", sinktest.Reason)
		},
	}
}

func sinkAt(t *testing.T, url, ca string, edit func(*Config)) *Sink {
	t.Helper()
	c := Config{URL: url, Proxy: "none", TLS: &post.TLS{CAFile: ca}}
	if edit != nil {
		edit(&c)
	}
	s, err := New(c, open)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	sinktest.RunRecorders(t, sinktest.Recorders{
		New: func(t *testing.T, url, ca string) deliver.Sink {
			return sinkAt(t, url+"/am/", ca, func(c *Config) { c.BearerToken = secret.Env("T") })
		},
		Peer: recorder, Secrets: []string{password}, Batches: true, HTTP: sinktest.HTTP{StatusOnly: true},
	})
}

func TestWhoWeAre(t *testing.T) {
	s := sinkAt(t, "https://x", "", func(c *Config) { c.Username, c.Password = "u", secret.Env("P") })
	h, secrets, err := s.header()
	if want := "Basic " + base64.StdEncoding.EncodeToString([]byte("u:"+password)); err != nil || h.Get("Authorization") != want || len(secrets) != 3 {
		t.Errorf("%v, %d secrets, %v", h, len(secrets), err)
	}
}

func TestAnAnswerWithContentIsNotAlertmanagers(t *testing.T) {
	r := recorder()
	r.Accept = func(w http.ResponseWriter) { _, _ = fmt.Fprint(w, "<html>Please log in</html>") }
	url, ca := r.Start(t)
	s := sinkAt(t, url+"/am", ca, func(c *Config) { c.BearerToken = secret.Env("T") })
	if err := s.Write(t.Context(), sinktest.Batch(1)); err == nil || fault.Of(err) != fault.Transient {
		t.Errorf("class %v of %v", fault.Of(err), err)
	}
}

// Times: a detection fires for a while from now, however late it is delivered, and what is resolved some day until then; a resolved
// one has ended; none ends before it starts.
func TestTimes(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	s := &Sink{fires: time.Hour, now: func() time.Time { return now }}
	for _, tt := range []struct {
		name   string
		state  event.AlertState
		kind   string
		group  bool
		opened time.Time
		start  time.Time
		end    time.Time
	}{
		{"new", event.AlertNew, event.AlertDetection, false, now.Add(-time.Minute), now.Add(-time.Minute), now.Add(time.Hour)},
		{"delivered a week late", event.AlertNew, event.AlertDetection, false, now.AddDate(0, 0, -7), now.AddDate(0, 0, -7), now.Add(time.Hour)},
		{"resolved", event.AlertResolved, event.AlertDetection, false, now.Add(-time.Minute), now.Add(-time.Minute), now},
		{"resolved, by a clock that is ahead", event.AlertResolved, event.AlertDetection, false, now.Add(time.Minute), now, now},
		{"never opened", event.AlertNew, event.AlertDetection, false, time.Time{}, time.Time{}, now.Add(time.Hour)},
		{"a policy's, which is open until it is resolved", event.AlertNew, event.AlertPolicy, false, now, now, now.AddDate(1, 0, 0)},
		{"of health", event.AlertUpdated, event.AlertHealth, false, now, now, now.AddDate(1, 0, 0)},
		{"of health, resolved", event.AlertResolved, event.AlertHealth, false, now, now, now},
		{"a test, which may be left as it is", event.AlertNew, "test", false, now, now, now.Add(time.Hour)},
		{"of risk", event.AlertNew, event.AlertRisk, false, now, now, now.AddDate(1, 0, 0)},
		{"the provider's", event.AlertNew, event.AlertUpstream, false, now, now, now.AddDate(1, 0, 0)},
		{"a notice, whose end is told", event.AlertNew, event.AlertDetection, true, now, now, now.AddDate(1, 0, 0)},
	} {
		a := event.Alert{State: tt.state, Kind: tt.kind, Opened: tt.opened}
		if tt.kind == "test" {
			a.Kind, a.RuleID = event.AlertHealth, event.TestRule
		}
		if tt.group {
			a.Group = &event.Group{}
		}
		got := s.alert(&a)
		var start time.Time
		if got.StartsAt != nil {
			start = *got.StartsAt
		}
		if !start.Equal(tt.start) || !got.EndsAt.Equal(tt.end) {
			t.Errorf("%s: from %v to %v, want %v to %v", tt.name, start, got.EndsAt, tt.start, tt.end)
		}
	}
}

func TestTheIdentityIsThatOfTheAlert(t *testing.T) {
	s := &Sink{extra: map[string]string{"team": "soc"}, now: time.Now}
	var all []map[string]string
	for i, state := range []event.AlertState{event.AlertNew, event.AlertUpdated, event.AlertResolved} {
		a := sinktest.Full()
		a.State, a.Sequence, a.Title, a.Count, a.Group = state, uint32(i), fmt.Sprint("title ", i), i, nil
		a.SetDelivery()
		all = append(all, s.alert(&a).Labels)
	}
	want := map[string]string{
		"alertname": "text", "alert_id": sinktest.Full().ID.String(), "severity": "critical", "tenant": "text", "provider": "text", "app_id": "text", "kind": "upstream",
		"detection_source": "App Governance", "team": "soc",
	}
	for _, got := range all {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestTheIdentityOfAGroupDoesNotFollowItsGravestAlert(t *testing.T) {
	s := &Sink{now: time.Now}
	var all []map[string]string
	for i, state := range []event.AlertState{event.AlertNew, event.AlertUpdated, event.AlertResolved} {
		a := sinktest.Full()
		text := fmt.Sprint("text ", i)
		a.State, a.Sequence, a.Title, a.RuleID, a.Tenant, a.Kind, a.App = state, uint32(i), text, text, text, text, event.App{AppID: text}
		a.Group = &event.Group{Route: "oncall", Labels: []event.Detail{{Name: "app.tier", Value: "1"}}, Total: uint64(i)}
		all = append(all, s.alert(&a).Labels)
	}
	want := map[string]string{
		"alertname": "oncall", "alert_id": sinktest.Full().ID.String(), "severity": "critical", "kind": "group", "detection_source": "App Governance", "group_app_tier": "1",
	}
	for _, got := range all {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestHostileTextIsCapped(t *testing.T) {
	s := &Sink{links: post.NewLinks(nil), now: time.Now}
	for _, text := range sinktest.Hostile() {
		a := sinktest.Full()
		a.RuleID, a.Tenant, a.App.AppID, a.App.Name, a.Summary, a.Title = text, text, text, text, text, text
		out := s.alert(&a)
		for name, v := range out.Labels {
			if len(v) > maxLabel || !utf8.ValidString(v) || strings.ContainsAny(v, "\n\x00\u202e") {
				t.Errorf("label %s: %.80q", name, v)
			}
		}
		for name, v := range out.Annotations {
			if len(v) > maxAnnotation || !utf8.ValidString(v) {
				t.Errorf("annotation %s: %.80q", name, v)
			}
		}
	}
}

func TestMistakesInTheConfiguration(t *testing.T) {
	ok := Config{URL: "https://am.example.com:9093"}
	if err := ok.Validate().Err(); err != nil {
		t.Error(err)
	}
	for _, tt := range []struct {
		name string
		edit func(*Config)
		want string
	}{
		{"no URL", func(c *Config) { c.URL = "am:9093" }, "url"},
		{"no TLS", func(c *Config) { c.URL = "http://am.example.com:9093" }, "url"},
		{"a label of ours", func(c *Config) { c.Labels = map[string]string{"severity": "x"} }, "labels"},
		{"a label that is none", func(c *Config) { c.Labels = map[string]string{"a-b": "x"} }, "labels"},
		{"two ways to log in", func(c *Config) { c.BearerToken, c.Username, c.Password = secret.Env("T"), "u", secret.Env("P") }, "bearer_token"},
		{"a user without a password", func(c *Config) { c.Username = "u" }, "password"},
		{"no duration", func(c *Config) { c.Fires = "1s" }, "fires"},
		{"a link that is none", func(c *Config) { c.Links = map[string]string{"x": "y"} }, "links"},
	} {
		c := ok
		tt.edit(&c)
		if err := c.Validate().Err(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %s", tt.name, err, tt.want)
		}
	}
}
