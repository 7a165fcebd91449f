package kafkalogin

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/entralogin"
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

// ways are those to a token.
func ways() []way {
	return []way{
		{"of any server", false, func(t *testing.T, x *servicetest.TokenServer, c *clock) *Login {
			return newTestLogin(t, x.URL, x.ClientID, x.ClientSecret, c)
		}},
		{"of Entra", true, func(t *testing.T, x *servicetest.TokenServer, c *clock) *Login {
			return newEntraLogin(t, x, c, func(s *SASL) { s.ClientSecret = "x" })
		}},
	}
}

type way struct {
	name  string
	ours  bool // when a token ends is told by the machine's clock, whatever the test's says
	login func(t *testing.T, x *servicetest.TokenServer, c *clock) *Login
}

// ahead moves the clock; tokens live for an hour by it.
func (w way) ahead(x *servicetest.TokenServer, c *clock, d time.Duration) {
	c.now = c.now.Add(d)
	said := time.Hour
	if w.ours {
		said += time.Until(c.now)
	}
	x.SetLife(time.Hour, said)
}

// newEntraLogin makes a login at Entra's endpoint.
func newEntraLogin(t *testing.T, x *servicetest.TokenServer, c *clock, change func(*SASL)) *Login {
	t.Helper()
	s := SASL{Mechanism: Bearer, TenantID: x.TenantID, ClientID: x.ClientID, LoginURL: x.LoginURL, CAFile: x.CAFile}
	change(&s)
	for _, m := range Check(hubs(), &TLS{}, &s) {
		t.Errorf("%s: %s", m.Field, m.Text)
	}
	l, err := New(s, hubs(), Options{Secret: literal(x.ClientSecret), Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestTokensAreKept until they are about to expire, or were refused.
func TestTokensAreKept(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) { testTokensAreKept(t, w) })
	}
}

func testTokensAreKept(t *testing.T, w way) {
	x := servicetest.Tokens(t)
	c := &clock{now: time.Now()}
	l := w.login(t, x, c)
	for i, step := range []struct {
		ahead    time.Duration
		look     bool // whether it is renewed, before it logs in
		refuse   bool
		given    int
		renewals int
		class    fault.Class // of the refusal
	}{
		{given: 1},
		{ahead: 54 * time.Minute, look: true, given: 1},
		{ahead: 2 * time.Minute, look: true, given: 2, renewals: 1},
		{ahead: 56 * time.Minute, given: 3, renewals: 2},
		{refuse: true, given: 3, renewals: 2, class: fault.Transient}, // it was kept
		{refuse: true, given: 4, renewals: 3, class: fault.Auth},      // it was made for this log-in
		{given: 5, renewals: 4},
	} {
		w.ahead(x, c, step.ahead)
		if step.look {
			if got := l.Renewals(t.Context()); got != step.renewals || x.Given() != step.given {
				t.Errorf("step %d: renewed %d times, %d tokens given", i, got, x.Given())
			}
		}
		m, first, err := l.Start(t.Context())
		if err != nil || !strings.HasPrefix(string(first), "n,,\x01auth=Bearer ") || !strings.HasSuffix(string(first), "\x01\x01") {
			t.Fatalf("step %d: %q, %v", i, first, err)
		}
		if got := l.Renewals(t.Context()); got != step.renewals || x.Given() != step.given {
			t.Errorf("step %d: %d tokens given, renewed %d times", i, x.Given(), got)
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
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) { testATokenServes(t, w) })
	}
}

func testATokenServes(t *testing.T, w way) {
	x := servicetest.Tokens(t)
	c := &clock{now: time.Now()}
	l := w.login(t, x, c)
	for i, step := range []struct {
		ahead time.Duration
		down  int
		look  bool // whether it is renewed, in place of a log-in
		fails bool
		asked int
	}{
		{asked: 1},
		{ahead: 56 * time.Minute, down: 503, asked: 2},
		{ahead: 30 * time.Second, down: 503, look: true, asked: 2}, // it was asked just now
		{ahead: 30 * time.Second, down: 503, look: true, asked: 3},
		{ahead: time.Minute, down: 503, asked: 4},
		{ahead: 2 * time.Minute, down: 503, fails: true, asked: 5},
		{down: 503, look: true, asked: 5}, // nor all the time when none is left
		{asked: 6},
	} {
		x.Fail(step.down)
		w.ahead(x, c, step.ahead)
		var err error
		if step.look {
			if n := l.Renewals(t.Context()); n != 0 {
				t.Errorf("step %d: renewed %d times", i, n)
			}
		} else {
			_, _, err = l.Start(t.Context())
		}
		if (err != nil) != step.fails || x.Asked() != step.asked {
			t.Errorf("step %d: asked %d times, %v", i, x.Asked(), err)
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

// TestEachProofOfEntraLogsIn: and what was shown is checked as Entra checks it.
func TestEachProofOfEntraLogsIn(t *testing.T) {
	for name, change := range map[string]func(x *servicetest.TokenServer, s *SASL, file string){
		"client_secret": func(_ *servicetest.TokenServer, s *SASL, _ string) { s.ClientSecret = "x" },
		"client_certificate": func(x *servicetest.TokenServer, s *SASL, file string) {
			x.Trust(t, servicetest.SelfSigned(t, file))
			s.ClientCertificates = []entralogin.Certificate{{File: file}}
		},
		"workload_identity": func(x *servicetest.TokenServer, s *SASL, file string) {
			x.TrustToken("token of the issuer")
			if err := os.WriteFile(file, []byte("token of the issuer\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			s.WorkloadIdentity = &entralogin.WorkloadIdentity{TokenFile: file}
		},
	} {
		x, file := servicetest.Tokens(t), filepath.Join(t.TempDir(), "proof")
		l := newEntraLogin(t, x, &clock{now: time.Now()}, func(s *SASL) { change(x, s, file) })
		if _, first, err := l.Start(t.Context()); err != nil || !strings.HasPrefix(string(first), "n,,\x01auth=Bearer ey") || x.Given() != 1 {
			t.Errorf("%s: %q, %v", name, first, err)
		}
		if shown := x.Shown(); (len(shown) == 1) != (name != "client_secret") {
			t.Errorf("%s: shown %q", name, shown)
		}
	}
}

// TestTheMachineLogsIn by an identity that was assigned to it, and by its own: the token is
// for the brokers, and is renewed after half of its life.
func TestTheMachineLogsIn(t *testing.T) {
	for _, name := range []string{"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "MSI_ENDPOINT", "IMDS_ENDPOINT"} {
		t.Setenv(name, "")
	}
	for _, id := range []string{"99999999-8888-4777-8666-555555555555", ""} {
		m, c := servicetest.Machine(t, id), &clock{now: time.Now()}
		s := SASL{Mechanism: Bearer, ClientID: id, ManagedIdentity: &entralogin.ManagedIdentity{SystemAssigned: id == ""}}
		if found := Check(hubs(), &TLS{}, &s); len(found) > 0 {
			t.Errorf("%+v", found)
		}
		l, err := New(s, hubs(), Options{Secret: literal(""), Now: c.Now, Dial: m.Dial})
		if err != nil {
			t.Fatal(err)
		}
		for i, step := range []struct {
			ahead time.Duration
			down  int
			token string
		}{
			{0, 200, "token 1"}, {11 * time.Hour, 200, "token 1"}, {2 * time.Hour, 429, "token 1"}, {time.Second, 200, "token 1"}, {time.Minute, 200, "token 3"},
		} {
			c.now = c.now.Add(step.ahead)
			m.Set(step.down, 24*time.Hour+time.Until(c.now))
			if _, first, err := l.Start(t.Context()); err != nil || string(first) != "n,,\x01auth=Bearer "+step.token+"\x01\x01" {
				t.Errorf("%q, step %d: %q, %v", id, i, first, err)
			}
		}
		if got := m.Resource(); got != "https://contoso.servicebus.windows.net" {
			t.Errorf("the token is for %s", got)
		}
	}
}

// TestEntrasTrouble has a class and advice that knows Event Hubs.
func TestEntrasTrouble(t *testing.T) {
	x := servicetest.Tokens(t)
	for want, change := range map[string]func(*SASL){
		"the client secret is wrong": func(s *SASL) { s.ClientSecret = "x" },
		"upload its public part": func(s *SASL) {
			file := filepath.Join(t.TempDir(), "client.pem")
			servicetest.SelfSigned(t, file)
			s.ClientCertificates = []entralogin.Certificate{{File: file}}
		},
	} {
		s := SASL{Mechanism: Bearer, TenantID: x.TenantID, ClientID: x.ClientID, LoginURL: x.LoginURL, CAFile: x.CAFile}
		change(&s)
		l, err := New(s, hubs(), Options{Secret: literal("hunter2-hunter2")})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = l.Start(t.Context())
		if fault.Of(err) != fault.Auth || !strings.Contains(fault.Hint(err), want) || strings.Count(err.Error(), "get token") != 1 || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v of class %s, hint %q", err, fault.Of(err), fault.Hint(err))
		}
	}
	if got := hubs().unknownAPI("https://contoso.servicebus.windows.net"); !strings.Contains(got, "NAMESPACE.servicebus.windows.net/.default") {
		t.Error(got)
	}
}

// TestTheCloudOfTheBrokers gives the tokens, unless the block says otherwise.
func TestTheCloudOfTheBrokers(t *testing.T) {
	for broker, want := range map[string]string{
		"contoso.servicebus.windows.net:9093":       "",
		"contoso.servicebus.usgovcloudapi.net:9093": entralogin.USGovernment,
		"Contoso.Servicebus.chinacloudapi.cn:9093":  entralogin.China,
		"kafka.example.com:9093":                    "",
	} {
		if got := (Target{Brokers: []string{broker}}).loginURL(); got != want {
			t.Errorf("%s: %q", broker, got)
		}
	}
}

// TestCheckOfTokens: what is missing or mixed is told with its attribute and advice.
func TestCheckOfTokens(t *testing.T) {
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", "")
	const id = "99999999-8888-4777-8666-555555555555"
	machine := &entralogin.ManagedIdentity{SystemAssigned: true}
	for want, s := range map[string]SASL{
		"sasl: neither tenant_id nor managed_identity nor token_url is given":       {ClientID: id, ClientSecret: "x"},
		"sasl.token_url: token_url cannot stand beside tenant_id":                   {TenantID: id, ClientID: id, ClientSecret: "x", TokenURL: "https://x"},
		"sasl.token_url: token_url cannot stand beside managed_identity, login_url": {ManagedIdentity: machine, LoginURL: "https://x", TokenURL: "https://x"},
		"sasl.token_url: is not an https URL":                                       {ClientID: "a", ClientSecret: "x", TokenURL: "login.example.com"},
		"sasl: client_id and client_secret are needed":                              {ClientID: "a", TokenURL: "https://x"},
		"sasl.client_secret: neither client_secret nor client_certificate":          {TenantID: id, ClientID: id},
		"sasl.client_secret: client_secret and managed_identity are both":           {ClientSecret: "x", ManagedIdentity: machine},
		"sasl.tenant_id: is not a GUID":                                             {TenantID: "contoso.example", ClientID: id, ClientSecret: "x"},
		"sasl.client_id: is not a GUID":                                             {TenantID: id, ClientID: "app", ClientSecret: "x"},
		"sasl.login_url: is not an https URL":                                       {TenantID: id, ClientID: id, ClientSecret: "x", LoginURL: "http://login.example.com"},
		"sasl.client_certificate.file: is empty":                                    {TenantID: id, ClientID: id, ClientCertificates: []entralogin.Certificate{{}}},
		"sasl.workload_identity.token_file: is empty":                               {TenantID: id, ClientID: id, WorkloadIdentity: &entralogin.WorkloadIdentity{}},
		"sasl.managed_identity: the machine gives the tokens: tenant_id":            {TenantID: id, ManagedIdentity: machine},
		"sasl.client_id: is not for the machine's own identity":                     {ClientID: id, ManagedIdentity: machine},
		"sasl.client_id: is not a GUID ":                                            {ManagedIdentity: &entralogin.ManagedIdentity{}},
		"sasl: username and password are not for OAUTHBEARER":                       {Username: "me", ManagedIdentity: machine},
		"": {ClientID: "a", ClientSecret: "x", TokenURL: "https://login.example.com/token"},
	} {
		s.Mechanism = Bearer
		got := ""
		for _, m := range Check(hubs(), &TLS{}, &s) {
			got += m.Field + ": " + m.Text + " " + m.Advice
		}
		if !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("want %q, got %q", want, got)
		}
	}
	s := SASL{Mechanism: Plain, Username: connectionUser, Password: "x", LoginURL: "https://x", ManagedIdentity: machine}
	if found := Check(hubs(), &TLS{}, &s); len(found) != 1 || found[0].Text != "for OAUTHBEARER alone: managed_identity, login_url" {
		t.Errorf("%+v", found)
	}
}

// TestAsSomebodyElse: for once, with a secret in place of what the block proves itself by.
func TestAsSomebodyElse(t *testing.T) {
	const id = "99999999-8888-4777-8666-555555555555"
	s := SASL{Mechanism: Bearer, TenantID: id, ClientID: "x", ClientCertificates: []entralogin.Certificate{{File: "x"}}, WorkloadIdentity: &entralogin.WorkloadIdentity{}}.As(id, "y")
	if found := Check(hubs(), &TLS{}, &s); len(found) > 0 || s.ClientID != id || s.ClientSecret != "y" {
		t.Errorf("%+v, %+v", found, s)
	}
	if s := (SASL{Mechanism: Plain, Username: "x", Password: "x"}).As("admin", "y"); s.Username != "admin" || s.Password != "y" {
		t.Errorf("%+v", s)
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
