package inventory

import (
	"fmt"
	"io"
	"runtime"
	"testing"

	"github.com/appgovd/appgovd/internal/event"
)

// guid is a GUID-shaped text from a number.
func guid(kind, n int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", kind, n) }

// load fills a model with apps and ten times as many grants, page by page.
func load(apps, grants int) *Model {
	m := New(Options{Tenant: tenant})
	at := start()
	var page []event.Object
	flush := func(kind string, complete bool) {
		sync := baseline(kind)
		sync.Complete = complete
		m.Apply(page, sync, at)
		page = nil
	}
	for i := range apps {
		o := principal(guid(1, i), guid(2, i), fmt.Sprintf("App number %d", i))
		o.App.Has |= event.HasPublisherName | event.HasKeys
		o.App.PublisherName = fmt.Sprintf("Publisher %d", i%500)
		o.App.ReplyURLs = []string{fmt.Sprintf("https://app-%d.example.com/auth/callback", i)}
		o.App.Credentials = []event.Credential{{KeyID: guid(3, i), Kind: "password", Start: at, End: at}}
		if page = append(page, o); len(page) == 1000 {
			flush(event.ObjectServicePrincipal, false)
		}
	}
	flush(event.ObjectServicePrincipal, true)
	sets := [][]string{{"User.Read", "openid", "profile"}, {"Mail.Read", "offline_access"}, {"Files.ReadWrite.All"}, {"Calendars.Read", "User.Read"}}
	for i := range grants {
		o := consent(idOf(i), guid(1, i%apps), guid(4, i%20_000), sets[i%len(sets)]...)
		o.Grant.Resource = guid(1, i%7)
		if page = append(page, o); len(page) == 1000 {
			flush(event.ObjectDelegatedGrant, false)
		}
	}
	flush(event.ObjectDelegatedGrant, true)
	m.TakeDirty()
	return m
}

func BenchmarkLoad(b *testing.B) {
	b.Run("10000 apps 100000 grants", func(b *testing.B) { benchmarkLoad(b, 10_000, 100_000) })
	b.Run("100000 apps 1000000 grants", func(b *testing.B) {
		if testing.Short() {
			b.Skip("SKIPPED: short")
		}
		benchmarkLoad(b, 100_000, 1_000_000)
	})
}

func benchmarkLoad(b *testing.B, apps, grants int) {
	b.ReportAllocs()
	var held uint64
	for range b.N {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		m := load(apps, grants)
		runtime.GC()
		runtime.ReadMemStats(&after)
		held = after.HeapAlloc - before.HeapAlloc
		runtime.KeepAlive(m)
	}
	b.ReportMetric(float64(held)/1e6, "MB-held")
}

func BenchmarkView(b *testing.B) {
	m := load(10_000, 100_000)
	b.Run("cached", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			if v, ok := m.View(guid(2, 17)); !ok || v.Name == "" {
				b.Fatal("no view")
			}
		}
	})
	b.Run("made", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			m.apps[guid(2, 17)].view = nil
			if v, ok := m.View(guid(2, 17)); !ok || v.Name == "" {
				b.Fatal("no view")
			}
		}
	})
}

func BenchmarkSnapshot(b *testing.B) {
	m := load(10_000, 100_000)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if err := m.Snapshot(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

func idOf(grant int) string { return fmt.Sprintf("%043d", grant) }
