package inventory

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/appgovd/appgovd/internal/event"
)

func snapshot(t interface{ Fatal(...any) }, m *Model) []byte {
	var b bytes.Buffer
	if err := m.Snapshot(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func filledModel() *tester {
	m := newTester()
	one := principal("s1", "a1", "One")
	one.App.Credentials = []event.Credential{{KeyID: "k1", Kind: "password", End: start().Add(time.Hour)}}
	m.page(baseline(event.ObjectServicePrincipal), one, graph())
	m.page(baseline(event.ObjectApplication), registration("o1", "a1", "One"))
	m.page(baseline(event.ObjectDelegatedGrant), consent("g1", "s1", "u1", "User.Read"))
	m.page(delta(event.ObjectDelegatedGrant), consent("g2", "s1", "", "Mail.Read"))
	m.page(delta(event.ObjectAppRoleAssignment), assignment("r1", "s1", "role-1"))
	m.Observe(&event.Event{Class: event.ClassSignIn, Time: start(), App: event.App{AppID: "a1"}})
	m.Observe(&event.Event{Class: event.ClassAudit, Action: event.ActionConsentGranted, Time: start(), App: event.App{AppID: "a1"}})
	m.CollectedThrough("x/signins_interactive", start())
	m.uses(start(), called("a1", start(), "me/messages", 200, 10, "u1"), called("a1", start().AddDate(0, 0, -1), "users", 500, -1, ""))
	m.CallsThrough(stream, start())
	m.UsageGap(event.Gap{Source: stream, From: start().AddDate(0, 0, -3), To: start().AddDate(0, 0, -2)})
	m.TakeDirty()
	return m
}

func TestASnapshotRestoresTheWholeState(t *testing.T) {
	m := filledModel()
	raw := snapshot(t, m.Model)
	back := newTester()
	if err := back.Restore(bytes.NewReader(raw)); err != nil {
		t.Fatal(err)
	}
	if m.Hash() != back.Hash() {
		t.Error("the restored state has another hash")
	}
	want, _ := m.View("a1")
	got, _ := back.View("a1")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("view after restore (-want +got):\n%s", diff)
	}
	back.now = m.now
	next := []event.Object{consent("g1", "s1", "u1", "User.Read", "Files.Read"), gone(event.ObjectDelegatedGrant, "g2")}
	a, b := m.page(delta(event.ObjectDelegatedGrant), next...), back.page(delta(event.ObjectDelegatedGrant), next...)
	if diff := cmp.Diff(a, b); diff != "" || len(a) != 2 {
		t.Errorf("the restored model goes on differently (-live +restored):\n%s", diff)
	}
}

func TestADamagedSnapshotIsAnErrorAndLeavesAnEmptyModel(t *testing.T) {
	raw := snapshot(t, filledModel().Model)
	empty := newTester().Hash()
	for n := range raw {
		m := newTester()
		if err := m.Restore(bytes.NewReader(raw[:n])); err == nil {
			t.Fatalf("a snapshot cut at byte %d of %d is accepted", n, len(raw))
		}
		if m.Hash() != empty {
			t.Fatalf("a snapshot cut at byte %d leaves something behind", n)
		}
	}
}

func FuzzRestore(f *testing.F) {
	f.Add(snapshot(f, filledModel().Model))
	f.Add(snapshot(f, newTester().Model))
	f.Add([]byte("m\x02{}e\x02{}"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := newTester()
		if m.Restore(bytes.NewReader(raw)) != nil {
			return
		}
		again := newTester()
		if err := again.Restore(bytes.NewReader(snapshot(t, m.Model))); err != nil {
			t.Fatalf("what was restored cannot be restored again: %v", err)
		}
		if m.Hash() != again.Hash() {
			t.Fatal("a round trip changes the state")
		}
	})
}

// TestTheModelHoldsWhatTheTenantHolds compares with a naive tenant: random
// changes reach the model by deltas, by resyncs with the changes in between
// lost, and through restarts; it always ends up with the tenant's grants.
func TestTheModelHoldsWhatTheTenantHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := event.ObjectDelegatedGrant
		m := newTester()
		cloud := map[string][]string{}
		m.page(baseline(kind))
		generation := uint64(1)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			id := fmt.Sprintf("g%d", rapid.IntRange(0, 5).Draw(t, "grant"))
			scopes := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), 1, 3, rapid.ID).Draw(t, "scopes")
			remove, told := rapid.Bool().Draw(t, "remove"), rapid.Bool().Draw(t, "told")
			page := consent(id, "s1", "u1", scopes...)
			cloud[id] = scopes
			if remove {
				delete(cloud, id)
				page = gone(kind, id)
			}
			if told {
				m.page(delta(kind), page)
				continue
			}
			generation++
			resyncAll(m, cloud, generation)
			if rapid.Bool().Draw(t, "restart") {
				restarted := newTester()
				if err := restarted.Restore(bytes.NewReader(snapshot(t, m.Model))); err != nil {
					t.Fatal(err)
				}
				restarted.now = m.now
				m = restarted
			}
		}
		resyncAll(m, cloud, generation+1)
		if len(cloud) != m.grants.len() {
			t.Fatalf("the model holds %d grants, the tenant %d", m.grants.len(), len(cloud))
		}
		for id, scopes := range cloud {
			slices.Sort(scopes)
			if got := m.scopeList(m.grants.find(id).scopes); !slices.Equal(got, scopes) {
				t.Fatalf("grant %s: scopes %v, want %v", id, got, scopes)
			}
		}
		if events := resyncAll(m, cloud, generation+2); len(events) != 0 {
			t.Fatalf("a resync of an unchanged tenant tells %v", told(events))
		}
	})
}

func resyncAll(m *tester, cloud map[string][]string, generation uint64) []event.Event {
	kind := event.ObjectDelegatedGrant
	var out []event.Event
	for _, id := range sortedKeys(cloud) {
		out = append(out, m.page(resync(kind, generation, false), consent(id, "s1", "u1", cloud[id]...))...)
	}
	return append(out, m.page(resync(kind, generation, true))...)
}
