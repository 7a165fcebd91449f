package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLogsAreFilteredAndOrderedAsDocumented(t *testing.T) {
	cl := newClient(t, Options{Apps: 40, Events: 3000})
	times := func(p page) (out []time.Time) {
		for _, v := range p.Value {
			at, err := time.Parse(time.RFC3339Nano, v["createdDateTime"].(string))
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, at)
		}
		return out
	}
	from, to := epoch().Add(-2*time.Hour), epoch().Add(-time.Hour)
	path := logPath(kindInteractive, from, to)
	t.Run("newest first unless asked otherwise", func(t *testing.T) {
		down, up := times(cl.page(path+"&$top=50")), times(cl.page(path+"&$top=50&$orderby=createdDateTime asc"))
		if len(down) != 50 || len(up) != 50 {
			t.Fatalf("pages of %d and %d, want 50", len(down), len(up))
		}
		for i := 1; i < 50; i++ {
			if down[i].After(down[i-1]) || up[i].Before(up[i-1]) {
				t.Fatal("out of order")
			}
		}
	})
	t.Run("ge and le include their bounds", func(t *testing.T) {
		one := times(cl.page(path))[3]
		exact := cl.page(logPath(kindInteractive, one, one))
		if len(exact.Value) == 0 {
			t.Error("the record at the bound is missing")
		}
		for _, at := range times(cl.page(path)) {
			if at.Before(from) || at.After(to) {
				t.Errorf("%s is outside", at)
			}
		}
	})
	t.Run("gt is ignored", func(t *testing.T) {
		all := cl.page("/v1.0/auditLogs/signIns?$filter=createdDateTime gt 2030-01-01T00:00:00Z")
		if len(all.Value) == 0 {
			t.Error("gt had an effect")
		}
	})
	t.Run("a set of pages does not move under its reader", func(t *testing.T) {
		want := len(drained(cl, from, to)["signin_interactive"])
		first := cl.page(path + "&$top=20")
		cl.clock.now = epoch().Add(time.Hour)
		rest, _ := cl.all(cl.local(first.Next))
		cl.clock.now = epoch()
		if got := len(first.Value) + len(rest); got != want {
			t.Errorf("%d records over the pages, want %d", got, want)
		}
	})
}

func TestQuestionsThatTheServiceRefuses(t *testing.T) {
	cl := newClient(t, Options{Apps: 40, Events: 100})
	for _, tc := range []struct{ name, target, want string }{
		{"signInEventTypes on v1.0", "/v1.0/auditLogs/signIns?$filter=signInEventTypes/any(t: t eq 'servicePrincipal')", "Could not find a property named 'signInEventTypes'"},
		{"selecting it on v1.0", "/v1.0/auditLogs/signIns?$select=id,signInEventTypes", "Could not find a property named 'signInEventTypes'"},
		{"a quoted date", "/v1.0/auditLogs/signIns?$filter=createdDateTime ge '2026-11-01T00:00:00Z'", "Invalid filter clause"},
		{"a date beyond 90 days", "/v1.0/auditLogs/signIns?$filter=createdDateTime ge 2026-01-01T00:00:00Z", "Invalid filter clause"},
		{"an unknown sign-in type", "/beta/auditLogs/signIns?$filter=signInEventTypes/any(t: t eq 'robot')", "Invalid filter clause"},
		{"a page of more than 1000", "/v1.0/auditLogs/directoryAudits?$top=1001", "between 1 and 1000"},
		{"an order by another property", "/v1.0/auditLogs/directoryAudits?$orderby=id", "$orderby"},
		{"detectionSource of alerts", "/v1.0/security/alerts_v2?$filter=detectionSource eq 'manual'", "not supported"},
		{"half a clause", "/v1.0/auditLogs/directoryAudits?$filter=activityDateTime ge", "Invalid filter clause"},
		{"a path that nobody knows", "/v1.0/planner/tasks", "Resource not found for the segment"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, _, body := cl.get(tc.target)
			_, message := problemOfBody(t, body)
			if status != http.StatusBadRequest || !strings.Contains(message, tc.want) {
				t.Errorf("got %d %q, want 400 %q", status, message, tc.want)
			}
		})
	}
}

func TestARequestWithoutAGoodTokenIs401(t *testing.T) {
	cl := newClient(t, Options{Apps: 10, TokenLifetime: time.Hour})
	good := cl.token
	for _, tc := range []struct {
		name, token string
		after       time.Duration
		want        string
	}{
		{"no token", "", 0, "Invalid signature"},
		{"a forged token", good[:len(good)-4] + "AAAA", 0, "Invalid signature"},
		{"an expired token", good, 2 * time.Hour, "expired"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cl.token, cl.clock.now = tc.token, epoch().Add(tc.after)
			status, h, body := cl.get("/v1.0/organization")
			code, message := problemOfBody(t, body)
			if status != 401 || code != "InvalidAuthenticationToken" || !strings.Contains(message, tc.want) || h.Get("WWW-Authenticate") == "" {
				t.Errorf("got %d %s %q", status, code, message)
			}
		})
	}
	t.Run("all tokens expired at once", func(t *testing.T) {
		cl.token, cl.clock.now = good, epoch()
		cl.cloud.SetFaults(Faults{ExpireTokens: true})
		if status, _, _ := cl.get("/v1.0/organization"); status != 401 {
			t.Errorf("the old token: %d", status)
		}
		cl.login()
		if status, _, _ := cl.get("/v1.0/organization"); status != 200 {
			t.Errorf("the new token: %d", status)
		}
	})
}

func TestFaultsStrikeAsOftenAsTheyAreAsked(t *testing.T) {
	cl := newClient(t, Options{Apps: 10, Events: 200, RetryAfter: 1500 * time.Millisecond})
	path := logPath(kindAudit, epoch().Add(-24*time.Hour), epoch())
	count := func(f Faults, hit func(status int, h http.Header, body []byte) bool) (n int) {
		cl.cloud.SetFaults(f)
		for range 400 {
			if hit(cl.get(path)) {
				n++
			}
		}
		return n
	}
	for _, tc := range []struct {
		name string
		f    Faults
		hit  func(status int, h http.Header, body []byte) bool
		low  int
		high int
	}{
		{"429 with whole seconds of Retry-After", Faults{Throttle: 0.1}, func(s int, h http.Header, _ []byte) bool { return s == 429 && h.Get("Retry-After") == "2" }, 20, 70},
		{"5xx", Faults{ServerErrors: 0.1}, func(s int, _ http.Header, _ []byte) bool { return s >= 500 }, 20, 70},
		{"bodies that are no JSON", Faults{Truncate: 0.1}, func(s int, _ http.Header, b []byte) bool { return s == 200 && !json.Valid(b) }, 20, 70},
		{"nothing in a quiet phase", Faults{}, func(s int, _ http.Header, b []byte) bool { return s != 200 || !json.Valid(b) }, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if n := count(tc.f, tc.hit); n < tc.low || n > tc.high {
				t.Errorf("%d of 400 requests, want %d to %d", n, tc.low, tc.high)
			}
		})
	}
}

func TestFaultsThatAreAimed(t *testing.T) {
	cl := newClient(t, Options{Apps: 300, Events: 3000})
	log := logPath(kindAudit, epoch().Add(-24*time.Hour), epoch()) + "&$top=10"
	t.Run("a nextLink to another host", func(t *testing.T) {
		cl.cloud.SetFaults(Faults{ForeignNext: "https://evil.example"})
		for _, p := range []string{log, "/v1.0/servicePrincipals/delta", "/v1.0/servicePrincipals"} {
			if next := cl.page(p).Next; !strings.HasPrefix(next, "https://evil.example/v1.0/") {
				t.Errorf("%s: %q", p, next)
			}
		}
	})
	t.Run("a deltaLink to another host", func(t *testing.T) {
		cl.cloud.SetFaults(Faults{ForeignDelta: "https://evil.example"})
		p := cl.page("/v1.0/applications/delta", "Prefer", "odata.maxpagesize=999")
		if !strings.HasPrefix(p.Delta, "https://evil.example/v1.0/applications/delta?") {
			t.Errorf("%q", p.Delta)
		}
	})
	t.Run("a redirect", func(t *testing.T) {
		cl.cloud.SetFaults(Faults{Redirect: "https://evil.example"})
		if status, h, _ := cl.get("/v1.0/organization"); status != 302 || !strings.HasPrefix(h.Get("Location"), "https://evil.example/v1.0/organization") {
			t.Errorf("%d to %q", status, h.Get("Location"))
		}
	})
	t.Run("403 on one path", func(t *testing.T) {
		cl.cloud.SetFaults(Faults{Forbid: []string{"/auditLogs/signIns"}})
		status, _, body := cl.get("/beta/auditLogs/signIns")
		if code, message := problemOfBody(t, body); status != 403 || code != "Authorization_RequestDenied" || !strings.Contains(message, "AuditLog.Read.All") {
			t.Errorf("%d %s %q", status, code, message)
		}
		if status, _, _ := cl.get(log); status != 200 {
			t.Errorf("the other log: %d", status)
		}
	})
	t.Run("403 with a page of HTML", func(t *testing.T) {
		cl.cloud.SetFaults(Faults{ForbidHTML: []string{"/organization"}})
		if status, h, _ := cl.get("/v1.0/organization"); status != 403 || h.Get("Content-Type") != "text/html" {
			t.Errorf("%d %s", status, h.Get("Content-Type"))
		}
	})
	t.Run("a record that breaks every page that holds it", func(t *testing.T) {
		n, _ := NumberOf(cl.poisonless(t, log).Value[4]["correlationId"].(string))
		cl.cloud.SetFaults(Faults{PoisonNumber: n})
		if status, _, _ := cl.get(log); status != 500 {
			t.Errorf("the page with it: %d", status)
		}
		if status, _, _ := cl.get(strings.Replace(log, "$top=10", "$top=4", 1)); status != 200 {
			t.Errorf("the page before it: %d", status)
		}
	})
}

func (cl *client) poisonless(t *testing.T, target string) page {
	t.Helper()
	cl.cloud.SetFaults(Faults{})
	return cl.page(target)
}

func TestARoleThatTheTokenLacksIs403(t *testing.T) {
	cl := newClient(t, Options{Apps: 10, Roles: []string{"Application.Read.All"}})
	if status, _, _ := cl.get("/v1.0/applications"); status != 200 {
		t.Errorf("with the role: %d", status)
	}
	if status, _, body := cl.get("/v1.0/security/alerts_v2"); status != 403 || !strings.Contains(string(body), "SecurityAlert.Read.All") {
		t.Errorf("without: %d %s", status, body)
	}
}

func TestTheDocumentedLimitsCanBeEnforced(t *testing.T) {
	cl := newClient(t, Options{Apps: 10, Events: 10, Limits: true})
	answers := map[int]int{}
	for range 8 {
		status, _, _ := cl.get("/v1.0/auditLogs/directoryAudits")
		answers[status]++
	}
	if diff := cmp.Diff(map[int]int{200: 5, 429: 3}, answers); diff != "" {
		t.Errorf("eight reports at once:\n%s", diff)
	}
	cl.clock.now = epoch().Add(10 * time.Second)
	if status, _, _ := cl.get("/v1.0/auditLogs/directoryAudits"); status != 200 {
		t.Errorf("ten seconds later: %d", status)
	}
}

func TestACloudOnTLSAnswersItsControlPathsToItsTokenOnly(t *testing.T) {
	c, err := New(Options{Seed: 3, Apps: 20, Events: 100, ControlToken: "open sesame", Start: epoch(), Now: epoch})
	if err != nil {
		t.Fatal(err)
	}
	base, hc := started(t, c)
	ask := func(method, path, token, body string) (int, []byte) {
		r, err := http.NewRequestWithContext(context.Background(), method, base+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		res, err := hc.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, readAll(t, res.Body)
	}
	if status, _ := ask("GET", "/sim/issued", "wrong", ""); status != 401 {
		t.Errorf("with a wrong token: %d", status)
	}
	var issued []Issued
	if status, body := ask("GET", "/sim/issued", "open sesame", ""); status != 200 || json.Unmarshal(body, &issued) != nil || len(issued) != 100 {
		t.Errorf("issued: %d, %d records", status, len(issued))
	}
	if diff := cmp.Diff(c.Issued(), issued); diff != "" {
		t.Error(diff)
	}
	var inv Inventory
	if status, body := ask("GET", "/sim/inventory", "open sesame", ""); status != 200 || json.Unmarshal(body, &inv) != nil || cmp.Diff(c.Inventory(), inv) != "" {
		t.Errorf("inventory: %d", status)
	}
	if status, _ := ask("POST", "/sim/faults", "open sesame", `{"throttle":0.5}`); status != 200 || c.Faults().Throttle != 0.5 {
		t.Errorf("faults: %d, %+v", status, c.Faults())
	}
	if status, _ := ask("POST", "/sim/faults", "open sesame", `{"throtle":0.5}`); status != 400 {
		t.Errorf("a misspelt fault: %d", status)
	}
	rename := `{"op":"rename_app","id":"` + inv.ServicePrincipals[0].ID + `","name":"Other"}`
	if status, body := ask("POST", "/sim/mutate", "open sesame", rename); status != 200 || c.Inventory().ServicePrincipals[0].Name != "Other" {
		t.Errorf("mutate: %d %s", status, body)
	}
	if status, _ := ask("POST", "/sim/mutate", "open sesame", `{"op":"rename_app","id":"x"}`); status != 409 {
		t.Errorf("mutate what is not there: %d", status)
	}
	var st Status
	if status, body := ask("GET", "/sim/status", "open sesame", ""); status != 200 || json.Unmarshal(body, &st) != nil || st.Records != 100 || st.Issued != 100 {
		t.Errorf("status: %d %+v", status, st)
	}
}

func TestWithoutAControlTokenThereAreNoControlPaths(t *testing.T) {
	cl := newClient(t, Options{Apps: 10})
	if status, _, _ := cl.get("/sim/issued"); status != http.StatusNotFound {
		t.Errorf("status %d", status)
	}
}

func TestABrokenBodyBreaksTheConnectionOrTheJSON(t *testing.T) {
	cl := newClient(t, Options{Apps: 10, Events: 500, Truncate: 1})
	base, hc := started(t, cl.cloud)
	broken, short := 0, 0
	for range 40 {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, base+"/v1.0/servicePrincipals", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+cl.token)
		res, err := hc.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		switch {
		case err != nil:
			broken++
		case !json.Valid(b):
			short++
		}
	}
	if broken+short != 40 || broken == 0 || short == 0 {
		t.Errorf("%d broken connections and %d short bodies of 40", broken, short)
	}
}

func TestTheRequestLogTellsWhoAskedWithAToken(t *testing.T) {
	var log strings.Builder
	cl := newClient(t, Options{Apps: 10, RequestLog: &log})
	cl.get("/v1.0/organization")
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	var last requestLine
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		t.Fatal(err)
	}
	last.Time = time.Time{}
	if diff := cmp.Diff(requestLine{Method: "GET", URL: "/v1.0/organization", Status: 200, Bytes: last.Bytes, Token: true}, last); diff != "" || last.Bytes == 0 {
		t.Error(diff, last.Bytes)
	}
	if strings.Contains(log.String(), cl.token) || strings.Contains(log.String(), cl.cloud.ClientSecret()) {
		t.Error("the log holds a secret")
	}
}

func ExampleOptions() {
	c, err := New(Options{Seed: 1, Apps: 20, Events: 10, Scenario: "consent_campaign", Now: epoch, Start: epoch()})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(c.Issued()), "records are visible,", c.Complete().Sub(epoch()), "until all has been told")
	// Output: 10 records are visible, 37s until all has been told
}
