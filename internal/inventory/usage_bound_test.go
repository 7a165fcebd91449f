package inventory

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/appgovd/appgovd/internal/event"
)

// Where there are too many strangers, what an app that the directory knows did is kept,
// and what may not have been kept is unknown, not zero; also after a restart.
func TestWhatWasShedIsUnknown(t *testing.T) {
	const bound = 20
	first := start().Truncate(24 * time.Hour)
	m := &tester{Model: New(Options{Tenant: tenant, MaxStrangers: bound}), now: start()}
	m.Date(first)
	m.page(baseline(event.ObjectServicePrincipal), principal("s1", "a1", "One"), principal("s2", "a2", "Two"))
	m.Collected("x/signins_service_principal", first)
	for _, name := range []string{"signins_interactive", "signins_non_interactive", "signins_service_principal"} {
		m.Collected("x/"+name, first.AddDate(0, 0, -1))
	}
	day := first.AddDate(0, 0, 2)
	for i := range 10 * bound {
		m.uses(day.Add(-time.Hour), called(fmt.Sprintf("stranger-%03d", i), day.Add(-time.Hour), "me", 200, 1, ""))
	}
	m.uses(day, called("a1", day, "me", 200, 1, ""))
	m.Model.uses.calls[stream].From = first.UnixNano()
	m.page(nil, principal("s3", "stranger-199", "Three")) // it comes into the directory on the day after
	m.CallsThrough(stream, day.Add(time.Hour))
	for _, name := range []string{"signins_interactive", "signins_non_interactive", "signins_service_principal"} {
		m.CollectedThrough("x/"+name, day.Add(time.Hour))
	}
	m.Model.objects["s3"].first = day.UnixNano()
	if n := len(m.Model.uses.apps); n > bound+6 {
		t.Errorf("usage of %d apps is kept", n)
	}
	back := &tester{Model: New(Options{Tenant: tenant, MaxStrangers: bound}), now: start()}
	if err := back.Restore(bytesReader(snapshot(t, m.Model))); err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]*tester{"at once": m, "after a restart": back} {
		if u := x.usage(day, "a1"); u.Calls[0].Calls != 1 || !u.Calls[1].Whole || !u.SignIns[1].Whole {
			t.Errorf("%s, an app that is known: %+v", name, u.Calls[:2])
		}
		if u := x.usage(day, "a2"); !u.Calls[1].Whole || u.Calls[1].Calls != 0 {
			t.Errorf("%s, an app that is known and made no calls: %+v", name, u.Calls[:2])
		}
		for _, app := range []string{"stranger-199", "nobody"} {
			if u := x.usage(day, app); u.Calls[1].Known || u.SignIns[1].Known || !u.Calls[0].Known || !u.Calls[2].Whole {
				t.Errorf("%s, %s: %+v", name, app, u.Calls[:3])
			}
		}
	}
	m.Date(day.AddDate(0, 0, UsageDays+3))
	if len(m.Model.uses.shed) > 0 {
		t.Error("a day that was shed is kept longer than its figures")
	}
}

// Names that no day uses any more are given back, and what is told of the others stays
// as it was: in the model, in what was frozen, and after a restart.
func TestNamesAreGivenBack(t *testing.T) {
	m, day := newTester(), start().Truncate(24*time.Hour)
	fill := func(day time.Time, from int) {
		m.Date(day)
		for i := from; i < from+maxUsageNames/8*7; i++ {
			e := called(fmt.Sprint("app", i%5000), day, fmt.Sprint("endpoint/", i), 200, 1, "")
			m.Observe(&e)
		}
		m.Used()
	}
	fill(day, 0)
	kept := day.AddDate(0, 0, UsageDays)
	visit := event.Event{Class: event.ClassSignIn, Source: "x/signins_service_principal", Time: kept, App: event.App{AppID: "a1"}, SignIn: event.SignIn{Kind: "service_principal"}, Result: event.ResultSuccess, Resource: event.Entity{Name: "zz"}, Origin: event.Origin{Country: "NL"}}
	report := &event.Trait{About: "a1"}
	report.Set("from", kept.Format(time.RFC3339))
	report.Set("calls", "9")
	report.Set("services", "Microsoft.Exchange")
	m.Date(kept)
	m.page(resync(event.ObjectAppCalls, 1, true), event.Object{Kind: event.ObjectAppCalls, ID: "a1", Trait: report})
	m.uses(kept, called("a1", kept, "zz", 200, 1, ""), called("a1", kept, "endpoint/7", 200, 1, ""), called("a1", kept, "aa", 500, 1, ""), visit)
	want, frozen := m.usage(kept, "a1"), m.Freeze()
	state := snapshot(t, m.Model)
	m.Date(kept.AddDate(0, 0, 1))
	if n := len(m.Model.uses.names.text); n > 10 {
		t.Fatalf("%d names are kept", n)
	}
	var was strings.Builder
	if err := frozen.Write(&was); err != nil || was.String() != string(state) {
		t.Errorf("what was frozen has changed: %v", err)
	}
	fill(kept.AddDate(0, 0, 1), 100_000)
	if n := len(m.Model.uses.names.text); n < maxUsageNames/2 {
		t.Errorf("%d names are told apart", n)
	}
	back := newTester()
	if err := back.Restore(bytesReader(snapshot(t, m.Model))); err != nil || back.Hash() != m.Hash() {
		t.Fatalf("the restored state is another: %v", err)
	}
	for _, x := range []*tester{m, back} {
		got := x.usage(kept, "a1")
		if diff := cmp.Diff(want.Calls[0].Endpoints, got.Calls[0].Endpoints, sortedEndpoints); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(want.SignIns[0].Resources, got.SignIns[0].Resources); diff != "" || len(got.Calls[0].Services) != 1 || got.Calls[0].Services[0] != "Microsoft.Exchange" {
			t.Errorf("%s, services %v", diff, got.Calls[0].Services)
		}
	}
}

var sortedEndpoints = cmp.Transformer("byName", func(list []Endpoint) map[string]Endpoint {
	out := map[string]Endpoint{}
	for _, e := range list {
		out[e.Workload+" "+e.Name] = e
	}
	return out
})

// A name is bounded, and text.
func TestNamesAreShort(t *testing.T) {
	for s, want := range map[string]string{
		"users": "users", strings.Repeat("é", 150): strings.Repeat("é", 100), "x" + strings.Repeat("é", 150): "x" + strings.Repeat("é", 99), "a\xff": "a\uFFFD",
	} {
		u := newUsage()
		id := u.name(s)
		if got := u.names.string(id); got != want || !utf8.ValidString(got) || u.name(s) != id {
			t.Errorf("%q is kept as %q", s, got)
		}
	}
}

// Apps that come and go leave nothing behind, whether anybody asks or not.
func TestAppsThatComeAndGoLeaveNothing(t *testing.T) {
	m := newTester()
	for i := range 20_000 {
		id := fmt.Sprint("s", i)
		m.page(nil, principal(id, fmt.Sprint("a", i), "App"))
		m.page(nil, event.Object{Kind: event.ObjectServicePrincipal, ID: id, Removed: "deleted"})
	}
	if n := len(m.list); n > 1100 {
		t.Errorf("%d apps are listed, %d are there", n, len(m.objects))
	}
}

// What was worked out before is told only as long as it holds: after every page rules see
// what they would see after a restart.
func TestUsageThatIsKeptIsNeverOld(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, now := newTester(), start()
		logs := []string{"x/signins_interactive", "x/signins_non_interactive", "x/signins_service_principal", "x/signins_managed_identity"}
		apps := []event.AppView{{AppID: "a1"}, {AppID: "a2", Created: start().AddDate(0, 0, -20)}, {AppID: "a3", Kind: managedIdentity, FirstSeen: start()}}
		day := func(what string) time.Time { return now.AddDate(0, 0, -rapid.IntRange(0, 12).Draw(t, what)) }
		for range rapid.IntRange(1, 15).Draw(t, "pages") {
			switch rapid.IntRange(0, 6).Draw(t, "what") {
			case 0:
				now = now.Add(time.Duration(rapid.IntRange(1, 40).Draw(t, "hours")) * time.Hour)
				m.Date(now)
			case 1:
				m.UsageGap(event.Gap{Source: rapid.SampledFrom(append(logs, stream)).Draw(t, "log"), From: day("from"), To: now})
			case 2:
				m.CallsThrough(stream, day("through"))
			case 3:
				log := rapid.SampledFrom(logs).Draw(t, "log")
				m.Collected(log, day("since"))
				m.CollectedThrough(log, day("through"))
			case 4:
				tr := &event.Trait{About: "a1"}
				tr.Set("from", day("report").Truncate(24*time.Hour).Format(time.RFC3339))
				tr.Set("calls", "40")
				m.page(resync(event.ObjectAppCalls, 1, true), event.Object{Kind: event.ObjectAppCalls, ID: "a1", Trait: tr})
				m.Used()
			default:
				app := rapid.SampledFrom(apps).Draw(t, "app").AppID
				signIn := event.Event{Class: event.ClassSignIn, Source: logs[0], Time: day("sign-in"), App: event.App{AppID: app}, Result: event.ResultFailure}
				m.uses(now, called(app, day("call"), "me", 200, 5, "u1"), signIn)
			}
			back := newTester()
			if err := back.Restore(bytesReader(snapshot(t, m.Model))); err != nil {
				t.Fatal(err)
			}
			asked := now.AddDate(0, 0, rapid.IntRange(0, 1).Draw(t, "asked"))
			for i := range apps {
				for _, parts := range []event.UseParts{event.UseToday, event.UsePast, event.UseToday | event.UsePast} {
					got, want := m.UsageOf(&apps[i], asked, parts), back.UsageOf(&apps[i], asked, parts)
					if diff := cmp.Diff(want, got); diff != "" {
						t.Fatalf("%s: %s", apps[i].AppID, diff)
					}
				}
			}
		}
	})
}
