package msgraph

import (
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/ingest"
	"github.com/appgovd/appgovd/internal/sim"
)

// feedTenant holds records of the unified audit log.
func feedTenant(t *testing.T, o sim.Options) *tenant {
	t.Helper()
	o.Apps, o.Grants, o.Users = 30, 10, 10
	return newTenant(t, o)
}

func feedOf(t *testing.T, tn *tenant, name string) *windowSource {
	t.Helper()
	s, ok := tn.srv.provider(t, func(c *Config) { c.Collect = []string{name} }).named(t, name).(*windowSource)
	if !ok {
		t.Fatal("no source of that kind")
	}
	return s
}

// Records that come a day late, in no order, twice, with one time; lists that show a
// content late; requests that fail, are throttled, end early; tokens and subscriptions
// that end: nothing is missing, nothing is there that was not, and what the service
// lost is told.
func TestFeedsLoseNothing(t *testing.T) {
	for _, name := range []string{nameOfficeExchange, nameOfficeSharePoint, nameOfficeGeneral, nameOfficeDirectory, nameOfficeDLP} {
		t.Run(name, func(t *testing.T) {
			tn := feedTenant(t, sim.Options{Office: 3000, OfficePage: 3, EventsPerSecond: 0.05, Late: 0.1, Duplicates: 0.1, LostContents: 0.03, Throttle: 0.05, ServerErrors: 0.05, Truncate: 0.05})
			s := feedOf(t, tn, name)
			got, gaps := drainFeed(t, tn, s)
			var want []string
			for _, r := range tn.Office(s.spec.feed) {
				if r.App && !r.Lost {
					want = append(want, r.ID)
				}
			}
			same(t, want, got)
			lost := slices.DeleteFunc(slices.Clone(gaps), func(g event.Gap) bool { return !strings.Contains(g.Reason, "AF20051") })
			off := slices.ContainsFunc(gaps, func(g event.Gap) bool { return strings.Contains(g.Reason, "was off") })
			if len(lost) == 0 || !off {
				t.Errorf("gaps of lost contents: %d; of the subscription: %v", len(lost), off)
			}
			blind := map[time.Time]bool{} // where the log does not tell what was read
			for _, g := range gaps {
				if unrecorded(g) && g.To.Sub(g.From) == 24*time.Hour && strings.Contains(g.Reason, "@contoso.example") {
					blind[g.From] = true
					if !strings.Contains(g.Advice, "nobody can look it up") {
						t.Errorf("advice %q", g.Advice)
					}
				} else if !strings.Contains(g.Advice, "Purview") {
					t.Errorf("advice %q for %q", g.Advice, g.Reason)
				}
			}
			throttled := map[time.Time]bool{}
			for _, r := range tn.Office(s.spec.feed) {
				if r.App && r.Throttled && !r.Lost {
					throttled[r.Time.UTC()] = true
				}
			}
			if !maps.Equal(blind, throttled) || name == nameOfficeExchange && len(throttled) == 0 {
				t.Errorf("%d records tell that a mailbox is not recorded, %d gaps say so", len(throttled), len(blind))
			}
			t.Logf("%d records, %d lost contents", len(got), len(lost))
		})
	}
}

// unrecorded are the gaps that records themselves tell of, and own the others.
func unrecorded(g event.Gap) bool { return strings.Contains(g.Reason, "IsThrottled") }

func own(gaps []event.Gap) []event.Gap { return slices.DeleteFunc(slices.Clone(gaps), unrecorded) }

// drainFeed reads until nothing new can come, with a restart of the source now and then.
func drainFeed(t *testing.T, tn *tenant, s *windowSource) (ids []string, gaps []event.Gap) {
	t.Helper()
	rng := rand.New(rand.NewPCG(5, 6))
	var cursor []byte
	var ready time.Time
	steps, account, seen := 0, event.Account{}, ingest.NewSeen(3*24*time.Hour) // as the loop counts
	for end := tn.OfficeComplete().Add(3 * time.Hour); tn.srv.clock.read().Before(end); steps++ {
		now := tn.srv.clock.read()
		switch f := tn.Faults(); steps {
		case 40:
			f.ExpireTokens = true
			tn.SetFaults(f)
		case 80:
			f.StopSubscriptions = true
			tn.SetFaults(f)
		case 120:
			s = feedOf(t, tn, s.spec.name)
		}
		for tries := 0; !now.Before(ready) && tries < 500; tries++ {
			page, err := s.Read(t.Context(), cursor)
			if err != nil {
				continue
			}
			if len(page.Quarantined) > 0 || page.Fetched != len(page.Events) {
				t.Fatalf("fetched %d, events %d, quarantined %v", page.Fetched, len(page.Events), page.Quarantined)
			}
			for _, e := range page.Events {
				ids = append(ids, e.UpstreamID)
			}
			gaps = append(gaps, page.Gaps...)
			kept, again := seen.Filter(page.Events, page.CompleteThrough)
			for _, e := range kept {
				if e.Version > 0 {
					t.Errorf("%s changed", e.UpstreamID)
				}
			}
			account = account.Add(event.Account{Fetched: uint64(page.Fetched), New: uint64(len(kept)), Seen: uint64(again)})
			cursor, ready = page.Cursor, now.Add(page.Wait)
		}
		tn.srv.clock.add(time.Duration(60+rng.IntN(600)) * time.Second)
	}
	if steps < 150 {
		t.Fatalf("%d steps: some faults never struck", steps)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if !account.Balanced() || account.New != uint64(len(ids)) || account.Seen == 0 {
		t.Errorf("account %+v of %d records", account, len(ids))
	}
	t.Logf("account %+v", account)
	return ids, gaps
}

func TestAContentIsReadOnce(t *testing.T) {
	tn := feedTenant(t, sim.Options{Office: 600, OfficePage: 5})
	contents := func() (n int) {
		for _, r := range tn.srv.requests() {
			if strings.Contains(r, "/audit/") {
				n++
			}
		}
		return n
	}
	_, cursor := readAll(t, feedOf(t, tn, nameOfficeExchange), nil)
	once := contents()
	s := feedOf(t, tn, nameOfficeExchange)
	for range 20 { // polls and sweeps, by a source that begins with the cursor
		tn.srv.clock.add(10 * time.Minute)
		_, cursor = readAll(t, s, cursor)
	}
	if n := contents(); once == 0 || n != once {
		t.Errorf("%d requests for contents, then %d", once, n)
	}
	tn.srv.mu.Lock()
	defer tn.srv.mu.Unlock()
	for _, r := range tn.srv.asked {
		if r.URL.Query().Get("PublisherIdentifier") != testTenant {
			t.Errorf("%s says not for whom", r.URL)
		}
	}
}

// Seven days are all there is, and no list may span more than one.
func TestAFeedReachesSevenDays(t *testing.T) {
	tn := feedTenant(t, sim.Options{Office: 500, History: 6 * 24 * time.Hour})
	p, err := New(t.Context(), func() Config { c := tn.srv.config(); c.Collect = []string{nameOfficeExchange}; return c }(),
		Options{Name: "contoso", Now: tn.srv.clock.read, Rand: rand.NewPCG(1, 2), Decoder: tn.srv.dec, InitialLookback: 60 * 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	pages, cursor := readAll(t, p.named(t, nameOfficeExchange), nil)
	same(t, tn.want(nameOfficeExchange), eventIDs(pages))

	tn.srv.clock.add(20*24*time.Hour + 250*time.Millisecond) // nothing was read for weeks
	inner := tn.srv.graph
	tn.srv.set(func() {
		tn.srv.graph = func(w http.ResponseWriter, r *http.Request) {
			tn.srv.clock.add(700 * time.Millisecond) // requests take time
			inner(w, r)
		}
	})
	pages, _ = readAll(t, feedOf(t, tn, nameOfficeExchange), cursor)
	var gaps []event.Gap
	for _, p := range pages {
		gaps = append(gaps, own(p.Gaps)...)
	}
	if len(gaps) != 1 || gaps[0].To.Sub(gaps[0].From) < 12*24*time.Hour || !strings.Contains(gaps[0].Reason, "keeps 7 days") {
		t.Errorf("gaps %+v", gaps)
	}
}

// A list of many old contents is read to its end, page by page, although what was
// read is remembered for two days only.
func TestALongListOfOldContentsIsReadToItsEnd(t *testing.T) {
	tn := feedTenant(t, sim.Options{Office: 60_000, OfficePage: 5000, History: 6 * 24 * time.Hour})
	p, err := New(t.Context(), func() Config { c := tn.srv.config(); c.Collect = []string{nameOfficeExchange}; return c }(),
		Options{Name: "contoso", Now: tn.srv.clock.read, Rand: rand.NewPCG(1, 2), Decoder: tn.srv.dec, InitialLookback: 60 * 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	pages, _ := readAll(t, p.named(t, nameOfficeExchange), nil)
	same(t, tn.want(nameOfficeExchange), eventIDs(pages))
	if len(pages) < 6*3 {
		t.Errorf("only %d pages: the lists are short", len(pages))
	}
}

func TestAContentThatFailsIsAGapAndTheOthersAreRead(t *testing.T) {
	tn := feedTenant(t, sim.Options{Office: 400})
	var bad string
	tn.srv.set(func() {
		inner := tn.srv.graph
		tn.srv.graph = func(w http.ResponseWriter, r *http.Request) {
			if id := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]; bad == "" && strings.Contains(r.URL.Path, "/audit/") {
				bad = id
			}
			inner(w, r)
		}
	})
	readAll(t, feedOf(t, tn, nameOfficeExchange), nil)
	tn.SetFaults(sim.Faults{PoisonContent: bad})
	s := feedOf(t, tn, nameOfficeExchange)
	pages, cursor := readAll(t, s, nil)
	var gaps []event.Gap
	for _, p := range pages {
		gaps = append(gaps, own(p.Gaps)...)
	}
	if missing := len(tn.want(nameOfficeExchange)) - len(eventIDs(pages)); missing <= 0 || missing > 20 || len(gaps) == 0 {
		t.Fatalf("%d records missing, gaps %+v", missing, gaps)
	}
	for _, g := range gaps {
		if g.To.Sub(g.From) > 2*time.Second {
			t.Errorf("a gap of %s", g.To.Sub(g.From))
		}
	}
	tn.SetFaults(sim.Faults{})
	tn.srv.clock.add(2 * time.Hour)
	for range 3 {
		var more []event.Page
		more, cursor = readAll(t, s, cursor)
		pages = append(pages, more...)
		tn.srv.clock.add(2 * time.Hour)
	}
	same(t, tn.want(nameOfficeExchange), eventIDs(pages))
	if open := pages[len(pages)-1].Open; len(open) > 0 {
		t.Errorf("still open: %+v", open)
	}
}

func TestTheQuotaOfTheTenantHoldsForAllFeeds(t *testing.T) {
	tn := feedTenant(t, sim.Options{Office: 100})
	tn.SetFaults(sim.Faults{Throttle: 1})
	p := tn.srv.provider(t, func(c *Config) {
		c.Collect, c.BudgetShare = []string{nameOfficeExchange, nameOfficeGeneral}, 1
	})
	_, err := p.named(t, nameOfficeExchange).Read(t.Context(), nil)
	if fault.Of(err) != fault.Throttled || fault.After(err) != time.Minute || !strings.Contains(fault.Hint(err), "quota") {
		t.Fatalf("%v, again after %v, hint %q", err, fault.After(err), fault.Hint(err))
	}
	asked := len(tn.srv.requests())
	if _, err := p.named(t, nameOfficeGeneral).Read(t.Context(), nil); fault.Of(err) != fault.Throttled || len(tn.srv.requests()) != asked {
		t.Errorf("the other feed: %v", err)
	}
}

// The token goes to no other host, whatever a list says.
func TestAFeedFollowsNoForeignLink(t *testing.T) {
	for _, tt := range []struct {
		story  string
		faults func(string) sim.Faults
	}{
		{"content", func(at string) sim.Faults { return sim.Faults{ForeignContent: at} }},
		{"next page", func(at string) sim.Faults { return sim.Faults{ForeignNext: at} }},
	} {
		t.Run(tt.story, func(t *testing.T) {
			tn := feedTenant(t, sim.Options{Office: 300, OfficePage: 2})
			touched := 0
			foreign := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { touched++ }))
			t.Cleanup(foreign.Close)
			tn.SetFaults(tt.faults(foreign.URL))
			s := feedOf(t, tn, nameOfficeExchange)
			page, err := s.Read(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = s.Read(t.Context(), page.Cursor); fault.Of(err) != fault.Untrusted || touched > 0 {
				t.Errorf("%v; %d requests", err, touched)
			}
		})
	}
}

func TestASubscriptionThatStaysOffSaysWhatToDo(t *testing.T) {
	tn := feedTenant(t, sim.Options{Office: 100})
	tn.SetFaults(sim.Faults{NoSubscription: true})
	s := feedOf(t, tn, nameOfficeExchange)
	var cursor []byte
	var last error
	for range 10 {
		page, err := s.Read(t.Context(), cursor)
		if len(page.Gaps) > 0 {
			t.Fatal("a gap, though nothing was read before")
		}
		if err == nil {
			cursor = page.Cursor
		}
		last = err
	}
	if fault.Of(last) != fault.Auth || !strings.Contains(fault.Hint(last), "turn on the audit log") {
		t.Errorf("%v, hint %q", last, fault.Hint(last))
	}
	starts := 0
	for _, r := range tn.srv.requests() {
		if strings.HasSuffix(r, "/start") {
			starts++
		}
	}
	if starts != 1 {
		t.Errorf("%d starts within a quarter of an hour", starts)
	}
	tn.SetFaults(sim.Faults{})
	tn.srv.clock.add(20 * time.Minute)
	pages, _ := readAll(t, s, cursor)
	same(t, tn.want(nameOfficeExchange), eventIDs(pages))
}

// A tenant without a licence, and one whose audit log is off, are told once, with the
// same text however often they are asked; what happened before they were mended is
// read where the service has it.
func TestATenantWithoutAnAuditLogIsToldOnce(t *testing.T) {
	for story, x := range map[string]struct {
		faults sim.Faults
		reason fault.Reason
		after  time.Duration
		text   string
	}{
		"no licence":        {sim.Faults{Unlicensed: []string{"m365"}}, fault.NotLicensed, 24 * time.Hour, "AF20012"},
		"auditing is off":   {sim.Faults{NoAudit: true}, "", time.Hour, "DataServiceException: Tenant " + testTenant + " does not exist."},
		"it was turned off": {sim.Faults{NoAudit: true}, "", time.Hour, "DataServiceException: Tenant " + testTenant + " does not exist."},
	} {
		t.Run(story, func(t *testing.T) {
			tn := feedTenant(t, sim.Options{Office: 200})
			s := feedOf(t, tn, nameOfficeExchange)
			var cursor []byte
			if story == "it was turned off" {
				_, cursor = readAll(t, s, nil)
			}
			tn.SetFaults(x.faults)
			var texts []string
			for len(texts) < 3 {
				tn.srv.clock.add(time.Hour)
				p, err := s.Read(t.Context(), cursor)
				if err == nil && len(texts) == 0 && cursor != nil { // it finds out that there is no subscription any more
					cursor = p.Cursor
					continue
				}
				if fault.Of(err) != fault.Auth || fault.ReasonOf(err) != x.reason || fault.After(err) != x.after || !strings.Contains(err.Error(), x.text) {
					t.Fatalf("%v, again after %s, reason %q", err, fault.After(err), fault.ReasonOf(err))
				}
				texts = append(texts, err.Error())
			}
			if texts[0] != texts[1] || texts[1] != texts[2] {
				t.Errorf("the text changes: %q", texts)
			}
			tn.SetFaults(sim.Faults{})
			tn.srv.clock.add(x.after)
			pages, _ := readAll(t, s, cursor)
			if cursor == nil {
				same(t, tn.want(nameOfficeExchange), eventIDs(pages))
			} else if !slices.ContainsFunc(pages, func(p event.Page) bool { return len(p.Gaps) > 0 && strings.Contains(p.Gaps[0].Reason, "was off") }) {
				t.Error("nothing tells that the subscription was off")
			}
		})
	}
}

func TestACheckOfTheFeedsSaysWhatIsAmiss(t *testing.T) {
	feeds := []string{nameOfficeExchange, nameOfficeDLP}
	check := func(t *testing.T, o sim.Options, f sim.Faults, change func(*Config)) []Finding {
		tn := feedTenant(t, o)
		tn.SetFaults(f)
		return tn.srv.provider(t, func(c *Config) {
			c.Collect = feeds
			if change != nil {
				change(c)
			}
		}).Check(t.Context())
	}
	t.Run("nothing", func(t *testing.T) {
		all := check(t, sim.Options{Office: 100}, sim.Faults{}, nil)
		if len(all) != len(feeds)+3 {
			t.Errorf("%d findings: %+v", len(all), all)
		}
		for _, f := range all {
			if !f.OK || f.Advice != "" {
				t.Errorf("%+v", f)
			}
		}
	})
	t.Run("auditing is off", func(t *testing.T) {
		if f := finding(t, check(t, sim.Options{}, sim.Faults{NoAudit: true}, nil), nameOfficeExchange); f.OK || !strings.Contains(f.Advice, "turn on the audit log") || !strings.Contains(f.Text, "Tenant "+testTenant+" does not exist.") {
			t.Errorf("%+v", f)
		}
	})
	t.Run("nobody has a licence", func(t *testing.T) {
		if f := finding(t, check(t, sim.Options{Unlicensed: []string{"m365"}}, sim.Faults{Unlicensed: []string{"m365"}}, nil), nameOfficeExchange); f.OK || !strings.Contains(f.Advice, "Microsoft 365 licence") || !strings.Contains(f.Text, "AF20012") {
			t.Errorf("%+v", f)
		}
	})
	t.Run("subscription not enabled", func(t *testing.T) {
		tn := feedTenant(t, sim.Options{})
		tn.SetFaults(sim.Faults{NoSubscription: true})
		p := tn.srv.provider(t, func(c *Config) { c.Collect = feeds })
		if f := finding(t, p.Check(t.Context()), nameOfficeExchange); f.OK || !strings.Contains(f.Advice, "disabled") {
			t.Errorf("%+v", f)
		}
	})
	t.Run("permission for DLP only", func(t *testing.T) {
		all := check(t, sim.Options{Roles: []string{permissionFeed}}, sim.Faults{}, nil)
		if f := finding(t, all, nameOfficeDLP); f.OK || !strings.Contains(f.Advice, "ActivityFeed.ReadDlp of Office 365 Management APIs") {
			t.Errorf("%+v", f)
		}
		if f := finding(t, all, nameOfficeExchange); !f.OK {
			t.Errorf("%+v", f)
		}
		if f := finding(t, all, "office permissions"); f.OK || !strings.Contains(f.Text, "missing: ActivityFeed.ReadDlp (office_dlp)") {
			t.Errorf("%+v", f)
		}
	})
	t.Run("the tenant lacks the API", func(t *testing.T) {
		tn := feedTenant(t, sim.Options{})
		tn.srv.set(func() {
			tn.srv.token = func(w http.ResponseWriter, _ *http.Request) {
				answer(w, 400, map[string]any{"error": "invalid_resource", "error_description": "The resource principal named https://manage.office.com was not found in the tenant.", "error_codes": []int{500011}})
			}
		})
		// Graph has another address, so that the two are told apart.
		all := tn.srv.provider(t, func(c *Config) { c.Collect, c.GraphURL, c.BudgetShare = feeds, "https://graph.example", 0 }).Check(t.Context())
		if f := finding(t, all, "office token"); f.OK || !strings.Contains(f.Advice, "office_url") || !strings.Contains(f.Advice, "without Microsoft 365") {
			t.Errorf("%+v", f)
		}
	})
}

func TestATokenForAnotherTenantIsTold(t *testing.T) {
	tn := feedTenant(t, sim.Options{})
	inner := tn.srv.graph
	tn.srv.set(func() {
		tn.srv.graph = func(w http.ResponseWriter, r *http.Request) {
			r.URL.Path = strings.Replace(r.URL.Path, testTenant, testClient, 1) // as if it were asked for so
			inner(w, r)
		}
	})
	_, err := feedOf(t, tn, nameOfficeExchange).Read(t.Context(), nil)
	if fault.Of(err) != fault.Auth || !strings.Contains(fault.Hint(err), "tenant_id") || !strings.Contains(err.Error(), "AF20010") {
		t.Errorf("%v, hint %q", err, fault.Hint(err))
	}
}
