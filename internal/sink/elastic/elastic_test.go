package elastic

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/format"
	"github.com/appgovd/appgovd/internal/secret"
	"github.com/appgovd/appgovd/internal/sink/post"
)

const key = "bXlrZXk6c2VjcmV0LXNlY3JldA=="

func literal(s string) func(secret.Ref) (func() (string, error), error) {
	return func(secret.Ref) (func() (string, error), error) { return func() (string, error) { return s, nil }, nil }
}

// fake answers bulk requests as the documentation of the bulk API says: one
// verdict per document, 409 for an id that is there. It takes any credentials.
type fake struct {
	mu   sync.Mutex
	docs []doc
	path string
	auth string

	whole func(w http.ResponseWriter) bool // answers in place of the API
	each  func(d doc) (status int, reason string)
	most  int // documents in one request, 0 = any number
}

type doc struct {
	id, title string
	source    json.RawMessage
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.HasPrefix(r.URL.Path, "/_data_stream/") { // OpenSearch is asked whether there is one
		_, _ = io.WriteString(w, `{"data_streams":[{}]}`)
		return
	}
	f.path, f.auth = r.URL.Path, r.Header.Get("Authorization")
	if f.whole != nil && f.whole(w) {
		return
	}
	docs, err := decode(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if f.most > 0 && len(docs) > f.most {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	var items []string
	for _, d := range docs {
		items = append(items, f.verdict(d))
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"took":1,"errors":true,"items":[%s]}`, strings.Join(items, ","))
}

func (f *fake) verdict(d doc) string {
	status, reason := http.StatusCreated, ""
	for _, old := range f.docs {
		if old.id == d.id {
			status, reason = http.StatusConflict, "version_conflict_engine_exception"
		}
	}
	if f.each != nil && status == http.StatusCreated {
		status, reason = f.each(d)
	}
	if status == http.StatusCreated {
		f.docs = append(f.docs, d)
		return fmt.Sprintf(`{"create":{"_index":".ds-x","_id":%q,"status":201,"result":"created"}}`, d.id)
	}
	return fmt.Sprintf(`{"create":{"_index":"x","_id":%q,"status":%d,"error":{"type":%q,"reason":"no","caused_by":{"type":"a","reason":"b\u001b[31m"}}}}`, d.id, status, reason)
}

func decode(r *http.Request) (docs []doc, err error) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		if body, err = gzip.NewReader(r.Body); err != nil {
			return nil, err
		}
	}
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var action struct {
			Create *struct {
				ID string `json:"_id"`
			} `json:"create"`
		}
		if err := json.Unmarshal(lines.Bytes(), &action); err != nil || action.Create == nil || !lines.Scan() {
			return nil, fmt.Errorf("malformed action: %s", lines.Bytes())
		}
		var source struct {
			Message string `json:"message"`
		}
		if err := json.Unmarshal(lines.Bytes(), &source); err != nil {
			return nil, err
		}
		docs = append(docs, doc{action.Create.ID, source.Message, json.RawMessage(strings.Clone(lines.Text()))})
	}
	return docs, lines.Err()
}

func (f *fake) ids(int) (ids []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range f.docs {
		ids = append(ids, d.id)
	}
	return ids
}

// serve starts f on TLS and a sink that trusts it and has an API key.
func serve(t *testing.T, f http.Handler, edit func(*Config)) (*Sink, *httptest.Server) {
	t.Helper()
	srv := httptest.NewTLSServer(f)
	t.Cleanup(srv.Close)
	c := Config{Addresses: []string{srv.URL}, APIKey: secret.Env("KEY"), Proxy: "none", TLS: &TLS{CAFile: sinktest.Authority(t, srv)}}
	if edit != nil {
		edit(&c)
	}
	s, err := New(c, Options{Secret: literal(key)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, srv
}

func answer(status int, header, body string) func(http.ResponseWriter) bool {
	return func(w http.ResponseWriter) bool {
		if name, value, ok := strings.Cut(header, ": "); ok {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
		return true
	}
}

func judged(j *sinktest.Judge) func(doc) (int, string) {
	return func(d doc) (int, string) {
		switch j.Verdict(d.id, d.title) {
		case sinktest.Never:
			return http.StatusBadRequest, "document_parsing_exception"
		case sinktest.NotNow:
			return http.StatusServiceUnavailable, "unavailable_shards_exception"
		}
		return http.StatusCreated, ""
	}
}

func TestConformance(t *testing.T) { conform(t, nil) }

func TestConformanceOfOpenSearch(t *testing.T) {
	conform(t, func(c *Config) { c.Distribution, c.APIKey, c.ServiceToken = openSearch, "", secret.Env("KEY") })
}

func conform(t *testing.T, edit func(*Config)) {
	t.Helper()
	sinktest.Run(t, sinktest.Suite{
		Can: []sinktest.Behaviour{
			sinktest.Down, sinktest.Silent, sinktest.Cut, sinktest.Throttle, sinktest.Refuse, sinktest.RefuseWhole, sinktest.RefuseSome, sinktest.RetrySome,
			sinktest.RefuseLarge, sinktest.RefuseTenth,
		},
		Start: func(t *testing.T, b sinktest.Behaviour) sinktest.Peer {
			f, quit, judge := &fake{}, make(chan struct{}), sinktest.NewJudge(b)
			f.each = judged(judge)
			switch b {
			case sinktest.Silent:
				f.whole = func(http.ResponseWriter) bool { <-quit; return true }
			case sinktest.Cut:
				f.whole = func(w http.ResponseWriter) bool {
					w.Header().Set("Content-Length", "1000")
					_, _ = io.WriteString(w, `{"items":[`)
					return true
				}
			case sinktest.Throttle:
				f.whole = answer(429, "Retry-After: 7", `{"error":{"type":"es_rejected_execution_exception","reason":"full"}}`)
			case sinktest.Refuse:
				f.whole = answer(401, "", `{"error":{"type":"security_exception","reason":"unable to authenticate"}}`)
			case sinktest.RefuseWhole:
				f.whole = answer(413, "", "")
			case sinktest.RefuseLarge:
				f.most = 3
			}
			s, srv := serve(t, f, edit)
			t.Cleanup(func() { close(quit) }) // before the server waits for its handlers
			if b == sinktest.Down {
				srv.Close()
			}
			return sinktest.Peer{Sink: s, Got: f.ids, Secrets: []string{key, "secret-secret"}, Mend: judge.Mend, Reason: "document_parsing_exception"}
		},
	})
}

func TestConformanceOverHTTP(t *testing.T) {
	sinktest.RunHTTP(t, sinktest.HTTP{
		New: func(t *testing.T, url, ca string) deliver.Sink {
			s, err := New(Config{Addresses: []string{url}, APIKey: secret.Env("KEY"), Proxy: "none", TLS: &TLS{CAFile: ca}}, Options{Secret: literal(key)})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Secrets: []string{key},
	})
}

func TestWhatElasticsearchSaysIsClassified(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		header string
		body   string
		want   fault.Class
		hint   string
	}{
		{"a missing right waits for a human", 403, "", `{"error":{"type":"security_exception","reason":"x"}}`, fault.Auth, "create_doc"},
		{"a missing template waits for a human", 404, "", `{"error":{"type":"index_not_found_exception","reason":"x"}}`, fault.Auth, "appgovd setup elasticsearch"},
		{"a redirect is not followed", 302, "Location: https://elsewhere.example/", "", fault.Auth, "redirects"},
		{"an unknown parameter does not fill the dead letter", 400, "", `{"error":{"type":"illegal_argument_exception","reason":"unrecognized parameter"}}`, fault.Auth, "8.12"},
		{"a request that is malformed is split", 400, "", `{"error":{"type":"parse_exception","reason":"x"}}`, fault.Permanent, ""},
		{"a full queue asks for patience", 429, "Retry-After: 3", "", fault.Throttled, ""},
		{"a gateway's failure passes", 502, "", "<html>", fault.Transient, ""},
		{"an answer that is not JSON names the way", 200, "", "<html>captive portal</html>", fault.Transient, "proxy"},
		{"too few verdicts are no verdict", 200, "", `{"items":[]}`, fault.Transient, ""},
		{"verdicts about other documents are no verdict", 200, "", `{"items":[{"create":{"_id":"x","status":201}}]}`, fault.Transient, ""},
		{"an endless answer is cut off", 200, "", strings.Repeat(" ", maxAnswer+1), fault.Transient, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := serve(t, &fake{whole: answer(tt.status, tt.header, tt.body)}, nil)
			err := s.Write(t.Context(), sinktest.Batch(1))
			var rejected *deliver.Rejected
			if err == nil || errors.As(err, &rejected) || fault.Of(err) != tt.want || !strings.Contains(fault.Hint(err), tt.hint) {
				t.Errorf("%v: class %v, hint %q", err, fault.Of(err), fault.Hint(err))
			}
			if want := map[int]time.Duration{429: 3 * time.Second}[tt.status]; fault.After(err) != want {
				t.Errorf("after %v, want %v", fault.After(err), want)
			}
		})
	}
}

func TestVerdictsAboutSingleAlerts(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		reason string
		retry  bool
		class  fault.Class
	}{
		{"a document that does not fit the mapping is refused", 400, "document_parsing_exception", false, 0},
		{"a full shard takes it later", 429, "es_rejected_execution_exception", true, fault.Throttled},
		{"a missing shard takes it later", 503, "unavailable_shards_exception", true, fault.Transient},
		{"a missing right waits for a human", 403, "security_exception", true, fault.Auth},
		{"a missing data stream waits for a human", 404, "index_not_found_exception", true, fault.Auth},
		{"a cluster at its limit waits for a human", 400, "validation_exception", true, fault.Auth},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &fake{each: func(d doc) (int, string) {
				if d.title == sinktest.Poison {
					return tt.status, tt.reason
				}
				return 201, ""
			}}
			s, _ := serve(t, f, nil)
			batch := sinktest.Batch(3)
			batch[1].Title = sinktest.Poison
			var r *deliver.Rejected
			if err := s.Write(t.Context(), batch); !errors.As(err, &r) || (len(r.Retry) == 1) != tt.retry || (len(r.Items) == 1) == tt.retry || fault.Of(r.After) != tt.class {
				t.Fatalf("error %#v", err)
			}
			if !tt.retry && (!strings.Contains(r.Items[0].Reason, "400 document_parsing_exception: no, caused by a: b") || strings.Contains(r.Items[0].Reason, "\x1b")) {
				t.Errorf("reason %q", r.Items[0].Reason)
			}
		})
	}
	t.Run("what went to the failure store is not called delivered", func(t *testing.T) {
		batch := sinktest.Batch(1)
		s, _ := serve(t, &fake{whole: answer(200, "", fmt.Sprintf(`{"items":[{"create":{"_id":%q,"status":201,"failure_store":"used"}}]}`, batch[0].DeliveryID))}, nil)
		var r *deliver.Rejected
		if err := s.Write(t.Context(), batch); !errors.As(err, &r) || len(r.Items) != 1 {
			t.Errorf("error %v", err)
		}
	})
	t.Run("what is there already is accepted", func(t *testing.T) {
		f := &fake{}
		s, _ := serve(t, f, nil)
		for range 2 {
			if err := s.Write(t.Context(), sinktest.Batch(3)); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(f.ids(0)); n != 3 {
			t.Errorf("%d documents, want 3", n)
		}
	})
}

func TestRequestsSayWhoAndWhere(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*Config)
		auth string
	}{
		{"an API key", nil, "ApiKey " + key},
		{"a service token", func(c *Config) { c.APIKey, c.ServiceToken = "", secret.Env("T") }, "Bearer " + key},
		{"a user", func(c *Config) { c.APIKey, c.Username, c.Password = "", "u", secret.Env("P") }, "Basic dTpiWGxyWlhrNmMyVmpjbVYwTFhObFkzSmxkQT09"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &fake{}
			s, _ := serve(t, f, func(c *Config) {
				c.Namespace = "soc"
				if tt.edit != nil {
					tt.edit(c)
				}
			})
			if err := s.Write(t.Context(), sinktest.Batch(1)); err != nil {
				t.Fatal(err)
			}
			if f.auth != tt.auth || f.path != "/logs-appgov.alerts-soc/_bulk" || !strings.Contains(string(f.docs[0].source), `"namespace":"soc"`) {
				t.Errorf("authorization %q, path %q, document %s", f.auth, f.path, f.docs[0].source)
			}
		})
	}
	t.Run("a node that is down is passed over", func(t *testing.T) {
		f, gone := &fake{}, httptest.NewTLSServer(http.NotFoundHandler())
		gone.Close()
		s, _ := serve(t, f, func(c *Config) { c.Addresses = append([]string{gone.URL}, c.Addresses...) })
		failed := 0
		for range 6 {
			if s.Write(t.Context(), sinktest.Batch(1)) != nil {
				failed++
			}
		}
		if failed > 1 {
			t.Errorf("%d of 6 writes failed, want at most one", failed)
		}
	})
}

func TestProbeOfAClusterWithoutSecurity(t *testing.T) {
	for _, tt := range []struct {
		name, header, found, hint string
	}{
		{"Elasticsearch knows nobody", "X-Elastic-Product: Elasticsearch", "the cluster answers and has no security", ""},
		{"something else may be OpenSearch", "", "", `distribution = "opensearch"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := serve(t, &fake{whole: answer(400, tt.header, `{"error":"no handler found for uri [/_security/_authenticate] and method [GET]","status":400}`)}, nil)
			if found, err := s.Probe(t.Context()); found != tt.found || (err == nil) != (tt.found != "") || !strings.Contains(fault.Hint(err), tt.hint) {
				t.Errorf("found %q, %v, hint %q", found, err, fault.Hint(err))
			}
		})
	}
}

func TestSetupInstallsTheTemplate(t *testing.T) {
	var method, path string
	var body struct {
		Priority int `json:"priority"`
		Template struct {
			Lifecycle struct {
				Retention string `json:"data_retention"`
			} `json:"lifecycle"`
		} `json:"template"`
	}
	s, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method, path = r.Method, r.URL.Path
		z, err := gzip.NewReader(r.Body)
		if err == nil {
			err = json.NewDecoder(z).Decode(&body)
		}
		if err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, `{"acknowledged":true}`)
	}), func(c *Config) { c.Retention = "30d" })
	installed, err := s.Setup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(installed) != 1 || installed[0] != "index template logs-appgov" {
		t.Errorf("installed %q", installed)
	}
	if method != http.MethodPut || path != "/_index_template/logs-appgov" || body.Priority != 501 || body.Template.Lifecycle.Retention != "30d" {
		t.Errorf("%s %s %+v", method, path, body)
	}
}

// Every field that a document can hold has a mapping of its own.
func TestTheTemplateKnowsEveryField(t *testing.T) {
	var template struct {
		Template struct {
			Mappings node `json:"mappings"`
		} `json:"template"`
	}
	if err := json.Unmarshal([]byte(Config{}.Template()), &template); err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Addresses: []string{"http://localhost"}, Links: post.DefaultLinks()}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []event.Alert{sinktest.Full(), sinktest.Notice(), sinktest.FullEvent()} {
		document, ok := decoded(t, s.encode(nil, &a)).(map[string]any)
		if !ok || document["event"].(map[string]any)["ingested"] == nil {
			t.Errorf("a document without event.ingested: %v", document)
		}
		unmapped(t, "", document, template.Template.Mappings)
	}
}

// A document says when it came, by the clock of the sink, and an alert's is what Elastic's
// rule External Alerts asks for: event.kind, a title, and event.ingested of the last two
// minutes, however old the alert.
func TestADocumentSaysWhenItWasSent(t *testing.T) {
	f := &fake{}
	s, _ := serve(t, f, nil)
	s.now = func() time.Time { return time.Date(2026, 11, 26, 18, 0, 0, 7e6, time.UTC) }
	if err := s.Write(t.Context(), []event.Alert{sinktest.Full(), sinktest.FullEvent()}); err != nil {
		t.Fatal(err)
	}
	for i, kind := range []string{"alert", "event"} {
		var got struct {
			Event   struct{ Kind, Ingested, Module string }
			Message string
		}
		if err := json.Unmarshal(f.docs[i].source, &got); err != nil {
			t.Fatal(err)
		}
		if got.Event.Kind != kind || got.Event.Ingested != "2026-11-26T18:00:00.007Z" || got.Event.Module != "appgov" || got.Message == "" {
			t.Errorf("%+v", got)
		}
	}
}

type node struct {
	Type       string          `json:"type"`
	Properties map[string]node `json:"properties"`
}

func unmapped(t *testing.T, at string, v any, n node) {
	switch v := v.(type) {
	case map[string]any:
		for name, sub := range v {
			child, ok := n.Properties[name]
			if !ok {
				t.Errorf("%s.%s has no mapping", at, name)
				continue
			}
			unmapped(t, at+"."+name, sub, child)
		}
	case []any:
		for _, sub := range v {
			unmapped(t, at, sub, n)
		}
	case float64:
		if n.Type != "long" && n.Type != "float" {
			t.Errorf("%s is a number, mapped as %q", at, n.Type)
		}
	default:
		if n.Type == "" || n.Type == "long" {
			t.Errorf("%s is %T, mapped as %q", at, v, n.Type)
		}
	}
}

func TestMistakesInTheConfiguration(t *testing.T) {
	ok := Config{Addresses: []string{"https://es:9200"}}
	if err := ok.Validate().Err(); err != nil {
		t.Error(err)
	}
	for _, tt := range []struct {
		name string
		edit func(*Config)
		want string
	}{
		{"no node", func(c *Config) { c.Addresses = nil }, "names no node"},
		{"a node without a scheme", func(c *Config) { c.Addresses = []string{"es:9200"} }, "not a URL of a node"},
		{"a password in the address", func(c *Config) { c.Addresses = []string{"https://u:hunter2@es"} }, "user name or a password"},
		{"credentials without TLS", func(c *Config) { c.Addresses, c.APIKey = []string{"http://es"}, "k" }, "without TLS"},
		{"two ways to log in", func(c *Config) { c.APIKey, c.ServiceToken = "k", "t" }, "more than one"},
		{"a user without a password", func(c *Config) { c.Username = "u" }, "other half"},
		{"a namespace with a dash", func(c *Config) { c.Namespace = "a-b" }, "is no namespace"},
		{"another product", func(c *Config) { c.Distribution = "solr" }, "none of"},
		{"an API key for OpenSearch", func(c *Config) { c.Distribution, c.APIKey = "opensearch", "k" }, "api_key"},
		{"a retention in words", func(c *Config) { c.Retention = "long" }, "is no retention"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := ok
			tt.edit(&c)
			err := c.Validate().Err()
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// FuzzJudge: whatever an answer holds, each alert is judged at most once.
func FuzzJudge(f *testing.F) {
	f.Add([]byte(`{"items":[{"create":{"_id":"x","status":201}}]}`))
	f.Add([]byte(`{"items":[{"create":{"_id":"` + sinktest.IDs(sinktest.Batch(1))[0] + `","status":400,"error":{"type":"a","reason":"b","caused_by":{}}}},{}]}`))
	f.Add([]byte(`{"items":null}`))
	batch := sinktest.Batch(2)
	f.Fuzz(func(t *testing.T, answer []byte) {
		var r *deliver.Rejected
		if !errors.As(Config{}.product().judge(200, answer, batch), &r) {
			return
		}
		seen := map[int]bool{}
		for _, i := range r.Retry {
			seen[i] = true
		}
		for _, x := range r.Items {
			seen[x.Index] = true
		}
		if len(seen) != len(r.Items)+len(r.Retry) {
			t.Fatalf("an alert was judged twice: %+v", r)
		}
	})
}

func BenchmarkBody(b *testing.B) {
	s := &Sink{encode: format.ECS("default", time.Now, format.NewLinks(post.DefaultLinks()))}
	batch := sinktest.Batch(500)
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = s.body(dst[:0], batch)
	}
	b.SetBytes(int64(len(dst)))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch)), "ns/alert")
}

// What the operator reads when no node can be reached.
func TestAClusterThatCannotBeReached(t *testing.T) {
	for _, tt := range []struct {
		name  string
		edit  func(*testing.T, *Config)
		class fault.Class
		hint  string
	}{
		{"nothing listens", func(_ *testing.T, c *Config) { c.Addresses = []string{"https://127.0.0.1:1"} }, fault.Transient, "nothing listens"},
		{"the name does not resolve", func(_ *testing.T, c *Config) { c.Addresses = []string{"https://es.invalid:9200"} }, fault.Transient, "does not resolve"},
		{"the authority is not trusted", func(_ *testing.T, c *Config) { c.TLS = nil }, fault.Auth, "ca_file"},
		{"the certificate is for another name", func(_ *testing.T, c *Config) { c.TLS.ServerName = "es.example.org" }, fault.Auth, "another name"},
		{"the node speaks no TLS", func(t *testing.T, c *Config) {
			plain := httptest.NewServer(http.NotFoundHandler())
			t.Cleanup(plain.Close)
			c.Addresses = []string{strings.Replace(plain.URL, "http:", "https:", 1)}
		}, fault.Auth, "does not speak TLS"},
		{"it does not answer", func(t *testing.T, c *Config) {
			quit := make(chan struct{})
			silent := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-quit }))
			t.Cleanup(silent.Close)
			t.Cleanup(func() { close(quit) })
			c.Addresses, c.TLS.CAFile, c.Timeout = []string{silent.URL}, sinktest.Authority(t, silent), "1s"
		}, fault.Transient, "does not answer in time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := serve(t, &fake{}, func(c *Config) { tt.edit(t, c) })
			err := s.Write(t.Context(), sinktest.Batch(1))
			if err == nil || !strings.HasPrefix(err.Error(), "write to elasticsearch: ") || fault.Of(err) != tt.class || !strings.Contains(fault.Hint(err), tt.hint) || strings.Contains(err.Error(), key) {
				t.Errorf("%v: class %v, hint %q", err, fault.Of(err), fault.Hint(err))
			}
		})
	}
}
