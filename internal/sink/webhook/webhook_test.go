package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/secret"
	"github.com/appgovd/appgovd/internal/sink/post"
)

const hookKey = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func open(ref secret.Ref) (func() (string, error), error) {
	values := map[secret.Ref]string{secret.Env("KEY"): hookKey, secret.Env("AUTH"): "Bearer very-secret", secret.Env("TORN"): "very\nsecret"}
	v, ok := values[ref]
	if !ok {
		return nil, errors.New("the environment variable is not set")
	}
	return func() (string, error) { return v, nil }, nil
}

// recorder is a receiver of one's own: nothing of it is documented but what docs/sinks.md says. Its signatures are those
// of the Standard Webhooks specification, whose published example is in TestSignature.
func recorder() *sinktest.Recorder {
	return &sinktest.Recorder{
		Read: func(r *http.Request, body []byte) ([]sinktest.Item, error) {
			var a struct {
				Title      string `json:"title"`
				DeliveryID string `json:"delivery_id"`
			}
			if err := json.Unmarshal(body, &a); err != nil {
				return nil, err
			}
			want, err := sign(hookKey, a.DeliveryID, r.Header.Get("Webhook-Timestamp"), body)
			if err != nil || r.Header.Get("Webhook-Signature") != want || r.Header.Get("Webhook-Id") != a.DeliveryID || r.Header.Get("Idempotency-Key") != a.DeliveryID {
				return nil, fmt.Errorf("headers %v, %w", r.Header, err)
			}
			if r.Method != http.MethodPost || r.URL.Path != "/hook" || r.Header.Get("Authorization") != "Bearer very-secret" || r.Header.Get("Content-Type") != "application/json" {
				return nil, fmt.Errorf("%s %s %v", r.Method, r.URL, r.Header)
			}
			return []sinktest.Item{{ID: a.DeliveryID, Title: a.Title}}, nil
		},
		Accept: func(w http.ResponseWriter) { w.WriteHeader(http.StatusAccepted) },
		Refuse: func(w http.ResponseWriter) { http.Error(w, sinktest.Reason, http.StatusUnprocessableEntity) },
	}
}

func sinkAt(t *testing.T, url, ca string, edit func(*Config)) *Sink {
	t.Helper()
	c := Config{URL: url + "/hook", HMAC: secret.Env("KEY"), Headers: map[string]secret.Ref{"Authorization": secret.Env("AUTH")}, Proxy: "none", TLS: &post.TLS{CAFile: ca}}
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
		New:     func(t *testing.T, url, ca string) deliver.Sink { return sinkAt(t, url, ca, nil) },
		Peer:    recorder,
		Secrets: []string{"very-secret", hookKey},
		HTTP:    sinktest.HTTP{StatusOnly: true},
	})
}

// The example of the specification's reference libraries.
func TestSignature(t *testing.T) {
	got, err := sign(hookKey, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want || err != nil {
		t.Errorf("%s, %v, want %s", got, err, want)
	}
	if _, err := sign("whsec_no base64!", "x", "1", nil); fault.Of(err) != fault.Auth || strings.Contains(err.Error(), "no base64!") {
		t.Errorf("error %v", err)
	}
}

func TestEveryTryIsSignedAnew(t *testing.T) {
	r := recorder()
	url, ca := r.Start(t)
	s := sinkAt(t, url, ca, nil)
	at := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	s.now = func() time.Time { at = at.Add(time.Hour); return at }
	for range 2 {
		if err := s.Write(t.Context(), sinktest.Batch(1)); err != nil {
			t.Fatal(err)
		}
	}
	got := r.Requests()
	one, two := got[0].Header, got[1].Header
	if one.Get("Webhook-Id") != two.Get("Webhook-Id") || one.Get("Webhook-Timestamp") == two.Get("Webhook-Timestamp") || one.Get("Webhook-Signature") == two.Get("Webhook-Signature") {
		t.Errorf("%v\n%v", one, two)
	}
}

func TestTemplate(t *testing.T) {
	tmpl, err := parse(`{"text": "{severity}: {title} ({score})", "score": "{score}", "tags": ["appgov", "{techniques}"], "alert": "{alert}", "n": 12345678901234567890, "{}": "{ } {X}", "nested": {"at": "{time}"}}`)
	if err != nil {
		t.Fatal(err)
	}
	a := sinktest.Batch(1)[0]
	a.Title = `x", "admin": true, "y": "{alert_id}`
	b, err := tmpl.append(nil, &a)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	if doc, ok := got["alert"].(map[string]any); !ok || doc["alert_id"] != a.ID.String() {
		t.Errorf("alert %v", got["alert"])
	}
	delete(got, "alert")
	want := map[string]any{
		"text": "high: " + a.Title + " (70)", "score": 70.0, "tags": []any{"appgov", []any{"T1528"}}, "n": 12345678901234567890.0, "{}": "{ } {X}",
		"nested": map[string]any{"at": "2026-11-24T12:00:00Z"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Whatever an alert holds, the document has the template's shape.
func TestNothingLeavesItsString(t *testing.T) {
	tmpl, err := parse(`{"a": "{title}", "b": ["{app_name} by {actor_upn}"]}`)
	if err != nil {
		t.Fatal(err)
	}
	check := func(fail func(string, ...any), a *event.Alert) {
		b, err := tmpl.append(nil, a)
		var got struct {
			A string   `json:"a"`
			B []string `json:"b"`
		}
		d := json.NewDecoder(strings.NewReader(string(b)))
		d.DisallowUnknownFields()
		if derr := d.Decode(&got); err != nil || derr != nil || d.More() || len(got.B) != 1 || len(b) > 6*4*maxValue || strings.ContainsAny(string(b), "\n\x00") {
			fail("%v, %v: %.300s", err, derr, b)
		}
		if want := strings.ToValidUTF8(a.Title, "\ufffd"); len(a.Title) < maxValue && len([]rune(got.A)) != len([]rune(a.Title)) {
			fail("%q became %q", want, got.A)
		}
	}
	for _, s := range sinktest.Hostile() {
		check(t.Errorf, &event.Alert{Title: s, App: event.App{Name: s}, Actor: event.Actor{UPN: s}})
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t.Fatalf, &event.Alert{Title: rapid.String().Draw(t, "title"), App: event.App{Name: rapid.String().Draw(t, "app")}})
	})
}

func TestASecretThatWouldTearAHeader(t *testing.T) {
	r := recorder()
	url, ca := r.Start(t)
	s := sinkAt(t, url, ca, func(c *Config) { c.Headers["X-Key"] = secret.Env("TORN") })
	err := s.Write(t.Context(), sinktest.Batch(1))
	if fault.Of(err) != fault.Auth || strings.Contains(err.Error(), "very") || len(r.Requests()) != 0 {
		t.Errorf("error %v, %d requests", err, len(r.Requests()))
	}
}

func TestMistakesInTheConfiguration(t *testing.T) {
	ok := Config{URL: "https://soar.example.com/hook"}
	if err := ok.Validate().Err(); err != nil {
		t.Error(err)
	}
	for _, tt := range []struct {
		name string
		edit func(*Config)
		want string
	}{
		{"no URL", func(c *Config) { c.URL = "soar" }, "url"},
		{"no TLS", func(c *Config) { c.URL = "http://soar.example.com" }, "url"},
		{"a placeholder in the URL", func(c *Config) { c.URL = "https://{tenant}.example.com/" }, "url: holds braces"},
		{"a placeholder in the path", func(c *Config) { c.URL = "https://soar.example.com/{app_id}" }, "url: holds braces"},
		{"no format", func(c *Config) { c.Format = "leef" }, "format"},
		{"both", func(c *Config) { c.Format, c.Template = "json", "{}" }, "template"},
		{"a template that is no JSON", func(c *Config) { c.Template = `{"a": {title}}` }, "template: is no template: it is no JSON"},
		{"two documents", func(c *Config) { c.Template = `{} {}` }, "behind the JSON document"},
		{"an unknown placeholder", func(c *Config) { c.Template = `{"a": ["{tilte}"]}` }, "no placeholder {tilte}"},
		{"a placeholder in a name", func(c *Config) { c.Template = `{"{title}": 1}` }, "holds a placeholder"},
		{"a header of ours", func(c *Config) { c.Headers = map[string]secret.Ref{"host": "x"} }, "headers"},
		{"a header that is none", func(c *Config) { c.Headers = map[string]secret.Ref{"a b": "x"} }, "headers"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := ok
			tt.edit(&c)
			if err := c.Validate().Err(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %s", err, tt.want)
			}
		})
	}
	if _, err := New(Config{URL: ok.URL, HMAC: secret.Env("NONE")}, open); err == nil {
		t.Error("built without its secret")
	}
}

func TestTheDocumentHasTheGroup(t *testing.T) {
	a := sinktest.Notice()
	tpl, err := parse(`{"x":"{alert}"}`)
	if err != nil {
		t.Fatal(err)
	}
	b, err := tpl.append(nil, &a)
	var got struct {
		X struct{ Group struct{ Route string } }
	}
	if err := json.Unmarshal(b, &got); err != nil || got.X.Group.Route != "oncall" {
		t.Errorf("%v %s", err, b)
	}
	if err != nil {
		t.Error(err)
	}
}

func TestAGroupIsADocumentOrALine(t *testing.T) {
	tpl, err := parse(`{"group":"{group}","text":"<{group}>"}`)
	if err != nil {
		t.Fatal(err)
	}
	notice, single, hostile := sinktest.Notice(), sinktest.Batch(1)[0], sinktest.Notice()
	hostile.Group.Labels[0].Value, hostile.Group.Route = `x","admin":true,"y":"{alert}`+"\n\xff", strings.Repeat("é", maxValue)
	for name, a := range map[string]*event.Alert{"a notice": &notice, "any other alert": &single, "a hostile notice": &hostile} {
		t.Run(name, func(t *testing.T) {
			b, err := tpl.append(nil, a)
			if err != nil {
				t.Fatal(err)
			}
			var got struct {
				Group *struct {
					Route       string
					Total, Open int
					Labels      []struct{ Name, Value string }
				}
				Text string
			}
			d := json.NewDecoder(strings.NewReader(string(b)))
			if err := d.Decode(&got); err != nil || d.More() || strings.Contains(string(b), "\n") {
				t.Fatalf("%v: %s", err, b)
			}
			switch {
			case a.Group == nil:
				if got.Group != nil || got.Text != "<>" {
					t.Errorf("%s", b)
				}
			case got.Group == nil || got.Group.Total != 5 || got.Group.Open != 4 || got.Group.Labels[0].Value != string([]rune(a.Group.Labels[0].Value)):
				t.Errorf("%s", b)
			case name == "a notice" && (got.Group.Route != "oncall" || got.Text != "<"+sinktest.NoticeLine+">"):
				t.Errorf("%s", b)
			case len(got.Text) > maxValue+2:
				t.Errorf("%d bytes of text", len(got.Text))
			}
		})
	}
}
