package elastic

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/secret"
	"github.com/appgovd/appgovd/internal/servicetest"
)

// cluster is a real server, Elasticsearch's or OpenSearch's.
type cluster interface {
	Do(t testing.TB, method, path, body string) []byte
	Refresh(t testing.TB, index string)
	Search(t testing.TB, index, body string) []servicetest.Hit
	Kill(t testing.TB)
	Restart(t testing.TB)
}

// The real node has security and TLS, file users and service tokens. It is
// built without the index that API keys live in, so that those are tried
// against the fake only, and without two field types, see Adapt.
func TestRealElasticsearch(t *testing.T) {
	for _, major := range []int{8, 9} {
		t.Run(fmt.Sprintf("version %d", major), func(t *testing.T) { tryElasticsearch(t, servicetest.ElasticsearchOf(t, major)) })
	}
}

func tryElasticsearch(t *testing.T, e *servicetest.ElasticsearchServer) {
	t.Helper()
	as := func(t *testing.T, edit func(*Config), password string) *Sink {
		t.Helper()
		c := Config{Addresses: []string{e.URL}, Username: e.WriterUser, Password: secret.Env("P"), Proxy: "none", Retention: "30d", TLS: &TLS{CAFile: e.CAFile}}
		if edit != nil {
			edit(&c)
		}
		s, err := New(c, Options{Secret: literal(password)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	admin := func(c *Config) { c.Username = e.User }

	t.Run("a probe tells who logs in, and what is wrong", func(t *testing.T) {
		if found, err := as(t, nil, e.WriterPassword).Probe(t.Context()); err != nil || found != "logged in as "+e.WriterUser {
			t.Errorf("%q, %v", found, err)
		}
		if found, err := as(t, nil, "no such password").Probe(t.Context()); fault.Of(err) != fault.Auth || !strings.Contains(fault.Hint(err), "credentials are wrong") {
			t.Errorf("%q, %v, hint %q", found, err, fault.Hint(err))
		}
		if found, err := as(t, func(c *Config) { c.TLS = nil }, e.WriterPassword).Probe(t.Context()); err == nil || !strings.Contains(fault.Hint(err), "ca_file") {
			t.Errorf("%q, %v, hint %q", found, err, fault.Hint(err))
		}
	})
	t.Run("without the template a write waits for a human, and says what to do", func(t *testing.T) {
		err := as(t, nil, e.WriterPassword).Write(t.Context(), sinktest.Batch(2))
		if fault.Of(err) != fault.Auth || !strings.Contains(fault.Hint(err), "appgovd setup elasticsearch") {
			t.Errorf("%v: class %v, hint %q", err, fault.Of(err), fault.Hint(err))
		}
	})
	t.Run("the writer may not set up, and is told which right is missing", func(t *testing.T) {
		_, err := as(t, nil, e.WriterPassword).Setup(t.Context())
		if fault.Of(err) != fault.Auth || !strings.Contains(fault.Hint(err), "manage_index_templates") {
			t.Errorf("%v: class %v, hint %q", err, fault.Of(err), fault.Hint(err))
		}
	})
	t.Run("setup by an administrator installs the template, and once more changes nothing", func(t *testing.T) {
		s := as(t, admin, e.Password)
		s.template = e.Adapt(s.template)
		for range 2 {
			if _, err := s.Setup(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := string(e.Do(t, "GET", "/_index_template/"+TemplateName, "")); !strings.Contains(got, `"data_retention":"30d"`) {
			t.Errorf("template %s", got)
		}
	})
	t.Run("a wrong password waits for a human and is not shown", func(t *testing.T) {
		err := as(t, nil, "hunter2-hunter2").Write(t.Context(), sinktest.Batch(1))
		if fault.Of(err) != fault.Auth || strings.Contains(err.Error(), "hunter2") || !strings.Contains(fault.Hint(err), "username and password") {
			t.Errorf("%v: class %v, hint %q", err, fault.Of(err), fault.Hint(err))
		}
	})
	t.Run("an authority that is not trusted is named", func(t *testing.T) {
		err := as(t, func(c *Config) { c.TLS = nil }, e.WriterPassword).Write(t.Context(), sinktest.Batch(1))
		if fault.Of(err) != fault.Auth || !strings.Contains(fault.Hint(err), "ca_file") {
			t.Errorf("%v: class %v, hint %q", err, fault.Of(err), fault.Hint(err))
		}
	})
	t.Run("a sink for OpenSearch says what is there, and changes nothing", func(t *testing.T) {
		s := as(t, func(c *Config) { c.Distribution, c.Username = openSearch, e.User }, e.Password)
		_, setup := s.Setup(t.Context())
		_, probe := s.Probe(t.Context())
		for _, err := range []error{setup, probe, s.Write(t.Context(), sinktest.Batch(1))} {
			if fault.Of(err) != fault.Auth || !strings.Contains(err.Error(), "the server is Elasticsearch") || !strings.Contains(fault.Hint(err), `distribution = "elasticsearch"`) {
				t.Errorf("%v: class %v, hint %q", err, fault.Of(err), fault.Hint(err))
			}
		}
		if got := string(e.Do(t, "GET", "/_index_template/"+TemplateName, "")); !strings.Contains(got, `"data_retention":"30d"`) {
			t.Errorf("template %s", got)
		}
	})
	t.Run("a service token writes", func(t *testing.T) {
		s := as(t, func(c *Config) { c.Username, c.Password, c.ServiceToken = "", "", secret.Env("T") }, e.ServiceToken)
		if err := s.Write(t.Context(), sinktest.Batch(201)[200:]); err != nil {
			t.Error(err)
		}
	})
	tryWriting(t, e, e.Adapt(Config{}.Template()), "document_parsing_exception", func(t *testing.T, namespace string) *Sink {
		t.Helper()
		return as(t, func(c *Config) { c.Namespace = namespace }, e.WriterPassword)
	})
}

// Version 2 has the security plugin, with users and web tokens, version 3 has no
// plugin and knows nobody. Neither has Index State Management, which is tried
// against a fake.
func TestRealOpenSearch(t *testing.T) {
	for _, major := range []int{2, 3} {
		t.Run(fmt.Sprintf("version %d", major), func(t *testing.T) {
			o := servicetest.OpenSearch(t, major)
			if o.WriterUser != "" {
				tryRightsOfOpenSearch(t, o)
			} else {
				tryOpenSearchOfNobody(t, major, o)
			}
			tryOpenSearch(t, major, o)
		})
	}
}

// toOpenSearch is a sink of the user with the password, or of nobody where the
// node knows nobody.
func toOpenSearch(t *testing.T, o *servicetest.OpenSearchServer, user, password string, edit func(*Config)) *Sink {
	t.Helper()
	c := Config{Addresses: []string{o.URL}, Distribution: openSearch, Proxy: "none", Retention: "30d"}
	if user != "" {
		c.Username, c.Password, c.TLS = user, secret.Env("P"), &TLS{CAFile: o.CAFile}
	}
	if edit != nil {
		edit(&c)
	}
	s, err := New(c, Options{Secret: literal(password)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func tryRightsOfOpenSearch(t *testing.T, o *servicetest.OpenSearchServer) {
	t.Helper()
	t.Run("a probe tells who logs in, by password and by web token, and what is wrong", func(t *testing.T) {
		if found, err := toOpenSearch(t, o, o.WriterUser, o.WriterPassword, nil).Probe(t.Context()); err != nil || found != "logged in as "+o.WriterUser {
			t.Errorf("%q, %v", found, err)
		}
		byToken := toOpenSearch(t, o, o.WriterUser, o.Token, func(c *Config) { c.Username, c.Password, c.ServiceToken = "", "", secret.Env("T") })
		if found, err := byToken.Probe(t.Context()); err != nil || found != "logged in as "+o.WriterUser {
			t.Errorf("%q, %v", found, err)
		}
		wrong := toOpenSearch(t, o, o.WriterUser, "hunter2-hunter2", nil)
		_, probe := wrong.Probe(t.Context())
		for _, err := range []error{probe, wrong.Write(t.Context(), sinktest.Batch(1))} {
			if fault.Of(err) != fault.Auth || !strings.Contains(fault.Hint(err), "credentials are wrong") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v: class %v, hint %q", err, fault.Of(err), fault.Hint(err))
			}
		}
	})
	t.Run("the writer may not set up, and is told which rights are missing", func(t *testing.T) {
		_, err := toOpenSearch(t, o, o.WriterUser, o.WriterPassword, nil).Setup(t.Context())
		if fault.Of(err) != fault.Auth || !strings.Contains(err.Error(), "indices:admin/index_template/put") || !strings.Contains(fault.Hint(err), "indices:admin/index_template/put") {
			t.Errorf("%v: class %v, hint %q", err, fault.Of(err), fault.Hint(err))
		}
	})
	t.Run("a writer of a sink for Elasticsearch, who may not ask what is there, is told what it may be", func(t *testing.T) {
		s := toOpenSearch(t, o, o.WriterUser, o.WriterPassword, func(c *Config) { c.Distribution = "" })
		_, probe := s.Probe(t.Context())
		for _, err := range []error{probe, s.Write(t.Context(), sinktest.Batch(1))} {
			if err == nil || !strings.Contains(fault.Hint(err), `where it is OpenSearch, write distribution = "opensearch"`) {
				t.Errorf("%v: hint %q", err, fault.Hint(err))
			}
		}
	})
}

func tryOpenSearchOfNobody(t *testing.T, major int, o *servicetest.OpenSearchServer) {
	t.Helper()
	t.Run("a node without security says what it is", func(t *testing.T) {
		found, err := toOpenSearch(t, o, "", "", nil).Probe(t.Context())
		if err != nil || !strings.HasPrefix(found, fmt.Sprintf("OpenSearch %d.", major)) || !strings.Contains(found, "no security plugin") {
			t.Errorf("%q, %v", found, err)
		}
	})
}

func tryOpenSearch(t *testing.T, major int, o *servicetest.OpenSearchServer) {
	t.Helper()
	admin := func(t *testing.T, edit func(*Config)) *Sink {
		t.Helper()
		return toOpenSearch(t, o, o.User, o.Password, edit)
	}
	writer := func(t *testing.T, namespace string) *Sink {
		t.Helper()
		return toOpenSearch(t, o, o.WriterUser, o.WriterPassword, func(c *Config) { c.Namespace = namespace })
	}
	t.Run("a sink for Elasticsearch says what is there, and writes nothing", func(t *testing.T) {
		s := admin(t, func(c *Config) { c.Distribution = "" })
		_, setup := s.Setup(t.Context())
		_, probe := s.Probe(t.Context())
		for _, err := range []error{setup, probe, s.Write(t.Context(), sinktest.Batch(1))} {
			if fault.Of(err) != fault.Auth || !strings.Contains(err.Error(), fmt.Sprintf("the server is OpenSearch %d.", major)) || !strings.Contains(fault.Hint(err), `distribution = "opensearch"`) {
				t.Errorf("%v: class %v, hint %q", err, fault.Of(err), fault.Hint(err))
			}
		}
	})
	t.Run("without the template a write waits for a human, and makes no index", func(t *testing.T) {
		err := writer(t, "early").Write(t.Context(), sinktest.Batch(2))
		if fault.Of(err) != fault.Auth || !strings.Contains(fault.Hint(err), "appgovd setup elasticsearch") {
			t.Errorf("%v: class %v, hint %q", err, fault.Of(err), fault.Hint(err))
		}
		if got := string(o.Do(t, "GET", "/_cat/indices/*?h=index", "")); strings.Contains(got, "appgov.") {
			t.Errorf("indices %q", got)
		}
	})
	t.Run("setup installs the template twice, and says that nothing ends the alerts", func(t *testing.T) {
		for range 2 {
			installed, err := admin(t, nil).Setup(t.Context())
			if fault.Of(err) != fault.Auth || !strings.Contains(err.Error(), "no Index State Management") || !strings.Contains(fault.Hint(err), "opensearch-index-management") {
				t.Errorf("%v: hint %q", err, fault.Hint(err))
			}
			if diff := cmp.Diff([]string{"index template logs-appgov"}, installed); diff != "" {
				t.Errorf("installed (-want +got):\n%s", diff)
			}
		}
		o.Do(t, "GET", "/_index_template/"+TemplateName, "")
	})
	tryWriting(t, o, Config{Distribution: openSearch}.Template(), "mapper_parsing_exception", writer)
}

// tryWriting is what a cluster with our template does with alerts. The last part
// kills it.
func tryWriting(t *testing.T, e cluster, template, refusal string, to func(t *testing.T, namespace string) *Sink) {
	t.Helper()
	t.Run("the writer's alerts are stored once, however often they come", func(t *testing.T) {
		s := to(t, "once")
		batch := sinktest.Batch(200)
		for _, part := range [][]event.Alert{batch[:150], batch[100:], batch} {
			if err := s.Write(t.Context(), part); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(sorted(sinktest.IDs(batch)), stored(t, e, s.stream, "")); diff != "" {
			t.Errorf("documents (-sent +stored):\n%s", diff)
		}
	})
	t.Run("hostile text is stored, and read back as it was sent", func(t *testing.T) {
		s := to(t, "hostile")
		frozen(s)
		batch := sinktest.Batch(len(sinktest.Hostile()))
		for i, text := range sinktest.Hostile() {
			batch[i].Title, batch[i].App.Name, batch[i].Summary = text[:min(len(text), 200)], text, text
		}
		if err := s.Write(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		want, got := map[string]any{}, map[string]any{}
		for i := range batch {
			want[batch[i].DeliveryID.String()] = decoded(t, s.encode(nil, &batch[i]))
		}
		e.Refresh(t, s.stream)
		for _, hit := range e.Search(t, s.stream, "") {
			got[hit.ID] = decoded(t, hit.Source)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("documents (-sent +stored):\n%s", diff)
		}
	})
	t.Run("a document that does not fit is refused with the server's reason, its neighbours are stored", func(t *testing.T) {
		s := to(t, "refused")
		encode := s.encode
		s.encode = func(b []byte, a *event.Alert) []byte {
			if a.Title == sinktest.Poison {
				return append(b, `{"@timestamp":"2026-11-24T12:00:00Z","appgov":{"score":"not a number"}}`...)
			}
			return encode(b, a)
		}
		batch := sinktest.Batch(3)
		batch[1].Title = sinktest.Poison
		var r *deliver.Rejected
		if err := s.Write(t.Context(), batch); !errors.As(err, &r) || len(r.Items) != 1 || r.Items[0].Index != 1 || len(r.Retry) != 0 {
			t.Fatalf("error %#v", err)
		}
		if reason := r.Items[0].Reason; !strings.Contains(reason, refusal) || !strings.Contains(reason, "appgov.score") {
			t.Errorf("reason %q", reason)
		}
		if diff := cmp.Diff(sorted(sinktest.IDs([]event.Alert{batch[0], batch[2]})), stored(t, e, s.stream, "")); diff != "" {
			t.Errorf("documents (-sent +stored):\n%s", diff)
		}
	})
	t.Run("every field of an alert is mapped as the template says, and found by its value", func(t *testing.T) {
		s := to(t, "full")
		a := sinktest.Full()
		if err := s.Write(t.Context(), []event.Alert{a}); err != nil {
			t.Fatal(err)
		}
		found(t, e, s.stream, a)
		if diff := cmp.Diff(templateTypes(t, template), indexTypes(t, e, s.stream)); diff != "" {
			t.Errorf("mapping (-template +index):\n%s", diff)
		}
	})
	t.Run("events have a stream of their own, and every field of one is mapped as the template says", func(t *testing.T) {
		s := to(t, "full")
		s.stream = strings.Replace(s.stream, ".alerts-", ".events-", 1)
		frozen(s)
		a := sinktest.FullEvent()
		for range 2 {
			if err := s.Write(t.Context(), []event.Alert{a}); err != nil {
				t.Fatal(err)
			}
		}
		e.Refresh(t, s.stream)
		hits := e.Search(t, s.stream, "")
		if len(hits) != 1 || hits[0].ID != a.DeliveryID.String() {
			t.Fatalf("stored %v", hits)
		}
		if diff := cmp.Diff(decoded(t, s.encode(nil, &a)), decoded(t, hits[0].Source)); diff != "" {
			t.Errorf("document (-sent +stored):\n%s", diff)
		}
		if diff := cmp.Diff(templateTypes(t, template), indexTypes(t, e, s.stream)); diff != "" {
			t.Errorf("mapping (-template +index):\n%s", diff)
		}
	})
	t.Run("what every sink promises holds with a real server", func(t *testing.T) {
		conformReal(t, e, refusal, to)
	})
	t.Run("a node that was killed is waited for, and nothing is lost", func(t *testing.T) {
		s := to(t, "killed")
		batch := sinktest.Batch(20)
		if err := s.Write(t.Context(), batch[:10]); err != nil {
			t.Fatal(err)
		}
		e.Kill(t)
		if err := s.Write(t.Context(), batch[5:]); err == nil || fault.Of(err) != fault.Transient {
			t.Fatalf("a dead node: %v", err)
		}
		e.Restart(t)
		if err := s.Write(t.Context(), batch[5:]); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(sorted(sinktest.IDs(batch)), stored(t, e, s.stream, "")); diff != "" {
			t.Errorf("documents (-sent +stored):\n%s", diff)
		}
	})
}

// conformReal runs the suite of all sinks. The server has a reason of its own to
// refuse Poison: a document that does not fit the mapping.
func conformReal(t *testing.T, e cluster, refusal string, to func(t *testing.T, namespace string) *Sink) {
	t.Helper()
	streams := 0
	sinktest.Run(t, sinktest.Suite{
		Can: []sinktest.Behaviour{sinktest.RefuseTenth},
		Start: func(t *testing.T, b sinktest.Behaviour) sinktest.Peer {
			streams++
			s := to(t, fmt.Sprintf("suite%02d", streams))
			encode, mended := s.encode, false
			s.encode = func(dst []byte, a *event.Alert) []byte {
				if b == sinktest.RefuseTenth && a.Title == sinktest.Poison && !mended {
					return append(dst, `{"@timestamp":"2026-11-24T12:00:00Z","appgov":{"score":"not a number"}}`...)
				}
				return encode(dst, a)
			}
			return sinktest.Peer{
				Sink: s, Secrets: []string{"-password"}, Mend: func() { mended = true }, Reason: refusal,
				Got: func(int) (ids []string) {
					e.Refresh(t, s.stream+"*") // which there may be none of
					for _, hit := range e.Search(t, s.stream+"*", `{"sort":[{"_seq_no":"asc"}]}`) {
						ids = append(ids, hit.ID)
					}
					return ids
				},
			}
		},
	})
}

// frozen stops the clock of s, so that a document is encoded again as it was sent.
func frozen(s *Sink) {
	at := s.now()
	s.now = func() time.Time { return at }
}

func decoded(t *testing.T, document []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(document, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func sorted(ids []string) []string {
	slices.Sort(ids)
	return ids
}

// stored are the ids of the documents that a query finds.
func stored(t *testing.T, e cluster, stream, query string) (ids []string) {
	t.Helper()
	e.Refresh(t, stream)
	for _, hit := range e.Search(t, stream, query) {
		ids = append(ids, hit.ID)
	}
	return sorted(ids)
}

// found asks for the alert by fields of every type.
func found(t *testing.T, e cluster, stream string, a event.Alert) {
	t.Helper()
	for _, query := range []string{
		`{"term":{"appgov.alert_id":"` + a.ID.String() + `"}}`,
		`{"term":{"appgov.delivery_id":"` + a.DeliveryID.String() + `"}}`,
		`{"term":{"event.id":"` + a.ID.String() + `"}}`,
		`{"term":{"appgov.detection_source":"App Governance"}}`,
		`{"term":{"appgov.app.app_id":"text"}}`,
		`{"term":{"appgov.state":"resolved"}}`,
		`{"term":{"appgov.backfill":true}}`,
		`{"range":{"appgov.score":{"gte":3,"lte":3}}}`,
		`{"range":{"@timestamp":{"gte":"2026-11-20T09:59:59Z","lt":"2026-11-20T10:00:01Z"}}}`,
		`{"bool":{"filter":[{"term":{"event.kind":"alert"}},{"range":{"event.ingested":{"gte":"now-10m","lt":"now+1m"}}}]}}`, // as Elastic's rule External Alerts asks, every two minutes
		`{"term":{"source.ip":"2001:db8::/64"}}`,
		`{"match":{"appgov.summary":"text"}}`,
		`{"term":{"threat.technique.subtechnique.id":"T1098.003"}}`,
		`{"term":{"data_stream.namespace":"full"}}`,
	} {
		if ids := stored(t, e, stream, `{"query":`+query+`}`); len(ids) != 1 {
			t.Errorf("%s found %d documents, want 1", query, len(ids))
		}
	}
}

// templateTypes are the fields of the template with their types.
func templateTypes(t *testing.T, text string) map[string]string {
	t.Helper()
	var template struct {
		Template struct {
			Mappings node `json:"mappings"`
		} `json:"template"`
	}
	if err := json.Unmarshal([]byte(text), &template); err != nil {
		t.Fatal(err)
	}
	types := map[string]string{}
	template.Template.Mappings.leaves("", types)
	return types
}

// indexTypes are the fields that the index behind a stream really has.
func indexTypes(t *testing.T, e cluster, stream string) map[string]string {
	t.Helper()
	var indices map[string]struct {
		Mappings node `json:"mappings"`
	}
	if err := json.Unmarshal(e.Do(t, "GET", "/"+stream+"/_mapping", ""), &indices); err != nil {
		t.Fatal(err)
	}
	types := map[string]string{}
	for _, index := range indices {
		index.Mappings.leaves("", types)
	}
	if len(indices) != 1 {
		t.Fatalf("%d indices, want 1", len(indices))
	}
	return types
}

func (n node) leaves(at string, types map[string]string) {
	if n.Type != "" {
		types[strings.TrimPrefix(at, ".")] = n.Type
	}
	for name, child := range n.Properties {
		child.leaves(at+"."+name, types)
	}
}
