package kafkalogin

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/secret"
	"github.com/appgovd/appgovd/internal/servicetest"
)

func literal(s string) func(secret.Ref) (func() (string, error), error) {
	return func(secret.Ref) (func() (string, error), error) { return func() (string, error) { return s, nil }, nil }
}

func hubs() Target {
	return Target{Brokers: []string{"contoso.servicebus.windows.net:9093"}, Topics: []string{"alerts"}, Write: true}
}

// clock is a time that a test moves.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func newTestLogin(t *testing.T, url, id, password string, c *clock) *Login {
	t.Helper()
	l, err := New(SASL{Mechanism: Bearer, ClientID: id, ClientSecret: "x", TokenURL: url}, hubs(), Options{Secret: literal(password), Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestTokensAreKept until they are about to expire, or were refused.
func TestTokensAreKept(t *testing.T) {
	x := servicetest.Tokens(t)
	c := &clock{now: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)}
	l := newTestLogin(t, x.URL, x.ClientID, x.ClientSecret, c)
	for i, step := range []struct {
		ahead  time.Duration
		due    bool // before it logs in
		refuse bool
		given  int
		class  fault.Class // of the refusal
	}{
		{given: 1},
		{ahead: 54 * time.Minute, given: 1},
		{ahead: 2 * time.Minute, due: true, given: 2},
		{refuse: true, given: 2, class: fault.Transient}, // it was kept
		{refuse: true, given: 3, class: fault.Auth},      // it was made for this log-in
		{given: 4},
	} {
		c.now = c.now.Add(step.ahead)
		if l.Due() != step.due {
			t.Errorf("step %d: due %t", i, !step.due)
		}
		m, first, err := l.Start(t.Context())
		if err != nil || !strings.HasPrefix(string(first), "n,,\x01auth=Bearer ") || !strings.HasSuffix(string(first), "\x01\x01") {
			t.Fatalf("step %d: %q, %v", i, first, err)
		}
		if l.Due() || x.Given() != step.given {
			t.Errorf("step %d: %d tokens given, due %t", i, x.Given(), l.Due())
		}
		if !step.refuse {
			if done, _, err := m.Next(t.Context(), nil); !done || err != nil {
				t.Errorf("step %d: %t, %v", i, done, err)
			}
			continue
		}
		token := strings.TrimSuffix(strings.TrimPrefix(string(first), "n,,\x01auth=Bearer "), "\x01\x01")
		_, _, err = m.Next(t.Context(), []byte(`{"status":"invalid_token `+token+`"}`))
		if fault.Of(err) != step.class || !strings.Contains(err.Error(), "invalid_token") || strings.Contains(err.Error(), token) || fault.Hint(err) == "" {
			t.Errorf("step %d: refused: %v, class %s, hint %q", i, err, fault.Of(err), fault.Hint(err))
		}
	}
}

// TestATokenServesWhileNoNewOneIsToBeHad: until just before its end.
func TestATokenServesWhileNoNewOneIsToBeHad(t *testing.T) {
	x := servicetest.Tokens(t)
	down, asked := false, 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; down {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		x.ServeHTTP(w, r)
	}))
	defer server.Close()
	c := &clock{now: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)}
	l := newTestLogin(t, server.URL, x.ClientID, x.ClientSecret, c)
	for i, step := range []struct {
		ahead time.Duration
		down  bool
		fails bool
		asked int
	}{
		{0, false, false, 1},
		{56 * time.Minute, true, false, 2},
		{30 * time.Second, true, false, 2}, // it was asked just now
		{time.Minute, true, false, 3},
		{2 * time.Minute, true, true, 4},
		{0, false, false, 5},
	} {
		c.now, down = c.now.Add(step.ahead), step.down
		_, _, err := l.Start(t.Context())
		if (err != nil) != step.fails || asked != step.asked {
			t.Errorf("step %d: asked %d times, %v", i, asked, err)
		}
		if err != nil && fault.Of(err) != fault.Transient {
			t.Errorf("step %d: class %s", i, fault.Of(err))
		}
	}
}

// TestAShortTokenIsRenewedInTime: after three quarters of its life, and one without a
// word about its life after some minutes.
func TestAShortTokenIsRenewedInTime(t *testing.T) {
	for said, until := range map[time.Duration]time.Duration{40 * time.Second: 30 * time.Second, 0: 225 * time.Second} {
		x := servicetest.Tokens(t)
		x.SetLife(time.Hour, said)
		c := &clock{now: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)}
		l := newTestLogin(t, x.URL, x.ClientID, x.ClientSecret, c)
		for i, at := range []time.Duration{0, until - time.Second, until} {
			now := *c
			c.now = c.now.Add(at)
			if _, _, err := l.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			if want := 1 + i/2; x.Given() != want {
				t.Errorf("life of %s: %s after the first %d tokens were given, want %d", said, at, x.Given(), want)
			}
			*c = now
		}
	}
}

// TestTheTokenEndpointsTrouble has a class, and shows no secret.
func TestTheTokenEndpointsTrouble(t *testing.T) {
	const hush = "hunter2-hunter2"
	for _, x := range []struct {
		status int
		body   string
		class  fault.Class
		text   string
	}{
		{401, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret ` + hush + `.\r\nTrace ID: 1"}`, fault.Auth, "invalid_client: AADSTS7000215: Invalid client secret (redacted)."},
		{302, ``, fault.Auth, "302"},
		{400, `{"error":"invalid_scope"}`, fault.Auth, "invalid_scope"},
		{503, `{"error":"temporarily_unavailable"}`, fault.Transient, "503"},
		{429, `{"error":"slow_down"}`, fault.Throttled, "429"},
		{404, `<html>` + hush, fault.Auth, "404"},
		{200, `<html>` + hush, fault.Transient, "no token"},
		{200, `{}`, fault.Transient, "no token"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(x.status)
			_, _ = io.WriteString(w, x.body)
		}))
		l := newTestLogin(t, server.URL, "app", hush, &clock{now: time.Now()})
		_, _, err := l.Start(t.Context())
		server.Close()
		if err == nil || fault.Of(err) != x.class || !strings.Contains(err.Error(), x.text) || strings.Contains(err.Error()+fault.Hint(err), hush) {
			t.Errorf("%d %s: %v, class %s", x.status, x.body, err, fault.Of(err))
		}
	}
}

// TestThePasswordIsInNoError: also where SCRAM does not allow its characters.
func TestThePasswordIsInNoError(t *testing.T) {
	for _, mechanism := range []string{SHA256, SHA512} {
		l, err := New(SASL{Mechanism: mechanism, Username: "appgov", Password: "x"}, hubs(), Options{Secret: literal("hu5h\x07w0rd")})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = l.Start(t.Context())
		if err == nil || fault.Of(err) != fault.Auth || strings.Contains(err.Error()+fault.Hint(err), "hu5h") {
			t.Errorf("%s: %s error %v", mechanism, fault.Of(err), err)
		}
	}
}

// TestWhatToWriteAndReadNeeds differs.
func TestWhatToWriteAndReadNeeds(t *testing.T) {
	write, read := hubs(), hubs()
	read.Write = false
	for _, x := range []struct {
		target      Target
		right, role string
	}{{write, "Send", "Data Sender"}, {read, "Listen", "Data Receiver"}} {
		l, err := New(SASL{Mechanism: Plain, Username: connectionUser, Password: "x"}, x.target, Options{Secret: literal("c2VjcmV0")})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = l.Start(t.Context())
		if !strings.Contains(fault.Hint(err), "the claim "+x.right+":") || !strings.Contains(x.target.WithoutRights(), x.role) || !strings.Contains(x.target.WhenRefused(), "claim "+x.right) {
			t.Errorf("%+v: %v, hint %q", x.target, err, fault.Hint(err))
		}
	}
}
