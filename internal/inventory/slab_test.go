package inventory

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The pages of grants and their index against a map, with frozen states on the way.
func TestGrantsAgainstAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, want := newGrants(), map[string]grant{}
		type moment struct {
			pages pages
			want  map[string]grant
		}
		var frozen []moment
		id := rapid.Custom(func(t *rapid.T) string { return idOf(rapid.IntRange(0, 40).Draw(t, "grant")) })
		same := func(p pages, want map[string]grant) {
			places := p.sorted()
			if len(places) != len(want) {
				t.Fatalf("%d grants, want %d", len(places), len(want))
			}
			for k, id := range slices.Sorted(maps.Keys(want)) {
				if got := p.grant(places[k]); got != want[id] {
					t.Fatalf("grant %d is %+v, want %+v", k, got, want[id])
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				n := grant{id.Draw(t, "id"), packed{client: sym(rapid.IntRange(1, 3).Draw(t, "client")), gen: rapid.Uint64().Draw(t, "gen")}}
				if old := g.find(n.id); old == nil {
					g.add(n)
				} else if *old != want[n.id] {
					t.Fatalf("%s is %+v, want %+v", n.id, *old, want[n.id])
				} else if old.client == n.client {
					g.replace(n)
				} else {
					g.remove(n.id)
					g.add(n)
				}
				want[n.id] = n
			},
			"remove": func(t *rapid.T) {
				gone := id.Draw(t, "id")
				g.remove(gone)
				delete(want, gone)
			},
			"freeze": func(*rapid.T) { frozen = append(frozen, moment{g.freeze(), maps.Clone(want)}) },
			"": func(*rapid.T) {
				same(g.pages, want)
				of := map[sym]int{}
				for _, n := range want {
					of[n.client]++
				}
				for client, n := range of {
					if len(g.byClient[client]) != n {
						t.Fatalf("%d grants of client %d, want %d", len(g.byClient[client]), client, n)
					}
				}
				if g.len() != len(want) || g.find("none") != nil {
					t.Fatalf("%d grants, want %d", g.len(), len(want))
				}
			},
		})
		for _, m := range frozen {
			same(m.pages, m.want)
		}
	})
}
