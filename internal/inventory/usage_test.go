package inventory

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/appgovd/appgovd/internal/event"
)

const stream = "entra/x/graph_stream"

// called is a call of an app at a time.
func called(app string, at time.Time, endpoint string, status int, bytes int64, user string) event.Event {
	e := event.Event{Class: event.ClassCall, Source: stream, Time: at, App: event.App{AppID: app}, Call: &event.Call{Workload: "exchange", Endpoint: endpoint, Status: status, Bytes: bytes, BytesKnown: bytes >= 0}}
	if user != "" {
		e.Actor = event.Actor{Type: event.TypeUser, ID: user}
	}
	return e
}

// uses gives the model a page of events, of a day.
func (t *tester) uses(at time.Time, events ...event.Event) {
	t.Date(at)
	for i := range events {
		t.Observe(&events[i])
	}
	t.Used()
}

func (t *tester) usage(at time.Time, app string) Usage {
	v := &event.AppView{AppID: app}
	if known := t.Look(app); known != nil {
		v = known
	}
	return t.Model.Usage(v, at, UsageDays+1)
}

func TestCallsOfADayAddUp(t *testing.T) {
	m, day := newTester(), start()
	m.page(baseline(event.ObjectServicePrincipal), principal("s1", "a1", "One"))
	again := called("a1", day, "me/messages", 200, 10, "u1")
	again.Version = 1
	m.uses(day, called("a1", day.Truncate(24*time.Hour), "me/messages", 200, 10, "u1"), called("a1", day, "me/messages", 429, -1, "u2"), called("a1", day, "me/events", 200, 5, ""), again)
	m.Rollups(stream, []event.Rollup{{Minute: day, App: "s1", Workload: "directory", Endpoint: "users", Status: 5, Calls: 4, Bytes: 8, Sized: 2, Users: users("u2", "u3")}})
	m.Used()
	got := m.usage(day, "a1").Calls[0]
	want := CallDay{
		Day: day.Truncate(24 * time.Hour), Known: true, Calls: 7, Errors: 5, UsersKnown: true, Exact: true, Users: 3, BytesKnown: true, Bytes: 23, Sized: 4,
		Endpoints: []Endpoint{{Workload: "directory", Name: "users", Calls: 4, Errors: 4, Bytes: 8, Sized: 2}, {Workload: "exchange", Name: "me/messages", Calls: 2, Errors: 1, Bytes: 10, Sized: 1}, {Workload: "exchange", Name: "me/events", Calls: 1, Bytes: 5, Sized: 1}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if d := m.usage(day, "a1").Calls[1]; d.Known {
		t.Errorf("the day before the first record is known: %+v", d)
	}
	if d := m.usage(day, "nobody").Calls[0]; d.Known && d.Whole || d.Calls != 0 {
		t.Errorf("an app without calls: %+v", d)
	}
}

func users(values ...string) (d event.Distinct) {
	for _, v := range values {
		d.Add(v)
	}
	return d
}

// A day of which nothing is known is not one without calls.
func TestUnknownIsNotZero(t *testing.T) {
	m, first := newTester(), start().Truncate(24*time.Hour)
	none := m.usage(first, "a1")
	if none.Calls[0].Known || none.SignIns[0].Known || len(none.Sources) > 0 {
		t.Fatalf("without a source: %+v", none)
	}
	later := first.AddDate(0, 0, 3)
	m.uses(first, called("a1", first, "me", 200, 1, ""))
	m.uses(later)
	m.CallsThrough(stream, later.Add(time.Hour))
	got := m.usage(later, "a2").Calls
	for i, want := range []CallDay{{Known: true}, {Known: true, Whole: true}, {Known: true, Whole: true}, {Known: true, Whole: true}, {}} {
		if d := got[i]; d.Known != want.Known || d.Whole != want.Whole || d.Calls != 0 || d.Known != d.UsersKnown {
			t.Errorf("%d days ago: %+v", i, d)
		}
	}
	m.UsageGap(event.Gap{Source: stream, From: first.Add(25 * time.Hour), To: first.Add(26 * time.Hour)})
	m.UsageGap(event.Gap{Source: "another", From: first, To: later})
	if d := m.usage(later, "a2").Calls; d[2].Known || !d[1].Whole || !d[3].Whole {
		t.Errorf("a gap makes its day unknown, and no other: %+v", d[:4])
	}
	if d := m.usage(later, "a1").Calls[3]; !d.Whole || d.Calls != 1 {
		t.Errorf("the day of the call: %+v", d)
	}
	if s := m.usage(later, "a1").Sources; len(s) != 1 || s[0].Name != stream || !s[0].From.Equal(first) || len(s[0].Gaps) != 1 {
		t.Errorf("sources %+v", s)
	}
}

// A stream of calls in which nothing came tells that there were none.
func TestAStreamWithoutCallsIsKnownToHaveNone(t *testing.T) {
	m, today := newTester(), start().Truncate(24*time.Hour)
	m.Date(today)
	m.CallsThrough("entra/x/hub:calls+signins_interactive", today.Add(-25*time.Hour))
	m.CallsThrough("entra/x/hub:calls+signins_interactive", today.Add(time.Hour))
	m.CallsThrough("entra/x/directory_audits", today.Add(time.Hour))
	if u := m.usage(today, "a1"); !u.Calls[0].Known || !u.Calls[1].Whole || u.Calls[2].Known || len(u.Sources) != 1 {
		t.Errorf("%+v of %+v", u.Calls[:3], u.Sources)
	}
}

// The provider's own sum of a day counts where single calls are not whole, and never
// beside them.
func TestOneSourceCountsForADay(t *testing.T) {
	m, today := newTester(), start().Truncate(24*time.Hour)
	yesterday := today.AddDate(0, 0, -1)
	m.Date(today)
	tell := func(calls, bytes string) {
		tr := &event.Trait{About: "a1"}
		tr.Set("from", yesterday.Format(time.RFC3339))
		tr.Set("calls", calls)
		tr.Set("errors", "2")
		tr.Set("response_bytes", bytes)
		tr.Set("users", "3")
		tr.Set("services", "Microsoft.Exchange")
		m.page(resync(event.ObjectAppCalls, 1, true), event.Object{Kind: event.ObjectAppCalls, ID: "a1", Trait: tr})
		m.Used()
	}
	tell("40", "900")
	tell("50", "") // read again: it takes the place of what it said before
	m.uses(today, called("a1", yesterday.Add(5*time.Hour), "me", 200, 1, "u1"))
	got := m.usage(today, "a1").Calls[1]
	if !got.Report || !got.Whole || got.Calls != 50 || got.Errors != 2 || got.Users != 3 || got.BytesKnown || got.Services[0] != "Microsoft.Exchange" {
		t.Errorf("by the report: %+v", got)
	}
	if d := m.usage(today, "a2").Calls[1]; !d.Whole || d.Calls != 0 || !d.BytesKnown {
		t.Errorf("an app that the report does not name made no calls: %+v", d)
	}
	r := m.Model.uses.calls[stream]
	r.From = yesterday.UnixNano()
	m.CallsThrough(stream, today)
	if got := m.usage(today, "a1").Calls[1]; got.Report || got.Calls != 1 || !got.Whole {
		t.Errorf("by single calls, which are whole: %+v", got)
	}
}

func TestSignInsAreCountedByKindResultResourceAndCountry(t *testing.T) {
	m, day := newTester(), start()
	signIn := func(kind string, result event.Result, resource, country string) event.Event {
		return event.Event{Class: event.ClassSignIn, Source: "x/signins_" + kind, Time: day, App: event.App{AppID: "a1"}, Result: result, SignIn: event.SignIn{Kind: kind}, Resource: event.Entity{Name: resource}, Origin: event.Origin{Country: country}}
	}
	hunted := signIn("service_principal", event.ResultSuccess, "Graph", "NL")
	hunted.Source = "x/spn_signin_events"
	m.Collected("x/signins_service_principal", day)
	m.uses(day, signIn("service_principal", event.ResultSuccess, "Graph", "NL"), signIn("service_principal", event.ResultFailure, "Graph", ""), signIn("interactive", event.ResultUnknown, "Vault", "NL"), hunted)
	got := m.usage(day, "a1").SignIns[0]
	want := SignInDay{
		Day: day.Truncate(24 * time.Hour), Known: true, Count: 3, Failures: 1,
		Kinds:     []SignInKind{{"interactive", event.ResultUnknown, 1}, {"service_principal", event.ResultSuccess, 1}, {"service_principal", event.ResultFailure, 1}},
		Resources: []Place{{"Graph", false, 2, 1}, {"Vault", false, 1, 0}}, Countries: []Place{{"NL", false, 2, 0}, {"", false, 1, 1}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A gap in one of the logs makes its day unknown for apps that sign in there.
func TestAGapInASignInLogMakesItsDayUnknown(t *testing.T) {
	m, today := newTester(), start().Truncate(24*time.Hour)
	m.Date(today)
	for _, name := range []string{"signins_interactive", "signins_non_interactive", "signins_service_principal", "signins_managed_identity"} {
		m.Collected("x/"+name, today.AddDate(0, 0, -5))
		m.CollectedThrough("x/"+name, today)
	}
	m.UsageGap(event.Gap{Source: "x/signins_interactive", From: today.Add(-30 * time.Hour), To: today.Add(-29 * time.Hour)})
	m.UsageGap(event.Gap{Source: "x/directory_audits", From: today.Add(-9 * time.Hour), To: today.Add(-8 * time.Hour)})
	back := newTester()
	if err := back.Restore(bytesReader(snapshot(t, m.Model))); err != nil {
		t.Fatal(err)
	}
	for _, x := range []*tester{m, back} {
		if s := x.usage(today, "a1").SignIns; !s[1].Whole || s[2].Known || !s[3].Whole {
			t.Errorf("an app: %+v", s[:4])
		}
		v := event.AppView{AppID: "mi", Kind: managedIdentity}
		if u := x.Model.Usage(&v, today, 4); !u.SignIns[2].Whole || len(u.Logs) != 1 || u.Logs[0].From.IsZero() {
			t.Errorf("a managed identity: %+v", u)
		}
		if logs := x.usage(today, "a1").Logs; len(logs) != 3 || len(logs[0].Gaps) != 1 || len(logs[1].Gaps) != 0 {
			t.Errorf("logs %+v", logs)
		}
	}
	m.Date(today.AddDate(0, 0, UsageDays+3))
	if len(m.Model.uses.signIns) != 0 {
		t.Error("a gap is kept longer than its day")
	}
}

// Whatever comes, in whatever order, late or with restarts: sums are those of all that
// came within the days that are kept, what is told apart is bounded, and a day that is
// too old is gone.
func TestUsageIsWhatANaiveCountSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, now := newTester(), start()
		type key struct {
			app string
			day int32
		}
		calls, bytes, signIns := map[key]int64{}, map[key]int64{}, map[key]int64{}
		for range rapid.IntRange(1, 12).Draw(t, "pages") {
			now = now.Add(time.Duration(rapid.IntRange(0, 200).Draw(t, "hours")) * time.Hour)
			var page []event.Event
			for range rapid.IntRange(0, 40).Draw(t, "records") {
				at := now.Add(-time.Duration(rapid.IntRange(-10, 800).Draw(t, "late")) * time.Hour)
				app := rapid.SampledFrom([]string{"a1", "a2"}).Draw(t, "app")
				kept := dayOf(at) >= dayOf(now)-UsageDays && dayOf(at) <= dayOf(now)+1
				k := key{app, dayOf(at)}
				if rapid.Bool().Draw(t, "sign-in") {
					page = append(page, event.Event{Class: event.ClassSignIn, Source: "x/signins_interactive", Time: at, App: event.App{AppID: app}, Resource: event.Entity{Name: fmt.Sprint(rapid.IntRange(0, 30).Draw(t, "resource"))}})
					if kept {
						signIns[k]++
					}
					continue
				}
				n := rapid.Int64Range(0, 1000).Draw(t, "bytes")
				page = append(page, called(app, at, fmt.Sprint("e", rapid.IntRange(0, 40).Draw(t, "endpoint")), 200, n, ""))
				if kept {
					calls[k]++
					bytes[k] += n
				}
			}
			m.uses(now, page...)
			if rapid.IntRange(0, 4).Draw(t, "restart") == 0 {
				back := newTester()
				if err := back.Restore(bytesReader(snapshot(t, m.Model))); err != nil {
					t.Fatal(err)
				}
				if back.Hash() != m.Hash() {
					t.Fatal("the restored state has another hash")
				}
				m = back
			}
		}
		for _, app := range []string{"a1", "a2"} {
			u := m.usage(now.AddDate(0, 0, 1), app)
			for i := 0; i <= UsageDays; i++ {
				k := key{app, dayOf(now) + 1 - int32(i)}
				c, s := u.Calls[i], u.SignIns[i]
				sum, named := int64(0), 0
				for _, e := range c.Endpoints {
					sum += e.Calls
					if !e.Rest {
						named++
					}
				}
				places := int64(0)
				for _, p := range s.Resources {
					places += p.Count
				}
				if c.Calls != calls[k] && c.Known || sum != calls[k] || c.Known && c.Bytes != bytes[k] || named > maxEndpoints || s.Count != signIns[k] || places != signIns[k] || len(s.Resources) > maxPlaces+1 {
					t.Fatalf("%s %d days ago: %d calls of %d, %d sign-ins of %d\n%+v", app, i, sum, calls[k], s.Count, signIns[k], c)
				}
			}
		}
	})
}

func bytesReader(b []byte) *bytes.Reader { return bytes.NewReader(b) }

func TestRulesSeeTheOwnPastOfAnApp(t *testing.T) {
	m, today := newTester(), start().Truncate(24*time.Hour)
	m.Date(today)
	m.SetOwn([]string{"A1"})
	var page []event.Event
	for i := 10; i > 0; i-- {
		for range i {
			page = append(page, called("a1", today.AddDate(0, 0, -i), "me", 200, 7, "u1"))
		}
	}
	for range 90 {
		page = append(page, called("a1", today, "me", 500, 7, "u2"))
	}
	m.uses(today, page...)
	m.CallsThrough(stream, today.Add(time.Hour))
	v := event.AppView{AppID: "a1", Created: today.AddDate(-1, 0, 0)}
	u := m.UsageOf(&v, today.Add(2*time.Hour), event.UseToday|event.UsePast)
	want := event.AppUsage{
		Self:  true,
		Day:   event.UseFigures{CallsKnown: true, Calls: 1, UsersKnown: true, Users: 1, BytesKnown: true, Bytes: 7},
		Today: event.UseFigures{CallsKnown: true, Calls: 90, Errors: 90, UsersKnown: true, Users: 1, BytesKnown: true, Bytes: 630},
		Mean:  event.UseFigures{CallsKnown: true, Calls: 5, UsersKnown: true, Users: 1, BytesKnown: true, Bytes: 38},
	}
	if diff := cmp.Diff(want, u); diff != "" {
		t.Error(diff)
	}
	v.AppID, v.Created = "a2", today.AddDate(0, 0, -5)
	if u := m.UsageOf(&v, today, event.UseToday|event.UsePast); u.Mean.CallsKnown || u.Self || !u.Today.CallsKnown || u.Today.Calls != 0 || !u.Day.CallsKnown {
		t.Errorf("an app of five days has no mean yet: %+v", u)
	}
	v.AppID, v.Created = "a3", today.AddDate(0, 0, -9)
	if u := m.UsageOf(&v, today, event.UseToday|event.UsePast); !u.Mean.CallsKnown || u.Mean.Calls != 0 {
		t.Errorf("an app of nine days without calls: %+v", u)
	}
}

func TestUsageThatMakesNoSenseIsRefused(t *testing.T) {
	m := newTester()
	m.uses(start(), called("a1", start(), "me", 200, 1, "u1"))
	good := snapshot(t, m.Model)
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x81
		_ = newTester().Restore(bytes.NewReader(bad)) // an error, or not; never a panic
	}
	for name, a := range map[string]*appUsage{
		"no last day": {}, "two last days": {last: append((&day{number: 1}).append(nil), (&day{number: 2}).append(nil)...)},
		"not in order":             {past: (&day{number: 5}).append(nil), last: (&day{number: 5}).append(nil)},
		"a name that is not there": {last: (&day{number: 1, endpoints: []endpoint{{name: 9}}}).append(nil)},
		"a workload of none":       {last: (&day{number: 1, endpoints: []endpoint{{workload: 200}}}).append(nil)},
	} {
		if m.Model.uses.sound(a) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// What 30 days of usage cost: 3 endpoints, 2 users, sign-ins to one resource from two
// countries, each day.
func BenchmarkUsage(b *testing.B) {
	const apps, days = 10_000, 31
	first := start().Truncate(24 * time.Hour)
	fill := func() *Model {
		m := New(Options{Tenant: tenant})
		for d := range days {
			at := first.AddDate(0, 0, d)
			m.Date(at)
			for a := range apps {
				app := guid(2, a)
				for k := range 6 {
					e := called(app, at, []string{"users", "me/messages", "groups/{id}/members"}[k%3], 200, 51234, fmt.Sprint("user", (a+k%2)%500))
					m.Observe(&e)
				}
				for k := range 2 {
					e := event.Event{Class: event.ClassSignIn, Source: "x/signins_service_principal", Time: at, App: event.App{AppID: app}, SignIn: event.SignIn{Kind: "service_principal"}, Result: event.ResultSuccess, Resource: event.Entity{Name: "Microsoft Graph"}, Origin: event.Origin{Country: []string{"NL", "DE"}[k]}}
					m.Observe(&e)
				}
				if a%1000 == 999 {
					m.Used()
				}
			}
			m.Used()
		}
		return m
	}
	b.Run("held", func(b *testing.B) {
		for range b.N {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			m := fill()
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/apps/days, "B/app-day")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/apps/days/8, "ns/record")
			runtime.KeepAlive(m)
		}
	})
	for name, first := range map[string]bool{"seen by a rule": false, "seen for the first time": true} {
		b.Run(name, func(b *testing.B) {
			m := fill()
			v := event.AppView{AppID: guid(2, 17)}
			now := start().Truncate(24*time.Hour).AddDate(0, 0, days-1)
			b.ReportAllocs()
			for b.Loop() {
				m.uses.memo = usageMemo{}
				if first {
					m.uses.apps[v.AppID].known = ""
				}
				if u := m.UsageOf(&v, now, event.UseToday|event.UsePast); u.Today.Calls != 6 {
					b.Fatal(u)
				}
			}
		})
	}
}
