package pagerduty

import (
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

const key = "R0UT1NGK3Y0123456789abcdefABCDEF"

func open(secret.Ref) (func() (string, error), error) {
	return func() (string, error) { return key, nil }, nil
}

// recorder is the Events API v2; no independent one can be had.
//
// Documented by PagerDuty: the fields and their limits (summary 1,024 characters, the event 512 KB), the actions, 202 with
// status success, 400 with status invalid event and a list of errors, 429. Assumed: the limit of 255 characters for
// dedup_key and the short fields; that an unknown routing key is named in errors.
func recorder() *sinktest.Recorder {
	return &sinktest.Recorder{
		Read: func(r *http.Request, body []byte) ([]sinktest.Item, error) {
			var e struct {
				RoutingKey string `json:"routing_key"`
				Action     string `json:"event_action"`
				DedupKey   string `json:"dedup_key"`
				Payload    *struct {
					Summary, Source, Severity, Timestamp, Component, Group, Class string
					Details                                                       struct {
						DeliveryID string `json:"delivery_id"`
					} `json:"custom_details"`
				}
				Links []struct{ Href, Text string }
			}
			if err := json.Unmarshal(body, &e); err != nil {
				return nil, err
			}
			if r.Method != http.MethodPost || e.RoutingKey != key || e.DedupKey == "" || len(e.DedupKey) > 255 || len(body) > 512_000 {
				return nil, fmt.Errorf("%s with dedup_key %q, %d bytes", r.Method, e.DedupKey, len(body))
			}
			if e.Action == "resolve" && e.Payload == nil {
				return []sinktest.Item{{ID: "resolved " + e.DedupKey}}, nil
			}
			p := e.Payload
			if e.Action != "trigger" || p == nil || p.Summary == "" || p.Source == "" || utf8.RuneCountInString(p.Summary) > 1024 || !strings.Contains("critical error warning info", p.Severity) || p.Severity == "" {
				return nil, fmt.Errorf("event %+v", e)
			}
			if _, err := time.Parse(time.RFC3339Nano, p.Timestamp); err != nil {
				return nil, err
			}
			return []sinktest.Item{{ID: p.Details.DeliveryID, Title: p.Summary}}, nil
		},
		Accept: func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusAccepted)
			_, _ = fmt.Fprint(w, `{"status":"success","message":"Event processed","dedup_key":"x"}`)
		},
		Refuse: func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprintf(w, `{"status":"invalid event","message":"Event object is invalid","errors":[%q]}`, sinktest.Reason)
		},
	}
}

func sinkAt(t *testing.T, url, ca string) *Sink {
	t.Helper()
	s, err := New(Config{URL: url + "/v2/enqueue", RoutingKey: secret.Env("K"), Proxy: "none", TLS: &post.TLS{CAFile: ca}}, open)
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

func TestAnIncidentIsTriggeredUpdatedAndResolved(t *testing.T) {
	r := recorder()
	url, ca := r.Start(t)
	life := []event.Alert{sinktest.Full(), sinktest.Full(), sinktest.Full()}
	for i, state := range []event.AlertState{event.AlertNew, event.AlertUpdated, event.AlertResolved} {
		life[i].State, life[i].Sequence = state, uint32(i+1)
		life[i].SetDelivery()
	}
	if err := sinkAt(t, url, ca).Write(t.Context(), life); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, q := range r.Requests() {
		var e request
		if err := json.Unmarshal(q.Body, &e); err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Action+" "+e.DedupKey)
	}
	id := life[0].ID.String()
	if diff := cmp.Diff([]string{"trigger " + id, "trigger " + id, "resolve " + id}, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhatPagerDutySaysIsClassified(t *testing.T) {
	for _, tt := range []struct {
		status int
		body   string
		want   fault.Class
		after  time.Duration
		hint   string
	}{
		{400, `{"status":"invalid event","errors":["'routing_key' is invalid"]}`, fault.Auth, 0, "routing key"},
		{400, `{"status":"invalid event","errors":["'payload.severity' is invalid"]}`, fault.Permanent, 0, ""},
		{429, ``, fault.Throttled, time.Minute, ""},
		{500, ``, fault.Transient, 0, ""},
		{202, `{"status":"invalid event"}`, fault.Transient, 0, "proxy"},
	} {
		c, err := New(Config{RoutingKey: secret.Env("K")}, open)
		if err != nil {
			t.Fatal(err)
		}
		err = c.judge(post.Answer{Status: tt.status, Header: http.Header{}, Body: []byte(tt.body)})
		if err == nil || fault.Of(err) != tt.want || fault.After(err) != tt.after || !strings.Contains(fault.Hint(err), tt.hint) {
			t.Errorf("%d %s: class %v, after %v, hint %q of %v", tt.status, tt.body, fault.Of(err), fault.After(err), fault.Hint(err), err)
		}
	}
}

func TestRegions(t *testing.T) {
	for region, want := range map[string]string{"": "https://events.pagerduty.com/v2/enqueue", "us": "https://events.pagerduty.com/v2/enqueue", "eu": "https://events.eu.pagerduty.com/v2/enqueue"} {
		s, err := New(Config{RoutingKey: secret.Env("K"), Region: region}, open)
		if err != nil || s.url != want {
			t.Errorf("%q: %v, %v", region, s, err)
		}
	}
}

func TestAnEventFits(t *testing.T) {
	s := &Sink{links: post.NewLinks(nil)}
	for _, text := range append(sinktest.Hostile(), strings.Repeat("\x01", 8<<10)) {
		a := sinktest.Full()
		a.State, a.Title, a.Summary, a.App.Name, a.App.AppID, a.Tenant, a.RuleID = event.AlertNew, text, text, text, text, text, text
		for range 64 {
			a.Evidence = append(a.Evidence, event.Evidence{EventID: a.ID, Summary: text, Activity: text})
		}
		b, err := s.event(&a, key)
		if err != nil || len(b) > maxEvent || !json.Valid(b) {
			t.Errorf("%.30q: %d bytes, %v", text, len(b), err)
		}
		var e request
		if err := json.Unmarshal(b, &e); err != nil || utf8.RuneCountInString(e.Payload.Summary) > maxSummary || len(e.Payload.Class) > maxField || len(e.Payload.Source) > maxField {
			t.Errorf("%.30q: %+v, %v", text, e.Payload, err)
		}
	}
}

func TestSeverities(t *testing.T) {
	var got []string
	for s := event.SeverityInformational; s <= event.SeverityCritical; s++ {
		got = append(got, severity(s))
	}
	if diff := cmp.Diff([]string{"info", "info", "warning", "error", "critical"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestMistakesInTheConfiguration(t *testing.T) {
	ok := Config{RoutingKey: secret.Env("K")}
	if err := ok.Validate().Err(); err != nil {
		t.Error(err)
	}
	for _, tt := range []struct {
		name string
		edit func(*Config)
		want string
	}{
		{"no key", func(c *Config) { c.RoutingKey = "" }, "routing_key"},
		{"another region", func(c *Config) { c.Region = "mars" }, "region"},
		{"region and URL", func(c *Config) { c.Region, c.URL = "eu", "https://relay.example.com/" }, "url"},
		{"no TLS", func(c *Config) { c.URL = "http://relay.example.com/" }, "url"},
		{"a link with a host of the alert's", func(c *Config) { c.Links = map[string]string{"x": "https://{tenant}/"} }, "links"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := ok
			tt.edit(&c)
			if err := c.Validate().Err(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %s", err, tt.want)
			}
		})
	}
}

func TestCustomDetailsHaveTheGroup(t *testing.T) {
	a := sinktest.Notice()
	b, err := (&Sink{}).event(&a, "key")
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Payload struct {
			Details struct {
				Group struct {
					Route   string
					Total   int
					Members []struct{ Title string }
				}
			} `json:"custom_details"`
		}
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if g := got.Payload.Details.Group; g.Route != "oncall" || g.Total != 5 || len(g.Members) != 2 {
		t.Errorf("%s", b)
	}
}
