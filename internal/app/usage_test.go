package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/rule"
)

// calls is a page that shows two apps and what they call: the mailer on behalf of two
// users, and appgovd itself.
func calls() event.Page {
	var p event.Page
	for i, name := range []string{"Mailer", "Self"} {
		p.Objects = append(p.Objects, event.Object{Kind: event.ObjectServicePrincipal, ID: fmt.Sprint("sp-", i), App: &event.AppObject{Has: event.HasAppID | event.HasName, AppID: "app-" + name, Name: name}})
	}
	p.Sync = &event.Sync{Scope: "service_principals", Kind: event.ObjectServicePrincipal, Generation: 1, Complete: true, Baseline: true}
	for i := range 7 {
		app, user := "app-Mailer", fmt.Sprint("user-", i%2)
		if i == 6 {
			app, user = "app-Self", ""
		}
		e := event.Event{
			ID: event.NewID(fmt.Sprint(i)), Content: event.NewID(fmt.Sprint(i)), UpstreamID: fmt.Sprint(i), Class: event.ClassCall, Action: event.ActionAppCall, Provider: "entra", Tenant: "t", Source: theSource,
			Time: time.Now().Add(time.Duration(i) * time.Second), App: event.App{AppID: app}, Actor: event.Actor{Type: event.TypeUser, ID: user},
			Call: &event.Call{Workload: "exchange", Endpoint: "users/{id}/messages", Status: 200 + 229*(i%2), Bytes: 1000, BytesKnown: i < 3},
		}
		p.Events = append(p.Events, e)
	}
	p.Events = append(p.Events, p.Events[0], event.Event{
		ID: event.NewID("audit"), Content: event.NewID("audit"), UpstreamID: "audit", Class: event.ClassAudit, Action: event.ActionOwnerAdded, Provider: "entra", Tenant: "t", Source: theSource, Time: time.Now(),
		App: event.App{AppID: "app-Mailer"}, Result: event.ResultSuccess, Actor: event.Actor{Type: event.TypeUser, UPN: "ada@contoso.example"},
	})
	p.Fetched = len(p.Events) + len(p.Objects)
	return p
}

func TestWhatAnAppDoesIsAskedOfTheRunningDaemon(t *testing.T) {
	live(t, "calls are counted once, over a restart too, and appgovd's own are left out unless asked for", func(t *testing.T, w *world) {
		w.edit = func(p *Plan) {
			p.blob.Own = []string{"app-self"}
			p.set, _ = rule.Compile(p.blob)
		}
		w.pageOnce(calls())
		check := func(a *Agent) {
			t.Helper()
			u, err := a.Usage("mailer", 2, false)
			if err != nil {
				t.Fatal(err)
			}
			d := u.Days[0]
			if d.Known != "part" || d.By != "calls" || *d.Calls != 6 || *d.Errors != 3 || *d.Users != 2 || d.Estimated || *d.Bytes != 3000 || *d.Sized != 3 || len(d.Endpoints) != 1 || *d.Endpoints[0].Endpoint != "users/{id}/messages" {
				t.Errorf("today: %+v", d)
			}
			if b := u.Days[1]; b.Known != "nothing" || b.Calls != nil || b.Errors != nil || b.Bytes != nil || b.Users != nil {
				t.Errorf("the day before: %+v", b)
			}
			if len(u.Sources) != 1 || u.Sources[0].Source != theSource || u.Today.Calls == nil || *u.Today.Calls != 6 || u.Mean.Calls != nil {
				t.Errorf("sources %+v, today %+v, mean %+v", u.Sources, u.Today, u.Mean)
			}
			var bad *badQuestion
			if _, err := a.Usage("Self", 1, false); !errors.As(err, &bad) || !strings.Contains(bad.text, "--own") {
				t.Errorf("appgovd's own usage: %v", err)
			}
			if u, err := a.Usage("Self", 1, true); err != nil || !u.Appgovd || *u.Days[0].Calls != 1 {
				t.Errorf("appgovd's own usage, asked for: %+v, %v", u, err)
			}
			list, err := a.Apps(AppQuery{Sort: "calls"})
			if err != nil || len(list.Apps) != 1 || list.Apps[0].Name != "Mailer" {
				t.Errorf("list by calls: %+v, %v", list, err)
			}
			if list, err := a.Apps(AppQuery{Sort: "calls", Own: true, Where: "app.calls_today >= 1"}); err != nil || len(list.Apps) != 2 {
				t.Errorf("list by calls with appgovd: %+v, %v", list, err)
			}
			if list, err := a.Apps(AppQuery{Where: "app.is_appgovd"}); err != nil || len(list.Apps) != 1 || list.Apps[0].Name != "Self" {
				t.Errorf("appgovd itself: %+v, %v", list, err)
			}
		}
		w.run(t, func(a *Agent) {
			pass(2 * time.Minute)
			check(a)
		})
		w.run(t, func(a *Agent) {
			pass(2 * time.Minute)
			check(a)
			c, err := a.Changes(t.Context(), ChangesQuery{Name: "mailer", Since: time.Hour, Limit: 5})
			if err != nil || c.Matched != 1 || c.Changes[0].Action != event.ActionOwnerAdded || c.Changes[0].Actor != "ada@contoso.example" || c.Held.IsZero() {
				t.Errorf("changes %+v, %v", c, err)
			}
		})
	})
}

// Null says that something is not known: a program must not take it for zero.
func TestUnknownIsNullInJSON(t *testing.T) {
	live(t, "usage of an app of which nothing is known", func(t *testing.T, w *world) {
		p := calls()
		p.Events, p.Fetched = nil, len(p.Objects)
		w.pageOnce(p)
		w.run(t, func(a *Agent) {
			pass(2 * time.Minute)
			for path, want := range map[string][]string{
				"/app/usage":   {`"calls":null`, `"call_errors":null`, `"response_bytes":null`, `"endpoints":null`, `"by":""`, `"sources":[]`},
				"/app/signins": {`"signins":null`, `"failures":null`, `"kinds":null`},
			} {
				r := httptest.NewRecorder()
				a.Handler().ServeHTTP(r, httptest.NewRequest("GET", path+"?"+url.Values{"name": {"Mailer"}, "days": {"1"}}.Encode(), nil))
				var v map[string]any
				if err := json.Unmarshal(r.Body.Bytes(), &v); err != nil || r.Code != 200 {
					t.Fatalf("%d: %s", r.Code, r.Body)
				}
				b, _ := json.Marshal(v)
				for _, part := range want {
					if !strings.Contains(string(b), part) {
						t.Errorf("%s has no %s: %s", path, part, b)
					}
				}
			}
			for path, code := range map[string]int{"/app/usage?name=nobody": 404, "/app/usage?name=Mailer&days=0": 400, "/app/usage?name=Mailer&days=x": 400, "/app/changes?name=Mailer&limit=0": 400, "/app/changes?name=Mailer&since=x": 400, "/app/changes?name=Mailer&where=1": 400, "/app/changes?name=nobody": 404} {
				r := httptest.NewRecorder()
				if a.Handler().ServeHTTP(r, httptest.NewRequest("GET", path, nil)); r.Code != code {
					t.Errorf("%s: %d %s", path, r.Code, r.Body)
				}
			}
		})
	})
}
