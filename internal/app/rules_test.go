package app

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/detect"
	"github.com/appgovd/appgovd/internal/event"
)

// watchedRules are a rule that sees its events, one that never will, an exception
// that ends, and the risk of apps.
const watchedRules = `rule "w.signin" {
  title    = "Sign-in"
  severity = "low"
  on       = ["app.signin"]
}
rule "w.dead" {
  title    = "Dead"
  severity = "low"
  on       = ["user.signin"]
}
exception "w.partner" {
  rules  = ["w.dead"]
  where  = true
  reason = "known"
  owner  = "soc"
  until  = "2000-01-09"
}
`

func (w *world) useRules(t *testing.T, text string) {
	t.Helper()
	w.rules = filepath.Join(w.dir, "rules")
	if err := os.MkdirAll(w.rules, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.rules, "w.hcl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (w *world) appSignsIn() {
	w.pageOnce(event.Page{Fetched: 1, CompleteThrough: time.Now(), Events: []event.Event{{
		ID: event.NewID("w"), Content: event.NewID("w"), Provider: "entra", Tenant: "t", Class: event.ClassSignIn, Action: event.ActionAppSignIn,
		Time: time.Now(), App: event.App{ID: "s1", AppID: "a1", Name: "One"}}}})
}

func TestTheRulesAreWatched(t *testing.T) {
	const dead, ended = "rules/entra/x/never_seen", "rules/entra/x/exception_expired"
	live(t, "a rule whose actions never come and an exception that ends are alarms that resolve", func(t *testing.T, w *world) {
		w.step = time.Hour
		w.useRules(t, watchedRules)
		w.run(t, func(a *Agent) {
			w.appSignsIn()
			pass(6 * 24 * time.Hour)
			w.calm(t, a, dead)
			w.calm(t, a, ended)
			pass(49 * time.Hour)
			w.raised(t, a, dead, "low: ", "w.dead: none of their actions came in 7 days")
			w.raised(t, a, ended, "low: ", "w.partner: they spare nothing any more")
			if text, line := scrape(t, a), `appgovd_detect_exceptions_expired{source="entra/x"} 1`+"\n"; !strings.Contains(text, line) {
				t.Errorf("no metric %s", line)
			}
		})
		w.useRules(t, watchedRules[:strings.Index(watchedRules, "exception")])
		w.run(t, func(a *Agent) {
			pass(2 * time.Hour)
			if _, open := a.health.since(dead); !open {
				t.Error("a restart forgets that the rule never saw its actions")
			}
			w.calm(t, a, ended)
			w.wantTold(t, ended, "new", "resolved")
		})
	})
	live(t, "each way in which a rule is not well is an alarm and a metric of its own", func(t *testing.T, w *world) {
		w.useRules(t, watchedRules)
		w.run(t, func(a *Agent) {
			w.appSignsIn()
			pass(5 * time.Minute)
			tenant := a.tenants[0]
			for status, says := range map[detect.Status]string{
				detect.NeverSeen: "low: Rules are not well: never seen", detect.AlwaysMatched: "low: Rules are not well: always matched", detect.Slow: "low: Rules are not well: slow",
				detect.Evicting: "low: Rules are not well: evicting", detect.NeverMatched: "informational: Rules are not well: never matched",
			} {
				s := RulesStatus{Time: time.Now(), Rules: []detect.RuleHealth{{ID: "w.it", Statuses: []detect.Status{status}, Evaluations: 7, Estimated: 3, WarmingUp: 4, Mean: time.Millisecond, LastMatch: time.Unix(90, 0)}}}
				tenant.rules.last = s
				a.tellUnwell(tenant, s, s.Time)
				key := "rules/entra/x/" + string(status)
				w.raised(t, a, key, says, "w.it: "+status.Describe())
				text := scrape(t, a)
				for _, line := range []string{
					`appgovd_detect_rules_unwell{source="entra/x",status="` + string(status) + `"} 1`, `appgovd_detect_rule_evaluations_total{rule="w.it",source="entra/x"} 7`,
					`appgovd_detect_rule_estimated_windows{rule="w.it",source="entra/x"} 3`, `appgovd_detect_rule_unjudged_total{rule="w.it",source="entra/x"} 4`,
					`appgovd_detect_rule_evaluation_seconds{rule="w.it",source="entra/x"} 0.001`, `appgovd_detect_rule_last_match_timestamp_seconds{rule="w.it",source="entra/x"} 90`,
				} {
					if !strings.Contains(text, line+"\n") {
						t.Errorf("%s: no metric %s", status, line)
					}
				}
				a.tellUnwell(tenant, RulesStatus{}, s.Time)
				w.calm(t, a, key)
			}
		})
	})
	live(t, "the listing of the inventory gives each app its risk", func(t *testing.T, w *world) {
		w.useRules(t, watchedRules)
		w.run(t, func(a *Agent) {
			w.appSignsIn()
			pass(5 * time.Minute)
			own := func(id string) event.Object {
				return event.Object{Kind: event.ObjectServicePrincipal, ID: "s" + id, App: &event.AppObject{Has: event.HasAppID | event.HasName, AppID: "a" + id, Name: "App " + id}}
			}
			w.pageOnce(event.Page{Fetched: 2, CompleteThrough: time.Now(), Objects: []event.Object{own("1"), own("2")}, Sync: &event.Sync{Scope: "x", Kind: event.ObjectServicePrincipal}})
			pass(5 * time.Minute)
			rec := httptest.NewRecorder()
			a.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/inventory", nil))
			risks := map[string]int{}
			for line := range strings.Lines(rec.Body.String()) {
				var x struct {
					ID   string
					Risk *int
				}
				if err := json.Unmarshal([]byte(line), &x); err != nil || x.Risk == nil {
					t.Fatalf("%s: %v", line, err)
				}
				risks[x.ID] = *x.Risk
			}
			if len(risks) != 2 || risks["s1"] < 34 || risks["s2"] != 0 {
				t.Errorf("the listing has the risks %v", risks)
			}
		})
	})
	live(t, "the admin API tells how the rules fare and which apps have a risk", func(t *testing.T, w *world) {
		w.useRules(t, watchedRules)
		w.run(t, func(a *Agent) {
			w.appSignsIn()
			pass(5 * time.Minute)
			rec := httptest.NewRecorder()
			a.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/rules", nil))
			var got map[string]RulesStatus
			if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			s := got["entra/x"]
			if len(s.Rules) != 2 || s.Rules[1].ID != "w.signin" || s.Rules[1].Matches != 1 || s.Rules[1].Alerts != 1 || len(s.Exceptions) != 1 || s.Exceptions[0].Owner != "soc" {
				t.Errorf("GET /rules says %s", rec.Body)
			}
			if r := a.Status().Risks["entra/x"]; len(r) != 1 || r[0].Name != "One" || r[0].Risk < 34 || r[0].Factors[0].Rule != "w.signin" {
				t.Errorf("the status has the risks %+v", r)
			}
		})
	})
}

func scrape(t *testing.T, a *Agent) string {
	t.Helper()
	rec := httptest.NewRecorder()
	a.Public().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	return rec.Body.String()
}
