package inventory

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// traitOf is an object of a kind of traits; pairs are names and values.
func traitOf(kind, id, about string, pairs ...string) event.Object {
	t := &event.Trait{About: about}
	for i := 0; i+1 < len(pairs); i += 2 {
		t.Set(pairs[i], pairs[i+1])
	}
	return event.Object{Kind: kind, ID: id, Trait: t}
}

// pass applies one whole read of a kind.
func pass(m *Model, kind string, generation uint64, at time.Time, objects ...event.Object) []event.Event {
	return m.Apply(objects, &event.Sync{Scope: kind, Kind: kind, Generation: generation, Complete: true, Baseline: generation == 1}, at)
}

func actions(events []event.Event) []string {
	var got []string
	for _, e := range events {
		got = append(got, e.Action)
	}
	return got
}

// world is a model with one principal and one registration.
func traitWorld(t *testing.T) *Model {
	t.Helper()
	m := New(Options{Tenant: guid(9, 9)})
	pass(m, event.ObjectServicePrincipal, 1, start(), principal("sp", "app", "Payroll"))
	return m
}

func TestWhatASourceTellsOfAnAppIsInItsViewAndItsDifferencesAreEvents(t *testing.T) {
	for _, tt := range []struct {
		kind        string
		first, then event.Object
		added, gone []string
		view        func(event.AppView) bool
	}{
		{event.ObjectOwners, traitOf(event.ObjectOwners, "sp", "sp", "owners", "u1"), traitOf(event.ObjectOwners, "sp", "sp", "owners", "u2"),
			[]string{event.ActionInvAppChanged}, []string{event.ActionInvAppChanged}, func(v event.AppView) bool { return slices.Equal(v.Owners, []string{"u2"}) }},
		{event.ObjectFederated, traitOf(event.ObjectFederated, "f", "sp", "issuer", "https://a", "subject", "x"), traitOf(event.ObjectFederated, "f", "sp", "issuer", "https://b", "subject", "x"),
			[]string{event.ActionInvCredentialGone, event.ActionInvCredentialAdded}, []string{event.ActionInvCredentialGone}, func(v event.AppView) bool {
				return slices.Equal(v.Traits.FederatedIssuers, []string{"https://b"}) && v.Credentials[0].Kind == "federated"
			}},
		{event.ObjectRole, traitOf(event.ObjectRole, "r", "sp", "role", "id1"), traitOf(event.ObjectRole, "r", "sp", "role", "id1"),
			nil, []string{event.ActionInvRoleRemoved}, func(v event.AppView) bool { return slices.Equal(v.Traits.Roles, []string{"id1"}) }},
		{event.ObjectAppRisk, traitOf(event.ObjectAppRisk, "sp", "sp", "risk_level", "low"), traitOf(event.ObjectAppRisk, "sp", "sp", "risk_level", "high"),
			[]string{event.ActionInvRiskChanged}, []string{event.ActionInvRiskChanged}, func(v event.AppView) bool { return v.Traits.RiskLevel == "high" }},
		{event.ObjectConsentRequest, traitOf(event.ObjectConsentRequest, "q", "app", "requests", "q"), traitOf(event.ObjectConsentRequest, "q", "app", "requests", "q", "scopes", "Mail.Read"),
			[]string{event.ActionInvConsentRequested}, nil, func(v event.AppView) bool { return v.Traits.ConsentRequests == 1 }},
		{event.ObjectPolicy, traitOf(event.ObjectPolicy, "p", "", "isEnabled", "true"), traitOf(event.ObjectPolicy, "p", "", "isEnabled", "false"),
			[]string{event.ActionInvPolicyChanged}, []string{event.ActionInvPolicyChanged}, func(event.AppView) bool { return true }},
	} {
		t.Run(tt.kind, func(t *testing.T) {
			m := traitWorld(t)
			if v, _ := m.View("app"); v.OwnersKnown || v.Traits != nil {
				t.Fatalf("known before it was read: %+v", v)
			}
			if got := pass(m, tt.kind, 1, start(), tt.first); len(got) > 0 {
				t.Errorf("the first read tells %v", actions(got))
			}
			if got := pass(m, tt.kind, 2, start().Add(time.Hour), tt.then); !slices.Equal(actions(got), tt.added) {
				t.Errorf("the change tells %v, want %v", actions(got), tt.added)
			}
			if v, _ := m.View("app"); !tt.view(v) || !v.Traits.Known[tt.kind] {
				t.Errorf("the view is %+v, %+v", v, v.Traits)
			}
			if got := pass(m, tt.kind, 3, start().Add(2*time.Hour)); !slices.Equal(actions(got), tt.gone) {
				t.Errorf("the end tells %v, want %v", actions(got), tt.gone)
			}
			if v, _ := m.View("app"); len(v.Owners)+len(v.Credentials)+len(v.Traits.Roles) > 0 {
				t.Errorf("still there: %+v", v)
			}
		})
	}
}

func TestARoleIsNamedAsSoonAsItsNameIsKnown(t *testing.T) {
	m := traitWorld(t)
	pass(m, event.ObjectRole, 1, start(), traitOf(event.ObjectRole, "r", "sp", "role", "id1"))
	_, _ = m.View("app")
	pass(m, event.ObjectRoleDefinition, 1, start(), traitOf(event.ObjectRoleDefinition, "id1", "", "name", "Global Reader"))
	if v, _ := m.View("app"); !slices.Equal(v.Traits.Roles, []string{"Global Reader"}) {
		t.Errorf("roles %q", v.Traits.Roles)
	}
	got := pass(m, event.ObjectRole, 2, start(), traitOf(event.ObjectRole, "r", "sp", "role", "id1"), traitOf(event.ObjectRole, "s", "sp", "role", "id2", "via", "group"))
	if len(got) != 1 || got[0].Action != event.ActionInvRoleAdded || got[0].App.AppID != "app" || got[0].Target.ID != "id2" {
		t.Errorf("events %+v", got)
	}
}

func TestTheProvidersReportTellsTheLastUseWhereSignInsAreNotCollected(t *testing.T) {
	m := traitWorld(t)
	used := start().Add(-20 * 24 * time.Hour)
	pass(m, event.ObjectAppUse, 1, start(), traitOf(event.ObjectAppUse, "app", "app", "last_used", used.Format(time.RFC3339Nano)))
	v, _ := m.View("app")
	if !v.LastUsed.Equal(used) || !v.UsedKnown || !v.UsedThrough.Equal(start().Add(-reportLag)) {
		t.Errorf("view %+v", v)
	}
}

func TestTraitsThatComeBeforeTheirAppAreKept(t *testing.T) {
	m := New(Options{Tenant: guid(9, 9)})
	pass(m, event.ObjectOwners, 1, start(), traitOf(event.ObjectOwners, "sp", "sp", "owners", "u1"))
	pass(m, event.ObjectServicePrincipal, 1, start(), principal("sp", "app", "Payroll"))
	if v, _ := m.View("app"); !v.OwnersKnown || !slices.Equal(v.Owners, []string{"u1"}) {
		t.Errorf("view %+v", v)
	}
}

func TestTwoScopesOfOneKindRemoveOnlyTheirOwn(t *testing.T) {
	m := traitWorld(t)
	one := func(scope string, gen uint64, o ...event.Object) {
		m.Apply(o, &event.Sync{Scope: scope, Kind: event.ObjectOwners, Generation: gen, Complete: true, Baseline: gen == 1}, start())
	}
	one("a", 1, traitOf(event.ObjectOwners, "sp", "sp", "owners", "u1"))
	m.Apply(nil, &event.Sync{Scope: "b", Kind: event.ObjectOwners, Generation: 1, Baseline: true}, start())
	if v, _ := m.View("app"); v.OwnersKnown {
		t.Error("owners are known while one of two collections is not read")
	}
	one("b", 1)
	one("b", 2)
	if v, _ := m.View("app"); !v.OwnersKnown || len(v.Owners) != 1 {
		t.Errorf("view %+v", v)
	}
}

func TestASnapshotHoldsTraits(t *testing.T) {
	m := traitWorld(t)
	pass(m, event.ObjectOwners, 1, start(), traitOf(event.ObjectOwners, "sp", "sp", "owners", "u1"))
	pass(m, event.ObjectPolicy, 1, start(), traitOf(event.ObjectPolicy, "p", "", "name", "Consent"))
	var b bytes.Buffer
	if err := m.Snapshot(&b); err != nil {
		t.Fatal(err)
	}
	again := New(Options{Tenant: guid(9, 9)})
	if err := again.Restore(bytes.NewReader(b.Bytes())); err != nil {
		t.Fatal(err)
	}
	if again.Hash() != m.Hash() {
		t.Error("another state")
	}
	got := pass(again, event.ObjectOwners, 2, start())
	if !slices.Equal(actions(got), []string{event.ActionInvAppChanged}) {
		t.Errorf("a restored trait that is gone tells %v", actions(got))
	}
}
