package inventory

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/event"
)

const tenant = "11111111-1111-1111-1111-111111111111"

func start() time.Time { return time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC) }

// tester drives a model through pages, one minute apart.
type tester struct {
	*Model
	now time.Time
}

func newTester() *tester {
	tier := func(_, kind, name string) int8 {
		switch {
		case name == "Mail.Read" && kind == "application":
			return 2
		case name == "Mail.Read":
			return 3
		case name == "User.Read":
			return 4
		}
		return 0
	}
	return &tester{Model: New(Options{Tenant: tenant, Tier: tier}), now: start()}
}

func (t *tester) page(sync *event.Sync, objects ...event.Object) []event.Event {
	t.now = t.now.Add(time.Minute)
	return t.Apply(objects, sync, t.now)
}

func baseline(kind string) *event.Sync {
	return &event.Sync{Scope: kind, Kind: kind, Generation: 1, Complete: true, Baseline: true}
}

func delta(kind string) *event.Sync { return &event.Sync{Scope: kind, Kind: kind, Complete: true} }

func resync(kind string, gen uint64, complete bool) *event.Sync {
	return &event.Sync{Scope: kind, Kind: kind, Generation: gen, Complete: complete}
}

func principal(id, appID, name string) event.Object {
	return event.Object{Kind: event.ObjectServicePrincipal, ID: id, App: &event.AppObject{
		Has:   event.HasAppID | event.HasName | event.HasEnabled | event.HasOwnerTenant | event.HasPasswords | event.HasReplyURLs,
		AppID: appID, Name: name, Enabled: true, OwnerTenant: "22222222-2222-2222-2222-222222222222",
	}}
}

func registration(id, appID, name string) event.Object {
	return event.Object{Kind: event.ObjectApplication, ID: id, App: &event.AppObject{
		Has: event.HasAppID | event.HasName | event.HasOwnerTenant, AppID: appID, Name: name, OwnerTenant: tenant,
	}}
}

func consent(id, client, principal string, scopes ...string) event.Object {
	g := &event.GrantObject{Client: client, Resource: "graph", ConsentType: "principal", Principal: principal, Scopes: scopes}
	if principal == "" {
		g.ConsentType = "all_principals"
	}
	return event.Object{Kind: event.ObjectDelegatedGrant, ID: id, Grant: g}
}

func assignment(id, client, role string) event.Object {
	return event.Object{Kind: event.ObjectAppRoleAssignment, ID: id,
		Grant: &event.GrantObject{Client: client, Resource: "graph", RoleID: role, ClientName: "Client " + client}}
}

func gone(kind, id string) event.Object { return event.Object{Kind: kind, ID: id, Removed: "deleted"} }

// told is one line per event: action, app, and what differs.
func told(events []event.Event) []string {
	var out []string
	for _, e := range events {
		s := strings.TrimPrefix(e.Action, "inventory.") + " " + e.App.Name
		for _, c := range e.Changes {
			s += fmt.Sprintf(" %s:%v->%v", c.Name, c.Old, c.New)
		}
		for _, p := range e.Permissions {
			s += " " + map[bool]string{true: "-", false: "+"}[p.Removed] + p.Name
		}
		if e.Credential.KeyID != "" {
			s += " key:" + e.Credential.KeyID
		}
		out = append(out, s)
	}
	return out
}

func expectTold(t *testing.T, events []event.Event, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, told(events)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestWhatTheInventoryTells(t *testing.T) {
	sp := event.ObjectServicePrincipal
	with := func(o event.Object, f func(*event.AppObject)) event.Object {
		f(o.App)
		return o
	}
	cases := []struct {
		name  string
		pages func(*tester) []event.Event // the events of the last page
		want  []string
	}{
		{"the first sync says nothing", func(m *tester) []event.Event {
			return m.page(baseline(sp), principal("s1", "a1", "One"))
		}, nil},
		{"an app that appears later is added", func(m *tester) []event.Event {
			m.page(baseline(sp))
			return m.page(delta(sp), principal("s1", "a1", "One"))
		}, []string{"app.added One"}},
		{"the registration of a known principal is a change, not a new app", func(m *tester) []event.Event {
			m.page(baseline(sp), principal("s1", "a1", "One"))
			return m.page(delta(event.ObjectApplication), registration("o1", "a1", "One"))
		}, []string{"app.changed One application:[]->[o1]"}},
		{"a new name, a reply URL and a switched-off app are one change", func(m *tester) []event.Event {
			m.page(baseline(sp), principal("s1", "a1", "One"))
			return m.page(delta(sp), with(principal("s1", "a1", "Uno"), func(a *event.AppObject) {
				a.Enabled, a.ReplyURLs = false, []string{"https://evil.example"}
			}))
		}, []string{"app.changed Uno name:[One]->[Uno] reply_urls:[]->[https://evil.example] enabled:[true]->[false]"}},
		{"what a delta does not carry stays as it was", func(m *tester) []event.Event {
			m.page(baseline(sp), principal("s1", "a1", "One"))
			return m.page(delta(sp), event.Object{Kind: sp, ID: "s1", App: &event.AppObject{Has: event.HasEnabled, Enabled: true}})
		}, nil},
		{"a property seen for the first time is no change", func(m *tester) []event.Event {
			m.page(baseline(sp), principal("s1", "a1", "One"))
			return m.page(delta(sp), event.Object{Kind: sp, ID: "s1", App: &event.AppObject{Has: event.HasPublisherName, PublisherName: "X"}})
		}, nil},
		{"reply URLs in another order are no change", func(m *tester) []event.Event {
			m.page(baseline(sp), with(principal("s1", "a1", "One"), func(a *event.AppObject) { a.ReplyURLs = []string{"b", "a"} }))
			return m.page(delta(sp), with(principal("s1", "a1", "One"), func(a *event.AppObject) { a.ReplyURLs = []string{"a", "b"} }))
		}, nil},
		{"credentials that come and go are told one by one", func(m *tester) []event.Event {
			key := func(id string) event.Credential { return event.Credential{KeyID: id, Kind: "password"} }
			m.page(baseline(sp), with(principal("s1", "a1", "One"), func(a *event.AppObject) { a.Credentials = []event.Credential{key("k1"), key("k2")} }))
			return m.page(delta(sp), with(principal("s1", "a1", "One"), func(a *event.AppObject) { a.Credentials = []event.Credential{key("k2"), key("k3")} }))
		}, []string{"credential.added One key:k3", "credential.removed One key:k1"}},
		{"certificates stay when only passwords are listed", func(m *tester) []event.Event {
			m.page(baseline(sp), with(principal("s1", "a1", "One"), func(a *event.AppObject) {
				a.Has |= event.HasKeys
				a.Credentials = []event.Credential{{KeyID: "c1", Kind: "certificate"}}
			}))
			e := m.page(delta(sp), principal("s1", "a1", "One"))
			if v, _ := m.View("a1"); len(v.Credentials) != 1 {
				return []event.Event{{Action: "inventory.the certificate is lost"}}
			}
			return e
		}, nil},
		{"a removed app is told with its name", func(m *tester) []event.Event {
			m.page(baseline(sp), principal("s1", "a1", "One"))
			return m.page(delta(sp), gone(sp, "s1"))
		}, []string{"app.removed One"}},
		{"removing the principal of a registered app is a change", func(m *tester) []event.Event {
			m.page(baseline(sp), principal("s1", "a1", "One"))
			m.page(baseline(event.ObjectApplication), registration("o1", "a1", "One"))
			return m.page(delta(sp), gone(sp, "s1"))
		}, []string{"app.changed One service_principal:[s1]->[]"}},
		{"an unknown object that is removed says nothing", func(m *tester) []event.Event {
			return m.page(delta(sp), gone(sp, "s9"), gone(event.ObjectDelegatedGrant, "g9"))
		}, nil},
		{"a new grant names its scopes", func(m *tester) []event.Event {
			m.page(baseline(sp), principal("s1", "a1", "One"))
			m.page(baseline(event.ObjectDelegatedGrant))
			return m.page(delta(event.ObjectDelegatedGrant), consent("g1", "s1", "u1", "openid", "Mail.Read"))
		}, []string{"grant.added One +Mail.Read +openid"}},
		{"a grant that widens tells the difference", func(m *tester) []event.Event {
			m.page(baseline(sp), principal("s1", "a1", "One"))
			m.page(baseline(event.ObjectDelegatedGrant), consent("g1", "s1", "u1", "openid", "Mail.Read"))
			return m.page(delta(event.ObjectDelegatedGrant), consent("g1", "s1", "u1", "Files.Read", "Mail.Read"))
		}, []string{"grant.changed One scopes:[Mail.Read openid]->[Files.Read Mail.Read] +Files.Read -openid"}},
		{"an app role is told by name when the resource is known", func(m *tester) []event.Event {
			m.page(baseline(sp), principal("s1", "a1", "One"), graph())
			return m.page(delta(event.ObjectAppRoleAssignment), assignment("r1", "s1", "role-1"))
		}, []string{"grant.added One +Mail.Read"}},
		{"a grant of an unknown client carries the name that the grant knows", func(m *tester) []event.Event {
			return m.page(delta(event.ObjectAppRoleAssignment), assignment("r1", "s7", "role-1"))
		}, []string{"grant.added Client s7 +"}},
		{"a removed grant lists what was lost", func(m *tester) []event.Event {
			m.page(baseline(sp), principal("s1", "a1", "One"))
			m.page(baseline(event.ObjectDelegatedGrant), consent("g1", "s1", "", "Mail.Read"))
			return m.page(delta(event.ObjectDelegatedGrant), gone(event.ObjectDelegatedGrant, "g1"))
		}, []string{"grant.removed One -Mail.Read"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			expectTold(t, c.pages(newTester()), c.want...)
		})
	}
}

func graph() event.Object {
	g := principal("graph", "00000003-0000-0000-c000-000000000000", "Microsoft Graph")
	g.App.Has |= event.HasAppRoles | event.HasScopes
	g.App.OwnerTenant = microsoftServices
	g.App.Roles = []event.RoleDef{{ID: "role-1", Value: "Mail.Read", Kind: "application"}}
	return g
}

func TestAResyncAfterAGoneTokenTellsDifferencesOnly(t *testing.T) {
	sp := event.ObjectServicePrincipal
	m := newTester()
	m.page(baseline(sp), principal("s1", "a1", "One"), principal("s2", "a2", "Two"), principal("s3", "a3", "Three"))

	t.Run("pages before the last remove nothing", func(t *testing.T) {
		expectTold(t, m.page(resync(sp, 2, false), principal("s1", "a1", "One")))
	})
	t.Run("the last page removes what was not shown and tells what is new", func(t *testing.T) {
		expectTold(t, m.page(resync(sp, 2, true), principal("s3", "a3", "Drei"), principal("s4", "a4", "Four")),
			"app.changed Drei name:[Three]->[Drei]", "app.added Four", "app.removed Two")
	})
	t.Run("a second resync of the same state is silent", func(t *testing.T) {
		expectTold(t, m.page(resync(sp, 3, true), principal("s1", "a1", "One"), principal("s3", "a3", "Drei"), principal("s4", "a4", "Four")))
	})
	t.Run("a resync that is abandoned for another removes nothing wrongly", func(t *testing.T) {
		m.page(resync(sp, 4, false), principal("s1", "a1", "One"))
		expectTold(t, m.page(resync(sp, 5, true), principal("s1", "a1", "One"), principal("s3", "a3", "Drei"), principal("s4", "a4", "Four")))
	})
}

func TestASweepStaysWithinItsResource(t *testing.T) {
	m := newTester()
	kind := event.ObjectAppRoleAssignment
	other := assignment("r2", "s1", "role-9")
	other.Grant.Resource = "exchange"
	m.page(baseline(kind), assignment("r1", "s1", "role-1"), other)
	sync := &event.Sync{Scope: kind + "/graph", Kind: kind, Parent: "graph", Generation: 2, Complete: true}
	expectTold(t, m.page(sync), "grant.removed Client s1 -")
	if m.grants.find("r2") == nil {
		t.Error("the assignment on another resource was swept")
	}
}

func TestViewJoinsAllThatIsKnownOfAnApp(t *testing.T) {
	m := newTester()
	one := principal("s1", "a1", "One")
	one.App.Credentials = []event.Credential{{KeyID: "k1", Kind: "password"}}
	m.page(baseline(event.ObjectApplication), registration("o1", "a1", "one (registration)"))
	m.page(baseline(event.ObjectServicePrincipal), one, graph())
	m.page(baseline(event.ObjectDelegatedGrant),
		consent("g1", "s1", "u1", "User.Read", "Mail.Read"), consent("g2", "s1", "u2", "User.Read"), consent("g3", "s1", "", "User.Read"))
	m.page(baseline(event.ObjectAppRoleAssignment), assignment("r1", "s1", "role-1"))
	used := m.now.Add(-time.Hour)
	m.Observe(&event.Event{Class: event.ClassSignIn, Result: event.ResultSuccess, Time: used, App: event.App{AppID: "a1"}})
	m.Observe(&event.Event{Class: event.ClassSignIn, Result: event.ResultFailure, Time: m.now, App: event.App{AppID: "a1"}})
	m.Collected("entra/x/signins_interactive", start().Add(-48*time.Hour))
	m.CollectedThrough("entra/x/signins_non_interactive", start().Add(-36*time.Hour))
	m.Collected("entra/x/signins_service_principal", start().Add(-24*time.Hour))
	for i, name := range signInsOf("") {
		m.CollectedThrough("entra/x/"+name, start().Add(time.Duration(i)*time.Hour))
	}

	graphID := "00000003-0000-0000-c000-000000000000"
	want := event.AppView{
		ID: "s1", ObjectID: "o1", AppID: "a1", Name: "One", OwnerTenant: "22222222-2222-2222-2222-222222222222", Origin: "external",
		Enabled: true, FirstSeen: start().Add(time.Minute), LastSeen: start().Add(2 * time.Minute),
		LastUsed: used, UsedKnown: true, UsedSince: start().Add(-24 * time.Hour), UsedThrough: start(), Tier: 2, TenantWide: true, Users: 2,
		Delegated: []event.Permission{
			{Kind: "delegated", Name: "Mail.Read", Resource: "graph", API: graphID, Tier: 3},
			{Kind: "delegated", Name: "User.Read", Resource: "graph", API: graphID, Tier: 4},
		},
		Application: []event.Permission{{Kind: "application", Name: "Mail.Read", ID: "role-1", Resource: "graph", API: graphID, Tier: 2}},
		Credentials: []event.Credential{{KeyID: "k1", Kind: "password"}},
	}
	for _, key := range []string{"s1", "o1", "a1"} {
		got, ok := m.View(key)
		if !ok {
			t.Fatalf("View(%q) knows nothing", key)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("View(%q) (-want +got):\n%s", key, diff)
		}
	}
	if _, ok := m.View("nobody"); ok {
		t.Error("View knows an app that is not there")
	}
	wantRef := event.App{ID: "s1", ObjectID: "o1", AppID: "a1", Name: "named by the event", OwnerTenant: want.OwnerTenant}
	if got := m.Resolve(event.App{ID: "s1", Name: "named by the event"}); got != wantRef {
		t.Errorf("Resolve = %+v, want %+v", got, wantRef)
	}
}

func TestOriginFollowsTheOwnerTenant(t *testing.T) {
	m := newTester()
	for owner, want := range map[string]string{
		tenant: "own", strings.ToUpper(microsoftServices): "first_party", microsoftTools: "first_party",
		"72f988bf-86f1-41af-91ab-2d7cd011db47": "external", // any employee of Microsoft's
		"22222222-2222-2222-2222-222222222222": "external", "": "",
	} {
		if got := m.Origin(owner); got != want {
			t.Errorf("Origin(%q) = %q, want %q", owner, got, want)
		}
	}
}

func TestUseIsUnknownUntilAllSignInsOfTheKindAreCollected(t *testing.T) {
	m := newTester()
	identity := principal("s2", "a2", "Identity")
	identity.App.Has |= event.HasKind
	identity.App.Kind = "ManagedIdentity"
	m.page(baseline(event.ObjectServicePrincipal), principal("s1", "a1", "One"), identity)
	for _, step := range []struct {
		source        string
		app, identity bool
	}{
		{"signins_interactive", false, false},
		{"signins_service_principal", false, false},
		{"signins_non_interactive", true, false},
		{"signins_managed_identity", true, true},
	} {
		m.CollectedThrough("entra/x/"+step.source, start())
		one, _ := m.View("a1")
		two, _ := m.View("a2")
		if one.UsedKnown != step.app || two.UsedKnown != step.identity {
			t.Errorf("after %s: use of the app known %v, of the identity %v", step.source, one.UsedKnown, two.UsedKnown)
		}
	}
}

func TestOwnersAreUnknownUntilTheyAreShown(t *testing.T) {
	m := newTester()
	m.page(baseline(event.ObjectServicePrincipal), principal("s1", "a1", "One"))
	if v, _ := m.View("a1"); v.OwnersKnown {
		t.Error("owners that nobody read are known")
	}
	m.page(delta(event.ObjectServicePrincipal), part(event.ObjectServicePrincipal, "s1", event.AppObject{Has: event.HasOwners, Owners: []string{"u1"}}))
	if v, _ := m.View("a1"); !v.OwnersKnown {
		t.Error("owners that were shown are unknown")
	}
}

func TestAGrantWithoutAnAuditEventIsReported(t *testing.T) {
	grantKind := event.ObjectDelegatedGrant
	granted := func(at time.Time, app event.App, names ...string) *event.Event {
		e := &event.Event{Class: event.ClassAudit, Action: event.ActionPermissionGranted, Result: event.ResultSuccess, Time: at, App: app}
		for _, n := range names {
			e.Permissions = append(e.Permissions, event.Permission{Name: n})
		}
		return e
	}
	cases := []struct {
		name  string
		audit func(seen time.Time) *event.Event
		past  time.Duration // how far the audit log is complete past first sight
		want  []string
	}{
		{"no audit event at all", nil, 5 * time.Hour, []string{"grant.unexplained One +Mail.Read +User.Read"}},
		{"nothing is said before the audit log is complete", nil, 239 * time.Minute, nil},
		{"an audit event of that app and permission explains it", func(seen time.Time) *event.Event {
			return granted(seen.Add(-time.Minute), event.App{ID: "s1"}, "mail.read")
		}, 5 * time.Hour, nil},
		{"an audit event by app id explains it", func(seen time.Time) *event.Event {
			return granted(seen, event.App{AppID: "a1"}, "User.Read")
		}, 5 * time.Hour, nil},
		{"an audit event that names no permission explains it", func(seen time.Time) *event.Event {
			return granted(seen, event.App{AppID: "a1"})
		}, 5 * time.Hour, nil},
		{"an audit event of another permission does not", func(seen time.Time) *event.Event {
			return granted(seen, event.App{AppID: "a1"}, "Files.Read")
		}, 5 * time.Hour, []string{"grant.unexplained One +Mail.Read +User.Read"}},
		{"an audit event of another app does not", func(seen time.Time) *event.Event {
			return granted(seen, event.App{AppID: "a2"}, "Mail.Read")
		}, 5 * time.Hour, []string{"grant.unexplained One +Mail.Read +User.Read"}},
		{"an audit event from long before does not", func(seen time.Time) *event.Event {
			return granted(seen.Add(-72*time.Hour), event.App{AppID: "a1"}, "Mail.Read")
		}, 5 * time.Hour, []string{"grant.unexplained One +Mail.Read +User.Read"}},
		{"an attempt that failed does not", func(seen time.Time) *event.Event {
			e := granted(seen, event.App{AppID: "a1"}, "Mail.Read")
			e.Result = event.ResultFailure
			return e
		}, 5 * time.Hour, []string{"grant.unexplained One +Mail.Read +User.Read"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := newTester()
			m.page(baseline(event.ObjectServicePrincipal), principal("s1", "a1", "One"))
			m.Reconcile(start(), start()) // the audit log is read
			m.page(baseline(grantKind), consent("g0", "s1", "u0", "Mail.Read"))
			m.page(delta(grantKind), consent("g1", "s1", "u1", "Mail.Read", "User.Read"))
			if c.audit != nil {
				m.Observe(c.audit(m.now))
			}
			got := m.Reconcile(m.now.Add(c.past), m.now.Add(c.past))
			expectTold(t, got, c.want...)
			if len(c.want) > 0 {
				expectTold(t, m.Reconcile(m.now.Add(2*c.past), m.now.Add(2*c.past))) // once
			}
		})
	}
}

func TestADeltaThatNamesOnlyWhatChanged(t *testing.T) {
	only := func(id string, scopes ...string) event.Object {
		return event.Object{Kind: event.ObjectDelegatedGrant, ID: id, Grant: &event.GrantObject{Scopes: scopes}}
	}
	m := newTester()
	m.page(baseline(event.ObjectServicePrincipal), principal("sp1", "a1", "One"))
	m.page(baseline(event.ObjectDelegatedGrant), consent("g1", "sp1", "bob", "User.Read"))
	t.Run("what it does not name stays as it was", func(t *testing.T) {
		expectTold(t, m.page(delta(event.ObjectDelegatedGrant), only("g1", "Mail.Read", "User.Read")), "grant.changed One scopes:[User.Read]->[Mail.Read User.Read] +Mail.Read")
		got := m.unpack(m.grants.find("g1")).Grant
		if got.Client != "sp1" || got.Resource != "graph" || got.Principal != "bob" || got.ConsentType != "principal" {
			t.Errorf("the grant became %+v", got)
		}
	})
	t.Run("a grant that is not known waits for a whole read", func(t *testing.T) {
		expectTold(t, m.page(delta(event.ObjectDelegatedGrant), only("g2", "Mail.Read")))
		if m.grants.find("g2") != nil {
			t.Error("a grant of nobody is kept")
		}
	})
}

func TestAGrantOfTheFirstSyncNeedsNoExplanation(t *testing.T) {
	m := newTester()
	m.page(baseline(event.ObjectDelegatedGrant), consent("g0", "s1", "u0", "Mail.Read"))
	expectTold(t, m.Reconcile(m.now.Add(240*time.Hour), m.now))
}

func TestAGrantThatComesBackWaitsAnew(t *testing.T) {
	m := newTester()
	kind := event.ObjectDelegatedGrant
	m.Reconcile(start(), start()) // the audit log is read
	m.page(baseline(kind))
	m.page(delta(kind), consent("g1", "s1", "u1", "Mail.Read"))
	m.page(delta(kind), gone(kind, "g1"))
	m.now = m.now.Add(3 * time.Hour)
	m.page(delta(kind), consent("g1", "s1", "u1", "Mail.Read"))
	expectTold(t, m.Reconcile(m.now, m.now)) // the audit log is not complete past its return
	expectTold(t, m.Reconcile(m.now.Add(4*time.Hour), m.now), "grant.unexplained  +Mail.Read")
}

func TestAnAppThatChangesItsAppIDLeavesTheOldOne(t *testing.T) {
	m := newTester()
	m.page(baseline(event.ObjectServicePrincipal), principal("s1", "a1", "One"))
	m.TakeDirty()
	expectTold(t, m.page(delta(event.ObjectServicePrincipal), principal("s1", "a2", "One")), "app.changed One app_id:[a1]->[a2]")
	if _, ok := m.View("a1"); ok {
		t.Error("the former app id is still known")
	}
	if v, ok := m.View("a2"); !ok || v.ID != "s1" {
		t.Errorf("View(a2) = %+v, %v", v, ok)
	}
	if got := m.TakeDirty(); !slices.Equal(got, []string{"a1", "a2"}) {
		t.Errorf("dirty = %v, want both keys", got)
	}
}

func TestDerivedEventsHaveDifferentIDs(t *testing.T) {
	m := newTester()
	m.page(baseline(event.ObjectServicePrincipal), principal("s1", "a1", "A"))
	seen := map[event.ID]bool{}
	for i := range 6 { // back and forth at one instant
		for _, e := range m.Apply([]event.Object{principal("s1", "a1", []string{"B", "A"}[i%2])}, delta(event.ObjectServicePrincipal), start()) {
			if seen[e.ID] || e.ID.IsZero() {
				t.Fatalf("change %d repeats an id", i)
			}
			seen[e.ID] = true
		}
	}
	if len(seen) != 6 {
		t.Errorf("%d events, want 6", len(seen))
	}
}

func TestDirtyAppsAreToldOnceInOrder(t *testing.T) {
	m := newTester()
	m.page(baseline(event.ObjectServicePrincipal), principal("s2", "a2", "Two"), principal("s1", "a1", "One"))
	if got := m.TakeDirty(); !slices.Equal(got, []string{"a1", "a2"}) {
		t.Errorf("dirty = %v", got)
	}
	if got := m.TakeDirty(); got != nil {
		t.Errorf("dirty again = %v", got)
	}
	m.page(resync(event.ObjectServicePrincipal, 2, true), principal("s2", "a2", "Two"), principal("s1", "a1", "One"))
	if got := m.TakeDirty(); got != nil {
		t.Errorf("dirty after a resync that shows nothing new = %v", got)
	}
	if v, _ := m.View("a1"); !v.LastSeen.Equal(m.now) {
		t.Errorf("last seen %v, want %v", v.LastSeen, m.now)
	}
	m.page(delta(event.ObjectDelegatedGrant), consent("g1", "s2", "u1", "Mail.Read"))
	if got := m.TakeDirty(); !slices.Equal(got, []string{"a2"}) {
		t.Errorf("dirty after a grant = %v", got)
	}
}

func TestBaselineIsDoneWhenEveryKindWasReadWhole(t *testing.T) {
	m := newTester()
	m.page(&event.Sync{Scope: "sp", Kind: event.ObjectServicePrincipal, Generation: 1, Baseline: true}, principal("s1", "a1", "One"))
	if b := m.Baseline(nil); b.Done || b.Apps {
		t.Errorf("after a page that is not the last: %+v", b)
	}
	for _, kind := range []string{event.ObjectServicePrincipal, event.ObjectApplication, event.ObjectDelegatedGrant} {
		m.page(&event.Sync{Scope: map[string]string{event.ObjectServicePrincipal: "sp"}[kind] + "", Kind: kind, Generation: 1, Baseline: true, Complete: true})
	}
	if b := m.Baseline([]string{event.ObjectServicePrincipal}); !b.Apps {
		t.Errorf("service principals were read whole: %+v", b)
	}
	if b := m.Baseline(nil); b.Done {
		t.Errorf("app role assignments were never read: %+v", b)
	}
}

func TestExportIsSortedAndComplete(t *testing.T) {
	m := newTester()
	m.page(baseline(event.ObjectServicePrincipal), principal("s2", "a2", "Two <b>"), principal("s1", "a1", "One"))
	m.page(baseline(event.ObjectDelegatedGrant), consent("g1", "s1", "u1", "b", "a"))
	var out bytes.Buffer
	if err := m.Export(&out, nil); err != nil {
		t.Fatal(err)
	}
	want := `{"kind":"service_principal","id":"s1","app_id":"a1","name":"One","owner_tenant":"22222222-2222-2222-2222-222222222222","enabled":true}
{"kind":"service_principal","id":"s2","app_id":"a2","name":"Two \u003cb\u003e","owner_tenant":"22222222-2222-2222-2222-222222222222","enabled":true}
{"kind":"delegated_grant","id":"g1","client":"s1","resource":"graph","consent_type":"principal","principal":"u1","scopes":["a","b"]}
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("export (-want +got):\n%s", diff)
	}
}

func TestTheLastUseOfAppsThatTheInventoryDoesNotKnowIsBounded(t *testing.T) {
	const bound = 20
	m := &tester{Model: New(Options{Tenant: tenant, MaxStrangers: bound}), now: start()}
	m.page(baseline(event.ObjectServicePrincipal), principal("sp", "known", "Known"))
	use := func(id string, at time.Time) {
		m.Observe(&event.Event{Class: event.ClassSignIn, Result: event.ResultSuccess, Time: at, App: event.App{AppID: id}})
	}
	use("known", start().Add(-time.Hour)) // longest ago of all
	for i := range 10 * bound {
		use(fmt.Sprintf("stranger-%03d", i), start().Add(time.Duration(i/2)*time.Second)) // two at a time
		if n := len(m.used); n > bound+2 {
			t.Fatalf("%d last uses are kept of %d apps", n, i+2)
		}
	}
	if v, _ := m.View("known"); !v.LastUsed.Equal(start().Add(-time.Hour)) {
		t.Errorf("a known app was last used at %s", v.LastUsed)
	}
	for i := 10*bound - bound*9/10; i < 10*bound; i++ {
		if _, kept := m.used[fmt.Sprintf("stranger-%03d", i)]; !kept {
			t.Errorf("stranger-%03d is forgotten, though it was used of late", i)
		}
	}
	again := &tester{Model: New(Options{Tenant: tenant, MaxStrangers: bound}), now: start()}
	var snap bytes.Buffer
	if err := m.Snapshot(&snap); err != nil {
		t.Fatal(err)
	}
	if err := again.Restore(&snap); err != nil {
		t.Fatal(err)
	}
	for i := range 3 * bound {
		e := event.Event{Class: event.ClassSignIn, Result: event.ResultSuccess, Time: start().Add(time.Hour), App: event.App{AppID: fmt.Sprintf("late-%03d", i)}}
		m.Observe(&e)
		again.Observe(&e)
	}
	if diff := cmp.Diff(m.used, again.used); diff != "" {
		t.Errorf("after a restore it goes on otherwise (-want +got):\n%s", diff)
	}
}
