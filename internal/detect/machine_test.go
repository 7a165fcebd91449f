package detect

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/rule"
)

const tenant = "11111111-1111-1111-1111-111111111111"

func start() time.Time { return time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC) }

const testRules = `
rule "t.each" {
  title    = "Each consent"
  severity = "low"
  on       = ["app.consent.granted"]
}
rule "t.quiet" {
  title    = "Quiet"
  severity = "medium"
  on       = ["app.owner.added"]
  suppress {
    by  = [app.id]
    for = "24h"
  }
}
rule "t.burst" {
  title    = "Burst"
  severity = "high"
  on       = ["app.credential.added"]
  threshold {
    count  = 3
    by     = [app.id]
    within = "10m"
  }
}
rule "t.users" {
  title    = "Many users"
  severity = "high"
  on       = ["user.signin"]
  threshold {
    count    = 3
    distinct = [actor.id]
    by       = [app.id]
    within   = "1h"
  }
}
rule "t.asn" {
  title    = "New network"
  severity = "medium"
  on       = ["app.signin"]
  first_seen {
    key         = [app.id, source.asn]
    history     = "30d"
    min_history = "7d"
  }
}
rule "t.audit" {
  title    = "Only watching"
  severity = "low"
  mode     = "audit"
  on       = ["app.consent.granted"]
}
rule "t.upstream" {
  title    = "Alert of the provider"
  severity = "medium"
  on       = ["alert.upstream"]
}
rule "t.unexplained" {
  title    = "Unexplained grant"
  severity = "high"
  on       = ["inventory.grant.unexplained"]
}
rule "t.new_app" {
  title    = "New app"
  severity = "informational"
  on       = ["inventory.app.added"]
}
policy "t.wide" {
  title    = "Tenant-wide consent"
  severity = "high"
  where    = app.tenant_wide
}
`

func blob(text string) *event.RulesBlob {
	return &event.RulesBlob{Engine: "1", Zone: "UTC", Files: []event.RulesFile{{Path: "rules/t.hcl", Text: []byte(text)}}}
}

// world feeds a machine and keeps every frame.
type world struct {
	t      testing.TB
	m      *Machine
	now    time.Time
	n      int
	frames []*event.Frame
	alerts []event.Alert
}

func newWorld(t testing.TB, rules string) *world {
	w := &world{t: t, m: New(nil, options()), now: start()}
	w.rules(rules)
	return w
}

func options() Options { return Options{Tenant: tenant, Settle: -1} }

func (w *world) apply(f *event.Frame) []event.Alert {
	if f.Time.IsZero() {
		f.Time = w.now
	}
	f.LSN = uint64(len(w.frames) + 1)
	w.m.Apply(f)
	w.frames = append(w.frames, f)
	w.alerts = append(w.alerts, f.Alerts...)
	return f.Alerts
}

func (w *world) rules(text string) []event.Alert {
	a := w.apply(&event.Frame{Kind: event.FrameRules, Rules: blob(text)})
	if n := w.m.Stats().RefusedRules; n != 0 {
		_, diags := rule.Compile(blob(text))
		w.t.Fatalf("rules refused: %v", diags)
	}
	return a
}

// make builds an event; later calls give later ids, not later times.
func (w *world) make(action string, at time.Time, f func(*event.Event)) event.Event {
	w.n++
	e := event.Event{
		ID: event.NewID("test", fmt.Sprint(w.n)), UpstreamID: fmt.Sprint(w.n), Provider: "entra", Tenant: tenant,
		Source: "entra/t/directory_audits", Class: classOf(action), Time: at, Observed: at, Action: action,
		Activity: "Activity of " + action, Result: event.ResultSuccess,
		App: event.App{ID: "s1", AppID: "a1", Name: "One"}, Actor: event.Actor{Type: event.TypeUser, ID: "u1", Name: "Ada"},
	}
	e.Content = e.ID
	if f != nil {
		f(&e)
	}
	return e
}

func (w *world) event(action string, at time.Time, f func(*event.Event)) []event.Alert {
	return w.page(w.make(action, at, f))
}

func (w *world) page(events ...event.Event) []event.Alert {
	return w.apply(&event.Frame{Kind: event.FramePage, Source: "entra/t/directory_audits", Events: events})
}

func (w *world) tick(after time.Duration) []event.Alert {
	w.now = w.now.Add(after)
	return w.apply(&event.Frame{Kind: event.FrameTick, CompleteThrough: []event.SourceTime{
		{Source: "entra/t/directory_audits", Time: w.now}, {Source: "entra/t/signins_interactive", Time: w.now},
		{Source: "entra/t/signins_service_principal", Time: w.now}}})
}

func (w *world) objects(sync *event.Sync, objects ...event.Object) []event.Alert {
	return w.apply(&event.Frame{Kind: event.FramePage, Source: "entra/t/inventory", Objects: objects, Sync: sync})
}

// firstSync shows all four kinds.
func (w *world) firstSync(objects ...event.Object) {
	for _, kind := range []string{event.ObjectApplication, event.ObjectServicePrincipal, event.ObjectDelegatedGrant, event.ObjectAppRoleAssignment} {
		var of []event.Object
		for _, o := range objects {
			if o.Kind == kind {
				of = append(of, o)
			}
		}
		if got := w.objects(&event.Sync{Scope: kind, Kind: kind, Generation: 1, Complete: true, Baseline: true}, of...); len(got) != 0 {
			w.t.Errorf("the first sync raises %v", told(got))
		}
	}
}

func delta(kind string) *event.Sync { return &event.Sync{Scope: kind, Kind: kind} }

func app(n int) event.Object {
	return event.Object{Kind: event.ObjectServicePrincipal, ID: fmt.Sprintf("s%d", n), App: &event.AppObject{
		Has: event.HasAppID | event.HasName | event.HasOwnerTenant, AppID: fmt.Sprintf("a%d", n), Name: fmt.Sprintf("App %d", n), OwnerTenant: tenant}}
}

func wide(n int) event.Object {
	return event.Object{Kind: event.ObjectDelegatedGrant, ID: fmt.Sprintf("g%d", n), Grant: &event.GrantObject{
		Client: fmt.Sprintf("s%d", n), Resource: "graph", ConsentType: "all_principals", Scopes: []string{"Mail.Read"}}}
}

func removed(o event.Object) event.Object {
	return event.Object{Kind: o.Kind, ID: o.ID, Removed: "deleted"}
}

// told is one line per alert.
func told(alerts []event.Alert) []string {
	var out []string
	for _, a := range alerts {
		out = append(out, fmt.Sprintf("%s %s %s %s n=%d", a.RuleID, a.Kind, a.State, a.App.Name, a.Count))
	}
	return out
}

func expectTold(t *testing.T, alerts []event.Alert, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, told(alerts)); diff != "" {
		t.Errorf("alerts (-want +got):\n%s", diff)
	}
}

func TestARuleWithoutSuppressionAlertsOnEachEvent(t *testing.T) {
	w := newWorld(t, testRules)
	a := w.event(event.ActionConsentGranted, start(), nil)
	b := w.event(event.ActionConsentGranted, start(), func(e *event.Event) { e.Backfill = true })
	expectTold(t, append(a, b...), "t.each detection new One n=1", "t.each detection new One n=1")
	if a[0].ID == b[0].ID || a[0].DeliveryID == b[0].DeliveryID {
		t.Error("two alerts share an identity")
	}
	if a[0].Backfill || !b[0].Backfill {
		t.Error("backfill of the event is not that of the alert")
	}
	if n := stat(w, "t.audit").Fired; n != 2 {
		t.Errorf("the rule in audit mode fired %d times, want 2, counted only", n)
	}
}

func stat(w *world, id string) RuleStats {
	for _, r := range w.m.Stats().Rules {
		if r.ID == id {
			return r
		}
	}
	w.t.Fatalf("no stats of %s", id)
	return RuleStats{}
}

func TestANewVersionOfAKnownEventIsNotCountedAgain(t *testing.T) {
	w := newWorld(t, testRules)
	e := w.make(event.ActionConsentGranted, start(), nil)
	w.page(e)
	e.Version, e.Content = 1, event.NewID("other")
	expectTold(t, w.page(e))
}

func TestSuppressionSwallowsAndCounts(t *testing.T) {
	w := newWorld(t, testRules)
	at := func(d time.Duration) []event.Alert { return w.event(event.ActionOwnerAdded, start().Add(d), nil) }
	expectTold(t, at(0), "t.quiet detection new One n=1")
	for range 8 {
		expectTold(t, at(time.Hour))
	}
	tenth := at(2 * time.Hour)
	expectTold(t, tenth, "t.quiet detection updated One n=10")
	if tenth[0].ID != w.alerts[0].ID || tenth[0].Sequence != 1 || tenth[0].DeliveryID == w.alerts[0].DeliveryID {
		t.Errorf("the update has id %s, sequence %d", tenth[0].ID, tenth[0].Sequence)
	}
	expectTold(t, at(-time.Hour)) // a late one
	expectTold(t, w.event(event.ActionOwnerAdded, start(), func(e *event.Event) { e.App = event.App{ID: "s2", Name: "Two"} }),
		"t.quiet detection new Two n=1")
	expectTold(t, at(24*time.Hour), "t.quiet detection new One n=1")
	expectTold(t, at(25*time.Hour))
}

func TestAThresholdFiresOnceItsWindowIsFull(t *testing.T) {
	w := newWorld(t, testRules)
	at := func(m int) []event.Alert {
		return w.event(event.ActionCredentialAdded, start().Add(time.Duration(m)*time.Minute), nil)
	}
	expectTold(t, at(0))
	expectTold(t, at(9))
	expectTold(t, at(11)) // 0 is out of reach
	got := at(12)
	expectTold(t, got, "t.burst detection new One n=3")
	if len(got[0].Evidence) != 3 || got[0].EvidenceTotal != 3 {
		t.Errorf("evidence = %+v, want three events", got[0].Evidence)
	}
	expectTold(t, at(13)) // the same burst
}

func TestAThresholdCountsEventsThatComeLate(t *testing.T) {
	w := newWorld(t, testRules)
	at := func(m int) []event.Alert {
		return w.event(event.ActionCredentialAdded, start().Add(time.Duration(m)*time.Minute), nil)
	}
	at(0)
	at(600)
	at(8)
	expectTold(t, at(4), "t.burst detection new One n=3")
}

func TestAWrongClockDoesNotEmptyAWindow(t *testing.T) {
	for _, jump := range []time.Duration{-365 * 24 * time.Hour, 365 * 24 * time.Hour} {
		w := newWorld(t, testRules)
		add := func(d time.Duration) []event.Alert { return w.event(event.ActionCredentialAdded, start().Add(d), nil) }
		add(0)
		add(time.Minute)
		expectTold(t, add(jump))
		expectTold(t, add(2*time.Minute), "t.burst detection new One n=3")
	}
}

func TestDistinctCountsValuesNotEvents(t *testing.T) {
	w := newWorld(t, testRules)
	by := func(user string, m int) []event.Alert {
		return w.event(event.ActionUserSignIn, start().Add(time.Duration(m)*time.Minute), func(e *event.Event) { e.Actor.ID = user })
	}
	expectTold(t, by("u1", 0))
	expectTold(t, by("u1", 1))
	expectTold(t, by("u2", 2))
	expectTold(t, by("u2", 3))
	if got := by("u3", 4); len(got) != 1 {
		t.Errorf("three users raise %v", told(got))
	}
	expectTold(t, w.event(event.ActionUserSignIn, start(), func(e *event.Event) { e.Actor.ID = "" })) // unknown is nobody
}

func TestFirstSeenLearnsBeforeItSpeaks(t *testing.T) {
	w := newWorld(t, testRules)
	from := func(asn uint32, day int) []event.Alert {
		return w.event(event.ActionAppSignIn, start().AddDate(0, 0, day), func(e *event.Event) { e.Origin.ASN = asn })
	}
	expectTold(t, from(1, 0))
	expectTold(t, from(2, 6)) // new, but the rule is still learning
	expectTold(t, from(2, 8))
	expectTold(t, from(1, 8))
	expectTold(t, from(3, 8), "t.asn detection new One n=1")
	expectTold(t, from(3, 9))
	expectTold(t, from(4, 7), "t.asn detection new One n=1") // late, and new
	expectTold(t, from(1, 39), "t.asn detection new One n=1")
	expectTold(t, from(0, 39)) // an unknown network is not a new one
}

func TestFirstSeenHasLookedSinceItsSourceIsRead(t *testing.T) {
	w := newWorld(t, testRules)
	w.tick(0)
	expectTold(t, w.event(event.ActionAppSignIn, start().AddDate(0, 0, 8), func(e *event.Event) { e.Origin.ASN = 1 }),
		"t.asn detection new One n=1")
}

func TestFirstSeenRecoversFromAWrongFirstClock(t *testing.T) {
	w := newWorld(t, testRules)
	from := func(asn uint32, at time.Time) []event.Alert {
		return w.event(event.ActionAppSignIn, at, func(e *event.Event) { e.Origin.ASN = asn })
	}
	from(1, start().AddDate(1, 0, 0))
	for i := range farBehind {
		from(1, start().Add(time.Duration(i)*time.Minute))
	}
	expectTold(t, from(9, start().AddDate(0, 0, 8)), "t.asn detection new One n=1")
}

func TestAProvidersAlertIsFollowed(t *testing.T) {
	w := newWorld(t, testRules)
	base := w.make(event.ActionUpstreamAlert, start(), nil)
	send := func(version uint32, status string, updated time.Duration) []event.Alert {
		e := base
		e.Version, e.Content = version, event.NewID("content", fmt.Sprint(version), status)
		e.Upstream = &event.Upstream{AlertID: "up-1", Status: status, Severity: event.SeverityHigh, Title: "Unusual mail traffic",
			Techniques: []string{"T1114"}, Updated: start().Add(updated)}
		return w.page(e)
	}
	first := send(0, "new", 0)
	expectTold(t, first, "t.upstream upstream new One n=1")
	if a := first[0]; a.Title != "Unusual mail traffic" || a.Severity != event.SeverityHigh || a.Upstream == nil || a.Upstream.AlertID != "up-1" {
		t.Errorf("the alert does not carry what the provider says: %+v", a)
	}
	second := send(1, "in_progress", time.Hour)
	expectTold(t, second, "t.upstream upstream updated One n=1")
	third := send(2, "resolved", 2*time.Hour)
	expectTold(t, third, "t.upstream upstream resolved One n=1")
	if first[0].ID != third[0].ID || third[0].Sequence != 2 {
		t.Errorf("the update has another id or sequence %d", third[0].Sequence)
	}
	expectTold(t, send(3, "new", time.Hour)) // an older state that comes late
}

func TestAProvidersAlertOutlivesAnEditOfItsRule(t *testing.T) {
	w := newWorld(t, testRules)
	e := w.make(event.ActionUpstreamAlert, start(), func(e *event.Event) { e.Upstream = &event.Upstream{AlertID: "up-1", Status: "new"} })
	first := w.page(e)
	w.rules(strings.Replace(testRules, "Alert of the provider", "An alert of the provider", 1))
	e.Version, e.Content, e.Upstream = 1, event.NewID("v1"), &event.Upstream{AlertID: "up-1", Status: "resolved"}
	got := w.page(e)
	expectTold(t, got, "t.upstream upstream resolved One n=1")
	if got[0].ID != first[0].ID || got[0].Sequence != 1 {
		t.Errorf("the alert lost its identity: sequence %d", got[0].Sequence)
	}
}

func TestAnAppThatGetsItsAppIDLateKeepsOneAlert(t *testing.T) {
	w := newWorld(t, testRules)
	w.event(event.ActionOther, start(), nil) // the audit log is read
	w.firstSync()
	w.tick(time.Minute)
	late := app(1)
	late.App = &event.AppObject{Has: event.HasName, Name: "App 1"}
	w.objects(delta(event.ObjectServicePrincipal), late)
	expectTold(t, w.objects(delta(event.ObjectDelegatedGrant), wide(1)), "t.wide policy new App 1 n=1")
	got := w.objects(delta(event.ObjectServicePrincipal), app(1))
	expectTold(t, got, "t.wide policy new App 1 n=1", "t.wide policy resolved App 1 n=1")
	expectTold(t, w.tick(5*time.Hour), "t.unexplained detection new App 1 n=1") // no policy opens twice
}

func TestDayOneIsOneSummaryPerPolicy(t *testing.T) {
	w := newWorld(t, testRules)
	w.event(event.ActionOther, start(), nil) // the audit log is read
	w.firstSync(app(1), app(2), app(3), wide(1), wide(2))
	got := w.tick(time.Minute)
	expectTold(t, got, "t.wide summary new  n=2")
	if want := "Tenant-wide consent: 2 apps: App 1, App 2"; got[0].Summary != want {
		t.Errorf("summary = %q, want %q", got[0].Summary, want)
	}
	t.Run("what the summary covers is not told again", func(t *testing.T) { expectTold(t, w.tick(2*time.Hour)) })
	t.Run("a later finding has an alert of its own, at once", func(t *testing.T) {
		expectTold(t, w.objects(delta(event.ObjectDelegatedGrant), wide(3)), "t.wide policy new App 3 n=1")
		expectTold(t, w.tick(5*time.Hour), "t.unexplained detection new App 3 n=1")
	})
	t.Run("it is resolved when it no longer holds", func(t *testing.T) {
		got := w.objects(delta(event.ObjectDelegatedGrant), removed(wide(3)))
		expectTold(t, got, "t.wide policy resolved App 3 n=1")
		if got[0].Reason != "the condition no longer holds" || got[0].Sequence != 1 {
			t.Errorf("resolved as %q, sequence %d", got[0].Reason, got[0].Sequence)
		}
	})
	t.Run("the summary is resolved with its last app", func(t *testing.T) {
		expectTold(t, w.objects(delta(event.ObjectDelegatedGrant), removed(wide(1))))
		expectTold(t, w.objects(delta(event.ObjectServicePrincipal), removed(app(2))), "t.wide summary resolved  n=2")
	})
}

func TestPoliciesWaitForTheFirstSyncs(t *testing.T) {
	w := newWorld(t, testRules)
	kind := event.ObjectServicePrincipal
	w.objects(&event.Sync{Scope: kind, Kind: kind, Generation: 1, Complete: true, Baseline: true}, app(1))
	w.objects(&event.Sync{Scope: "d", Kind: event.ObjectDelegatedGrant, Generation: 1, Baseline: true}, wide(1))
	expectTold(t, w.tick(time.Minute))
	expectTold(t, w.tick(30*time.Minute))
	expectTold(t, w.tick(31*time.Minute), "t.wide summary new  n=1") // one of the syncs never ends
}

func TestEditedRulesKeepWhatIsOpen(t *testing.T) {
	w := newWorld(t, testRules)
	w.firstSync(app(1), app(2))
	w.tick(time.Minute)
	w.objects(delta(event.ObjectDelegatedGrant), wide(1))
	w.event(event.ActionOwnerAdded, w.now, nil)
	w.event(event.ActionCredentialAdded, w.now, nil)
	w.event(event.ActionCredentialAdded, w.now, nil)

	t.Run("unchanged rules keep their windows", func(t *testing.T) {
		expectTold(t, w.rules(testRules+"\n# a comment\n"))
		expectTold(t, w.event(event.ActionCredentialAdded, w.now, nil), "t.burst detection new One n=3")
	})
	t.Run("an edited policy keeps its open alerts", func(t *testing.T) {
		edited := strings.Replace(testRules, `"Tenant-wide consent"`, `"Consent for all"`, 1)
		expectTold(t, w.rules(edited))
		expectTold(t, w.tick(time.Minute))
	})
	t.Run("a deleted rule resolves what it has open", func(t *testing.T) {
		expectTold(t, w.rules(`rule "t.each" {
			title = "Each"
			severity = "low"
			on = ["app.consent.granted"]
		}`), "t.burst detection resolved One n=3", "t.quiet detection resolved One n=1", "t.wide policy resolved App 1 n=1")
	})
}

func TestRulesThatDoNotCompileChangeNothing(t *testing.T) {
	w := newWorld(t, testRules)
	w.apply(&event.Frame{Kind: event.FrameRules, Rules: blob(`rule "broken`)})
	if n := w.m.Stats().RefusedRules; n != 1 {
		t.Errorf("%d refused, want 1", n)
	}
	if got := w.event(event.ActionConsentGranted, start(), nil); len(got) != 1 {
		t.Error("the former rules are no longer in force")
	}
}

func TestAppsAreJoinedByObjectID(t *testing.T) {
	w := newWorld(t, testRules)
	w.firstSync(app(1), app(2))
	e := w.make(event.ActionConsentGranted, start(), func(e *event.Event) {
		e.App = event.App{ID: "s1"}
		e.Actor = event.Actor{Type: event.TypeApp, ID: "s2"}
	})
	got := w.page(e)
	if len(got) != 1 || got[0].App.AppID != "a1" || got[0].App.Name != "App 1" || got[0].AppOrigin != "own" {
		t.Errorf("the app is not joined: %+v", got)
	}
	if got[0].Actor.AppID != "a2" || got[0].Actor.Name != "App 2" {
		t.Errorf("the actor is not joined: %+v", got[0].Actor)
	}
}

func TestKeysAreBounded(t *testing.T) {
	w := newWorld(t, strings.Replace(testRules, `by     = [app.id]
    within = "10m"`, `by     = [app.id]
    within = "10m"
    max_keys = 100`, 1))
	for i := range 1000 {
		w.event(event.ActionCredentialAdded, start().Add(time.Duration(i)*time.Second), func(e *event.Event) { e.App.ID = fmt.Sprint(i) })
	}
	if s := stat(w, "t.burst"); s.Keys > 100 || s.Evicted < 900 {
		t.Errorf("%d keys held, %d evicted", s.Keys, s.Evicted)
	}
}

func TestAQuarantinedRecordOfAFullReadRemovesNothing(t *testing.T) {
	w := newWorld(t, testRules)
	w.firstSync(app(1), app(2))
	kind := event.ObjectServicePrincipal
	w.apply(&event.Frame{Kind: event.FramePage, Source: "entra/t/service_principals", Sync: &event.Sync{Scope: kind, Kind: kind, Generation: 2, Complete: true},
		Objects: []event.Object{app(1)}, Quarantined: []event.Quarantine{{Reason: "wrong_type"}}})
	if _, ok := w.m.Inventory().View("a2"); !ok {
		t.Error("the app behind the quarantined record is gone")
	}
}

func TestAGrantMadeInAGapOfTheAuditLogIsNotCalledUnexplained(t *testing.T) {
	for _, c := range []struct {
		name, source string
		want         []string
	}{
		{"a gap of the audit log", "entra/t/directory_audits", nil},
		{"a gap of another source", "entra/t/alerts", []string{"t.unexplained detection new App 1 n=1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, testRules)
			w.firstSync(app(1))
			w.tick(0)
			w.apply(&event.Frame{Kind: event.FramePage, Source: c.source, Gaps: []event.Gap{{Source: c.source, From: w.now, To: w.now.Add(time.Minute)}}})
			w.objects(delta(event.ObjectDelegatedGrant), wide(1))
			got := w.tick(5 * time.Hour)
			got = slices.DeleteFunc(got, func(a event.Alert) bool { return a.RuleID != "t.unexplained" })
			expectTold(t, got, c.want...)
		})
	}
}

func TestAnAlertNamesTheAPIThatWasConsentedTo(t *testing.T) {
	w := newWorld(t, testRules)
	w.firstSync(app(7))
	got := w.event(event.ActionConsentGranted, start(), func(e *event.Event) {
		e.Resource = event.Entity{Type: event.TypeServicePrincipal, ID: "s7"}
	})
	if want := (event.Entity{Type: event.TypeServicePrincipal, ID: "s7", AppID: "a7", Name: "App 7"}); got[0].Resource != want {
		t.Errorf("the resource is %+v, want %+v", got[0].Resource, want)
	}
}

func TestAnAppOutsideTheInventoryHasTheOriginThatItsRecordSays(t *testing.T) {
	w := newWorld(t, testRules)
	for owner, want := range map[string]string{tenant: "own", "f8cdef31-a31e-4b4a-93e4-5f571e91255a": "first_party", "": ""} {
		got := w.event(event.ActionConsentGranted, start(), func(e *event.Event) { e.App.OwnerTenant = owner })
		if got[0].AppOrigin != want {
			t.Errorf("owner %q: origin %q, want %q", owner, got[0].AppOrigin, want)
		}
	}
}
