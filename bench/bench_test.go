package main

import (
	"fmt"
	"slices"
	"testing"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/provider/msgraph/normalise"
)

func TestAllEnginesFindTheSameMatches(t *testing.T) {
	pool := events(300)
	for _, n := range []int{10, 100, 1000} {
		for _, texts := range []bool{false, true} {
			rules := mixed(n, texts)
			var all []engine
			for _, m := range engines {
				e, err := m.make(rules, pool)
				if err != nil {
					t.Fatalf("%s: %v", m.name, err)
				}
				all = append(all, e)
			}
			found := 0
			for i := range pool {
				want := all[0](i, nil)
				found += len(want)
				for k, e := range all[1:] {
					if got := e(i, nil); !slices.Equal(got, want) {
						t.Fatalf("%d rules, event %d: %s finds %v, appgovd %v", n, i, engines[k+1].name, got, want)
					}
				}
			}
			if n == 1000 && found == 0 {
				t.Error("no matches: the test says little")
			}
		}
	}
}

func TestAnEventAllocatesNothing(t *testing.T) {
	for _, texts := range []bool{false, true} {
		pool, hits := events(100), make([]int, 0, 100)
		e, err := newAppgovd(mixed(1000, texts), pool)
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(20, func() {
			for i := range pool {
				hits = e(i, hits[:0])
			}
		}); n > 0 {
			t.Errorf("%v allocations per 100 events, want 0 (texts: %t)", n, texts)
		}
	}
}

func BenchmarkEngines(b *testing.B) {
	pool := events(2000)
	for _, m := range engines {
		for _, n := range []int{10, 100, 1000} {
			e, err := m.make(mixed(n, false), pool)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("%s/rules=%d", m.name, n), func(b *testing.B) {
				b.ReportAllocs()
				i, hits := 0, []int(nil)
				for b.Loop() {
					hits = e(i%len(pool), hits[:0])
					i++
				}
			})
		}
	}
}

func BenchmarkWhole(b *testing.B) {
	pages := slices.Collect(slices.Chunk(records(8000), perPage))
	p, err := newPath(windowed(mixed(1000, false)))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := p.page(pages[i%len(pages)]); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/perPage, "ns/record")
}

func BenchmarkDecode(b *testing.B) {
	pool, d := records(8000), normalise.NewHashing(tenant, event.NewHasher([16]byte{1}))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := pool[i%len(pool)].decode(d); err != nil {
			b.Fatal(err)
		}
	}
}
