package app_test

import (
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/sim"
)

const firstDayRules = `
rule "day.added" {
  title    = "The inventory grew"
  severity = "low"
  on       = ["inventory.app.added", "inventory.grant.added", "inventory.credential.added"]
  score    = 1
}
rule "day.record" {
  title    = "A record was read"
  severity = "low"
  on       = ["app.signin", "user.signin", "app.added", "app.updated", "app.consent.granted", "app.permission.granted", "app.credential.added", "directory.other"]
  score    = 1
}
policy "day.enabled" {
  title    = "An app that is enabled"
  severity = "low"
  where    = app.enabled
}
policy "day.newcomer" {
  title    = "An app by the name of Newcomer"
  severity = "low"
  where    = app.name == "Newcomer"
}
`

// Day one is quiet: what was there before appgovd is no news. Afterwards the
// same things are.
func TestTheFirstDayIsQuietAndTheNextIsNot(t *testing.T) {
	cloud := newTenant(t, sim.Options{Seed: 11, Apps: 30, Grants: 90, Users: 10, Events: 200})
	d := startWatch(t, cloud, t.TempDir(), firstDayRules)
	records := d.cloud.Issued()
	d.until(t, "every source was read once", func() bool {
		for _, s := range d.Status().Sources {
			if s.CompleteThrough.IsZero() {
				return false
			}
		}
		return true
	})
	d.ahead.Store(int64(31 * time.Second)) // policies wait until the first sync has settled
	d.until(t, "the policies have looked", func() bool { return len(d.told(t)["day.enabled"]) > 0 })
	d.until(t, "the records have left", func() bool { return len(d.told(t)["day.record"]) >= len(records) })

	t.Run("the first sync raises no alert on what it finds", func(t *testing.T) {
		inv, known := d.cloud.Inventory(), d.Status().Apps["entra/day"]
		if known.Apps < len(inv.ServicePrincipals) || known.Grants < len(inv.Grants) || known.Credentials == 0 {
			t.Errorf("the inventory holds %+v of %d apps and %d grants", known, len(inv.ServicePrincipals), len(inv.Grants))
		}
		if got := d.told(t)["day.added"]; len(got) > 0 {
			t.Errorf("%d alerts, the first is %+v", len(got), got[0])
		}
	})
	t.Run("what a policy finds goes out as one summary", func(t *testing.T) {
		got := d.told(t)
		if s := got["day.enabled"]; len(s) != 1 || s[0].Kind != "summary" || !s[0].Backfill || s[0].Count < 30 {
			t.Errorf("%d alerts: %+v", len(s), s)
		}
		if s := got["day.newcomer"]; len(s) > 0 {
			t.Errorf("a policy that finds nothing says so: %+v", s)
		}
	})
	t.Run("old records carry backfill", func(t *testing.T) {
		told := d.told(t)["day.record"]
		if len(told) != len(records) {
			t.Errorf("%d alerts on %d records", len(told), len(records))
		}
		for _, a := range told {
			if !a.Backfill {
				t.Fatalf("an alert without backfill: %+v", a)
			}
		}
	})
	t.Run("what changes from then on is news", func(t *testing.T) {
		id := d.cloud.Inventory().ServicePrincipals[3].ID
		for _, m := range []sim.Mutation{{Op: "rename_app", ID: id, Name: "Newcomer"}, {Op: "add_secret", ID: id, Name: "late"}} {
			if err := d.cloud.Mutate(m); err != nil {
				t.Fatal(err)
			}
		}
		d.until(t, "both are told", func() bool { got := d.told(t); return len(got["day.added"]) > 0 && len(got["day.newcomer"]) > 0 })
		got := d.told(t)
		if a := got["day.added"]; len(a) != 1 || a[0].Action != "inventory.credential.added" || a[0].Backfill {
			t.Errorf("%+v", a)
		}
		if a := got["day.newcomer"]; len(a) != 1 || a[0].Kind != "policy" || a[0].Backfill || a[0].App.Name != "Newcomer" {
			t.Errorf("%+v", a)
		}
		if a := got["day.enabled"]; len(a) != 1 {
			t.Errorf("the summary goes out again: %+v", a)
		}
	})
}
