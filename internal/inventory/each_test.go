package inventory

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/appgovd/appgovd/internal/event"
)

// Whatever is made of lists, grants and traits is left out where it is not asked for.
func TestEachShowsEveryAppOnceAsViewDoes(t *testing.T) {
	for _, whole := range []bool{true, false} {
		m := load(50, 500)
		for _, seen := range []bool{false, true} { // with and without views that are kept
			got := map[string]event.AppView{}
			m.Each(whole, func(v *event.AppView) bool {
				if _, twice := got[v.AppID]; twice {
					t.Errorf("%s comes twice", v.AppID)
				}
				got[v.AppID] = *v
				return true
			})
			if len(got) != len(m.Keys()) {
				t.Fatalf("%d apps of %d", len(got), len(m.Keys()))
			}
			for _, key := range m.Keys() {
				want, _ := m.View(key)
				g := got[want.AppID]
				if !whole && !seen {
					want.Delegated, want.Application, want.Credentials, want.ReplyURLs, want.Owners, want.Traits = nil, nil, nil, nil, nil, nil
					want.Tier, want.TenantWide, want.Users = 0, false, 0
				}
				if !reflect.DeepEqual(g, want) {
					t.Fatalf("whole %t, seen %t: %s is\n%+v, want\n%+v", whole, seen, key, g, want)
				}
			}
		}
	}
}

func TestGrantsOfAnAppHaveTheNamesOfTheirPermissions(t *testing.T) {
	m := load(50, 500)
	v, _ := m.View(guid(2, 17))
	permissions, n := map[event.Permission]bool{}, 0
	m.Grants(guid(2, 17), func(g Grant) bool {
		n++
		for _, p := range g.Permissions {
			permissions[p] = true
		}
		return true
	})
	if n == 0 || len(permissions) != len(v.Delegated)+len(v.Application) {
		t.Errorf("%d grants name %d permissions, the view has %d", n, len(permissions), len(v.Delegated)+len(v.Application))
	}
	m.Grants("nobody", func(Grant) bool { t.Error("a grant of nobody"); return true })
}

func BenchmarkEach(b *testing.B) {
	m := load(100_000, 1_000_000)
	for name, whole := range map[string]bool{"sketch": false, "whole": true} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				m.Each(whole, func(*event.AppView) bool { n++; return true })
				if n < 100_000 {
					b.Fatal(n)
				}
			}
		})
	}
}

// Between two parts of a walk the model may change: who goes is not come to, who comes
// is left out, who stays comes once.
func TestAWalkGoesOnWhileTheModelChanges(t *testing.T) {
	m := load(3000, 0)
	w := m.Walk(true)
	seen := map[string]int{}
	look := func(v *event.AppView) bool {
		seen[v.AppID]++
		return true
	}
	if !w.Next(10, look) || len(seen) != 10 {
		t.Fatalf("%d apps of 3000", len(seen))
	}
	m.Apply([]event.Object{gone(event.ObjectServicePrincipal, guid(1, 2999)), gone(event.ObjectServicePrincipal, guid(1, 0)), principal("new", "new", "New")}, delta(event.ObjectServicePrincipal), start())
	for w.Next(700, look) {
	}
	if len(seen) != 2999 || seen["new"] != 0 || seen[guid(2, 2999)] != 0 || seen[guid(2, 0)] != 1 || w.Next(1, look) {
		t.Errorf("%d apps", len(seen))
	}
	for i := range 2500 { // a list of which most are gone is tidied
		m.Apply([]event.Object{gone(event.ObjectServicePrincipal, guid(1, i+1))}, delta(event.ObjectServicePrincipal), start())
	}
	clear(seen)
	if m.Each(false, look); len(seen) != 499 || len(m.list) > 2*len(m.objects)+1000 {
		t.Errorf("%d apps, %d in the list", len(seen), len(m.list))
	}
}

func TestAppsAreFoundByName(t *testing.T) {
	m := newTester()
	m.page(baseline(event.ObjectServicePrincipal), principal("s1", "a1", "Wiki"), principal("s2", "a2", "WIKI"), principal("s3", "a3", "Other"))
	m.page(baseline(event.ObjectApplication), registration("o3", "a3", "Wiki"), registration("o4", "a4", "wiki"))
	if got := m.Named("wiki", 20); !slices.Equal(got, []string{"a1", "a2", "a4"}) {
		t.Errorf("found %v: the name of the principal counts", got)
	}
	if got := m.Named("wiki", 2); len(got) != 2 {
		t.Errorf("found %v", got)
	}
}

// Grants that several apps share are spelled out once, and told as they are after any
// change of them, of the API's names or of the grades.
func TestSharedGrantsFollowEveryChange(t *testing.T) {
	m := newTester()
	m.page(baseline(event.ObjectServicePrincipal), principal("s1", "a1", "One"), principal("s2", "a2", "Two"), graph())
	m.page(baseline(event.ObjectDelegatedGrant), consent("g1", "s1", "u1", "User.Read"), consent("g2", "s2", "u1", "User.Read"))
	m.page(baseline(event.ObjectAppRoleAssignment))
	look := func(key string) string {
		v := m.Look(key)
		return fmt.Sprint(len(v.Delegated), len(v.Application), v.Tier, v.TenantWide, v.Users)
	}
	if a, b := look("a1"), look("a2"); a != "1 0 4 false 1" || b != a {
		t.Errorf("%s, %s", a, b)
	}
	m.page(delta(event.ObjectDelegatedGrant), consent("g3", "s1", "", "Mail.Read"))
	if a, b := look("a1"), look("a2"); a != "2 0 3 true 1" || b != "1 0 4 false 1" {
		t.Errorf("after a grant: %s, %s", a, b)
	}
	m.page(delta(event.ObjectDelegatedGrant), gone(event.ObjectDelegatedGrant, "g3"), consent("g4", "s1", "u2", "User.Read"))
	if a := look("a1"); a != "1 0 4 false 2" {
		t.Errorf("after it went: %s", a)
	}
	m.SetTier(func(_, _, _ string) int8 { return 1 })
	if a, b := look("a1"), look("a2"); a != "1 0 1 false 2" || b != "1 0 1 false 1" {
		t.Errorf("by other grades: %s, %s", a, b)
	}
}
