package msgraph

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
)

func audits(t testing.TB, j *journal, change func(*Config)) (*cloud, Reader) {
	t.Helper()
	c := newCloud(t, j.serve)
	p := c.provider(t, func(cfg *Config) {
		cfg.Collect = []string{nameAudits}
		if change != nil {
			change(cfg)
		}
	})
	return c, p.named(t, nameAudits)
}

func series(n int, from time.Time, step time.Duration) []row {
	var rows []row
	for i := range n {
		rows = append(rows, row{fmt.Sprintf("r%05d", i), from.Add(time.Duration(i) * step)})
	}
	return rows
}

func rowIDs(rows []row) []string {
	var ids []string
	for _, r := range rows {
		ids = append(ids, r.id)
	}
	slices.Sort(ids)
	return ids
}

func same(t *testing.T, want, got []string) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("records differ (-want +got):\n%s", d)
	}
}

func TestFirstReadIsBackfill(t *testing.T) {
	rows := series(25, epoch().Add(-23*time.Hour), time.Minute)
	j := &journal{rows: rows}
	c, s := audits(t, j, func(cfg *Config) { cfg.PageSize = 10 })
	pages, cursor := readAll(t, s, nil)
	same(t, rowIDs(rows), eventIDs(pages))
	for _, p := range pages {
		for _, e := range p.Events {
			if !e.Backfill {
				t.Fatalf("%s is older than the first read, but not backfill", e.UpstreamID)
			}
		}
	}
	last := pages[len(pages)-1]
	if want := epoch().Add(-2 * time.Hour); !last.CompleteThrough.Equal(want) {
		t.Errorf("complete through %v, want %v", last.CompleteThrough, want)
	}
	if !pages[0].CompleteThrough.IsZero() {
		t.Errorf("complete before the last page")
	}

	c.clock.add(time.Minute)
	j.add(row{"new", c.clock.read().Add(-time.Second)})
	pages, _ = readAll(t, s, cursor)
	e := pages[0].Events
	if len(e) != 1 || e[0].UpstreamID != "new" || e[0].Backfill {
		t.Fatalf("the next poll read %+v", e)
	}
}

func TestRowsOfTheBoundaryAreNotSkipped(t *testing.T) {
	// Thirty rows share the instant at which the first poll ends; some of them
	// become visible only after it.
	at := epoch()
	var rows []row
	for i := range 30 {
		rows = append(rows, row{fmt.Sprintf("r%02d", i), at})
	}
	j := &journal{rows: slices.Clone(rows[:17])}
	c, s := audits(t, j, func(cfg *Config) { cfg.PageSize, cfg.Overlap = 7, "0s" })
	pages, cursor := readAll(t, s, nil)
	j.add(rows[17:]...)
	c.clock.add(time.Minute)
	more, _ := readAll(t, s, cursor)
	same(t, rowIDs(rows), eventIDs(append(pages, more...)))
}

func TestLateRows(t *testing.T) {
	j := &journal{rows: series(5, epoch().Add(-time.Hour), time.Minute)}
	c, s := audits(t, j, nil)
	_, cursor := readAll(t, s, nil)

	t.Run("a row that is late by less than the overlap is read by the next poll", func(t *testing.T) {
		j.add(row{"a-little-late", c.clock.read().Add(-9 * time.Minute)})
		c.clock.add(time.Minute)
		var pages []event.Page
		pages, cursor = readAll(t, s, cursor)
		if !slices.Contains(eventIDs(pages), "a-little-late") {
			t.Fatal("not read")
		}
	})
	t.Run("a row that is late by hours is read by the sweep, once it is due", func(t *testing.T) {
		j.add(row{"very-late", epoch().Add(-10 * time.Hour)})
		var got []string
		for range 70 {
			c.clock.add(time.Minute)
			var pages []event.Page
			pages, cursor = readAll(t, s, cursor)
			if got = eventIDs(pages); slices.Contains(got, "very-late") {
				if took := c.clock.read().Sub(epoch()); took < 59*time.Minute {
					t.Fatalf("swept after %v already", took)
				}
				return
			}
		}
		t.Fatalf("not read within an hour; the last round read %v", got)
	})
}

func TestWindowQuery(t *testing.T) {
	c := newCloud(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, map[string]any{"value": []any{}}) })
	p := c.provider(t, nil)
	want := map[string]string{
		nameAudits:      "/v1.0/auditLogs/directoryAudits $filter=activityDateTime ge 2026-11-01T08:00:00Z and activityDateTime le 2026-11-02T08:00:00Z $orderby=activityDateTime asc $top=1000",
		nameInteractive: "/v1.0/auditLogs/signIns $filter=createdDateTime ge 2026-11-01T08:00:00Z and createdDateTime le 2026-11-02T08:00:00Z $orderby=createdDateTime asc $top=1000",
		nameNonInteract: "/beta/auditLogs/signIns $filter=signInEventTypes/any(t: t eq 'nonInteractiveUser') and createdDateTime ge 2026-11-01T08:00:00Z and createdDateTime le 2026-11-02T08:00:00Z $orderby=createdDateTime asc $top=1000",
		nameSPSignIns:   "/beta/auditLogs/signIns $filter=signInEventTypes/any(t: t eq 'servicePrincipal') and createdDateTime ge 2026-11-01T08:00:00Z and createdDateTime le 2026-11-02T08:00:00Z $orderby=createdDateTime asc $top=1000",
		nameMISignIns:   "/beta/auditLogs/signIns $filter=signInEventTypes/any(t: t eq 'managedIdentity') and createdDateTime ge 2026-11-01T08:00:00Z and createdDateTime le 2026-11-02T08:00:00Z $orderby=createdDateTime asc $top=1000",
		nameAlerts:      "/v1.0/security/alerts_v2 $filter=serviceSource eq 'microsoftAppGovernance' and lastUpdateDateTime ge 2026-11-01T08:00:00Z and lastUpdateDateTime le 2026-11-02T08:00:00Z $top=1000",
	}
	for name, w := range want {
		t.Run(name, func(t *testing.T) {
			if _, err := p.named(t, name).Read(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			got := c.requests()
			if d := cmp.Diff(w, got[len(got)-1]); d != "" {
				t.Fatal(d)
			}
		})
	}
	for _, r := range c.asked {
		if a := r.Header.Get("User-Agent"); a != "appgovd/dev" {
			t.Fatalf("User-Agent %q", a)
		}
	}
}

func TestPoisonedRow(t *testing.T) {
	rows := series(400, epoch().Add(-20*time.Hour), 2*time.Minute)
	poison := rows[217]
	j := &journal{rows: rows, bad: func(page []row) bool { return slices.Contains(page, poison) }}
	c, s := audits(t, j, func(cfg *Config) { cfg.PageSize = 100 })
	pages, cursor := readAll(t, s, nil)

	var want []string
	for _, r := range rows {
		if r != poison {
			want = append(want, r.id)
		}
	}
	same(t, want, eventIDs(pages))
	var gaps []event.Gap
	for _, p := range pages {
		gaps = append(gaps, p.Gaps...)
	}
	if len(gaps) != 1 || gaps[0].To.Sub(gaps[0].From) > time.Second || gaps[0].From.After(poison.at) || gaps[0].To.Before(poison.at) {
		t.Fatalf("gaps %+v, the poisoned row is at %v", gaps, poison.at)
	}
	if n := len(c.requests()); n > 150 {
		t.Errorf("it took %d requests", n)
	}

	t.Run("what was given up is not asked for again by polls, and by a sweep once", func(t *testing.T) {
		before := len(c.requests())
		c.clock.add(61 * time.Minute)
		var again []event.Page
		for range 3 {
			var more []event.Page
			more, cursor = readAll(t, s, cursor)
			again = append(again, more...)
			c.clock.add(time.Minute)
		}
		for _, p := range again {
			if len(p.Gaps) > 0 {
				t.Fatalf("a second gap: %+v", p.Gaps)
			}
			if len(p.Open) != 1 {
				t.Fatalf("open gaps %+v", p.Open)
			}
		}
		asked := 0
		for _, r := range c.requests()[before:] {
			if low, high, _ := bounds(strings.Split(strings.Split(r, "$filter=")[1], " $")[0]); !poison.at.Before(low) && !poison.at.After(high) {
				asked++
			}
		}
		if asked != 1 {
			t.Fatalf("asked for the poisoned row %d times", asked)
		}
	})
	t.Run("a sweep reads it once it can be read, and the gap is closed", func(t *testing.T) {
		j.heal()
		c.clock.add(61 * time.Minute)
		var more []event.Page
		more, cursor = readAll(t, s, cursor)
		c.clock.add(2 * time.Minute)
		again, _ := readAll(t, s, cursor)
		if more = append(more, again...); !slices.Contains(eventIDs(more), poison.id) || len(more[len(more)-1].Open) != 0 {
			t.Fatalf("read %v, open %+v", eventIDs(more), more[len(more)-1].Open)
		}
	})
}

// patientRead reads as the loop does, and adds up what its back-off and the
// budget of the reports, 0.4 requests a second, would take.
func patientRead(t *testing.T, c *cloud, s Reader, cursor []byte) (pages []event.Page, took time.Duration) {
	t.Helper()
	before, backoff := len(c.requests()), time.Second
	for range 5000 {
		p, err := s.Read(t.Context(), cursor)
		if err != nil {
			took, backoff = took+backoff, min(backoff*3/2, 5*time.Minute)
			continue
		}
		backoff = time.Second
		pages, cursor = append(pages, p), p.Cursor
		if p.Wait > 0 {
			return pages, took + time.Duration(len(c.requests())-before)*2500*time.Millisecond
		}
	}
	t.Fatal("the source came to no end")
	return nil, 0
}

func TestABadStretchIsCrossedInMinutes(t *testing.T) {
	rows := series(1200, epoch().Add(-20*time.Hour), time.Minute)
	for _, tt := range []struct {
		story  string
		bad    time.Duration
		lost   time.Duration // at most
		took   time.Duration
		broken func(w http.ResponseWriter)
	}{
		{"one instant", 0, time.Second, 10 * time.Minute, nil},
		{"a minute", time.Minute, 2 * time.Minute, 15 * time.Minute, nil},
		{"ten minutes", 10 * time.Minute, 20 * time.Minute, 15 * time.Minute, nil},
		{"ten minutes at which the connection breaks", 10 * time.Minute, 20 * time.Minute, 15 * time.Minute, func(http.ResponseWriter) { panic(http.ErrAbortHandler) }},
		{"ten minutes of 503 with Retry-After", 10 * time.Minute, 20 * time.Minute, 15 * time.Minute, func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "1")
			refuse(w, 503, "serviceNotAvailable", "")
		}},
	} {
		t.Run(tt.story, func(t *testing.T) {
			from := epoch().Add(-10*time.Hour - 17*time.Second)
			j := &journal{rows: rows, hole: func(low, high time.Time) bool { return !low.After(from.Add(tt.bad)) && !high.Before(from) }, answer: tt.broken}
			c, s := audits(t, j, nil)
			pages, took := patientRead(t, c, s, nil)
			var lost time.Duration
			for _, p := range pages {
				for _, g := range p.Gaps {
					lost += g.To.Sub(g.From)
				}
			}
			if lost > tt.lost || lost < tt.bad || took > tt.took {
				t.Fatalf("%v were given up in %v", lost, took)
			}
			t.Logf("%v were given up in %v with %d requests", lost, took, len(c.requests()))
			open := pages[len(pages)-1].Open
			if len(open) != 1 {
				t.Fatalf("open %+v", open)
			}
			for _, r := range rows {
				if r.at.Before(open[0].From) || r.at.After(open[0].To) {
					if !slices.Contains(eventIDs(pages), r.id) {
						t.Fatalf("%s at %v was lost", r.id, r.at)
					}
				}
			}
			// Sweeps narrow the gap to what is bad.
			cursor := pages[len(pages)-1].Cursor
			for range 8 {
				for range 2 {
					c.clock.add(31 * time.Minute)
					pages, cursor = readAll(t, s, cursor)
				}
			}
			if open = pages[len(pages)-1].Open; len(open) == 0 || open[0].From.After(from) || open[len(open)-1].To.Sub(open[0].From) > tt.bad+tt.bad/2+time.Second {
				t.Fatalf("after some sweeps %+v", open)
			}
		})
	}
}

func TestAServerThatIsNotReachedIsNoGap(t *testing.T) {
	j := &journal{}
	c, s := audits(t, j, nil)
	c.Close()
	for range 50 {
		if p, err := s.Read(t.Context(), nil); err == nil || pageFault(err) {
			t.Fatalf("page %+v, error %v", p, err)
		}
	}
}

func TestOutageIsNoGap(t *testing.T) {
	rows := series(50, epoch().Add(-20*time.Hour), time.Minute)
	down := true
	j := &journal{rows: rows, bad: func([]row) bool { return down }}
	_, s := audits(t, j, nil)
	for range 200 {
		if p, err := s.Read(t.Context(), nil); err == nil {
			t.Fatalf("read %+v while everything fails", p)
		}
	}
	down = false
	pages, _ := readAll(t, s, nil)
	same(t, rowIDs(rows), eventIDs(pages))
	for _, p := range pages {
		if len(p.Gaps) > 0 {
			t.Fatalf("gap %+v", p.Gaps)
		}
	}
}

func TestStaleLinkBeginsTheWindowAgain(t *testing.T) {
	rows := series(40, epoch().Add(-20*time.Hour), time.Minute)
	j := &journal{rows: rows}
	refused := 0
	c := newCloud(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("$skiptoken") == "20" && refused < 1 {
			refused++
			refuse(w, 400, "BadRequest", "Skip token is null")
			return
		}
		j.serve(w, r)
	})
	s := c.provider(t, func(cfg *Config) { cfg.PageSize = 10 }).named(t, nameAudits)
	pages, _ := readAll(t, s, nil)
	same(t, rowIDs(rows), eventIDs(pages))
	if refused != 1 {
		t.Fatal("nothing was refused")
	}
}

func TestCircleOfLinksIsAnError(t *testing.T) {
	c := newCloud(t, nil)
	n := 0
	c.graph = func(w http.ResponseWriter, r *http.Request) {
		n++
		next := map[string]string{"": "a", "a": "b", "b": "a"}[r.URL.Query().Get("$skiptoken")]
		answer(w, 200, map[string]any{"value": []any{}, "@odata.nextLink": c.URL + r.URL.Path + "?$skiptoken=" + next})
	}
	s := c.provider(t, nil).named(t, nameAudits)
	var cursor []byte
	for range 3 {
		p, err := s.Read(t.Context(), cursor)
		if err != nil {
			if !strings.Contains(err.Error(), "leads back") || fault.Of(err) != fault.Transient {
				t.Fatalf("error %v", err)
			}
			return
		}
		cursor = p.Cursor
	}
	t.Fatalf("no error in %d requests", n)
}

func TestLongAbsenceIsReadInSlices(t *testing.T) {
	rows := series(60, epoch().Add(time.Hour), time.Hour)
	j := &journal{}
	c, s := audits(t, j, nil)
	_, cursor := readAll(t, s, nil)
	j.add(rows...)
	c.clock.add(72 * time.Hour)
	before := len(c.requests())
	pages, _ := readAll(t, s, cursor)
	same(t, rowIDs(rows), eventIDs(pages))
	if n := len(c.requests()) - before; n < 4 {
		t.Fatalf("three days were read in %d requests", n)
	}
}

func TestAbsenceOfMonthsIsAGap(t *testing.T) {
	j := &journal{rows: series(3, epoch().Add(-time.Hour), time.Minute)}
	c, s := audits(t, j, nil)
	_, cursor := readAll(t, s, nil)
	c.clock.add(40 * 24 * time.Hour)
	rows := series(5, c.clock.read().Add(-29*24*time.Hour), time.Hour)
	j.add(rows...)
	pages, _ := readAll(t, s, cursor)
	gap := pages[0].Gaps
	if len(gap) != 1 || !gap[0].From.Equal(epoch()) || !gap[0].To.Equal(c.clock.read().Add(-30*24*time.Hour)) {
		t.Fatalf("gaps %+v", gap)
	}
	same(t, rowIDs(rows), eventIDs(pages))
}

func TestMemoryOfTroubleIsNotNeeded(t *testing.T) {
	// A restart in the middle of a search for a poisoned row begins counting
	// anew and comes to the same end.
	rows := series(100, epoch().Add(-20*time.Hour), time.Minute)
	poison := rows[41]
	j := &journal{rows: rows, bad: func(page []row) bool { return slices.Contains(page, poison) }}
	c := newCloud(t, j.serve)
	var cursor []byte
	var got []event.Page
	for n := 0; n < 400; n++ {
		s := c.provider(t, func(cfg *Config) { cfg.PageSize = 100 }).named(t, nameAudits)
		wait := false
		for range 30 { // the life of one process
			p, err := s.Read(t.Context(), cursor)
			if err != nil {
				continue
			}
			got, cursor, wait = append(got, p), p.Cursor, p.Wait > 0
			if wait {
				break
			}
		}
		if wait {
			break
		}
	}
	if ids := eventIDs(got); len(ids) != 99 || slices.Contains(ids, poison.id) {
		t.Fatalf("%d records were read", len(ids))
	}
}

func TestLoadIsMeasured(t *testing.T) {
	j := &journal{rows: series(2000, epoch().Add(-23*time.Hour), 40*time.Second)}
	c := newCloud(t, j.serve)
	small := func(cfg *Config) {
		cfg.Collect, cfg.PageSize, cfg.BudgetShare, cfg.SweepInterval = []string{nameAudits}, 10, 1e5, "1h"
	}
	p := c.provider(t, small)
	need := func(p *Provider) load { return p.budgets[familyReports].demand["entra/contoso/directory_audits"] }
	pages, cursor := readAll(t, p.named(t, nameAudits), nil)
	if n := need(p); len(pages) < 200 || n != (load{}) {
		t.Fatalf("%d pages of the first backfill count as %+v", len(pages), n)
	}
	c.clock.add(time.Minute)
	j.add(series(120, c.clock.read().Add(-50*time.Second), 100*time.Millisecond)...)
	pages, cursor = readAll(t, p.named(t, nameAudits), cursor)
	if n := need(p); n.Poll < float64(len(pages)-1)/62 || n.Poll > float64(len(pages))/59 {
		t.Fatalf("a poll of %d pages a minute needs %+v", len(pages), n)
	}
	c.clock.add(61 * time.Minute)
	before := 0.0
	for range 50 { // a sweep that does not come to its end
		page, err := p.named(t, nameAudits).Read(t.Context(), cursor)
		if err != nil {
			t.Fatal(err)
		}
		if cursor = page.Cursor; need(p).Sweep < before {
			t.Fatalf("the need of a sweep that goes on fell to %v", need(p).Sweep)
		}
		before = need(p).Sweep
	}
	if before < 30.0/3600 {
		t.Fatalf("%v a second", before)
	}
	again := c.provider(t, small)
	if _, err := again.named(t, nameAudits).Read(t.Context(), cursor); err != nil || need(again).Sweep < before || need(again).Poll == 0 {
		t.Fatalf("after a restart %+v: %v", need(again), err)
	}
}

func TestAWrongClockLosesNothing(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for _, tt := range []struct {
		story string
		jumps []time.Duration // of this machine's clock, before each round of polls
	}{
		{"a year forward and back", []time.Duration{0, year, -year}},
		{"a year back and forward", []time.Duration{0, -year, year}},
		{"an hour forward and back", []time.Duration{0, time.Hour, -time.Hour}},
		{"an hour back and forward", []time.Duration{0, -time.Hour, time.Hour}},
		{"a year ahead from the first start, then right", []time.Duration{year, -year, 0}},
		{"a year behind from the first start, then right", []time.Duration{-year, year, 0}},
		{"a quarter of an hour ahead all the time", []time.Duration{15 * time.Minute, 0, 0}},
	} {
		for _, restarts := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restarts %v", tt.story, restarts), func(t *testing.T) {
				j := &journal{rows: series(20, epoch().Add(-20*time.Hour), time.Hour)}
				c := newCloud(t, j.serve)
				build := func() Reader { return c.provider(t, nil).named(t, nameAudits) }
				s := build()
				var cursor []byte
				var pages []event.Page
				real := epoch()
				n := 0
				for _, jump := range tt.jumps {
					c.set(func() { c.ahead -= jump })
					c.clock.add(jump)
					if restarts {
						s = build()
					}
					for range 12 {
						real = real.Add(time.Minute)
						c.clock.add(time.Minute)
						n++
						j.add(row{fmt.Sprintf("new%03d", n), real.Add(-20 * time.Second)})
						var more []event.Page
						more, cursor = readAll(t, s, cursor)
						pages = append(pages, more...)
					}
				}
				same(t, rowIDs(j.rows), eventIDs(pages))
				if len(c.requests()) > 150 {
					t.Errorf("%d requests", len(c.requests()))
				}
				for _, p := range pages {
					if len(p.Gaps) > 0 || p.CompleteThrough.After(real) {
						t.Errorf("gaps %v, complete through %v at %v", p.Gaps, p.CompleteThrough, real)
					}
					for _, e := range p.Events {
						if late := e.Observed.Sub(e.Time); late < 0 || !e.Backfill && late > 13*time.Minute {
							t.Errorf("%s was observed %v after it happened", e.UpstreamID, late)
						}
						if strings.HasPrefix(e.UpstreamID, "new") && e.UpstreamID > "new001" && e.Backfill {
							t.Errorf("%s is backfill", e.UpstreamID)
						}
					}
				}
			})
		}
	}
}

func TestCompleteThroughClaimsNoMoreThanSweepsRead(t *testing.T) {
	j := &journal{rows: series(5, epoch().Add(-time.Hour), time.Minute)}
	c, s := audits(t, j, nil) // overlap 10 min, lateness 2 h, a sweep each hour
	_, cursor := readAll(t, s, nil)
	var through time.Time
	swept := epoch()
	for n := range 130 {
		c.clock.add(time.Minute)
		if n == 59 {
			// Late by less than the lateness, seen by the sweep of this minute only.
			j.add(row{"late", epoch().Add(-59 * time.Minute)})
		}
		pages, next := readAll(t, s, cursor)
		cursor = next
		for _, p := range pages {
			if !p.CompleteThrough.IsZero() {
				through = p.CompleteThrough
			}
			if swept.Equal(epoch()) && slices.Contains(eventIDs([]event.Page{p}), "late") {
				swept = c.clock.read()
				if !through.Before(epoch().Add(-59 * time.Minute)) {
					t.Fatalf("complete through %v before the late record was read", through)
				}
			}
		}
		if limit := swept.Add(-2 * time.Hour); swept.Equal(epoch()) && through.After(limit) {
			t.Fatalf("complete through %v with a sweep begun at %v", through, swept)
		}
	}
	if swept.Equal(epoch()) || through.Before(swept.Add(-time.Hour-time.Minute)) {
		t.Fatalf("swept %v, complete through %v", swept, through)
	}
}

func TestCompleteThroughStopsBeforeAGap(t *testing.T) {
	rows := series(10, epoch().Add(-5*time.Hour), time.Minute)
	poison := rows[4]
	j := &journal{rows: rows, bad: func(page []row) bool { return slices.Contains(page, poison) }}
	c, s := audits(t, j, nil)
	pages, cursor := readAll(t, s, nil)
	told := func() (t time.Time) {
		for _, p := range pages {
			t = later(t, p.CompleteThrough)
		}
		return t
	}
	if got := told(); got.After(poison.at) {
		t.Fatalf("complete through %v, the gap is at %v", got, poison.at)
	}
	j.heal()
	for range 3 {
		c.clock.add(40 * time.Minute)
		var more []event.Page
		more, cursor = readAll(t, s, cursor)
		pages = append(pages, more...)
	}
	if got := told(); !got.After(poison.at) {
		t.Fatalf("complete through %v once the gap was read", got)
	}
}
