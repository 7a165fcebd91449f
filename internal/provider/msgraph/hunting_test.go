package msgraph

import (
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/sim"
)

func huntAll(t *testing.T, tn *tenant, name string, change func(*huntSource)) []event.Page {
	t.Helper()
	s, ok := tn.srv.provider(t, func(c *Config) { c.Collect = []string{name} }).named(t, name).(*huntSource)
	if !ok {
		t.Fatal("no source of that kind")
	}
	if change != nil {
		change(s)
	}
	pages, _ := readAll(t, s, nil)
	return pages
}

func objectIDs(pages []event.Page) []string {
	var got []string
	for _, p := range pages {
		for _, o := range p.Objects {
			got = append(got, o.ID)
		}
	}
	slices.Sort(got)
	return slices.Compact(got)
}

func TestTablesAreFoundByTheirFormerNamesAndWithoutTheColumnsThatATenantLacks(t *testing.T) {
	tn := newTenant(t, sim.Options{Apps: 40, Grants: 10, Users: 5})
	tn.SetFaults(sim.Faults{OldTables: true})
	pages := huntAll(t, tn, nameGraphActivity, nil)
	same(t, tn.Hunted("GraphAPIAuditEvents"), objectIDs(pages))
	for _, p := range pages {
		for _, o := range p.Objects {
			if o.Trait.Values("response_bytes") != nil {
				t.Fatalf("bytes that nobody told: %+v", o.Trait)
			}
			if got := o.Trait.Values("users"); !slices.Equal(got, []string{"1"}) { // the app's own calls are no user's
				t.Fatalf("users %q", got)
			}
		}
	}
	if got := eventIDs(huntAll(t, tn, nameSpnSignIns, nil)); !slices.Equal(got, tn.Hunted("EntraIdSpnSignInEvents")) {
		t.Errorf("%d sign-ins", len(got))
	}
}

func TestAQueryWhoseResultIsCutIsAskedAgainInParts(t *testing.T) {
	for _, name := range []string{nameOAuthApps, nameCloudAppEvents} {
		tn := newTenant(t, sim.Options{Apps: 60, Grants: 10, Users: 5})
		queries := 0
		inner := tn.srv.graph
		tn.srv.set(func() {
			tn.srv.graph = func(w http.ResponseWriter, r *http.Request) { queries++; inner(w, r) }
		})
		pages := huntAll(t, tn, name, func(s *huntSource) { s.most = 10 })
		if queries < 6 {
			t.Errorf("%s: %d queries", name, queries)
		}
		for _, p := range pages {
			if len(p.Objects) >= 10 || len(p.Events) >= 10 || len(p.Gaps) > 0 {
				t.Errorf("%s: a page of %d objects, %d events, gaps %v", name, len(p.Objects), len(p.Events), p.Gaps)
			}
		}
		got := objectIDs(pages)
		if name == nameCloudAppEvents {
			same(t, tn.Hunted("CloudAppEvents"), eventIDs(pages))
			continue
		}
		same(t, tn.Hunted("OAuthAppInfo"), got)
	}
}

func TestAPartThatNeverFitsIsAGapAndTheOthersAreRead(t *testing.T) {
	tn := newTenant(t, sim.Options{Apps: 4, Grants: 1, Users: 2})
	pages := huntAll(t, tn, nameOAuthApps, func(s *huntSource) { s.most = 1 }) // any row is one too many
	gaps := 0
	for _, p := range pages {
		gaps += len(p.Gaps)
	}
	if last := pages[len(pages)-1]; gaps == 0 || last.Sync == nil || last.Wait == 0 {
		t.Errorf("%d gaps, last page %+v", gaps, last)
	}
}

// Without a licence a source says so, with what to do, and waits a day; it does not
// touch the others.
func TestASourceWithoutLicenceIsTriedOnceADayAndTheOthersGoOn(t *testing.T) {
	tn := newTenant(t, sim.Options{Apps: 20, Grants: 10, Users: 5, Events: 100})
	tn.SetFaults(sim.Faults{Unlicensed: []string{"p1", "p2", "defender", "workload"}})
	without := []string{nameInteractive, nameNonInteract, nameSPSignIns, nameMISignIns, nameEligibleRoles, nameAppActivity, nameCredentialUse,
		nameRiskyPrincipals, nameRiskDetections, nameOAuthApps, nameGraphActivity}
	for _, n := range tn.srv.provider(t, nil).Sources() {
		name := n.Key[strings.LastIndexByte(n.Key, '/')+1:]
		_, err := n.Source.Read(t.Context(), nil)
		if !slices.Contains(without, name) {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if fault.Of(err) != fault.Auth || fault.After(err) != 24*time.Hour || !strings.Contains(fault.Hint(err), "licence") || fault.ReasonOf(err) != fault.NotLicensed {
			t.Errorf("%s: %v, class %v, again after %v, hint %q", name, err, fault.Of(err), fault.After(err), fault.Hint(err))
		}
	}
}

func TestA429WithoutRetryAfterPausesTheWholeFamily(t *testing.T) {
	srv := newCloud(t, nil)
	asked := 0
	srv.set(func() {
		srv.graph = func(w http.ResponseWriter, _ *http.Request) {
			asked++
			refuse(w, http.StatusTooManyRequests, "TooManyRequests", "")
		}
	})
	p := srv.provider(t, func(c *Config) { c.BudgetShare = 1 })
	if _, err := p.named(t, nameAppActivity).Read(t.Context(), nil); fault.Of(err) != fault.Throttled || fault.After(err) != 10*time.Second {
		t.Fatalf("%v, after %v", err, fault.After(err))
	}
	p.budgets[familyReports].pause(time.Minute) // so that nothing waits it out
	if _, err := p.named(t, nameAudits).Read(t.Context(), nil); fault.Of(err) != fault.Throttled {
		t.Errorf("another source of the family: %v", err)
	}
	if asked != 1 {
		t.Errorf("%d requests", asked)
	}
}

// Days on which the report on calls could not be read, because nobody asked or for want of
// a licence, are read later, each in a generation of its own, and the source says
// through which day it is complete.
func TestDaysThatCouldNotBeReadAreReportedLater(t *testing.T) {
	var days []string
	licensed := false
	c := newCloud(t, nil)
	c.set(func() {
		c.graph = func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			body = []byte(strings.NewReplacer(`\u003e`, ">", `\u003c`, "<").Replace(string(body)))
			from := regexp.MustCompile(`>= datetime\(([0-9-]*)T00:00:00Z\) and Timestamp < datetime\(([0-9-]*)T00:00:00Z\)`).FindSubmatch(body)
			switch {
			case !licensed:
				refuse(w, 400, "BadRequest", "'where' operator: Failed to resolve table or column expression named 'GraphAPIAuditEvents'")
			case strings.Contains(string(body), "getschema"):
				answer(w, 200, map[string]any{"results": []any{map[string]any{"ColumnName": "ApplicationId"}, map[string]any{"ColumnName": "Timestamp"}, map[string]any{"ColumnName": "ResponseStatusCode"}}})
			case from == nil:
				t.Errorf("asked for %s", body)
			default:
				days = append(days, string(from[1]))
				answer(w, 200, map[string]any{"results": []any{}})
			}
		}
	})
	again := func() Reader {
		return c.provider(t, func(cfg *Config) { cfg.Collect = []string{nameGraphActivity} }).named(t, nameGraphActivity)
	}
	s := again()
	var cursor []byte
	step := func(passed time.Duration, through string, want ...string) {
		t.Helper()
		c.clock.add(passed)
		days = nil
		var pages []event.Page
		pages, cursor = readAll(t, s, cursor)
		var generations []uint64
		for _, p := range pages {
			if p.Sync != nil && !slices.Contains(generations, p.Sync.Generation) {
				generations = append(generations, p.Sync.Generation)
			}
		}
		if got := pages[len(pages)-1].CompleteThrough.Format(time.DateTime); !slices.Equal(days, want) || got != through || len(generations) != len(want) {
			t.Errorf("days %v in generations %v, complete through %s; want %v through %s", days, generations, got, want, through)
		}
	}
	p, err := s.Read(t.Context(), nil)
	if cursor = p.Cursor; fault.ReasonOf(err) != fault.NotLicensed || len(cursor) == 0 {
		t.Fatalf("%v, cursor %q", err, cursor)
	}
	s = again() // which is told by the cursor from when on it is to read
	licensed = true
	step(48*time.Hour, "2026-11-04 00:00:00", "2026-11-01", "2026-11-02", "2026-11-03")
	step(time.Hour, "2026-11-04 00:00:00", "2026-11-03")
	step(22*time.Hour, "2026-11-05 00:00:00", "2026-11-04")
	step(72*time.Hour, "2026-11-08 00:00:00", "2026-11-05", "2026-11-06", "2026-11-07")
	step(50*24*time.Hour, "2026-12-28 00:00:00", daysBefore("2026-12-28", 30)...)
}

// daysBefore are the n days before one.
func daysBefore(day string, n int) (days []string) {
	at, _ := time.Parse(time.DateOnly, day)
	for i := n; i > 0; i-- {
		days = append(days, at.AddDate(0, 0, -i).Format(time.DateOnly))
	}
	return days
}
