package inventory

import (
	"bytes"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// TestWhatIsNotCalledUnexplained: a grant that appears in a round of changes,
// with what is known of the audit log at that time.
func TestWhatIsNotCalledUnexplained(t *testing.T) {
	kind := event.ObjectDelegatedGrant
	audit := func(action string, at time.Time, app event.App) *event.Event {
		return &event.Event{Class: event.ClassAudit, Action: action, Result: event.ResultSuccess, Time: at, App: app}
	}
	appear := func(m *tester) { m.page(delta(kind), consent("g1", "s1", "u1", "Mail.Read")) }
	cases := []struct {
		name string
		play func(*tester)
		want []string
	}{
		{"one that appears while the audit log is read is judged", func(m *tester) {
			m.Reconcile(start(), start())
			appear(m)
		}, []string{"grant.unexplained One +Mail.Read"}},
		{"one that may be older than the first watermark is let go", func(m *tester) {
			m.Reconcile(m.now.Add(time.Second), m.now)
			appear(m)
		}, nil},
		{"a first record before it makes it judged", func(m *tester) {
			m.Observe(audit(event.ActionOther, start(), event.App{}))
			m.Reconcile(m.now.Add(time.Second), m.now)
			appear(m)
		}, []string{"grant.unexplained One +Mail.Read"}},
		{"one that may lie in a gap of the audit log is let go", func(m *tester) {
			m.Reconcile(start(), start())
			m.AuditGap(m.now.Add(time.Second))
			appear(m)
		}, nil},
		{"a gap before the last read without it changes nothing", func(m *tester) {
			m.Reconcile(start(), start())
			m.AuditGap(m.now)
			appear(m)
		}, []string{"grant.unexplained One +Mail.Read"}},
		{"a page that is not the last of its round does not show that a grant is absent", func(m *tester) {
			m.Reconcile(start(), start())
			m.AuditGap(m.now.Add(time.Second))
			m.page(&event.Sync{Scope: kind, Kind: kind})
			m.page(&event.Sync{Scope: kind, Kind: kind})
			appear(m)
		}, nil},
		{"one that came back with a restored principal is explained", func(m *tester) {
			m.Reconcile(start(), start())
			appear(m)
			m.Observe(audit(event.ActionAppRestored, m.now, event.App{ID: "s1"}))
		}, nil},
		{"one that came back with a restored registration is explained", func(m *tester) {
			m.Reconcile(start(), start())
			m.page(baseline(event.ObjectApplication), registration("o1", "a1", "One"))
			appear(m)
			m.Observe(audit(event.ActionAppRestored, m.now, event.App{ObjectID: "o1"}))
		}, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := newTester()
			m.page(baseline(event.ObjectServicePrincipal), principal("s1", "a1", "One"))
			m.page(baseline(kind))
			c.play(m)
			back := newTester()
			if err := back.Restore(bytes.NewReader(snapshot(t, m.Model))); err != nil {
				t.Fatal(err)
			}
			expectTold(t, m.Reconcile(m.now.Add(5*time.Hour), m.now), c.want...)
			expectTold(t, back.Reconcile(m.now.Add(5*time.Hour), m.now), c.want...)
		})
	}
}

func TestAFullReadWithALostRecordRemovesNothing(t *testing.T) {
	sp := event.ObjectServicePrincipal
	m := newTester()
	m.page(baseline(sp), principal("s1", "a1", "One"), principal("s2", "a2", "Two"))
	m.page(resync(sp, 2, false), principal("s1", "a1", "One"))
	m.Lost(resync(sp, 2, false))
	expectTold(t, m.page(resync(sp, 2, true)))
	if _, ok := m.View("a2"); !ok {
		t.Error("the app whose record was lost is gone")
	}
	expectTold(t, m.page(resync(sp, 3, true), principal("s1", "a1", "One")), "app.removed Two")
}

func TestTwoPrincipalsOfOneAppID(t *testing.T) {
	sp := event.ObjectServicePrincipal
	remade := func() *tester {
		m := newTester()
		m.page(baseline(sp), principal("z-old", "a1", "Old"))
		m.page(baseline(event.ObjectDelegatedGrant), consent("g1", "z-old", "u1", "Mail.Read"))
		m.page(delta(sp), principal("a-new", "a1", "New"))
		return m
	}
	t.Run("the one first seen last stands for the app, after a restart too", func(t *testing.T) {
		m, back := remade(), newTester()
		if err := back.Restore(bytes.NewReader(snapshot(t, m.Model))); err != nil {
			t.Fatal(err)
		}
		for _, m := range []*tester{m, back} {
			if v, _ := m.View("a1"); v.ID != "a-new" {
				t.Errorf("%s stands for the app", v.ID)
			}
		}
	})
	t.Run("of two seen at once the greater id stands for it, in any order", func(t *testing.T) {
		for _, ids := range [][]string{{"s1", "s2"}, {"s2", "s1"}} {
			m := newTester()
			m.page(baseline(sp), principal(ids[0], "a1", "One"), principal(ids[1], "a1", "One"))
			if v, _ := m.View("a1"); v.ID != "s2" {
				t.Errorf("%q: %s stands for the app", ids, v.ID)
			}
		}
	})
	t.Run("a grant of the former one names it", func(t *testing.T) {
		m := remade()
		e := m.page(delta(event.ObjectDelegatedGrant), gone(event.ObjectDelegatedGrant, "g1"))
		if len(e) != 1 || e[0].App.ID != "z-old" {
			t.Errorf("told %+v", e)
		}
	})
	t.Run("when either goes the other one is the app", func(t *testing.T) {
		for id, left := range map[string]string{"a-new": "z-old", "z-old": "a-new"} {
			m := remade()
			e := m.page(delta(sp), gone(sp, id))
			if len(e) != 1 || e[0].Action != event.ActionInvAppChanged {
				t.Errorf("told %v", told(e))
			}
			if v, ok := m.View("a1"); !ok || v.ID != left {
				t.Errorf("without %s the app is %q", id, v.ID)
			}
			if e = m.page(delta(sp), gone(sp, left)); len(e) != 1 || e[0].Action != event.ActionInvAppRemoved {
				t.Errorf("the last one: told %v", told(e))
			}
			if _, ok := m.View("a1"); ok {
				t.Error("the app is still there")
			}
		}
	})
}
