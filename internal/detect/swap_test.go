package detect

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/rule"
)

func TestASnapshotWhoseRulesNoLongerCompileKeepsItsState(t *testing.T) {
	w := newWorld(t, testRules)
	w.firstSync(app(1), app(2))
	w.tick(time.Minute)
	w.event(event.ActionOwnerAdded, w.now, nil)
	w.objects(delta(event.ObjectDelegatedGrant), wide(1))
	var snap bytes.Buffer
	if err := w.m.Snapshot(&snap); err != nil {
		t.Fatal(err)
	}
	o := options()
	refuse := true
	o.Compile = func(b *event.RulesBlob) (*rule.Set, error) {
		if refuse {
			return nil, errors.New("a function has another name")
		}
		return compile(b)
	}
	w.m = New(nil, o)
	if err := w.m.Restore(&snap); err != nil {
		t.Fatalf("the whole state is lost: %v", err)
	}
	if w.m.Set() != nil || w.m.Stats().RefusedRules != 1 {
		t.Errorf("rules in force = %v, refused = %d, want none and 1", w.m.Set(), w.m.Stats().RefusedRules)
	}
	expectTold(t, w.event(event.ActionOwnerAdded, w.now, nil)) // no rule is in force
	w.m.sum.RefusedRules, refuse = 0, false
	t.Run("the configured rules go on where the others stopped", func(t *testing.T) {
		expectTold(t, w.rules(strings.Replace(testRules, "rule \"t.burst\"", "rule \"t.other\"", 1)))
		expectTold(t, w.event(event.ActionOwnerAdded, w.now, nil)) // still suppressed
		expectTold(t, w.objects(delta(event.ObjectDelegatedGrant), removed(wide(1))), "t.wide policy resolved App 1 n=1")
	})
}

func TestWhatIsOpenOfRulesThatNoLongerCompileIsResolved(t *testing.T) {
	w := newWorld(t, testRules)
	w.event(event.ActionOwnerAdded, w.now, nil)
	w.m.set = nil // as after a restore of rules that do not compile
	got := w.rules(`rule "t.each" {
		title = "Each"
		severity = "low"
		on = ["app.consent.granted"]
	}`)
	expectTold(t, got, "t.quiet detection resolved One n=1")
	if got[0].Title == "" || got[0].Severity == 0 {
		t.Errorf("the alert has title %q and severity %v", got[0].Title, got[0].Severity)
	}
}

// withMode gives the rule or policy of that title a mode.
func withMode(title, mode string) string {
	return strings.Replace(testRules, `"`+title+`"`, `"`+title+`"`+"\n  mode = \""+mode+"\"", 1)
}

func TestAPolicyInAnotherModeLooksAnew(t *testing.T) {
	audit := withMode("Tenant-wide consent", "audit")
	t.Run("what was found in audit is told when the policy becomes active", func(t *testing.T) {
		w := newWorld(t, audit)
		w.firstSync(app(1), app(2), wide(1))
		expectTold(t, w.tick(time.Minute))
		expectTold(t, w.objects(delta(event.ObjectDelegatedGrant), wide(2)))
		expectTold(t, w.rules(testRules))
		expectTold(t, w.tick(time.Minute), "t.wide summary new  n=2")
		expectTold(t, w.objects(delta(event.ObjectDelegatedGrant), removed(wide(2)))) // no orphan
		expectTold(t, w.objects(delta(event.ObjectDelegatedGrant), removed(wide(1))), "t.wide summary resolved  n=2")
	})
	t.Run("what is open is resolved when the policy only watches", func(t *testing.T) {
		w := newWorld(t, testRules)
		w.firstSync(app(1), app(2), wide(1))
		w.tick(time.Minute)
		w.objects(delta(event.ObjectDelegatedGrant), wide(2))
		expectTold(t, w.rules(audit), "t.wide policy resolved App 2 n=1", "t.wide summary resolved  n=1")
		expectTold(t, w.tick(time.Minute))
	})
}

func TestARuleInAnotherModeBeginsItsAlertsAnew(t *testing.T) {
	t.Run("an audited suppression does not swallow", func(t *testing.T) {
		w := newWorld(t, withMode("Quiet", "audit"))
		expectTold(t, w.event(event.ActionOwnerAdded, start(), nil))
		expectTold(t, w.rules(testRules))
		expectTold(t, w.event(event.ActionOwnerAdded, start(), nil), "t.quiet detection new One n=1")
		expectTold(t, w.rules(withMode("Quiet", "audit")), "t.quiet detection resolved One n=1")
	})
	t.Run("what it learned is kept", func(t *testing.T) {
		w := newWorld(t, withMode("New network", "audit"))
		from := func(asn uint32, day int) []event.Alert {
			return w.event(event.ActionAppSignIn, start().AddDate(0, 0, day), func(e *event.Event) { e.Origin.ASN = asn })
		}
		from(1, 0)
		w.rules(testRules)
		expectTold(t, from(1, 8))
		expectTold(t, from(2, 8), "t.asn detection new One n=1")
	})
	t.Run("a provider's alert is resolved, and told again later", func(t *testing.T) {
		w := newWorld(t, testRules)
		send := provider(w)
		expectTold(t, send("new"), "t.upstream upstream new One n=1")
		expectTold(t, w.rules(withMode("Alert of the provider", "audit")), "t.upstream upstream resolved One n=1")
		expectTold(t, send("in_progress"))
		expectTold(t, w.rules(testRules))
		expectTold(t, send("resolved"), "t.upstream upstream resolved One n=1")
		expectDifferentDeliveries(t, w)
	})
}

// provider sends one version after the other of an alert of the provider.
func provider(w *world) func(status string) []event.Alert {
	base, version := w.make(event.ActionUpstreamAlert, start(), nil), uint32(0)
	return func(status string) []event.Alert {
		e := base
		e.Version, e.Content = version, event.NewID("content", status)
		e.Upstream = &event.Upstream{AlertID: "up-1", Status: status, Updated: start().Add(time.Duration(version) * time.Hour)}
		version++
		return w.page(e)
	}
}

// expectDifferentDeliveries: a sink takes a second document of one delivery id
// for a repetition, and drops it.
func expectDifferentDeliveries(t *testing.T, w *world) {
	t.Helper()
	seen := map[event.ID]string{}
	for i, a := range w.alerts {
		if other, ok := seen[a.DeliveryID]; ok {
			t.Errorf("delivery id of %q is that of %q", told(w.alerts[i : i+1])[0], other)
		}
		seen[a.DeliveryID] = told(w.alerts[i : i+1])[0]
	}
}

func TestAnUpstreamRuleSwitchedOffAndOnUsesNewDeliveries(t *testing.T) {
	for _, without := range []string{withMode("Alert of the provider", "off"), "rule \"t.each\" {\n title = \"Each\"\n severity = \"low\"\n on = [\"app.consent.granted\"]\n}"} {
		w := newWorld(t, testRules)
		send := provider(w)
		w.now = w.now.Add(time.Minute)
		expectTold(t, send("new"), "t.upstream upstream new One n=1")
		expectTold(t, w.rules(without), "t.upstream upstream resolved One n=1")
		w.now = w.now.Add(time.Minute)
		expectTold(t, w.rules(testRules))
		expectTold(t, send("in_progress"), "t.upstream upstream new One n=1")
		expectTold(t, send("resolved"), "t.upstream upstream resolved One n=1")
		expectDifferentDeliveries(t, w)
	}
}

func TestOtherWordsForAnAlertForgetNothing(t *testing.T) {
	w := newWorld(t, testRules)
	from := func(asn uint32, day int) []event.Alert {
		return w.event(event.ActionAppSignIn, start().AddDate(0, 0, day), func(e *event.Event) { e.Origin.ASN = asn })
	}
	from(1, 0)
	w.event(event.ActionOwnerAdded, start(), nil)
	edited := strings.NewReplacer(`"New network"`, `"Another network"`, `title    = "Quiet"
  severity = "medium"`, `title    = "Silent"
  severity = "high"`).Replace(testRules)
	expectTold(t, w.rules(edited))
	expectTold(t, from(1, 8))
	expectTold(t, from(2, 8), "t.asn detection new One n=1")
	expectTold(t, w.event(event.ActionOwnerAdded, start().Add(time.Hour), nil))
	t.Run("another condition does", func(t *testing.T) {
		w.rules(strings.Replace(edited, `by  = [app.id]`, `by  = [app.name]`, 1))
		expectTold(t, w.event(event.ActionOwnerAdded, start().Add(time.Hour), nil), "t.quiet detection new One n=1")
	})
}

func TestALateRecordDoesNotEndANewerSuppression(t *testing.T) {
	w := newWorld(t, testRules)
	at := func(hours int) []event.Alert {
		return w.event(event.ActionOwnerAdded, start().Add(time.Duration(hours)*time.Hour), nil)
	}
	expectTold(t, at(48), "t.quiet detection new One n=1")
	expectTold(t, at(0), "t.quiet detection new One n=1")
	expectTold(t, at(49))
	expectTold(t, at(1))
	expectTold(t, at(50))
	expectTold(t, at(72), "t.quiet detection new One n=1")
	t.Run("a record with a wrong clock ends no suppression for good", func(t *testing.T) {
		at(72 + 365*24)
		expectTold(t, at(73), "t.quiet detection new One n=1")
		expectTold(t, at(74))
	})
}
