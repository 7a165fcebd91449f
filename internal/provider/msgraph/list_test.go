package msgraph

import (
	"net/http"
	"strings"
	"testing"

	"github.com/appgovd/appgovd/internal/sim"
)

// A group whose members cannot be read costs what they tell, not the roles of others.
func TestAListThatFailsForEverIsAGapAndThePassEnds(t *testing.T) {
	tn := newTenant(t, sim.Options{Apps: 40, Grants: 10, Users: 5})
	inner := tn.srv.graph
	broken := true
	tn.srv.set(func() {
		tn.srv.graph = func(w http.ResponseWriter, r *http.Request) {
			if broken && strings.Contains(r.URL.Path, "/transitiveMembers/") {
				refuse(w, http.StatusInternalServerError, "UnknownError", "")
				return
			}
			inner(w, r)
		}
	})
	s := tn.srv.provider(t, nil).named(t, nameRoles)
	pages, cursor := readAll(t, s, nil)
	gaps := 0
	for _, p := range pages {
		gaps += len(p.Gaps)
	}
	if gaps != 1 || len(objectIDs(pages)) == 0 {
		t.Fatalf("%d gaps, %d roles", gaps, len(objectIDs(pages)))
	}
	pages, cursor = readAll(t, s, cursor)
	if last := pages[len(pages)-1]; last.Sync == nil || last.Sync.Complete {
		t.Fatalf("a pass that could not read all takes what it did not show for gone: %+v", last.Sync)
	}
	broken = false
	pages, _ = readAll(t, s, cursor)
	if last := pages[len(pages)-1]; last.Sync == nil || !last.Sync.Complete {
		t.Fatalf("the pass does not end: %+v", last.Sync)
	}
	same(t, tn.want(nameRoles), objectIDs(pages))
}

// A collection in which every element leads on is read page by page, so that no cursor
// grows with it.
func TestACursorHoldsTheBranchesOfOnePageOnly(t *testing.T) {
	tn := newTenant(t, sim.Options{Apps: 400, Grants: 10, Users: 5, DirectoryPage: 5})
	s := tn.srv.provider(t, nil).named(t, nameConsentRequests)
	pages, _ := readAll(t, s, nil)
	for _, p := range pages {
		if len(p.Cursor) > 4<<10 {
			t.Fatalf("a cursor of %d bytes", len(p.Cursor))
		}
	}
	same(t, tn.want(nameConsentRequests), objectIDs(pages))
}
