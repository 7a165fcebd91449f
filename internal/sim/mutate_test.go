package sim

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestMutationsShowInTheInventoryAndInDelta(t *testing.T) {
	cl := newClient(t, Options{Apps: 20})
	graph := resources()[resGraph].appID
	own := cl.cloud.base[len(resources())]
	find := func() (p Principal, ok bool) {
		for _, p := range cl.cloud.Inventory().ServicePrincipals {
			if p.ID == own.spID {
				return p, true
			}
		}
		return Principal{}, false
	}
	grants := func() int {
		return len(slices.DeleteFunc(cl.cloud.Inventory().Grants, func(g Grant) bool { return g.Scope != "Mail.Read" }))
	}
	roles := func() int {
		return len(slices.DeleteFunc(cl.cloud.Inventory().Assignments, func(a Assignment) bool { return a.RoleID != cl.cloud.cat.role("Mail.Send").id }))
	}
	grant := packed(own.spID, cl.cloud.base[resGraph].spID, cl.cloud.user(3).id)
	for _, tc := range []struct {
		name string
		m    Mutation
		done func() bool
		in   string // collection whose delta shows it; empty: it has none
	}{
		{"rename", Mutation{Op: "rename_app", ID: own.spID, Name: "Other"}, func() bool { p, _ := find(); return p.Name == "Other" }, "servicePrincipals"},
		{"disable", Mutation{Op: "disable_app", ID: own.spID}, func() bool { p, _ := find(); return !p.Enabled }, "servicePrincipals"},
		{"enable", Mutation{Op: "enable_app", ID: own.spID}, func() bool { p, _ := find(); return p.Enabled }, "applications"},
		{"secret", Mutation{Op: "add_secret", ID: own.spID, Name: "new"}, func() bool {
			return slices.ContainsFunc(cl.cloud.Inventory().Applications, func(a Application) bool {
				return a.ID == own.regID && len(a.Credentials) == len(own.passwords)+len(own.keys)+1
			})
		}, "applications"},
		{"grant", Mutation{Op: "set_grant", ID: own.spID, Resource: graph, User: 3, Scope: "Mail.Read"}, func() bool { return grants() == 1 }, "oauth2PermissionGrants"},
		{"revoke", Mutation{Op: "remove_grant", ID: grant}, func() bool { return grants() == 0 }, "oauth2PermissionGrants"},
		{"grant again under the same id", Mutation{Op: "set_grant", ID: own.spID, Resource: graph, User: 3, Scope: "Mail.Read"}, func() bool { return grants() == 1 }, "oauth2PermissionGrants"},
		{"assign", Mutation{Op: "assign_role", ID: own.spID, Role: "Mail.Send"}, func() bool { return roles() == 1 }, ""},
		{"remove", Mutation{Op: "remove_app", ID: own.spID}, func() bool { _, there := find(); return !there && grants()+roles() == 0 }, "applications"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var link string
			if tc.in != "" {
				_, link = cl.all("/v1.0/" + tc.in + "/delta")
			}
			if err := cl.cloud.Mutate(tc.m); err != nil {
				t.Fatal(err)
			}
			if !tc.done() {
				t.Error("the inventory does not show it")
			}
			if tc.in == "" {
				return
			}
			if items, _ := cl.all(link); len(items) == 0 {
				t.Error("delta does not show it")
			}
		})
	}
}

func TestMutationsOfWhatIsNotThereFail(t *testing.T) {
	cl := newClient(t, Options{Apps: 5})
	id := cl.cloud.base[6].spID
	for _, m := range []Mutation{
		{Op: "rename_app", ID: "x"}, {Op: "remove_grant", ID: "x"}, {Op: "unassign_role", ID: "x"}, {Op: "explode", ID: id},
		{Op: "assign_role", ID: id, Role: "None.At.All"}, {Op: "set_grant", ID: id, Resource: "x"},
	} {
		if err := cl.cloud.Mutate(m); err == nil || !strings.Contains(err.Error(), "no such") {
			t.Errorf("%+v: %v", m, err)
		}
	}
}

// lockedBuffer is a log that a goroutine writes and a test reads.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write appends.
func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) lines() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.b.Bytes(), []byte("\n"))
}

func TestTheClockMovesWithoutRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &lockedBuffer{}
		c, err := New(Options{Seed: 1, Apps: 10, Events: 100, EventsPerSecond: 10, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go c.tick(done)
		<-time.After(5100 * time.Millisecond)
		if n := log.lines(); n < 48 || n > 62 {
			t.Errorf("%d records after five seconds, want about 51", n)
		}
		<-time.After(10 * time.Second)
		close(done)
		if n := log.lines(); n != 100 {
			t.Errorf("%d records at the end, want 100", n)
		}
	})
}
