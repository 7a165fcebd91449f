package msgraph

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
)

// script answers Graph requests one after the other.
type script struct {
	t     *testing.T
	steps []step
	n     int
}

type step struct {
	ids    []string
	next   string // path of the link, "" = none
	delta  string
	status int // 0 = 200
	code   string
}

func (s *script) serve(w http.ResponseWriter, r *http.Request) {
	if s.n >= len(s.steps) {
		s.t.Errorf("unexpected request %s", r.URL)
		refuse(w, 500, "", "")
		return
	}
	st := s.steps[s.n]
	s.n++
	if st.status != 0 {
		refuse(w, st.status, st.code, "refused")
		return
	}
	v := []any{}
	for _, id := range st.ids {
		if gone, ok := strings.CutPrefix(id, "-"); ok {
			v = append(v, map[string]any{"id": gone, "@removed": map[string]any{"reason": "deleted"}})
			continue
		}
		v = append(v, map[string]any{"id": id})
	}
	body := map[string]any{"value": v}
	if st.next != "" {
		body["@odata.nextLink"] = "https://" + r.Host + "/v1.0/" + st.next
	}
	if st.delta != "" {
		body["@odata.deltaLink"] = "https://" + r.Host + "/v1.0/" + st.delta
	}
	answer(w, 200, body)
}

// told is what one page says, in one line.
type told struct {
	Objects  string
	Gen      uint64
	Complete bool
	Baseline bool
	Wait     bool
}

func tell(p event.Page) told {
	var ids []string
	for _, o := range p.Objects {
		id := o.ID
		if o.Removed != "" {
			id = "-" + id
		}
		ids = append(ids, id)
	}
	return told{strings.Join(ids, " "), p.Sync.Generation, p.Sync.Complete, p.Sync.Baseline, p.Wait > 0}
}

func TestDelta(t *testing.T) {
	for _, tt := range []struct {
		story string
		steps []step
		want  []told
	}{
		{"the first generation is the baseline, then come changes", []step{
			{ids: []string{"a", "b"}, next: "p2"}, {ids: []string{"c"}, delta: "d1"}, {ids: []string{"-a", "d"}, delta: "d2"},
		}, []told{{"a b", 1, false, true, false}, {"c", 1, true, true, true}, {"-a d", 0, true, false, true}}},
		{"an empty page with a nextLink is not the end", []step{
			{next: "p2"}, {next: "p3"}, {ids: []string{"a"}, delta: "d1"},
		}, []told{{"", 1, false, true, false}, {"", 1, false, true, false}, {"a", 1, true, true, true}}},
		{"410 begins the next generation, and nothing is removed before its end", []step{
			{ids: []string{"a", "b"}, delta: "d1"}, {status: 410, code: "resyncRequired"}, {ids: []string{"a"}, next: "p2"}, {ids: []string{"c"}, delta: "d2"},
		}, []told{{"a b", 1, true, true, true}, {"", 2, false, false, false}, {"a", 2, false, false, false}, {"c", 2, true, false, true}}},
		{"a lost sync state told by 400 does the same", []step{
			{ids: []string{"a"}, delta: "d1"}, {status: 400, code: "syncStateNotFound"}, {ids: []string{"a"}, delta: "d2"},
		}, []told{{"a", 1, true, true, true}, {"", 2, false, false, false}, {"a", 2, true, false, true}}},
		{"410 in the middle of the baseline begins the baseline again", []step{
			{ids: []string{"a"}, next: "p2"}, {status: 410}, {ids: []string{"a", "b"}, delta: "d1"}, {delta: "d2"},
		}, []told{{"a", 1, false, true, false}, {"", 2, false, true, false}, {"a b", 2, true, true, true}, {"", 0, true, false, true}}},
		{"410 twice in a row is followed twice", []step{
			{ids: []string{"a"}, delta: "d1"}, {status: 410}, {ids: []string{"a"}, next: "p2"}, {status: 410}, {ids: []string{"a"}, delta: "d2"},
		}, []told{{"a", 1, true, true, true}, {"", 2, false, false, false}, {"a", 2, false, false, false}, {"", 3, false, false, true}, {"a", 3, true, false, true}}},
	} {
		t.Run(tt.story, func(t *testing.T) {
			sc := &script{t: t, steps: tt.steps}
			c := newCloud(t, sc.serve)
			var cursor []byte
			var got []told
			for range tt.want {
				// A new provider each time: the cursor alone must carry it all.
				p, err := c.provider(t, nil).named(t, nameGrants).Read(t.Context(), cursor)
				if err != nil {
					t.Fatal(err)
				}
				got, cursor = append(got, tell(p)), p.Cursor
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Fatalf("(-want +got)\n%s", d)
			}
		})
	}
}

func TestDeltaRefusedAtTheBeginning(t *testing.T) {
	sc := &script{t: t, steps: []step{{status: 410}}}
	_, err := newCloud(t, sc.serve).provider(t, nil).named(t, nameGrants).Read(t.Context(), nil)
	if err == nil || fault.Of(err) != fault.Permanent {
		t.Fatalf("error %v: a first request that is gone must not go round in circles", err)
	}
}

func TestFullReadComesBackAfterAWhile(t *testing.T) {
	sc := &script{t: t, steps: []step{{ids: []string{"a", "b"}, delta: "d1"}, {delta: "d2"}, {ids: []string{"a"}, delta: "d3"}}}
	c := newCloud(t, sc.serve)
	s := c.provider(t, nil).named(t, nameGrants)
	var cursor []byte
	for _, want := range []told{{"a b", 1, true, true, true}, {"", 0, true, false, true}, {"a", 2, true, false, true}} {
		p, err := s.Read(t.Context(), cursor)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, tell(p)); d != "" {
			t.Fatal(d)
		}
		cursor = p.Cursor
		c.clock.add(5 * 24 * time.Hour)
	}
}

func TestDeltaPageThatFailsIsReadSmaller(t *testing.T) {
	var sizes []string
	c := newCloud(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1.0/servicePrincipals" { // is the service there?
			answer(w, 200, map[string]any{"value": []any{}})
			return
		}
		size := r.Header.Get("Prefer")
		if len(sizes) == 0 || sizes[len(sizes)-1] != size {
			sizes = append(sizes, size)
		}
		if size != "odata.maxpagesize=9" {
			refuse(w, 500, "InternalServerError", "")
			return
		}
		answer(w, 200, map[string]any{"value": []any{map[string]any{"id": "a"}}, "@odata.deltaLink": "https://" + r.Host + "/v1.0/d"})
	})
	pages, _ := readAll(t, c.provider(t, nil).named(t, nameGrants), nil)
	if d := cmp.Diff([]string{"odata.maxpagesize=999", "odata.maxpagesize=99", "odata.maxpagesize=9"}, sizes); d != "" {
		t.Fatal(d)
	}
	if last := tell(pages[len(pages)-1]); !last.Complete || !last.Baseline || last.Objects != "a" {
		t.Fatalf("%+v", last)
	}
}

func TestAssignmentsAreScopedByAPI(t *testing.T) {
	const graphSP, exchangeSP = "aaaaaaaa-0000-0000-0000-000000000001", "aaaaaaaa-0000-0000-0000-000000000002"
	c := newCloud(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.Contains(r.URL.Path, graphSP):
			answer(w, 200, map[string]any{"value": []any{map[string]any{"id": "g1"}, map[string]any{"id": "g2"}}})
		case strings.Contains(r.URL.Path, exchangeSP):
			refuse(w, 404, "Request_ResourceNotFound", "gone meanwhile")
		case !strings.Contains(r.URL.Query().Get("$filter"), "appId eq '"+testClient+"'"):
			t.Errorf("the configured API is not looked for: %s", r.URL.Query().Get("$filter"))
		default:
			answer(w, 200, map[string]any{"value": []any{map[string]any{"id": graphSP, "appId": "x"}, map[string]any{"id": exchangeSP}, map[string]any{"id": "../../evil"}}})
		}
	})
	pages, cursor := readAll(t, c.provider(t, func(cfg *Config) { cfg.ResourceAppIDs = []string{testClient} }).named(t, nameAssignments), nil)
	if len(pages) != 3 {
		t.Fatalf("%d pages", len(pages))
	}
	want := &event.Sync{Scope: "app_role_assignments/" + graphSP, Kind: event.ObjectAppRoleAssignment, Parent: graphSP, Generation: 1, Complete: true, Baseline: true}
	if d := cmp.Diff(want, pages[1].Sync); d != "" {
		t.Fatal(d)
	}
	if pages[2].Sync != nil {
		t.Fatalf("an API that is gone ends no generation: %+v", pages[2].Sync)
	}
	pages, _ = readAll(t, c.provider(t, func(cfg *Config) { cfg.ResourceAppIDs = []string{testClient} }).named(t, nameAssignments), cursor)
	if s := pages[1].Sync; s.Generation != 2 || s.Baseline {
		t.Fatalf("the second pass: %+v", s)
	}
}

func TestDeltaPageThatFailsAtEverySizeIsOneGap(t *testing.T) {
	bad := true
	c := newCloud(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/v1.0/servicePrincipals":
			answer(w, 200, map[string]any{"value": []any{}})
		case r.URL.Path == "/v1.0/p2" && bad:
			refuse(w, 500, "InternalServerError", "")
		case r.URL.Path == "/v1.0/p2":
			answer(w, 200, map[string]any{"value": []any{map[string]any{"id": "b"}}, "@odata.deltaLink": "https://" + r.Host + "/v1.0/d"})
		default:
			answer(w, 200, map[string]any{"value": []any{map[string]any{"id": "a"}}, "@odata.nextLink": "https://" + r.Host + "/v1.0/p2"})
		}
	})
	s := c.provider(t, nil).named(t, nameGrants)
	pages, cursor := readAll(t, s, nil)
	if n := len(c.requests()); n > 40 {
		t.Errorf("it took %d requests", n)
	}
	for range 3 {
		var more []event.Page
		more, cursor = readAll(t, s, cursor)
		pages = append(pages, more...)
	}
	gaps := 0
	for _, p := range pages {
		gaps += len(p.Gaps)
		if p.Sync != nil && p.Sync.Complete {
			t.Fatalf("a generation with a hole is complete: %+v", p.Sync)
		}
	}
	last := pages[len(pages)-1]
	if gaps != 1 || len(last.Open) != 1 || last.Wait < slowly/2 {
		t.Fatalf("%d gaps, open %+v, wait %v", gaps, last.Open, last.Wait)
	}
	bad = false
	pages, _ = readAll(t, s, cursor)
	if last = pages[len(pages)-1]; !last.Sync.Complete || len(last.Open) != 0 {
		t.Fatalf("once it can be read: %+v, open %+v", last.Sync, last.Open)
	}
}

func TestDeltaWhoseLinksAreAllRefusedDoesNotSpin(t *testing.T) {
	c := newCloud(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/p2") {
			refuse(w, 410, "resyncRequired", "")
			return
		}
		answer(w, 200, map[string]any{"value": []any{}, "@odata.nextLink": "https://" + r.Host + "/v1.0/p2"})
	})
	s := c.provider(t, nil).named(t, nameGrants)
	var cursor []byte
	var story []string
	for range 8 {
		p, err := s.Read(t.Context(), cursor)
		switch {
		case err != nil:
			story = append(story, fault.Of(err).String())
			continue
		case p.Wait > 0:
			story = append(story, "waits")
		default:
			story = append(story, "reads")
		}
		cursor = p.Cursor
	}
	if d := cmp.Diff([]string{"reads", "reads", "reads", "waits", "reads", "permanent", "waits", "reads"}, story); d != "" {
		t.Fatal(d)
	}
}

func TestQuarantinedObjectsAreNotRemoved(t *testing.T) {
	sc := &script{t: t, steps: []step{{ids: []string{"a", "bad"}, delta: "d1"}, {status: 410}, {ids: []string{"bad"}, next: "p2"}, {ids: []string{"c"}, delta: "d2"}}}
	c := newCloud(t, sc.serve)
	s := c.provider(t, nil).named(t, nameGrants)
	var cursor []byte
	for _, want := range []told{{"a", 1, true, true, true}, {"", 2, false, false, false}, {"", 2, false, false, false}, {"c", 2, false, false, true}} {
		p, err := s.Read(t.Context(), cursor)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, tell(p)); d != "" {
			t.Fatal(d)
		}
		cursor = p.Cursor
	}
}

func TestAnAPIThatCannotBeReadHoldsUpNoOther(t *testing.T) {
	const badSP, goodSP = "aaaaaaaa-0000-0000-0000-000000000001", "aaaaaaaa-0000-0000-0000-000000000002"
	for _, tt := range []struct {
		story string
		fail  func(w http.ResponseWriter, r *http.Request)
	}{
		{"its first page answers 500", func(w http.ResponseWriter, _ *http.Request) { refuse(w, 500, "", "") }},
		{"its first page answers 400", func(w http.ResponseWriter, _ *http.Request) { refuse(w, 400, "Request_BadRequest", "") }},
		{"its links are all refused", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("$skiptoken") != "" {
				refuse(w, 400, "BadRequest", "Skip token is null")
				return
			}
			answer(w, 200, map[string]any{"value": []any{map[string]any{"id": "x"}}, "@odata.nextLink": "https://" + r.Host + r.URL.Path + "?$skiptoken=1"})
		}},
	} {
		t.Run(tt.story, func(t *testing.T) {
			bad := true
			c := newCloud(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case strings.Contains(r.URL.Path, badSP) && bad:
					tt.fail(w, r)
				case strings.Contains(r.URL.Path, "appRoleAssignedTo"):
					answer(w, 200, map[string]any{"value": []any{map[string]any{"id": "g"}}})
				default:
					answer(w, 200, map[string]any{"value": []any{map[string]any{"id": badSP, "appId": "x"}, map[string]any{"id": goodSP}}})
				}
			})
			s := c.provider(t, nil).named(t, nameAssignments)
			pages, cursor := readAll(t, s, nil)
			first := len(c.requests())
			more, cursor := readAll(t, s, cursor)
			if n := len(c.requests()) - first; first > 50 || n > 8 {
				t.Errorf("%d requests, then %d", first, n)
			}
			gaps := 0
			complete := map[string]int{}
			for _, p := range append(pages, more...) {
				gaps += len(p.Gaps)
				if p.Sync != nil && p.Sync.Complete {
					complete[p.Sync.Parent]++
				}
			}
			if gaps != 1 || complete[goodSP] != 2 || complete[badSP] != 0 {
				t.Fatalf("%d gaps, complete %v", gaps, complete)
			}
			if last := more[len(more)-1]; len(last.Open) != 1 || !last.CompleteThrough.IsZero() {
				t.Fatalf("open %+v, complete through %v", last.Open, last.CompleteThrough)
			}
			bad = false
			pages, _ = readAll(t, s, cursor)
			if last := pages[len(pages)-1]; len(last.Open) != 0 || last.CompleteThrough.IsZero() {
				t.Fatalf("once it can be read: open %+v", last.Open)
			}
		})
	}
}

func TestManyAPIsAreAskedForInGroupsAndALateOneIsNoBaseline(t *testing.T) {
	const graphSP, lateSP = "aaaaaaaa-0000-0000-0000-000000000001", "aaaaaaaa-0000-0000-0000-000000000002"
	late := false
	c := newCloud(t, func(w http.ResponseWriter, r *http.Request) {
		filter := r.URL.Query().Get("$filter")
		switch {
		case strings.Contains(r.URL.Path, "appRoleAssignedTo"):
			answer(w, 200, map[string]any{"value": []any{map[string]any{"id": "x"}}})
		case strings.Count(filter, " eq ") > 15:
			refuse(w, 400, "Request_UnsupportedQuery", "Too many child clauses specified in search filter expression containing 'OR' operators: 16. Max allowed: 15.")
		default:
			v := []any{}
			if strings.Contains(filter, "00000003-0000-0000-c000-000000000000") {
				v = append(v, map[string]any{"id": graphSP, "appId": "00000003-0000-0000-c000-000000000000"})
			}
			if late && strings.Contains(filter, testClient) {
				v = append(v, map[string]any{"id": lateSP, "appId": testClient})
			}
			answer(w, 200, map[string]any{"value": v})
		}
	})
	s := c.provider(t, func(cfg *Config) {
		for i := range 9 {
			cfg.ResourceAppIDs = append(cfg.ResourceAppIDs, testClient[:35]+string(rune('0'+i)))
		}
	}).named(t, nameAssignments)
	_, cursor := readAll(t, s, nil)
	late = true
	pages, _ := readAll(t, s, cursor)
	for _, p := range pages {
		if p.Sync != nil && p.Sync.Baseline {
			t.Fatalf("an API that was looked for before is a silent baseline: %+v", p.Sync)
		}
	}
	if n := len(pages); n != 3 {
		t.Fatalf("%d pages", n)
	}
}
