package elastic

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/secret"
)

// plugins answers as the documentation of OpenSearch's security plugin and of
// Index State Management says, which the real node of the tests does not have:
// a policy that is there is replaced only by who names its version.
type plugins struct {
	mu       sync.Mutex
	calls    []string
	policies []string // versions of the one policy
	streams  int      // status of a look for the data stream
	template int      // status of a look for the index template
	deny     string   // path that the credentials have no right to
}

func (p *plugins) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, r.Method+" "+r.URL.Path)
	body, _ := io.ReadAll(r.Body)
	status, text := http.StatusOK, `{"acknowledged":true}`
	switch call := r.Method + " " + r.URL.Path; {
	case p.deny != "" && strings.HasPrefix(r.URL.Path, p.deny):
		status, text = 403, `{"error":{"type":"security_exception","reason":"no permissions for [x] and User [name=appgov]"},"status":403}`
	case call == "GET /_plugins/_security/authinfo":
		text = `{"user":"User [name=appgov, backend_roles=[], requestedTenant=null]","user_name":"appgov","roles":["appgov_writer"]}`
	case call == "GET "+policyPath && len(p.policies) == 0:
		status, text = 404, `{"error":{"type":"status_exception","reason":"Policy not found"},"status":404}`
	case call == "GET "+policyPath:
		text = `{"_id":"logs-appgov","_version":1,"_primary_term":3,"_seq_no":0,"policy":{}}`
	case call == "PUT "+policyPath && len(p.policies) > 0 && r.URL.RawQuery != "if_seq_no=0&if_primary_term=3":
		status, text = 409, `{"error":{"type":"version_conflict_engine_exception","reason":"document already exists"},"status":409}`
	case call == "PUT "+policyPath:
		p.policies = append(p.policies, string(body))
	case strings.HasPrefix(call, "GET /_data_stream/"):
		status = p.streams
	case strings.HasPrefix(call, "GET /_index_template/"):
		status = p.template
	case strings.HasSuffix(call, "/_bulk"):
		text = `{"items":[{"create":{"_id":"` + sinktest.IDs(sinktest.Batch(1))[0] + `","status":201}}]}`
		if r.URL.RawQuery != "" {
			status, text = 400, `{"error":{"type":"illegal_argument_exception","reason":"request contains unrecognized parameter"}}`
		}
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

// toPlugins is a sink to p that logs in as a user.
func toPlugins(t *testing.T, p *plugins) *Sink {
	t.Helper()
	plain := false
	s, _ := serve(t, p, func(c *Config) {
		c.Distribution, c.APIKey, c.Username, c.Password, c.Retention, c.Gzip = openSearch, "", "appgov", secret.Env("P"), "100d", &plain
	})
	return s
}

func TestSetupOfOpenSearchInstallsTemplateAndPolicy(t *testing.T) {
	p := &plugins{}
	s := toPlugins(t, p)
	for range 2 {
		installed, err := s.Setup(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"index template logs-appgov", "policy logs-appgov"}, installed); diff != "" {
			t.Errorf("installed (-want +got):\n%s", diff)
		}
	}
	if len(p.policies) != 2 {
		t.Fatalf("%d policies were put, want 2", len(p.policies))
	}
	type state struct {
		Name    string `json:"name"`
		Actions []struct {
			Rollover struct {
				Age string `json:"min_index_age"`
			} `json:"rollover"`
			Delete *struct{} `json:"delete"`
		} `json:"actions"`
		Transitions []struct {
			To         string `json:"state_name"`
			Conditions struct {
				Age string `json:"min_rollover_age"`
			} `json:"conditions"`
		} `json:"transitions"`
	}
	var got struct {
		Policy struct {
			Default   string  `json:"default_state"`
			States    []state `json:"states"`
			Templates []struct {
				Patterns []string `json:"index_patterns"`
			} `json:"ism_template"`
		} `json:"policy"`
	}
	if err := json.Unmarshal([]byte(p.policies[1]), &got); err != nil {
		t.Fatal(err)
	}
	open, old := got.Policy.States[0], got.Policy.States[1]
	if open.Name != got.Policy.Default || open.Actions[0].Rollover.Age != "240h" || open.Transitions[0].To != old.Name || open.Transitions[0].Conditions.Age != "100d" ||
		old.Actions[0].Delete == nil || got.Policy.Templates[0].Patterns[0] != "logs-appgov.*-*" {
		t.Errorf("policy %+v", got)
	}
	t.Run("a missing right changes nothing and is named", func(t *testing.T) {
		p := &plugins{deny: "/_plugins/_ism"}
		installed, err := toPlugins(t, p).Setup(t.Context())
		if len(installed) > 0 || len(p.calls) != 1 || fault.Of(err) != fault.Auth || !strings.Contains(fault.Hint(err), "ism/policy/write") {
			t.Errorf("installed %q, calls %q, %v: hint %q", installed, p.calls, err, fault.Hint(err))
		}
	})
	t.Run("a backing index is open for an hour at least and 30 days at most", func(t *testing.T) {
		for retention, want := range map[string]string{"30m": `"1h"`, "90h": `"9h"`, "999999d": `"720h"`} {
			if text := policy(retention); !strings.Contains(text, `"min_index_age": `+want) || !json.Valid([]byte(text)) {
				t.Errorf("%s: policy %s", retention, text)
			}
		}
	})
}

func TestProbeOfOpenSearchAsksTheSecurityPlugin(t *testing.T) {
	if found, err := toPlugins(t, &plugins{}).Probe(t.Context()); err != nil || found != "logged in as appgov" {
		t.Errorf("%q, %v", found, err)
	}
	if found, err := toPlugins(t, &plugins{deny: "/"}).Probe(t.Context()); fault.Of(err) != fault.Auth || !strings.Contains(fault.Hint(err), "indices:admin/create") {
		t.Errorf("%q, %v: hint %q", found, err, fault.Hint(err))
	}
}

// OpenSearch would make a plain index of a name that nothing covers.
func TestNothingIsWrittenToOpenSearchBeforeItIsSetUp(t *testing.T) {
	for _, tt := range []struct {
		name              string
		streams, template int
		deny              string
		hint              string // "" = the alert is written
	}{
		{"there is a stream", 200, 404, "", ""},
		{"there is a template that makes one", 404, 200, "", ""},
		{"there is neither", 404, 404, "", "appgovd setup elasticsearch"},
		{"the credentials may not look", 200, 200, "/_data_stream", "indices:admin/data_stream/get"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &plugins{streams: tt.streams, template: tt.template, deny: tt.deny}
			err := toPlugins(t, p).Write(t.Context(), sinktest.Batch(1))
			written := strings.HasSuffix(p.calls[len(p.calls)-1], "/_bulk")
			if (err == nil) != (tt.hint == "") || written != (tt.hint == "") || (err != nil && fault.Of(err) != fault.Auth) || !strings.Contains(fault.Hint(err), tt.hint) {
				t.Errorf("%v: hint %q, calls %q", err, fault.Hint(err), p.calls)
			}
		})
	}
	t.Run("it looks again after a minute", func(t *testing.T) {
		p := &plugins{streams: 200}
		s := toPlugins(t, p)
		now := time.Unix(1_790_000_000, 0)
		s.now = func() time.Time { return now }
		for _, wait := range []time.Duration{0, time.Second, lookAgain} {
			now = now.Add(wait)
			if err := s.Write(t.Context(), sinktest.Batch(1)); err != nil {
				t.Fatal(err)
			}
		}
		if looks := strings.Count(strings.Join(p.calls, "\n"), "GET /_data_stream/logs-appgov.alerts-default"); looks != 2 {
			t.Errorf("%d looks, want 2: %q", looks, p.calls)
		}
	})
}

func TestWhatIsInstalledCanBePrinted(t *testing.T) {
	text := Config{Distribution: openSearch, Retention: "30d"}.Requests()
	template, policy, both := strings.Cut(strings.TrimPrefix(text, "PUT _index_template/logs-appgov\n"), "\n\nPUT _plugins/_ism/policies/logs-appgov\n")
	if !both || !json.Valid([]byte(template)) || !json.Valid([]byte(policy)) || !strings.Contains(policy, `"min_rollover_age": "30d"`) {
		t.Errorf("printed %s", text)
	}
	if text := (Config{}).Requests(); !json.Valid([]byte(text)) || !strings.Contains(text, `"data_retention": "90d"`) {
		t.Errorf("printed %s", text)
	}
}
