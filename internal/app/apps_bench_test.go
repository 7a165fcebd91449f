package app

import (
	"fmt"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/appgovd/appgovd/internal/config"
	"github.com/appgovd/appgovd/internal/detect"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ingest"
	"github.com/appgovd/appgovd/internal/rule"
)

// large is an agent that knows 100,000 apps with 1,000,000 grants and 30 days of usage.
func large(b testing.TB, apps, grants int) *Agent {
	b.Helper()
	blob, err := ShippedRules()
	if err != nil {
		b.Fatal(err)
	}
	set, diags := rule.Compile(blob)
	if diags.HasErrors() {
		b.Fatal(diags)
	}
	m := detect.New(set, detect.Options{Tenant: "11111111-1111-1111-1111-111111111111", Log: zap.NewNop()})
	now := time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)
	id := func(kind, n int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", kind, n) }
	page := func(kind string, complete bool, objects []event.Object) {
		m.Apply(&event.Frame{Kind: event.FramePage, Source: "entra/x/" + kind, Time: now, Objects: objects, Sync: &event.Sync{Scope: kind, Kind: kind, Generation: 1, Baseline: true, Complete: complete}})
	}
	var objects []event.Object
	for i := range apps {
		objects = append(objects, event.Object{Kind: event.ObjectServicePrincipal, ID: id(1, i), App: &event.AppObject{
			Has:   event.HasAppID | event.HasName | event.HasOwnerTenant | event.HasEnabled | event.HasKeys | event.HasReplyURLs | event.HasCreated | event.HasKind,
			AppID: id(2, i), Name: fmt.Sprint("App number ", i), OwnerTenant: id(5, i%50), Kind: "Application", Enabled: true, Created: now.AddDate(-1, 0, 0),
			ReplyURLs:   []string{fmt.Sprintf("https://app-%d.example.com/auth/callback", i)},
			Credentials: []event.Credential{{KeyID: id(3, i), Kind: "password", Start: now.AddDate(-1, 0, 0), End: now.AddDate(0, 0, i%400)}},
		}})
		if len(objects) == 1000 {
			page(event.ObjectServicePrincipal, i+1 == apps, objects)
			objects = nil
		}
	}
	sets := [][]string{{"User.Read", "openid", "profile"}, {"Mail.Read", "offline_access"}, {"Files.ReadWrite.All"}, {"Calendars.Read", "User.Read"}}
	for i := range grants {
		objects = append(objects, event.Object{Kind: event.ObjectDelegatedGrant, ID: fmt.Sprintf("%043d", i), Grant: &event.GrantObject{
			Client: id(1, i%apps), Resource: id(1, i%7), ConsentType: "principal", Principal: id(4, i%20_000), Scopes: sets[(i+i/apps)%len(sets)],
		}})
		if len(objects) == 1000 {
			page(event.ObjectDelegatedGrant, i+1 == grants, objects)
			objects = nil
		}
	}
	for day := 30; day >= 0; day-- {
		at := now.AddDate(0, 0, -day)
		for first := 0; first < apps; first += 10_000 {
			f := event.Frame{Kind: event.FramePage, Source: "entra/x/stream", Time: now, CompleteThrough: []event.SourceTime{{Source: "entra/x/stream", Time: at}}}
			for i := range 10_000 {
				f.Rollups = append(f.Rollups, event.Rollup{Minute: at, App: id(2, first+i), Workload: "exchange", Endpoint: "users/{id}/messages", Status: 2, Calls: uint64(i%97 + 1), Bytes: 5000, Sized: 1})
			}
			m.Apply(&f)
		}
	}
	t := &tenant{key: "entra/x", id: "11111111-1111-1111-1111-111111111111", machine: m, lane: ingest.NewLane(m, nil)}
	return &Agent{o: Options{Now: func() time.Time { return now }}, tenants: []*tenant{t}, plan: &Plan{Config: &config.Config{}}}
}

// cpu reports the processor's time beside the wall clock's, which a busy machine stretches.
func cpu(b *testing.B) func() {
	spent := func() time.Duration {
		var u unix.Rusage
		_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := spent()
	return func() { b.ReportMetric(float64(spent()-before)/1e6/float64(b.N), "cpu-ms/op") }
}

func BenchmarkAsk(b *testing.B) {
	if testing.Short() {
		b.Skip("SKIPPED: short")
	}
	a := large(b, 100_000, 1_000_000)
	for name, where := range map[string]string{
		"permissions": `length(app.permissions) > 3 && app.tenant_wide == false && app.enabled`,
		"scope":       `has_permission(app.permissions, "Files.ReadWrite.All") && app.users > 3`,
		"owners":      `length(app.owners) == 0 || app.name == "App number 7"`,
		"credentials": `app.longest_credential > duration("600d") && any_of(app.credential_kinds, "password")`,
		"name":        `contains(app.name, "number 7")`,
		"calls":       `app.calls_today > 90`,
		"last day":    `app.calls > 90 && app.response_bytes > 1000`,
		"mean":        `app.calls_today > 90 && app.calls_today > 10 * app.calls_mean`,
		"any mean":    `app.calls_mean > 90`,
	} {
		b.Run("list by "+name, func(b *testing.B) {
			b.ReportAllocs()
			defer cpu(b)()
			for b.Loop() {
				list, err := a.Apps(AppQuery{Where: where, Limit: 50})
				if err != nil || list.Total != 100_000 {
					b.Fatal(list.Total, err)
				}
				b.ReportMetric(float64(list.Matched), "apps")
			}
		})
	}
	b.Run("show", func(b *testing.B) {
		b.ReportAllocs()
		defer cpu(b)()
		for b.Loop() {
			if d, err := a.App("App number 4711"); err != nil || len(d.Grants) != 10 {
				b.Fatal(d, err)
			}
		}
	})
	b.Run("usage", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if u, err := a.Usage("00000002-0000-4000-8000-000000001267", 31, false); err != nil || *u.Days[30].Calls == 0 {
				b.Fatal(u, err)
			}
		}
	})
}
