package detect

import (
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

func TestAShadowCountsHowItDiffersFromItsRule(t *testing.T) {
	rules := testRules + `
rule "t.burst.next" {
  title     = "Burst, the next version"
  severity  = "high"
  shadow_of = "t.burst"
  on        = ["app.credential.added"]
  where     = actor.name != "Eve"
  threshold {
    count  = 2
    by     = [app.id]
    within = "10m"
  }
}
`
	w := newWorld(t, rules)
	add := func(m int, actor string) []event.Alert {
		return w.event(event.ActionCredentialAdded, start().Add(time.Duration(m)*time.Minute), func(e *event.Event) { e.Actor.Name = actor })
	}
	shadow := func(want ShadowHealth) {
		t.Helper()
		want.Of = "t.burst"
		if h := healthOf(w, "t.burst.next"); h.Shadow == nil || *h.Shadow != want || h.Mode != "audit" {
			t.Errorf("health = %+v, %+v, want %+v", h, h.Shadow, want)
		}
		if h := healthOf(w, "t.burst"); h.Shadow != nil {
			t.Errorf("the live rule has %+v", h.Shadow)
		}
	}
	expectTold(t, add(0, "Ada"))
	shadow(ShadowHealth{})
	expectTold(t, add(1, "Ada"))
	shadow(ShadowHealth{OnlyShadow: 1})
	expectTold(t, add(2, "Ada"), "t.burst detection new One n=3")
	expectTold(t, add(3, "Eve"))
	expectTold(t, add(4, "Ada"))
	shadow(ShadowHealth{Both: 2, OnlyLive: 1, OnlyShadow: 1})
	w.rules(strings.Replace(rules, `"Burst, the next version"`, `"Burst, next"`, 1))
	shadow(ShadowHealth{Both: 2, OnlyLive: 1, OnlyShadow: 1})
	w.rules(strings.Replace(rules, "count  = 3\n    by     = [app.id]", "count  = 4\n    by     = [app.id]", 1)) // the other rule
	shadow(ShadowHealth{})
}

func TestAShadowOfAPolicyCountsTheAppsInWhichItDiffers(t *testing.T) {
	w := newWorld(t, testRules+`
policy "t.wide.next" {
  title     = "Tenant-wide consent, the next version"
  severity  = "high"
  shadow_of = "t.wide"
  where     = app.tenant_wide && app.name != "App 1" || app.name == "App 4"
}
`)
	shadow := func(want ShadowHealth) {
		t.Helper()
		want.Of = "t.wide"
		if h := healthOf(w, "t.wide.next"); h.Shadow == nil || *h.Shadow != want || h.Mode != "audit" {
			t.Errorf("health = %+v, %+v, want %+v", h, h.Shadow, want)
		}
	}
	w.firstSync(app(1), app(2), app(3), app(4), wide(1), wide(2))
	expectTold(t, w.tick(time.Minute), "t.wide summary new  n=2")
	shadow(ShadowHealth{Both: 1, OnlyLive: 1, OnlyShadow: 1})
	expectTold(t, w.objects(delta(event.ObjectDelegatedGrant), wide(3)), "t.wide policy new App 3 n=1")
	shadow(ShadowHealth{Both: 2, OnlyLive: 1, OnlyShadow: 1})
	w.objects(delta(event.ObjectDelegatedGrant), removed(wide(1)))
	shadow(ShadowHealth{Both: 2, OnlyShadow: 1})
}
