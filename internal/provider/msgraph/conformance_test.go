package msgraph

import (
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/ingest"
	"github.com/appgovd/appgovd/internal/ingest/sourcetest"
	"github.com/appgovd/appgovd/internal/provider/msgraph/normalise"
	"github.com/appgovd/appgovd/internal/sim"
)

// tenant is a simulated tenant behind a server that can be broken.
type tenant struct {
	*sim.Cloud
	srv *cloud
}

func newTenant(t testing.TB, o sim.Options) *tenant {
	t.Helper()
	srv := newCloud(t, nil)
	o.Seed, o.TenantID, o.ClientID, o.ClientSecret = 7, testTenant, testClient, "hush"
	o.Now, o.Start, o.TokenLifetime = srv.clock.read, epoch(), 1000*time.Hour
	c, err := sim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	h := c.Handler()
	srv.dec = normalise.New(testTenant)
	srv.set(func() { srv.graph, srv.token = h.ServeHTTP, h.ServeHTTP })
	return &tenant{Cloud: c, srv: srv}
}

// broke answers as how says, else as next does.
func broke(next http.HandlerFunc, how *atomic.Value) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		switch how.Load() {
		case sourcetest.Garbage:
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, "\x00\xff]} garbage")
		case sourcetest.ServerError:
			refuse(w, 500, "UnknownError", "")
		case sourcetest.Truncated:
			next(rec, r)
			body := rec.Body.Bytes()
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(body[:len(body)-len(body)/3-1])
		default:
			next(w, r)
		}
	}
}

func (tn *tenant) world(t *testing.T, name string) sourcetest.World {
	var how atomic.Value
	how.Store(sourcetest.None)
	tn.srv.set(func() { tn.srv.graph = broke(tn.srv.graph, &how) })
	return sourcetest.World{
		New: func(t *testing.T) ingest.Source {
			return tn.srv.provider(t, func(c *Config) {
				c.PageSize, c.SweepInterval, c.Collect = 20, "0s", []string{name}
				if slices.ContainsFunc(listSpecs(), func(s spec) bool { return s.name == name }) {
					c.PageSize = 8
				}
			}).named(t, name)
		},
		Break: func(b sourcetest.Break) { how.Store(b) },
		Want:  tn.want(name),

		Single: slices.ContainsFunc(specs(), func(s spec) bool { return s.name == name && s.list != nil && s.list.single }),
	}
}

// want lists what the simulator holds of one source.
func (tn *tenant) want(name string) []string {
	var ids []string
	inv := tn.Inventory()
	switch name {
	case nameApplications:
		for _, a := range inv.Applications {
			ids = append(ids, a.ID)
		}
	case namePrincipals:
		for _, p := range inv.ServicePrincipals {
			ids = append(ids, p.ID)
		}
	case nameGrants:
		for _, g := range inv.Grants {
			ids = append(ids, g.ID)
		}
	case nameAssignments:
		for _, a := range inv.Assignments {
			ids = append(ids, a.ID)
		}
	case nameAuthPolicy:
		ids = []string{"authorizationPolicy"}
	case nameRequestPolicy, nameDefaultAppPolicy:
		ids = []string{name}
	case nameAppOwners, namePrincipalOwners, nameFederated, nameRoleDefinitions, nameRoles, nameEligibleRoles, nameGrantPolicies, nameAppPolicies,
		nameConsentRequests, nameAppActivity, nameCredentialUse, nameRiskyPrincipals, nameRiskDetections:
		ids = tn.Traits()[traitSets()[name]]
	case nameOAuthApps, nameGraphActivity, nameCloudAppEvents, nameSpnSignIns:
		ids = tn.Hunted(map[string]string{nameOAuthApps: "OAuthAppInfo", nameGraphActivity: "GraphAPIAuditEvents", nameCloudAppEvents: "CloudAppEvents", nameSpnSignIns: "EntraIdSpnSignInEvents"}[name])
	case nameOfficeDirectory, nameOfficeExchange, nameOfficeSharePoint, nameOfficeGeneral, nameOfficeDLP:
		for _, r := range tn.Office(contentTypeOf(name)) {
			if r.App && !r.Lost {
				ids = append(ids, r.ID)
			}
		}
	default:
		kind := map[string]string{nameAudits: "audit", nameInteractive: "signin_interactive", nameNonInteract: "signin_non_interactive",
			nameSPSignIns: "signin_service_principal", nameMISignIns: "signin_managed_identity", nameAlerts: "alert"}[name]
		for _, r := range tn.Issued() {
			if r.Kind == kind {
				ids = append(ids, r.ID)
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func contentTypeOf(name string) string {
	all := feedSpecs()
	return all[slices.IndexFunc(all, func(s spec) bool { return s.name == name })].feed
}

// traitSets are the simulator's names of what the sources read.
func traitSets() map[string]string {
	return map[string]string{
		nameAppOwners: "applicationOwners", namePrincipalOwners: "servicePrincipalOwners", nameFederated: "federatedIdentityCredentials", nameRoleDefinitions: "roleDefinitions",
		nameRoles: "roleAssignments", nameEligibleRoles: "roleEligibilityScheduleInstances", nameGrantPolicies: "permissionGrantPolicies", nameAppPolicies: "appManagementPolicies",
		nameConsentRequests: "userConsentRequests", nameAppActivity: "servicePrincipalSignInActivities", nameCredentialUse: "appCredentialSignInActivities",
		nameRiskyPrincipals: "riskyServicePrincipals", nameRiskDetections: "servicePrincipalRiskDetections",
	}
}

func TestSources(t *testing.T) {
	for _, name := range SourceNames() {
		t.Run(name, func(t *testing.T) {
			sourcetest.Run(t, func(t *testing.T) sourcetest.World {
				page := 0
				if slices.ContainsFunc(listSpecs(), func(s spec) bool { return s.name == name && s.list.top == 0 }) {
					page = 4
				}
				return newTenant(t, sim.Options{DirectoryPage: page, HuntTooLarge: 15, Office: 400, OfficePage: 4, Apps: 40, Grants: 60, Users: 10, Events: 1500, Alerts: 45}).world(t, name)
			})
		})
	}
}

// TestWholeTenant drains a tenant that misbehaves in every way at once, with late and
// repeated records and licences that come after an hour, and counts: what is read
// without a word, and what is read where somebody names it.
func TestWholeTenant(t *testing.T) {
	o := sim.Options{Apps: 200, Grants: 1500, Users: 50, Events: 5000, Alerts: 40, Office: 4000, OfficePage: 5, Changes: 100, ChangeEvery: 30 * time.Second,
		Late: 0.02, LateBy: 2 * time.Hour, Duplicates: 0.01, Throttle: 0.05, ServerErrors: 0.05, Truncate: 0.05, Gone: 3, EventsPerSecond: 1,
		DirectoryPage: 100, LogPage: 200}
	t.Run("by default", func(t *testing.T) {
		o.Unlicensed = []string{"p1", "p2", "workload"}
		wholeTenant(t, o, nil)
	})
	t.Run("where it is named", func(t *testing.T) {
		o.Unlicensed = []string{"defender", "m365"}
		wholeTenant(t, o, []string{nameCloudAppEvents, nameSpnSignIns, nameOfficeDirectory, nameOfficeDLP})
	})
}

// drained is what one source of a tenant gave.
type drained struct {
	cursor     []byte
	ready      time.Time
	ids        map[string]bool
	alive      map[string]bool
	gen        map[string]map[string]bool
	unlicensed int // refusals for want of a licence
}

func wholeTenant(t *testing.T, o sim.Options, collect []string) {
	tn := newTenant(t, o)
	p := tn.srv.provider(t, func(c *Config) {
		c.PageSize, c.Collect = 200, collect
		for _, s := range append(listSpecs(), huntSpecs()...) {
			c.CollectorTunings = append(c.CollectorTunings, Tuning{Name: s.name, PollInterval: "10m"})
		}
	})
	states := map[string]*drained{}
	for _, n := range p.Sources() {
		states[n.Key] = &drained{ids: map[string]bool{}, alive: map[string]bool{}, gen: map[string]map[string]bool{}}
	}
	reported := tn.want(nameGraphActivity) // of the day before, when all apps were there
	rng := rand.New(rand.NewPCG(3, 4))
	busy := tn.Complete().Add(3 * time.Hour)
	for tn.srv.clock.read().Before(epoch().Add(27 * time.Hour)) {
		now := tn.srv.clock.read()
		if f := tn.Faults(); now.Sub(epoch()) > time.Hour && f.Unlicensed != nil {
			f.Unlicensed = nil
			tn.SetFaults(f)
		}
		for _, n := range p.Sources() {
			for s, tries := states[n.Key], 0; !now.Before(s.ready) && tries < 500; tries++ {
				s.read(t, n, now)
			}
		}
		step := time.Duration(30+rng.IntN(300)) * time.Second
		if now.After(busy) {
			step *= 6
		}
		tn.srv.clock.add(step)
	}
	licensed := 0
	for _, n := range p.Sources() {
		name := n.Key[strings.LastIndexByte(n.Key, '/')+1:]
		s := states[n.Key]
		if s.unlicensed > 0 {
			licensed++
		}
		if s.unlicensed > 1 {
			t.Errorf("%s was tried %d times without a licence in an hour", name, s.unlicensed)
		}
		got := s.ids
		if n.Class == event.ClassInventory {
			maps.Copy(got, s.alive) // a verdict has a history, too
		}
		want := tn.want(name)
		if name == nameGraphActivity {
			want = reported
		}
		t.Run(name, func(t *testing.T) { same(t, want, slices.Sorted(maps.Keys(got))) })
	}
	if licensed < 3 {
		t.Errorf("%d sources wanted a licence", licensed)
	}
	for _, b := range p.Budgets() {
		t.Logf("budget %s: demand %.4f units/s", b.Family, b.Demand)
	}
}

// read reads one page, and checks that it adds up.
func (s *drained) read(t *testing.T, n Named, now time.Time) {
	page, err := n.Source.Read(t.Context(), s.cursor)
	if err != nil {
		if fault.ReasonOf(err) == fault.NotLicensed {
			s.unlicensed++
			s.ready = now.Add(fault.After(err))
		}
		return
	}
	sum := len(page.Events) + len(page.Objects) + page.Seen
	if len(page.Gaps) > 0 || len(page.Quarantined) > 0 || page.Fetched != sum {
		t.Fatalf("%s: fetched %d, there are %d; gaps %v, quarantined %v", n.Key, page.Fetched, sum, page.Gaps, page.Quarantined)
	}
	for i, e := range page.Events {
		s.ids[e.UpstreamID] = true
		if i == 0 && !strings.Contains(n.Key, nameRiskyPrincipals) { // a history is decoded by what led to it
			decodesAlone(t, n, &e)
		}
	}
	for _, o := range page.Objects {
		if o.Kind == event.ObjectAppCalls { // the report of the next day does not take that of this one away
			s.ids[o.ID] = true
		}
	}
	track(s.alive, s.gen, page)
	s.cursor, s.ready = page.Cursor, now.Add(page.Wait)
}

// decodesAlone checks that a record is decoded on its own as it was in its page, and
// that garbage is not.
func decodesAlone(t *testing.T, n Named, e *event.Event) {
	t.Helper()
	got, err := n.Decode(e.Raw)
	if err != nil || len(got) != 1 || got[0].ID != e.ID || got[0].Content != e.Content || got[0].Action != e.Action {
		t.Fatalf("%s: record %s alone: %v, %+v", n.Key, e.UpstreamID, err, got)
	}
	for _, bad := range []string{"", "[]", "{}", `{"id":`} {
		if got, err := n.Decode([]byte(bad)); err == nil {
			t.Fatalf("%s: %q is decoded: %+v", n.Key, bad, got)
		}
	}
}

// track applies objects as the inventory would: what a whole generation does not
// show is removed at its end.
func track(alive map[string]bool, gens map[string]map[string]bool, p event.Page) {
	for _, o := range p.Objects {
		alive[o.ID] = true
		if o.Removed != "" {
			delete(alive, o.ID)
		}
	}
	if p.Sync == nil || p.Sync.Generation == 0 {
		return
	}
	scope := p.Sync.Scope
	key := scope + " " + time.Duration(p.Sync.Generation).String()
	if gens[key] == nil {
		gens[key] = map[string]bool{}
	}
	for _, o := range p.Objects {
		gens[key][o.ID] = true
		if gens[scope] == nil {
			gens[scope] = map[string]bool{}
		}
		gens[scope][o.ID] = true
	}
	if p.Sync.Complete {
		for id := range gens[scope] {
			if !gens[key][id] {
				delete(alive, id)
			}
		}
	}
}
