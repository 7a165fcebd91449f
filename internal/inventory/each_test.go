package inventory

import (
	"reflect"
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
