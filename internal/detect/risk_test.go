package detect

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/rule"
)

const riskRules = `
risk "app" {
  half_life = "1d"
  alert_at  = 60
  rule_cap  = 50
}
risk "actor" {
  title      = "Risk of a person"
  severity   = "medium"
  half_life  = "1d"
  alert_at   = 90
}
rule "r.consent" {
  title    = "Consent"
  severity = "low"
  mode     = "score"
  on       = ["app.consent.granted"]
  risk {
    points = 20
  }
}
rule "r.owner" {
  title    = "Owner"
  severity = "low"
  on       = ["app.owner.added"]
  risk {
    points = actor.name == "Eve" ? 40 : 10
    cap    = 40
  }
}
rule "r.audit" {
  title    = "Audit"
  severity = "critical"
  mode     = "audit"
  on       = ["app.owner.added"]
}
rule "r.cred" {
  title    = "Credential of a risky app"
  severity = "high"
  on       = ["app.credential.added"]
  where    = app.risk >= 40
  risk {
    entities = ["app"]
  }
}
`

// near reports whether a risk is within one of what the real numbers give.
func near(got int, want float64) bool { return math.Abs(float64(got)-want) <= 1 }

func TestDecayHalvesByIntegersAlone(t *testing.T) {
	hl := int64(7 * 24 * time.Hour)
	for _, part := range []float64{0, 0.001, 0.1, 0.5, 0.999, 1, 1.5, 2, 3.7, 10} {
		got, want := decay(80*millionth, int64(part*float64(hl)), hl), 80*millionth*math.Exp2(-part)
		if math.Abs(float64(got)-want) > 0.0001*80*millionth {
			t.Errorf("after %v half-lives: %d, want %.0f", part, got, want)
		}
	}
	if decay(5, -1, hl) != 5 || decay(5, math.MaxInt64, 1) != 0 || decay(100*millionth, math.MaxInt64, math.MaxInt64-1) <= 0 {
		t.Error("a time at an end of its range is not bounded")
	}
}

func TestRisk(t *testing.T) {
	at := func(w *world, action string, d time.Duration, f func(*event.Event)) []event.Alert {
		w.now = start().Add(d)
		return w.event(action, w.now, f)
	}
	eve := func(e *event.Event) { e.Actor = event.Actor{Type: event.TypeUser, ID: "u2", Name: "Eve"} }
	t.Run("grows by the points of rules, those that only score too, and crosses once", func(t *testing.T) {
		w := newWorld(t, riskRules)
		expectTold(t, at(w, event.ActionConsentGranted, 0, nil))
		if got := w.m.AppRisk("a1", w.now); got != 20 {
			t.Errorf("risk = %d, want 20", got)
		}
		got := at(w, event.ActionOwnerAdded, 0, eve)
		expectTold(t, got, "r.owner detection new One n=1", "risk.app risk new One n=2")
		if a := got[1]; a.Score != 60 || a.Severity != event.SeverityHigh || len(a.Labels) != 2 ||
			a.Summary != "One: risk 60 of 100 by r.owner (40), r.consent (20)" || !strings.HasPrefix(a.Labels[0].Value, "r.owner: 40 points of 1 alerts, the last at 2026-11-01T08:00:00Z") {
			t.Errorf("the alert is %+v", a)
		}
		expectTold(t, at(w, event.ActionConsentGranted, 0, nil)) // no news
		expectTold(t, at(w, event.ActionCredentialAdded, 0, nil), "r.cred detection new One n=1", "risk.app risk updated One n=4")
	})
	t.Run("has a cap for each rule, the smaller of its own and the entity's, and one for all", func(t *testing.T) {
		w := newWorld(t, riskRules)
		for range 9 {
			at(w, event.ActionConsentGranted, 0, nil)
		}
		if got := w.m.AppRisk("a1", w.now); got != 50 {
			t.Errorf("one rule makes a risk of %d, want 50", got)
		}
		for range 9 {
			at(w, event.ActionOwnerAdded, 0, eve)
		}
		at(w, event.ActionCredentialAdded, 0, nil)
		if got := w.m.AppRisk("a1", w.now); got != 100 {
			t.Errorf("three rules make a risk of %d, want 100", got)
		}
	})
	t.Run("decays, and its alert is over below three quarters of the line", func(t *testing.T) {
		w := newWorld(t, riskRules)
		at(w, event.ActionConsentGranted, 0, nil)
		at(w, event.ActionOwnerAdded, 0, eve)
		w.now = start()
		expectTold(t, w.tick(9*time.Hour)) // 46
		got := w.tick(2 * time.Hour)
		expectTold(t, got, "risk.app risk resolved One n=2")
		if !near(got[0].Score, 60*math.Exp2(-11./24)) || got[0].Reason == "" {
			t.Errorf("the end is %+v", got[0])
		}
		w.tick(60 * 24 * time.Hour)
		if n := len(w.m.state.Risk.Kinds[rule.RiskApp]); n != 0 {
			t.Errorf("%d apps are remembered for nothing", n)
		}
	})
	t.Run("is told of an actor under its own line", func(t *testing.T) {
		w := newWorld(t, riskRules)
		at(w, event.ActionOwnerAdded, 0, eve)
		for _, id := range []string{"s2", "s3", "s4"} {
			got := at(w, event.ActionConsentGranted, 0, func(e *event.Event) { eve(e); e.App = event.App{ID: id, Name: id} })
			if id == "s4" {
				expectTold(t, got, "risk.actor risk new  n=4")
			}
		}
	})
	t.Run("is known to rules as it was before the event at hand", func(t *testing.T) {
		w := newWorld(t, riskRules)
		expectTold(t, at(w, event.ActionCredentialAdded, 0, nil))
		at(w, event.ActionOwnerAdded, 0, eve)
		expectTold(t, at(w, event.ActionCredentialAdded, 12*time.Hour, nil)) // 28 are left
		at(w, event.ActionConsentGranted, 12*time.Hour, nil)
		expectTold(t, at(w, event.ActionCredentialAdded, 12*time.Hour, nil), "r.cred detection new One n=1", "risk.app risk new One n=3")
	})
	t.Run("is the same whatever the order in which events come, and is not held up by a wrong clock", func(t *testing.T) {
		a, b := newWorld(t, riskRules), newWorld(t, riskRules)
		a.now, b.now = start().Add(12*time.Hour), start().Add(12*time.Hour)
		for i := range 2 {
			a.event(event.ActionConsentGranted, start().Add(time.Duration(12*i)*time.Hour), nil)
			b.event(event.ActionConsentGranted, start().Add(time.Duration(12-12*i)*time.Hour), nil)
		}
		if x, y := a.m.AppRisk("a1", a.now), b.m.AppRisk("a1", b.now); x != y || !near(x, 20+20*math.Exp2(-.5)) {
			t.Errorf("risk = %d and %d", x, y)
		}
		a.event(event.ActionConsentGranted, start().AddDate(1, 0, 0), nil)
		a.event(event.ActionConsentGranted, start().Add(12*time.Hour), nil)
		if x := a.m.AppRisk("a1", a.now); x != 50 {
			t.Errorf("risk = %d, want that of the cap", x)
		}
	})
	t.Run("keeps over a reload what unchanged rules gave, and loses what changed ones did", func(t *testing.T) {
		w := newWorld(t, riskRules)
		at(w, event.ActionConsentGranted, 0, nil)
		at(w, event.ActionOwnerAdded, 0, eve)
		expectTold(t, w.rules(strings.Replace(riskRules, `"Consent"`, `"Consent given"`, 1)))
		if got := w.m.AppRisk("a1", w.now); got != 60 {
			t.Errorf("risk = %d, want 60", got)
		}
		w.rules(strings.Replace(riskRules, `"app.owner.added"]`+"\n  risk", `"app.owner.added"]`+"\n  where = true\n  risk", 1))
		if got := w.m.AppRisk("a1", w.now); got != 20 {
			t.Errorf("risk = %d, want 20", got)
		}
		expectTold(t, w.tick(time.Minute), "risk.app risk resolved One n=1")
	})
	t.Run("ends where it is no longer kept", func(t *testing.T) {
		w := newWorld(t, riskRules)
		for _, id := range []string{"s1", "s2", "s3"} {
			at(w, event.ActionOwnerAdded, 0, func(e *event.Event) { eve(e); e.App = event.App{ID: id, Name: id} })
		}
		at(w, event.ActionConsentGranted, 0, func(e *event.Event) { eve(e); e.App = event.App{ID: "s5"} })
		for range 3 {
			at(w, event.ActionConsentGranted, 0, eve)
		}
		i, j := strings.Index(riskRules, "risk \"actor\""), strings.Index(riskRules, "rule \"r.consent\"")
		got := w.rules(riskRules[:i] + riskRules[j:])
		if len(got) != 1 || got[0].RuleID != "risk.actor" || got[0].State != event.AlertResolved {
			t.Errorf("the reload tells %v", told(got))
		}
	})
	t.Run("is bounded: those with the least go first and are counted", func(t *testing.T) {
		w := newWorld(t, strings.Replace(riskRules, `half_life = "1d"`, "half_life = \"1d\"\n  max_entities = 10", 1))
		at(w, event.ActionOwnerAdded, 0, eve)
		for i := range 30 {
			at(w, event.ActionOwnerAdded, 0, func(e *event.Event) { e.App = event.App{ID: "x" + string(rune('A'+i))} })
		}
		if n, out := len(w.m.state.Risk.Kinds[rule.RiskApp]), w.m.Stats().RiskEvicted; n > 10 || out == 0 || w.m.AppRisk("a1", w.now) != 40 {
			t.Errorf("%d apps, %d evicted, risk of the worst %d", n, out, w.m.AppRisk("a1", w.now))
		}
		top := w.m.TopRisks(rule.RiskApp, 2, w.now)
		if len(top) != 2 || top[0].Key != "a1" || top[0].Risk != 40 || top[0].Factors[0].Rule != "r.owner" {
			t.Errorf("top = %+v", top)
		}
	})
}

func TestAnOpenFindingOfAPolicyAddsToTheRiskOfItsApp(t *testing.T) {
	w := newWorld(t, testRules)
	w.firstSync(app(1), app(2), wide(1))
	expectTold(t, w.tick(time.Minute), "t.wide summary new  n=1")
	w.objects(delta(event.ObjectDelegatedGrant), wide(2))
	if a, b := w.m.AppRisk("a1", w.now), w.m.AppRisk("a2", w.now); a != 0 || b != 75 {
		t.Errorf("risk = %d and %d, want none of the first look and 75", a, b)
	}
}

func TestEveryAlertSaysTheRiskOfItsApp(t *testing.T) {
	w := newWorld(t, `
rule "r.first" {
  title    = "First"
  severity = "low"
  on       = ["app.owner.added"]
  score    = 30
}
rule "r.second" {
  title    = "Second"
  severity = "low"
  on       = ["app.credential.added"]
  score    = 20
}
rule "r.none" {
  title    = "None"
  severity = "low"
  on       = ["app.consent.granted"]
  risk {
    points = 0
  }
}
`)
	want := func(action string, risk int, change func(*event.Event)) {
		t.Helper()
		got := w.event(action, start(), change)
		if len(got) != 1 || got[0].AppRisk != risk {
			t.Errorf("%s: %v, with the risk %+v, want %d", action, told(got), got, risk)
		}
	}
	w.now = start()
	want(event.ActionOwnerAdded, 30, nil)
	want(event.ActionCredentialAdded, 50, nil)
	want(event.ActionConsentGranted, 50, nil)
	want(event.ActionConsentGranted, 0, func(e *event.Event) { e.App = event.App{ID: "s2", AppID: "a2"} })
}
