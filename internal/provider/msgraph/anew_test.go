package msgraph

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/sim"
)

// A mark that another version wrote ends no source: it begins anew, tells a gap, and
// the inventory that is there is compared with what is read, not taken for new.
func TestASourceWithTheCursorOfAnotherVersionBeginsAnewAndSaysSo(t *testing.T) {
	for _, name := range []string{nameApplications, nameAssignments, nameAudits, nameAppOwners, nameOAuthApps, nameCloudAppEvents} {
		t.Run(name, func(t *testing.T) {
			tn := newTenant(t, sim.Options{Apps: 20, Grants: 10, Users: 5, Events: 200})
			s := tn.srv.provider(t, func(c *Config) { c.Collect = []string{name} }).named(t, name)
			p, err := s.Read(t.Context(), []byte(`{"v":2,"gen":7}`))
			if err != nil || len(p.Gaps) != 1 || !strings.Contains(p.Gaps[0].Reason, "begins anew") || !strings.Contains(p.Gaps[0].Reason, "version 2, this program knows 1") || p.Wait != 0 {
				t.Fatalf("%+v, %v", p, err)
			}
			pages, _ := readAll(t, s, p.Cursor)
			for _, p := range pages {
				if p.Sync != nil && (p.Sync.Baseline || p.Sync.Generation < 1e9) {
					t.Fatalf("a first generation over an inventory that is there: %+v", p.Sync)
				}
			}
			if last := pages[len(pages)-1]; last.Sync != nil && !last.Sync.Complete {
				t.Errorf("last page %+v", last.Sync)
			}
			got := objectIDs(pages)
			if name == nameAudits || name == nameCloudAppEvents {
				got = eventIDs(pages)
			}
			same(t, tn.want(name), got)
		})
	}
}

// A Date that is off by more than Graph's logs reach would lead to filters that are
// refused for ever.
func TestADateThatIsOffByAYearDoesNotStopALog(t *testing.T) {
	for _, ahead := range []time.Duration{400 * 24 * time.Hour, -400 * 24 * time.Hour} {
		j := &journal{}
		j.add(row{"a", epoch().Add(-time.Hour)})
		c := newCloud(t, nil)
		c.set(func() {
			c.ahead = ahead
			c.graph = func(w http.ResponseWriter, r *http.Request) {
				low, high, ok := bounds(r.URL.Query().Get("$filter"))
				if now := c.clock.read(); !ok || low.Before(now.Add(-90*24*time.Hour)) || high.After(now.Add(90*24*time.Hour)) {
					refuse(w, http.StatusBadRequest, "BadRequest", "Invalid filter clause")
					return
				}
				j.serve(w, r)
			}
		})
		pages, cursor := readAll(t, c.provider(t, nil).named(t, nameAudits), nil)
		same(t, []string{"a"}, eventIDs(pages))
		var through time.Time
		for _, p := range pages {
			if !p.CompleteThrough.IsZero() {
				through = p.CompleteThrough
			}
		}
		if through.Sub(epoch()).Abs() > 24*time.Hour {
			t.Errorf("ahead %v: complete through %v", ahead, through)
		}
		// A restart finds its way again.
		j.add(row{"b", epoch().Add(time.Minute)})
		c.clock.add(time.Hour)
		pages, _ = readAll(t, c.provider(t, nil).named(t, nameAudits), cursor)
		if got := fmt.Sprint(eventIDs(pages)); !strings.Contains(got, "b") {
			t.Errorf("ahead %v: after a restart %s", ahead, got)
		}
	}
}

// While an alert is updated, the others move over the border between two pages: a
// window is read by answers that are whole.
func TestAnAlertThatIsUpdatedBetweenTwoPagesHidesNoOther(t *testing.T) {
	c := newCloud(t, nil)
	updated := map[string]time.Time{}
	for i := range 40 {
		updated[fmt.Sprintf("a%02d", i)] = epoch().Add(-time.Duration(i+1) * 10 * time.Minute)
	}
	asked := 0
	c.set(func() {
		c.graph = func(w http.ResponseWriter, r *http.Request) {
			if asked++; asked == 2 { // the first page was given: one of it moves out of the window
				updated["a00"] = epoch().Add(time.Second)
			}
			alertsBySkip(w, r, updated)
		}
	})
	p := c.provider(t, func(cfg *Config) { cfg.PageSize, cfg.SweepInterval = 10, "0s" })
	got := map[string]bool{}
	pages, _ := readAll(t, p.named(t, nameAlerts), nil)
	for _, page := range pages {
		for _, e := range page.Events {
			got[e.UpstreamID] = true
		}
	}
	for id := range updated {
		if !got[id] && id != "a00" {
			t.Errorf("alert %s was not read", id)
		}
	}
}

// alertsBySkip lists alerts newest first, in pages that count from the beginning.
func alertsBySkip(w http.ResponseWriter, r *http.Request, updated map[string]time.Time) {
	f := strings.Fields(r.URL.Query().Get("$filter"))
	low, _ := time.Parse(time.RFC3339Nano, f[6])
	high, _ := time.Parse(time.RFC3339Nano, f[10])
	var skip, size int
	_, _ = fmt.Sscan(r.URL.Query().Get("$top"), &size)
	_, _ = fmt.Sscan(r.URL.Query().Get("$skip"), &skip)
	var hits []event.Event
	for id, at := range updated {
		if !at.Before(low) && !at.After(high) {
			hits = append(hits, event.Event{UpstreamID: id, Time: at})
		}
	}
	slices.SortFunc(hits, func(a, b event.Event) int { return b.Time.Compare(a.Time) })
	value := []any{}
	for _, e := range hits[min(skip, len(hits)):min(skip+size, len(hits))] {
		value = append(value, map[string]any{"id": e.UpstreamID, "createdDateTime": e.Time, "lastUpdateDateTime": e.Time})
	}
	body := map[string]any{"value": value}
	if skip+size < len(hits) {
		q := r.URL.Query()
		q.Set("$skip", fmt.Sprint(skip+size))
		body["@odata.nextLink"] = "https://" + r.Host + r.URL.Path + "?" + q.Encode()
	}
	answer(w, http.StatusOK, body)
}
