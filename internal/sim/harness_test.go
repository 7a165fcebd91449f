package sim

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// epoch is the start of every simulation in the tests.
func epoch() time.Time { return time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC) }

// clock is a clock that a test moves.
type clock struct{ now time.Time }

func (c *clock) read() time.Time { return c.now }

// client asks a cloud through its handler, with a token of its own.
type client struct {
	t     testing.TB
	cloud *Cloud
	clock *clock
	h     http.Handler
	token string
}

// newClient makes a cloud with a clock that stands at its start.
func newClient(t testing.TB, o Options) *client {
	t.Helper()
	k := &clock{now: epoch()}
	o.Now, o.Start = k.read, epoch()
	setDefault(&o.TokenLifetime, 48*time.Hour)
	if o.Seed == 0 {
		o.Seed = 7
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	cl := &client{t: t, cloud: c, clock: k, h: c.Handler()}
	cl.login()
	return cl
}

func (cl *client) login() {
	cl.t.Helper()
	status, _, body := cl.post("/"+cl.cloud.TenantID()+"/oauth2/v2.0/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {cl.cloud.ClientID()},
		"client_secret": {cl.cloud.ClientSecret()}, "scope": {"https://graph.example/.default"},
	})
	if status != http.StatusOK {
		cl.t.Fatalf("token: %d %s", status, body)
	}
	var ans struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(body, &ans); err != nil {
		cl.t.Fatal(err)
	}
	cl.token = ans.Token
}

func (cl *client) post(path string, form url.Values) (int, http.Header, []byte) {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	cl.h.ServeHTTP(w, r)
	return w.Code, w.Header(), w.Body.Bytes()
}

// get asks for a path, whose query may be written plainly.
func (cl *client) get(target string, header ...string) (int, http.Header, []byte) {
	path, query, _ := strings.Cut(target, "?")
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.URL.RawQuery = strings.ReplaceAll(query, " ", "%20")
	r.Header.Set("Authorization", "Bearer "+cl.token)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	func() {
		defer func() {
			if p := recover(); p != nil && fmt.Sprint(p) != http.ErrAbortHandler.Error() {
				panic(p)
			}
		}()
		cl.h.ServeHTTP(w, r)
	}()
	return w.Code, w.Header(), w.Body.Bytes()
}

// page is one answer of a collection.
type page struct {
	Value []map[string]any `json:"value"`
	Next  string           `json:"@odata.nextLink"`
	Delta string           `json:"@odata.deltaLink"`
	raw   []byte
}

func (cl *client) page(target string, header ...string) page {
	cl.t.Helper()
	status, _, body := cl.get(target, header...)
	if status != http.StatusOK {
		cl.t.Fatalf("GET %s: %d %s", target, status, body)
	}
	p := page{raw: body}
	if err := json.Unmarshal(body, &p); err != nil {
		cl.t.Fatalf("GET %s: %v", target, err)
	}
	return p
}

// object asks for one object.
func (cl *client) object(target string) map[string]any {
	cl.t.Helper()
	status, _, body := cl.get(target)
	var o map[string]any
	if err := json.Unmarshal(body, &o); err != nil || status != http.StatusOK {
		cl.t.Fatalf("GET %s: %d %s", target, status, body)
	}
	return o
}

// all follows the nextLinks and returns the items and the deltaLink.
func (cl *client) all(target string, header ...string) (items []map[string]any, delta string) {
	cl.t.Helper()
	for range 100000 {
		p := cl.page(target, header...)
		items = append(items, p.Value...)
		if p.Next == "" {
			return items, cl.local(p.Delta)
		}
		target = cl.local(p.Next)
	}
	cl.t.Fatal("the pages never end")
	return nil, ""
}

// local is a link without its origin.
func (cl *client) local(link string) string {
	u, err := url.Parse(link)
	if err != nil {
		cl.t.Fatal(err)
	}
	return u.RequestURI()
}

// problemOfBody reads Graph's error shape.
func problemOfBody(t testing.TB, body []byte) (code, message string) {
	t.Helper()
	var p struct {
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal(body, &p); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return p.Error.Code, p.Error.Message
}

// logPath is the path of one stream over a range of time.
func logPath(k kind, from, to time.Time) string {
	span := func(field string) string {
		return fmt.Sprintf("$filter=%s ge %s and %s le %s", field, from.Format(time.RFC3339), field, to.Format(time.RFC3339))
	}
	switch k {
	case kindAudit:
		return "/v1.0/auditLogs/directoryAudits?" + span("activityDateTime")
	case kindInteractive:
		return "/v1.0/auditLogs/signIns?" + span("createdDateTime")
	}
	return "/beta/auditLogs/signIns?" + span("createdDateTime") + " and signInEventTypes/any(t: t eq '" + k.eventType() + "')"
}

func logKinds() []kind {
	return []kind{kindAudit, kindInteractive, kindNonInteractive, kindServicePrincipal, kindManagedIdentity}
}

// started serves a cloud over TLS and returns a client that trusts it.
func started(t testing.TB, c *Cloud) (string, *http.Client) {
	t.Helper()
	base, ca, stop, err := c.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		t.Fatal("the authority's certificate cannot be read")
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	t.Cleanup(tr.CloseIdleConnections)
	return base, &http.Client{Transport: tr, Timeout: 30 * time.Second}
}

func readAll(t testing.TB, r io.ReadCloser) []byte {
	t.Helper()
	defer func() { _ = r.Close() }()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
