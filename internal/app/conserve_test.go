package app

import (
	"cmp"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ledger"
	"github.com/appgovd/appgovd/internal/provider/msgraph"
	"github.com/appgovd/appgovd/internal/sim"
)

// Conservation: every kind of source that there is, with every fault of
// harms(), alone. A whole agent reads simulated tenants, its ledger lies on the disk, it
// is stopped and started again on the way, and time is a bubble's. Then the ledger
// is read: each record that the cloud told is there, once for each of its contents, and
// no other; each raised one alert; the objects are those of the cloud; the account adds
// up. A fault that did not strike a source on which it is tried fails the test.
func TestConservationOfEveryKind(t *testing.T) {
	for _, h := range harms() {
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			var x *trial
			synctest.Test(t, func(t *testing.T) {
				x = newTrial(t, h)
				x.run(t)
			})
			x.compare(t)
		})
	}
}

// twins are sources that tell what others tell, and are read in a tenant of their own.
func twins() []string { return []string{"cloud_app_events", "spn_signin_events", "office_directory"} }

// trial is an agent on two tenants, all of whose sources are struck by one harm.
type trial struct {
	h     harm
	dir   string
	net   kfake.VirtualNetwork
	gates map[string]*gate // by the name of the source block
	ca    string

	states []SourceStatus
	told   ledgered
	want   map[string][]string // by source
}

func newTrial(t *testing.T, h harm) *trial {
	<-time.After(10 * time.Hour) // the report of the day before is made in the morning
	x := &trial{h: h, dir: t.TempDir(), gates: map[string]*gate{}, want: map[string][]string{}}
	x.write(t, "rules/every.hcl", everyRecord())
	x.write(t, "secret", "hush")
	names := slices.DeleteFunc(msgraph.SourceNames(), func(n string) bool { return slices.Contains(twins(), n) })
	x.tenant(t, "most", 8443, names)
	x.tenant(t, "twins", 8453, twins())
	return x
}

func (x *trial) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(x.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// everyRecord alerts once on each record.
func everyRecord() string {
	var on []string
	for _, a := range event.Actions() {
		if !strings.HasPrefix(a.Name, "inventory.") {
			on = append(on, fmt.Sprintf("%q", a.Name))
		}
	}
	return "rule \"conserve.every\" {\n  title    = \"Every record\"\n  severity = \"low\"\n  on       = [" + strings.Join(on, ", ") + "]\n  score    = 1\n}\n"
}

// tenant makes a cloud, whose records come in the first third of the trial.
func (x *trial) tenant(t *testing.T, name string, port int, collect []string) {
	t.Helper()
	const records = 300
	o := sim.Options{
		Seed: int64(port), ClientSecret: "hush", Apps: 40, Grants: 60, Users: 10, Events: records, Office: records, Alerts: 20, OfficePage: 4, DirectoryPage: 30, HuntTooLarge: 15,
		EventsPerSecond: records / (x.h.lasts.Seconds() / 3), Now: time.Now, Start: time.Now(), TokenLifetime: 1000 * time.Hour,
	}
	if x.h.cloud != nil {
		x.h.cloud(&o)
	}
	cloud, err := sim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	x.gates[name] = &gate{cloud: cloud, next: cloud.Handler(), harm: x.h, began: time.Now(), collect: collect, asked: map[string]int{}, hits: map[string]int{}, first: map[string]string{}}
	g := x.gates[name]
	g.url, g.login = fmt.Sprintf("http://127.0.0.1:%d", port), fmt.Sprintf("https://127.0.0.1:%d", port+1)
	x.server(t, g, port).Start()
	login := x.server(t, g.next, port+1)
	login.StartTLS()
	x.ca = x.write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: login.Certificate().Raw})))
}

// server will answer at a port of the trial's network.
func (x *trial) server(t *testing.T, h http.Handler, port int) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	_ = srv.Listener.Close()
	var err error
	if srv.Listener, err = x.net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
		t.Fatal(err)
	}
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(srv.Close)
	return srv
}

// start starts the agent; stop ends it.
func (x *trial) start(t *testing.T) (a *Agent, stop func()) {
	t.Helper()
	text := fmt.Sprintf("agent {\n  state_dir = %q\n  tick = \"10m\"\n  snapshot = \"2h\"\n  shutdown_timeout = \"1s\"\n  initial_lookback = \"1d\"\n}\nrules = [%q]\nsink \"stdout\" \"out\" {}\n", x.dir+"/state", x.dir+"/rules")
	pace := "page_size = 8\n  poll_interval = \"10m\"\n  sync_interval = \"30m\""
	if x.h.rare {
		pace = "page_size = 25\n  poll_interval = \"40m\"\n  sync_interval = \"2h\"\n  overlap = \"1h\"\n  sweep_interval = \"3h\""
	}
	for name, g := range x.gates {
		pace := pace
		for _, source := range g.collect {
			if _, trait := traitSets()[source]; trait && x.h.rare {
				pace += fmt.Sprintf("\n  collector %q {\n    poll_interval = \"4h\"\n  }", source)
			}
		}
		text += fmt.Sprintf("source \"entra\" %q {\n  tenant_id = %q\n  client_id = %q\n  client_secret = file(%q)\n  graph_url = %q\n  office_url = %q\n  login_url = %q\n  ca_file = %q\n  %s\n  budget_share = 1000\n  collect = [%s]\n}\n",
			name, g.cloud.TenantID(), g.cloud.ClientID(), x.dir+"/secret", g.url, g.url, g.login, x.ca, pace, `"`+strings.Join(g.collect, `", "`)+`"`)
	}
	return startAgent(t, x.write(t, "agent.hcl", text), Options{Dial: x.net.DialContext, Stdout: io.Discard})
}

func startAgent(t *testing.T, conf string, o Options) (a *Agent, stop func()) {
	t.Helper()
	p, diags := Check(conf)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if testing.Verbose() {
		o.Log = zap.NewNop()
	}
	a, err := New(t.Context(), p, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	return a, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func (x *trial) run(t *testing.T) {
	_, stop := x.start(t)
	<-time.After(x.h.lasts / 2)
	stop()
	a, stop := x.start(t)
	<-time.After(x.h.lasts / 2)
	synctest.Wait() // no page is on its way
	x.states = a.Status().Sources
	stop()
	x.told = read(t, x.dir+"/state")
	for name, g := range x.gates {
		for _, source := range g.collect {
			x.want["entra/"+name+"/"+source] = wanted(g.cloud, source)
		}
	}
}

// compare compares what was read with what there was to read, by source.
func (x *trial) compare(t *testing.T) {
	var tried []string
	for name, g := range x.gates {
		for _, source := range g.collect {
			tried = append(tried, source)
			t.Run(source, func(t *testing.T) {
				key := "entra/" + name + "/" + source
				x.told.of(key).compare(t, x.want[key], source == "alerts")
				i := slices.IndexFunc(x.states, func(s SourceStatus) bool { return s.Key == key })
				x.told.of(key).count(t, x.states[i])
				if why := x.h.except(source); (why == "") == (g.hits[source] == 0) {
					t.Errorf("it was struck %d times; the table says %q", g.hits[source], cmp.Or(why, "tried"))
				}
			})
		}
	}
	for _, n := range msgraph.SourceNames() {
		if !slices.Contains(tried, n) {
			t.Errorf("%s is not tried", n)
		}
	}
}

// ledgered is what a ledger holds, by source.
type ledgered map[string]*holding

type holding struct {
	events  map[string]map[uint32]int // upstream id, version: how often
	alerts  map[string]int            // upstream id of an event: alerts
	alive   map[string]bool           // objects
	gens    map[string]map[string]bool
	calls   int // summed up
	account event.Account
	strange []string
}

// read reads the ledger of an agent that has ended.
func read(t *testing.T, state string) ledgered {
	t.Helper()
	v, err := ledger.OpenView(state, "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = v.Close() }()
	out := ledgered{}
	if err := v.Frames(func(f *event.Frame) error {
		if f.Kind == event.FramePage {
			out.of(f.Source).take(f)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func (l ledgered) of(source string) *holding {
	if l[source] == nil {
		l[source] = &holding{events: map[string]map[uint32]int{}, alerts: map[string]int{}, alive: map[string]bool{}, gens: map[string]map[string]bool{}}
	}
	return l[source]
}

func (h *holding) take(f *event.Frame) {
	h.account = h.account.Add(f.Account)
	for _, e := range f.Events {
		if e.Derived {
			continue
		}
		if h.events[e.UpstreamID] == nil {
			h.events[e.UpstreamID] = map[uint32]int{}
		}
		h.events[e.UpstreamID][e.Version]++
	}
	for _, a := range f.Alerts {
		for _, e := range a.Evidence {
			h.alerts[e.UpstreamID]++
		}
	}
	for _, r := range f.Rollups {
		h.calls += int(r.Calls)
	}
	for _, q := range f.Quarantined {
		h.strange = append(h.strange, "quarantined: "+q.Reason+": "+q.Detail)
	}
	for _, g := range f.Gaps {
		if !strings.Contains(g.Reason, "IsThrottled") { // which the records themselves say
			h.strange = append(h.strange, "gap: "+g.Reason)
		}
	}
	h.objects(f)
}

// objects applies a page as an inventory does: what a whole generation does not show is
// gone. A report of calls is of its day, and stays.
func (h *holding) objects(f *event.Frame) {
	for _, o := range f.Objects {
		h.alive[o.ID] = true
		if o.Removed != "" {
			delete(h.alive, o.ID)
		}
	}
	if f.Sync == nil || f.Sync.Generation == 0 || f.Sync.Kind == event.ObjectAppCalls {
		return
	}
	scope := f.Sync.Scope
	gen := fmt.Sprint(scope, " ", f.Sync.Generation)
	for _, key := range []string{scope, gen} {
		if h.gens[key] == nil {
			h.gens[key] = map[string]bool{}
		}
		for _, o := range f.Objects {
			h.gens[key][o.ID] = true
		}
	}
	if f.Sync.Complete {
		maps.DeleteFunc(h.alive, func(id string, _ bool) bool { return h.gens[scope][id] && !h.gens[gen][id] })
	}
}

// compare reports what is missing, what is there and was never told, and what is there
// twice or did not raise one alert.
func (h *holding) compare(t *testing.T, want []string, updates bool) {
	t.Helper()
	if len(want) == 0 {
		t.Fatalf("there is nothing to read")
	}
	missing, spurious := 0, 0
	all := map[string]bool{}
	for _, id := range want {
		if all[id] = true; h.events[id] == nil && !h.alive[id] {
			if missing++; missing < 5 {
				t.Errorf("MISSING: %s", id)
			}
		}
	}
	for id := range h.alive {
		if !all[id] {
			spurious++
			t.Errorf("SPURIOUS: object %s", id)
		}
	}
	for id, versions := range h.events {
		alerts := 1
		if updates { // each state of an alert of the provider's is told
			alerts = len(versions)
		}
		if !all[id] || h.alerts[id] != alerts {
			spurious++
			t.Errorf("SPURIOUS: %s was told: %v, has %d contents and raised %d alerts", id, all[id], len(versions), h.alerts[id])
		}
		for v, n := range versions {
			if n > 1 {
				spurious++
				t.Errorf("SPURIOUS: %s is there %d times with content %d", id, n, v)
			}
		}
	}
	if missing+spurious > 0 {
		t.Errorf("of %d: missing %d, spurious %d", len(want), missing, spurious)
	}
}

// count checks that what a source counted adds up, and is what its frames say.
func (h *holding) count(t *testing.T, s SourceStatus) {
	t.Helper()
	if s.Account != h.account || !s.Account.Balanced() || s.Account.Fetched == 0 || s.Account.Quarantined+s.Account.Gap > 0 {
		t.Errorf("account %+v, of the frames %+v", s.Account, h.account)
	}
	objects := 0
	for _, v := range h.events {
		objects += len(v)
	}
	if uint64(objects+h.calls) > s.Account.New {
		t.Errorf("%d events and %d calls, and %d are new", objects, h.calls, s.Account.New)
	}
	for _, text := range h.strange {
		t.Error(text)
	}
	if s.State != "healthy" {
		t.Errorf("in the end it is %s: %s", s.State, s.Error)
	}
}

// wanted are the ids of what a cloud holds of one source.
func wanted(c *sim.Cloud, source string) (ids []string) {
	inv := c.Inventory()
	switch source {
	case "applications":
		for _, a := range inv.Applications {
			ids = append(ids, a.ID)
		}
	case "service_principals":
		for _, p := range inv.ServicePrincipals {
			ids = append(ids, p.ID)
		}
	case "delegated_grants":
		for _, g := range inv.Grants {
			ids = append(ids, g.ID)
		}
	case "app_role_assignments":
		for _, a := range inv.Assignments {
			ids = append(ids, a.ID)
		}
	case "authorization_policy":
		ids = []string{"authorizationPolicy"}
	case "admin_consent_policy", "default_app_management_policy":
		ids = []string{source}
	}
	if set, ok := traitSets()[source]; ok {
		ids = c.Traits()[set]
	}
	if table, ok := tablesOf()[source]; ok {
		ids = c.Hunted(table)
	}
	if kind, ok := contentsOf()[source]; ok {
		for _, r := range c.Office(kind) {
			if r.App && !r.Lost {
				ids = append(ids, r.ID)
			}
		}
	}
	if kind, ok := kindsOf()[source]; ok {
		for _, r := range c.Issued() {
			if r.Kind == kind {
				ids = append(ids, r.ID)
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// The simulator's names of what the sources read.

func traitSets() map[string]string {
	return map[string]string{
		"application_owners": "applicationOwners", "service_principal_owners": "servicePrincipalOwners", "federated_credentials": "federatedIdentityCredentials", "role_definitions": "roleDefinitions",
		"directory_roles": "roleAssignments", "eligible_roles": "roleEligibilityScheduleInstances", "permission_grant_policies": "permissionGrantPolicies", "app_management_policies": "appManagementPolicies",
		"consent_requests": "userConsentRequests", "app_signin_activities": "servicePrincipalSignInActivities", "credential_signin_activities": "appCredentialSignInActivities",
		"risky_service_principals": "riskyServicePrincipals", "risk_detections": "servicePrincipalRiskDetections",
	}
}

func tablesOf() map[string]string {
	return map[string]string{"oauth_app_info": "OAuthAppInfo", "graph_activity": "GraphAPIAuditEvents", "cloud_app_events": "CloudAppEvents", "spn_signin_events": "EntraIdSpnSignInEvents"}
}

func contentsOf() map[string]string {
	return map[string]string{"office_directory": "Audit.AzureActiveDirectory", "office_exchange": "Audit.Exchange", "office_sharepoint": "Audit.SharePoint", "office_general": "Audit.General", "office_dlp": "DLP.All"}
}

func kindsOf() map[string]string {
	return map[string]string{"directory_audits": "audit", "signins_interactive": "signin_interactive", "signins_non_interactive": "signin_non_interactive",
		"signins_service_principal": "signin_service_principal", "signins_managed_identity": "signin_managed_identity", "alerts": "alert"}
}

// record is an element of an answer, as far as the trial looks into it.
type record struct {
	raw json.RawMessage

	ID, ContentID, RequestID, ReportID, ServicePrincipalID, ApplicationID      string
	ActivityDateTime, CreatedDateTime, LastUpdateDateTime, DetectedDateTime    string
	CreationTime, ContentCreated, Timestamp, RiskLastUpdatedDateTime, Filename string
}

func (r record) key() string {
	return cmp.Or(r.ID, r.ContentID, r.RequestID, r.ReportID, r.ServicePrincipalID, r.ApplicationID)
}

// at is the time by which the record is read.
func (r record) at() string {
	return cmp.Or(r.LastUpdateDateTime, r.ActivityDateTime, r.DetectedDateTime, r.RiskLastUpdatedDateTime, r.CreatedDateTime, r.CreationTime, r.Timestamp)
}
