package sim

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// feed asks the Management Activity API.
func (cl *client) feed(method, path string) (int, http.Header, []byte) {
	r := httptest.NewRequest(method, "/api/v1.0/"+cl.cloud.TenantID()+"/activity/feed"+path, nil)
	r.Header.Set("Authorization", "Bearer "+cl.token)
	w := httptest.NewRecorder()
	cl.h.ServeHTTP(w, r)
	return w.Code, w.Header(), w.Body.Bytes()
}

func (cl *client) refusedFeed(method, path string, status int, code string) {
	cl.t.Helper()
	if got, _, body := cl.feed(method, path); got != status || !strings.Contains(string(body), `"code":"`+code+`"`) {
		cl.t.Errorf("%s %s: %d %s, want %d %s", method, path, got, body, status, code)
	}
}

func between(from, to time.Time) string {
	return "/subscriptions/content?contentType=Audit.Exchange&startTime=" + from.Format("2006-01-02T15:04:05") + "&endTime=" + to.Format("2006-01-02T15:04:05")
}

func TestTheFeedRefusesWhatTheServiceRefuses(t *testing.T) {
	cl := newClient(t, Options{Apps: 10, Office: 300})
	now := epoch()
	cl.refusedFeed("GET", between(now.Add(-time.Hour), now), 400, "AF20022")
	cl.refusedFeed("POST", "/subscriptions/start?contentType=Audit.Mail", 400, "AF20020")
	if status, _, body := cl.feed("POST", "/subscriptions/start?contentType=Audit.Exchange"); status != 200 || !strings.Contains(string(body), `"status":"enabled"`) {
		t.Fatalf("%d %s", status, body)
	}
	cl.refusedFeed("POST", "/subscriptions/start?contentType=Audit.Exchange", 400, "AF20024")
	cl.refusedFeed("GET", between(now.Add(-25*time.Hour), now), 400, "AF20055")
	cl.refusedFeed("GET", between(now.Add(-8*24*time.Hour), now.Add(-7*24*time.Hour)), 400, "AF20030")
	cl.refusedFeed("GET", between(now, now), 400, "AF20030")
	cl.refusedFeed("GET", between(now.Add(-time.Hour), now)+"&nextPage=x", 400, "AF20031")
	cl.refusedFeed("GET", "/audit/nothing", 404, "AF20050")
	cl.cloud.SetFaults(Faults{Throttle: 1})
	cl.refusedFeed("GET", between(now.Add(-time.Hour), now), 403, "AF429")
	cl.cloud.SetFaults(Faults{ExpireTokens: true})
	if status, _, _ := cl.feed("GET", between(now.Add(-time.Hour), now)); status != 401 {
		t.Errorf("an expired token: %d", status)
	}
	poor := newClient(t, Options{Apps: 10, Roles: []string{"AuditLog.Read.All"}})
	poor.refusedFeed("POST", "/subscriptions/start?contentType=Audit.Exchange", 403, "AF10001")
}

// Pages of windows that touch hold every content once, and the contents every record
// that was to come; an end is no part of its window.
func TestTheFeedGivesEveryRecord(t *testing.T) {
	cl := newClient(t, Options{Apps: 10, Office: 600, OfficePage: 3, Duplicates: 0.1})
	cl.feed("POST", "/subscriptions/start?contentType=Audit.Exchange")
	contents, records, pages := map[string]int{}, map[string]bool{}, 0
	for at := epoch().Add(-12 * time.Hour); at.Before(epoch()); at = at.Add(time.Hour) {
		for path := between(at, at.Add(time.Hour)); path != ""; {
			status, head, body := cl.feed("GET", path)
			var list []struct {
				ID  string `json:"contentId"`
				URI string `json:"contentUri"`
			}
			if err := json.Unmarshal(body, &list); err != nil || status != 200 {
				t.Fatalf("%d %s", status, body)
			}
			pages++
			for _, x := range list {
				contents[x.ID]++
				cl.fetched(x.URI, records)
			}
			next, err := url.Parse(head.Get("NextPageUri"))
			if err != nil {
				t.Fatal(err)
			}
			_, path, _ = strings.Cut(next.String(), "/activity/feed")
		}
	}
	for id, n := range contents {
		if n != 1 {
			t.Errorf("%s is listed %d times", id, n)
		}
	}
	want := cl.cloud.Office("Audit.Exchange")
	for _, r := range want {
		if !records[r.ID] {
			t.Errorf("%s is missing", r.ID)
		}
	}
	if len(records) != len(want) || pages <= 12 || !slices.ContainsFunc(want, func(r OfficeRecord) bool { return r.Throttled }) {
		t.Errorf("%d records, want %d, on %d pages", len(records), len(want), pages)
	}
}

func (cl *client) fetched(uri string, into map[string]bool) {
	cl.t.Helper()
	_, path, _ := strings.Cut(uri, "/activity/feed")
	_, _, body := cl.feed("GET", path)
	var list []struct{ Id, CreationTime string } //nolint:revive // Microsoft's spelling
	if err := json.Unmarshal(body, &list); err != nil || len(list) == 0 {
		cl.t.Fatalf("%s: %v %s", uri, err, body)
	}
	for _, r := range list {
		if strings.HasSuffix(r.CreationTime, "Z") {
			cl.t.Errorf("a time with a zone: %s", r.CreationTime)
		}
		into[r.Id] = true
	}
}
