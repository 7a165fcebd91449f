package inventory

import (
	"fmt"
	"slices"
	"testing"

	"github.com/appgovd/appgovd/internal/event"
)

// part is what a delta says of an object that is known.
func part(kind, id string, app event.AppObject) event.Object {
	return event.Object{Kind: kind, ID: id, App: &app}
}

func TestADeltaReplacesOnlyTheListsItNames(t *testing.T) {
	t.Run("delegated permissions of an API leave its application permissions alone", func(t *testing.T) {
		m := newTester()
		m.page(baseline(event.ObjectServicePrincipal), principal("s1", "a1", "One"), graph())
		m.page(baseline(event.ObjectAppRoleAssignment), assignment("r1", "s1", "role-1"))
		m.page(delta(event.ObjectServicePrincipal), part(event.ObjectServicePrincipal, "graph", event.AppObject{Has: event.HasScopes,
			Roles: []event.RoleDef{{ID: "scope-1", Value: "User.Read", Kind: "delegated"}}}))
		if v, _ := m.View("a1"); len(v.Application) != 1 || v.Application[0].Name != "Mail.Read" {
			t.Errorf("application permissions are %+v", v.Application)
		}
		if name, _ := m.PermissionName("graph", "scope-1"); name != "User.Read" {
			t.Errorf("the new scope is %q", name)
		}
	})
	t.Run("a delta of web reply URLs neither removes nor adds those of other platforms", func(t *testing.T) {
		m := newTester()
		one := registration("o1", "a1", "One")
		one.App.Has |= event.HasWebURLs | event.HasSPAURLs
		one.App.WebURLs, one.App.SPAURLs = []string{"https://w"}, []string{"https://s"}
		m.page(baseline(event.ObjectApplication), one)
		expectTold(t, m.page(delta(event.ObjectApplication), part(event.ObjectApplication, "o1", event.AppObject{Has: event.HasWebURLs, WebURLs: []string{"https://w", "https://x"}})),
			"app.changed One reply_urls:[https://s https://w]->[https://s https://w https://x]")
		if v, _ := m.View("a1"); !slices.Equal(v.ReplyURLs, []string{"https://s", "https://w", "https://x"}) {
			t.Errorf("the view has %q", v.ReplyURLs)
		}
	})
}

func TestWhatWasNeverSetIsKnownToBeEmpty(t *testing.T) {
	bare := func(kind, id string) event.Object {
		return part(kind, id, event.AppObject{Has: event.HasAppID | event.HasName, AppID: "a1", Name: "One"})
	}
	app, sp := event.ObjectApplication, event.ObjectServicePrincipal
	secret := event.AppObject{Has: event.HasPasswords, Credentials: []event.Credential{{KeyID: "k1", Kind: "password"}}}
	cases := []struct {
		name, kind string
		change     event.AppObject
		want       string
	}{
		{"the first secret is told", app, secret, "credential.added One key:k1"},
		{"the first reply URL of a registration is told", app, event.AppObject{Has: event.HasSPAURLs, SPAURLs: []string{"https://evil"}}, "app.changed One reply_urls:[]->[https://evil]"},
		{"the first reply URL of a principal is told", sp, event.AppObject{Has: event.HasReplyURLs, ReplyURLs: []string{"https://evil"}}, "app.changed One reply_urls:[]->[https://evil]"},
		{"Microsoft disabling an app is told", sp, event.AppObject{Has: event.HasDisabledByMicrosoft, DisabledByMicrosoft: "DisabledDueToViolationOfServicesAgreement"},
			"app.changed One disabled_by_microsoft:[]->[DisabledDueToViolationOfServicesAgreement]"},
	}
	for _, c := range cases {
		t.Run(c.name+" after the first read", func(t *testing.T) {
			m := newTester()
			m.page(baseline(c.kind), bare(c.kind, "x"))
			expectTold(t, m.page(delta(c.kind), part(c.kind, "x", c.change)), c.want)
		})
		t.Run(c.name+" where the app appeared later", func(t *testing.T) {
			m := newTester()
			m.page(baseline(c.kind))
			m.page(delta(c.kind), bare(c.kind, "x"))
			expectTold(t, m.page(delta(c.kind), part(c.kind, "x", c.change)), c.want)
		})
	}
	t.Run("a whole read that no longer shows a secret tells that it is gone", func(t *testing.T) {
		m := newTester()
		one := bare(app, "x")
		one.App.Has |= event.HasPasswords
		one.App.Credentials = secret.Credentials
		m.page(baseline(app), one)
		expectTold(t, m.page(resync(app, 2, true), bare(app, "x")), "credential.removed One key:k1")
	})
	t.Run("an object first met through a part of it is not taken for whole", func(t *testing.T) {
		m := newTester()
		m.page(baseline(app))
		m.page(delta(app), part(app, "x", event.AppObject{Has: event.HasName, Name: "One"}))
		expectTold(t, m.page(delta(app), part(app, "x", secret)))
	})
}

func TestACachedViewFollowsItsAPI(t *testing.T) {
	held := func() *tester {
		m := newTester()
		m.page(baseline(event.ObjectServicePrincipal), principal("s1", "a1", "One"))
		m.page(baseline(event.ObjectAppRoleAssignment), assignment("r1", "s1", "role-1"))
		return m
	}
	sees := func(t *testing.T, m *tester, api string) {
		t.Helper()
		if v, _ := m.View("a1"); len(v.Application) != 1 || v.Application[0].API != api {
			t.Errorf("the holder sees %+v, want the API %q", v.Application, api)
		}
	}
	t.Run("when an API without permissions of its own appears and goes", func(t *testing.T) {
		m := held()
		sees(t, m, "")
		m.page(delta(event.ObjectServicePrincipal), principal("graph", "api-1", "API"))
		sees(t, m, "api-1")
		m.page(delta(event.ObjectServicePrincipal), gone(event.ObjectServicePrincipal, "graph"))
		sees(t, m, "")
	})
	t.Run("when its view was the one too many for the cache", func(t *testing.T) {
		m := held()
		var many []event.Object
		for i := range maxCached {
			many = append(many, principal(fmt.Sprintf("x%d", i), fmt.Sprintf("y%d", i), "X"))
		}
		m.page(resync(event.ObjectServicePrincipal, 2, false), many...)
		for i := range maxCached {
			m.View(fmt.Sprintf("y%d", i))
		}
		sees(t, m, "")
		m.page(delta(event.ObjectServicePrincipal), principal("graph", "api-1", "API"))
		sees(t, m, "api-1")
	})
}
