package msgraph

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/secret"
)

const (
	testTenant = "11111111-2222-3333-4444-555555555555"
	testClient = "99999999-8888-7777-6666-555555555555"
)

func epoch() time.Time { return time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC) }

// clock is moved by the test.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// cloud is a TLS server with a token endpoint; all other requests go to graph.
type cloud struct {
	*httptest.Server
	ca    string
	clock *clock
	dec   Decoder

	mu     sync.Mutex
	graph  http.HandlerFunc
	token  http.HandlerFunc // nil: gives tokens
	asked  []*http.Request  // Graph requests so far
	issued int
	ahead  time.Duration // of its clock against ours
}

func newCloud(t testing.TB, graph http.HandlerFunc) *cloud {
	t.Helper()
	c := &cloud{graph: graph, clock: &clock{now: epoch()}, dec: testDecoder{}}
	c.Server = httptest.NewUnstartedServer(http.HandlerFunc(c.serve))
	c.Config.ErrorLog = log.New(io.Discard, "", 0)
	c.StartTLS()
	t.Cleanup(c.Close)
	c.ca = filepath.Join(t.TempDir(), "ca.pem")
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate().Raw})
	if err := os.WriteFile(c.ca, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cloud) serve(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	graph, token := c.graph, c.token
	w.Header().Set("Date", c.clock.read().Add(c.ahead).UTC().Format(http.TimeFormat))
	c.mu.Unlock()
	switch {
	case strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration"):
		base := c.URL + "/" + testTenant
		answer(w, 200, map[string]any{"issuer": base + "/v2.0", "authorization_endpoint": base + "/oauth2/v2.0/authorize", "token_endpoint": base + "/oauth2/v2.0/token"})
	case strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token"):
		if token != nil {
			token(w, r)
			return
		}
		c.mu.Lock()
		c.issued++
		n := c.issued
		c.mu.Unlock()
		answer(w, 200, map[string]any{"token_type": "Bearer", "expires_in": 3600, "access_token": fmt.Sprintf("token-%d", n)})
	default:
		c.mu.Lock()
		c.asked = append(c.asked, r)
		c.mu.Unlock()
		graph(w, r)
	}
}

// requests returns path and decoded query of the Graph requests so far.
func (c *cloud) requests() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var got []string
	for _, r := range c.asked {
		s := r.URL.Path
		for _, k := range []string{"$filter", "$orderby", "$top", "$skiptoken", "$deltatoken"} {
			if v := r.URL.Query().Get(k); v != "" {
				s += " " + k + "=" + v
			}
		}
		got = append(got, s)
	}
	return got
}

func (c *cloud) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	answer(w, status, map[string]any{"error": map[string]any{"code": code, "message": message}})
}

func (c *cloud) config() Config {
	return Config{TenantID: testTenant, ClientID: testClient, ClientSecret: secret.Ref("hush"), GraphURL: c.URL, OfficeURL: c.URL, LoginURL: c.URL, CAFile: c.ca, BudgetShare: 1e5}
}

func (c *cloud) provider(t testing.TB, change func(*Config)) *Provider {
	t.Helper()
	cfg := c.config()
	if change != nil {
		change(&cfg)
	}
	p, err := New(t.Context(), cfg, Options{Name: "contoso", Now: c.clock.read, Rand: rand.NewPCG(1, 2), Decoder: c.dec})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func (p *Provider) named(t testing.TB, name string) Reader {
	t.Helper()
	for _, s := range p.Sources() {
		if strings.HasSuffix(s.Key, "/"+name) {
			return s.Source
		}
	}
	t.Fatalf("no source %s", name)
	return nil
}

// testDecoder knows just enough of a record: these tests are about reading.
type testDecoder struct{}

type testRecord struct {
	ID          string    `json:"id"`
	Activity    time.Time `json:"activityDateTime"`
	Created     time.Time `json:"createdDateTime"`
	LastUpdate  time.Time `json:"lastUpdateDateTime"`
	PrincipalID string    `json:"principalId"`
	Removed     *struct{} `json:"@removed"`
}

func (testDecoder) event(raw []byte) (event.Event, error) {
	var r testRecord
	if err := json.Unmarshal(raw, &r); err != nil {
		return event.Event{}, err
	}
	if r.ID == "" {
		return event.Event{}, errors.New("no id")
	}
	at := r.Activity
	if at.IsZero() {
		at = r.Created
	}
	e := event.Event{ID: event.NewID(r.ID), UpstreamID: r.ID, Time: at, Raw: raw}
	if !r.LastUpdate.IsZero() {
		e.Upstream = &event.Upstream{Updated: r.LastUpdate}
	}
	return e, nil
}

func (testDecoder) object(kind string, raw []byte) (event.Object, error) {
	var r testRecord
	if err := json.Unmarshal(raw, &r); err != nil {
		return event.Object{}, err
	}
	if r.ID == "bad" {
		return event.Object{}, errors.New("bad")
	}
	o := event.Object{Kind: kind, ID: r.ID}
	if r.Removed != nil {
		o.Removed = "deleted"
	}
	return o, nil
}

func (d testDecoder) Audit(raw []byte) (event.Event, error)            { return d.event(raw) }
func (d testDecoder) SignIn(_ string, raw []byte) (event.Event, error) { return d.event(raw) }
func (d testDecoder) Office(raw []byte) (event.Event, bool, error) {
	e, err := d.event(raw)
	return e, true, err
}
func (d testDecoder) RiskDetection(raw []byte) (event.Event, error) { return d.event(raw) }
func (d testDecoder) Listed(kind, _ string, raw []byte) ([]event.Object, []event.Event, error) {
	o, err := d.object(kind, raw)
	return []event.Object{o}, nil, err
}
func (d testDecoder) Alert(raw []byte) (event.Event, error) { return d.event(raw) }
func (d testDecoder) Application(raw []byte) (event.Object, error) {
	return d.object(event.ObjectApplication, raw)
}
func (d testDecoder) ServicePrincipal(raw []byte) (event.Object, error) {
	return d.object(event.ObjectServicePrincipal, raw)
}
func (d testDecoder) DelegatedGrant(raw []byte) (event.Object, error) {
	return d.object(event.ObjectDelegatedGrant, raw)
}
func (d testDecoder) AppRoleAssignment(raw []byte) (event.Object, error) {
	return d.object(event.ObjectAppRoleAssignment, raw)
}

// journal is a directory audit log: rows by time, read with ge, le and $top.
type journal struct {
	mu   sync.Mutex
	rows []row
	bad  func(page []row) bool // pages that answer 500

	hole   func(low, high time.Time) bool // windows that fail, whatever they hold
	answer func(http.ResponseWriter)      // how they do; nil = 500
}

// heal ends what is wrong.
func (j *journal) heal() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.bad, j.hole = nil, nil
}

type row struct {
	id string
	at time.Time
}

func (j *journal) add(rows ...row) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.rows = append(j.rows, rows...)
	slices.SortStableFunc(j.rows, func(a, b row) int { return a.at.Compare(b.at) })
}

func (j *journal) serve(w http.ResponseWriter, r *http.Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	q := r.URL.Query()
	low, high, ok := bounds(q.Get("$filter"))
	size, err := strconv.Atoi(q.Get("$top"))
	if !ok || err != nil {
		refuse(w, 400, "BadRequest", "Invalid filter clause")
		return
	}
	if j.hole != nil && j.hole(low, high) {
		if j.answer != nil {
			j.answer(w)
			return
		}
		refuse(w, 500, "InternalServerError", "The window cannot be read.")
		return
	}
	var hits []row
	for _, x := range j.rows {
		if !x.at.Before(low) && !x.at.After(high) {
			hits = append(hits, x)
		}
	}
	skip, _ := strconv.Atoi(q.Get("$skiptoken"))
	page := hits[min(skip, len(hits)):min(skip+size, len(hits))]
	if j.bad != nil && j.bad(page) {
		refuse(w, 500, "InternalServerError", "The record cannot be read.")
		return
	}
	body := map[string]any{"value": values(page)}
	if skip+size < len(hits) {
		q.Set("$skiptoken", strconv.Itoa(skip+size))
		body["@odata.nextLink"] = "https://" + r.Host + r.URL.Path + "?" + q.Encode()
	}
	answer(w, 200, body)
}

func values(page []row) []any {
	v := make([]any, 0, len(page))
	for _, x := range page {
		v = append(v, map[string]any{"id": x.id, "activityDateTime": x.at})
	}
	return v
}

func bounds(filter string) (low, high time.Time, ok bool) {
	f := strings.Fields(filter)
	if len(f) != 7 || f[1] != "ge" || f[5] != "le" {
		return low, high, false
	}
	low, err1 := time.Parse(time.RFC3339Nano, f[2])
	high, err2 := time.Parse(time.RFC3339Nano, f[6])
	return low, high, err1 == nil && err2 == nil
}

// readAll reads until the source waits, and returns the pages; errors of the
// upstream are tried again, as the loop would.
func readAll(t testing.TB, s Reader, cursor []byte) ([]event.Page, []byte) {
	t.Helper()
	var pages []event.Page
	for range 5000 {
		p, err := s.Read(t.Context(), cursor)
		if err != nil {
			continue
		}
		pages = append(pages, p)
		if cursor = p.Cursor; p.Wait > 0 {
			return pages, cursor
		}
	}
	t.Fatal("the source came to no end")
	return nil, nil
}

func eventIDs(pages []event.Page) []string {
	var got []string
	for _, p := range pages {
		for _, e := range p.Events {
			got = append(got, e.UpstreamID)
		}
	}
	slices.Sort(got)
	return slices.Compact(got)
}

func secretFile(path string) secret.Ref { return secret.File(path) }
