package elastic

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/secret"
)

// serverless behaves as a project of Elastic Cloud Serverless; none can be had for tests.
//
// Documented by Elastic: version.build_flavor of GET / is "serverless"; what Serverless does not offer is answered with 410 and
// api_not_available_exception (https://github.com/elastic/elasticsearch-specification/issues/2277), index lifecycle management and settings of the
// cluster among it, while bulk requests, index templates with a data stream lifecycle and _security/_authenticate are offered
// (https://www.elastic.co/docs/api/doc/elasticsearch-serverless); a template with settings that are not public, such as number_of_shards and
// number_of_replicas, is refused with 400 and illegal_argument_exception, which names them
// (https://www.elastic.co/docs/deploy-manage/deploy/elastic-cloud/differences-from-other-elasticsearch-offerings); who writes has an API key.
// Assumed: every setting but those in public is refused; any other path than those below is answered with 410; a component template that is missing is refused
// unless the template allows for it, and a bulk request into a stream without a template is answered with 404, as elsewhere.
type serverless struct {
	fake
	mu       sync.Mutex
	calls    []string
	template bool // there is one for the stream
}

// public are settings of an index that a project may have.
func public() []string {
	return []string{"index.refresh_interval", "index.default_pipeline", "index.final_pipeline", "index.mode", "index.mapping.total_fields.ignore_dynamic_beyond_limit"}
}

func (p *serverless) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	call := r.Method + " " + r.URL.Path
	p.calls = append(p.calls, call)
	w.Header().Set(productHeader, "Elasticsearch")
	w.Header().Set("Content-Type", "application/json")
	status, text := http.StatusOK, ""
	switch {
	case !strings.HasPrefix(r.Header.Get("Authorization"), "ApiKey "):
		status, text = 401, `{"error":{"type":"security_exception","reason":"missing authentication credentials for REST request"},"status":401}`
	case call == "GET /":
		text = `{"name":"serverless","version":{"number":"9.5.0","build_flavor":"serverless","build_type":"docker"},"tagline":"You Know, for Search"}`
	case call == "GET /_security/_authenticate":
		text = `{"username":"appgov","authentication_type":"api_key"}`
	case call == "PUT /_index_template/logs-appgov":
		status, text = p.put(r)
	case strings.HasSuffix(r.URL.Path, "/_bulk") && !p.template:
		status, text = 404, `{"error":{"type":"index_not_found_exception","reason":"the destination does not match any data stream template"},"status":404}`
	case strings.HasSuffix(r.URL.Path, "/_bulk"):
		p.mu.Unlock()
		p.fake.ServeHTTP(w, r)
		return
	default:
		status, text = 410, fmt.Sprintf(`{"error":{"type":"api_not_available_exception","reason":"Request for uri [%s] with method [%s] exists but is not available when running in serverless mode"},"status":410}`, r.URL.Path, r.Method)
	}
	p.mu.Unlock()
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

func (p *serverless) put(r *http.Request) (status int, text string) {
	var body struct {
		ComposedOf    []string `json:"composed_of"`
		IgnoreMissing []string `json:"ignore_missing_component_templates"`
		Template      struct {
			Settings  map[string]any `json:"settings"`
			Lifecycle map[string]any `json:"lifecycle"`
		} `json:"template"`
	}
	in := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			return 400, err.Error()
		}
		in = z
	}
	if err := json.NewDecoder(in).Decode(&body); err != nil {
		return 400, err.Error()
	}
	refuse := func(reason string) (int, string) {
		return 400, fmt.Sprintf(`{"error":{"type":"illegal_argument_exception","reason":%q},"status":400}`, reason)
	}
	var private []string
	for _, name := range settingsOf("", body.Template.Settings) {
		if !slices.Contains(public(), name) {
			private = append(private, name)
		}
	}
	if len(private) > 0 {
		return refuse("Settings [" + strings.Join(private, ",") + "] are not available when running in serverless mode")
	}
	for _, name := range body.ComposedOf {
		if !slices.Contains(body.IgnoreMissing, name) {
			return refuse("index template [logs-appgov] specifies component templates [" + name + "] that do not exist")
		}
	}
	for name := range body.Template.Lifecycle {
		if !slices.Contains([]string{"data_retention", "enabled", "downsampling"}, name) {
			return refuse("[lifecycle] unknown field [" + name + "]")
		}
	}
	p.template = true
	return 200, `{"acknowledged":true}`
}

// settingsOf are the whole names of settings, however they are nested, with the prefix that a
// template may leave out.
func settingsOf(prefix string, settings map[string]any) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		whole := strings.TrimPrefix(prefix+"."+name, ".")
		if inner, ok := settings[name].(map[string]any); ok {
			names = append(names, settingsOf(whole, inner)...)
			continue
		}
		if !strings.HasPrefix(whole, "index.") {
			whole = "index." + whole
		}
		names = append(names, whole)
	}
	return names
}

func TestAProjectOfServerlessIsSetUpAndWrittenTo(t *testing.T) {
	p := &serverless{}
	s, _ := serve(t, p, nil)
	batch := sinktest.Batch(3)
	if err := s.Write(t.Context(), batch); fault.Of(err) != fault.Auth || !strings.Contains(fault.Hint(err), "appgovd setup elasticsearch") {
		t.Errorf("before it is set up: %v: hint %q", err, fault.Hint(err))
	}
	for range 2 {
		if installed, err := s.Setup(t.Context()); err != nil || len(installed) != 1 {
			t.Fatalf("%q, %v: %s", installed, err, fault.Hint(err))
		}
	}
	if found, err := s.Probe(t.Context()); err != nil || found != "logged in as appgov" {
		t.Errorf("%q, %v", found, err)
	}
	for range 2 {
		if err := s.Write(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.ids(0); !slices.Equal(got, sinktest.IDs(batch)) {
		t.Errorf("stored %q", got)
	}
	want := []string{"GET /_security/_authenticate", "POST /logs-appgov.alerts-default/_bulk", "PUT /_index_template/logs-appgov"}
	if got := slices.Compact(slices.Sorted(slices.Values(p.calls))); !slices.Equal(got, want) {
		t.Errorf("asked for %q, want %q", got, want)
	}
}

// The fake is worth something: it refuses what a project refuses, and what it says is told.
func TestWhatServerlessLacksIsRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		do   func(t *testing.T, s *Sink) error
		edit func(*Config)
		want string
	}{
		"a number of shards": {func(t *testing.T, s *Sink) error {
			s.template = strings.Replace(s.template, `"template": {`, `"template": {"settings": {"number_of_shards": 1, "index": {"number_of_replicas": 0, "refresh_interval": "5s"}},`, 1)
			_, err := s.Setup(t.Context())
			return err
		}, nil, "Settings [index.number_of_replicas,index.number_of_shards]"},
		"a policy of index lifecycle management": {func(t *testing.T, s *Sink) error {
			_, _, err := s.do(t.Context(), "set up", s.call(http.MethodPut, "/_ilm/policy/logs-appgov", "{}"))
			return err
		}, nil, "api_not_available_exception"},
		"settings of the cluster": {func(t *testing.T, s *Sink) error {
			_, _, err := s.do(t.Context(), "set up", s.call(http.MethodGet, "/_cluster/settings", ""))
			return err
		}, nil, "api_not_available_exception"},
		"a template that needs another one": {func(t *testing.T, s *Sink) error {
			s.template = strings.Replace(s.template, `"ignore_missing_component_templates"`, `"_ignored"`, 1)
			_, err := s.Setup(t.Context())
			return err
		}, nil, "component templates"},
		"a user": {func(t *testing.T, s *Sink) error { return s.Write(t.Context(), sinktest.Batch(1)) }, func(c *Config) { c.APIKey, c.Username, c.Password = "", "appgov", secret.Env("P") }, "security_exception"},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := serve(t, &serverless{}, tt.edit)
			if err := tt.do(t, s); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

func TestConformanceOfServerless(t *testing.T) {
	sinktest.Run(t, sinktest.Suite{
		Can: []sinktest.Behaviour{sinktest.Throttle, sinktest.RefuseSome, sinktest.RetrySome, sinktest.RefuseLarge, sinktest.RefuseTenth},
		Start: func(t *testing.T, b sinktest.Behaviour) sinktest.Peer {
			judge := sinktest.NewJudge(b)
			p := &serverless{template: true}
			p.each = judged(judge)
			switch b {
			case sinktest.Throttle:
				p.whole = answer(429, "Retry-After: 7", `{"error":{"type":"es_rejected_execution_exception","reason":"full"}}`)
			case sinktest.RefuseLarge:
				p.most = 3
			}
			s, _ := serve(t, p, nil)
			return sinktest.Peer{Sink: s, Got: p.ids, Secrets: []string{key, "secret-secret"}, Mend: judge.Mend, Reason: "document_parsing_exception"}
		},
	})
}
