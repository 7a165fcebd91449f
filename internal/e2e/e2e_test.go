// Package e2e runs the real command against the simulated tenant, with real
// servers behind its sinks.
package e2e

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/app"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/sim"
)

var (
	cuts   = flag.Int("e2e.cuts", 3, "how often the power of the disk is cut")
	kills  = flag.Int("e2e.kills", 20, "how often the daemon is killed within half a second")
	clocks = flag.Bool("e2e.clocks", false, "all the ways in which clocks are wrong, not one")
	soak   = flag.Duration("e2e.soak", 15*time.Second, "how long the soak lasts")
	seed   = flag.Uint64("e2e.seed", 0, "what the faults of the soak are drawn from; 0 = another one at each run")
	faults = flag.Int("e2e.faults", 3, "how many calls of each kind to the kernel fail, each in a run of its own")
	turns  = flag.Int("e2e.turns", 1, "how often the daemon dies at each crash point")
)

var full = flag.Bool("e2e.full", false, "the size of a large tenant: 10,000 apps, 100,000 grants, 200,000 records, 50 kills")

// size is how large a run of the conservation test is.
type size struct {
	apps, grants, users, events, changes int
	rate                                 float64
	kills                                int
	limit                                time.Duration // for the receivers to have everything, after the last record
	budgetShare                          int
	rules                                string // directory; empty = the rule that alerts on each record
	sources                              string // the rest of the source block; empty = what is read without a word
}

func sizeNow() size {
	if *full {
		return size{apps: 10_000, grants: 100_000, users: 5000, events: 200_000, changes: 300, rate: 2000, kills: 50, limit: 10 * time.Minute, budgetShare: 1000}
	}
	return size{apps: 60, grants: 300, users: 40, events: 1500, changes: 30, rate: 300, kills: 3, limit: 2 * time.Minute, budgetShare: 100}
}

// Every numbered record of the simulated tenant, late, copied or throttled,
// raises one alert of a rule that alerts on each: on every sink none is missing,
// none is invented, what comes twice has equal ids, and the inventory in the end
// is the simulator's. On the way: licences that come after the first start, 2 % of
// the records up to two hours late, 1 % duplicates, 1 % of the requests throttled,
// one 410, one expiry of all tokens, changes of the inventory, SIGKILLs at random
// moments. The full form runs once more without kills and with all licences.
func TestE2EConservation(t *testing.T) {
	s := sizeNow()
	if *full {
		t.Run("left in peace", func(t *testing.T) { conserve(t, s, 0) })
	}
	t.Run("killed on the way", func(t *testing.T) { conserve(t, s, s.kills) })
}

func conserve(t *testing.T, s size, kills int) {
	d := newDaemon(t)
	receivers := []receiver{kafkaReceiver(t, nil), elasticReceiver(t, nil), syslogReceiver(t, nil), fileReceiver(d.path("alerts.jsonl"))}
	cloud, err := sim.New(sim.Options{
		Seed: 7, Apps: s.apps, Grants: s.grants, Users: s.users, Events: s.events, EventsPerSecond: s.rate, Late: 0.02, LateBy: 2 * time.Hour,
		Duplicates: 0.01, Throttle: 0.01, Gone: 1, Scenario: "quiet", Changes: s.changes, ChangeEvery: 100 * time.Millisecond, DirectoryPage: 999,
	})
	if err != nil {
		t.Fatal(err)
	}
	configure(t, d, cloud, s, receivers, nil)
	began := time.Now()
	if kills > 0 {
		license(t, d, cloud, "p1", "p2", "workload", "defender")
	}
	d.start(t)
	middle := began.Add(time.Until(cloud.Complete()) / 2)
	expired := false
	killed := torment(t, d, kills, cloud.Complete(), func() {
		if !expired && time.Now().After(middle) {
			expired = true
			f := cloud.Faults()
			f.ExpireTokens = true
			cloud.SetFaults(f)
		}
	})
	last := time.Now()
	compare(t, d, s.limit, cloud, receivers)
	t.Logf("%d kills, %d requests, all was there %s after the last record, %s after the start, peak %d MB", killed, cloud.Requests(), time.Since(last).Round(time.Second), time.Since(began).Round(time.Second), max(d.peak, d.memory("VmHWM"))>>20)
	d.stop()
}

// compare waits until the running daemon has everything that the cloud told and
// every receiver has every alert, and reports what is missing, invented or
// changed. The file receiver is the last one.
func compare(t *testing.T, d *daemon, limit time.Duration, cloud *sim.Cloud, receivers []receiver) {
	t.Helper()
	want := issued(cloud)
	why := ""
	d.until(t, limit, "every sink has every alert", &why, func() bool {
		why = unsettled(t, d, len(want), receivers[len(receivers)-1], cloud)
		return why == ""
	})
	account(t, d)
	ids := tally(t, receivers[0], want)
	for _, r := range receivers[1:] {
		if other := tally(t, r, want); !maps.Equal(ids, other) {
			t.Errorf("%s and %s have other alert ids for the same records", receivers[0].name, r.name)
		}
	}
	if diff := differences(expected(cloud.Inventory()), exported(t, d)); len(diff) > 0 {
		t.Errorf("the inventory is not the simulator's:\n%s", strings.Join(diff, "\n"))
	}
}

// issued are the ids of what the cloud told of its logs: by Graph, by the stream of
// diagnostic settings, and by the unified audit log as far as that tells of apps.
func issued(cloud *sim.Cloud) map[string]bool {
	want := map[string]bool{}
	for _, r := range cloud.Issued() {
		if r.Kind != "alert" {
			want[r.ID] = true
		}
	}
	for _, kind := range []string{"Audit.AzureActiveDirectory", "Audit.Exchange", "Audit.SharePoint", "Audit.General", "DLP.All"} {
		for _, r := range cloud.Office(kind) {
			if r.App && !r.Lost {
				want[r.ID] = true
			}
		}
	}
	return want
}

func configure(t *testing.T, d *daemon, cloud *sim.Cloud, s size, receivers []receiver, v via) {
	t.Helper()
	base, ca, stop, err := cloud.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	base = "https://" + v.of(strings.TrimPrefix(base, "https://"))
	d.env = append(d.env, "APPGOV_E2E_SECRET="+cloud.ClientSecret())
	d.write(t, "ca.pem", string(ca))
	d.write(t, "rules/every.hcl", everyRule())
	text := fmt.Sprintf(agentConfig, d.state, cloud.TenantID(), cloud.ClientID(), base, base, base, d.path("ca.pem"), s.budgetShare, cmp.Or(s.sources, hurried()), cmp.Or(s.rules, "rules"))
	for _, r := range receivers {
		text += r.block
	}
	d.write(t, "agent.hcl", text)
	for _, r := range receivers {
		if r.setup != nil {
			r.setup(t, d)
		}
	}
}

// license runs the daemon on a tenant without licences until every source that needs
// one of them says so and all others were read; then it kills it and the licences are
// there. Without a restart they would be found within a day.
func license(t *testing.T, d *daemon, cloud *sim.Cloud, lacks ...string) {
	t.Helper()
	f := cloud.Faults()
	f.Unlicensed = lacks
	cloud.SetFaults(f)
	began := time.Now()
	d.start(t)
	why := ""
	d.until(t, 2*time.Minute, "every source was read or says that it is not licensed", &why, func() bool {
		s, err := d.status(t.Context())
		if why = fmt.Sprint("no source: ", err); err != nil || len(s.Sources) == 0 {
			return false
		}
		without := 0
		for _, x := range s.Sources {
			switch {
			case x.Condition == app.ConditionNotLicensed:
				without++
			case x.LastRead.IsZero():
				why = fmt.Sprintf("%s is %s: %s", x.Key, x.Condition, x.Reason)
				return false
			}
		}
		why = "no source is not licensed"
		return without > 0
	})
	d.kill()
	f.Unlicensed = nil
	cloud.SetFaults(f)
	t.Logf("the licences came after %s", time.Since(began).Round(time.Second))
}

// torment kills the daemon at random moments until the simulated day is over,
// and then until there were enough kills. It returns how many there were.
func torment(t *testing.T, d *daemon, kills int, end time.Time, each func()) (n int) {
	t.Helper()
	random := rand.New(rand.NewPCG(7, 7))
	spacing := max(time.Until(end)/time.Duration(max(kills, 1)), 200*time.Millisecond)
	for n < kills || time.Now().Before(end) {
		pause(t.Context(), min(spacing/2+rand.N(spacing), time.Second*10))
		each()
		d.alive(t)
		if n < kills && random.IntN(8) > 0 {
			d.kill()
			d.start(t)
			n++
		}
	}
	return n
}

// unsettled says what is still to come: the simulated day is over when every
// source has been read since, every sink has taken what there is, and the
// inventory is the simulator's.
func unsettled(t *testing.T, d *daemon, want int, file receiver, cloud *sim.Cloud) string {
	s, err := d.status(t.Context())
	if err != nil {
		return err.Error()
	}
	for _, x := range s.Sources {
		if x.LastRead.Before(cloud.Complete()) {
			return fmt.Sprintf("%s was last read at %s: %s", x.Key, x.LastRead, x.Error)
		}
	}
	for name, r := range s.Ledger.Readers {
		if r.Waiting > 0 {
			return fmt.Sprintf("%d alerts wait for %s", r.Waiting, name)
		}
	}
	records := map[string]bool{}
	for _, g := range file.got(t) {
		if g.RuleID == ruleID {
			records[g.Evidence[0].UpstreamID] = true
		}
	}
	if len(records) < want {
		return fmt.Sprintf("%d of %d records", len(records), want)
	}
	return strings.Join(differences(expected(cloud.Inventory()), exported(t, d)), "\n")
}

// account: what the daemon itself counts adds up, and nothing is in the dead letter.
func account(t *testing.T, d *daemon) {
	t.Helper()
	s, err := d.status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range s.Sources {
		if !x.Account.Balanced() || x.Account.Quarantined+x.Account.Gap > 0 {
			t.Errorf("account of %s: %+v", x.Key, x.Account)
		}
	}
	for name, r := range s.Ledger.Readers {
		if r.Balance != "" || r.DeadLetter > 0 {
			t.Errorf("account of sink %s: %+v", name, r)
		}
	}
}

// hurried lets the sources that are read once in a while be read as often as the others,
// so that the day ends for them too.
func hurried() string {
	var b strings.Builder
	for _, name := range []string{"application_owners", "service_principal_owners", "federated_credentials", "role_definitions", "directory_roles", "eligible_roles", "permission_grant_policies",
		"authorization_policy", "admin_consent_policy", "app_management_policies", "default_app_management_policy", "consent_requests", "app_signin_activities",
		"credential_signin_activities", "risky_service_principals", "oauth_app_info", "graph_activity"} {
		fmt.Fprintf(&b, "  collector %q {\n    poll_interval = \"30s\"\n  }\n", name)
	}
	return b.String()
}

// everyRule alerts on each record that the tenant's log of what it issued has. The
// provider's verdicts are not in it, unless they are named; internal/provider/msgraph
// counts those.
func everyRule(besides ...string) string {
	var on []string
	for _, a := range event.Actions() {
		if !strings.HasPrefix(a.Name, "inventory.") && a.Name != event.ActionUpstreamAlert && !strings.HasPrefix(a.Name, "app.risk.") || slices.Contains(besides, a.Name) {
			on = append(on, fmt.Sprintf("%q", a.Name))
		}
	}
	return "rule \"" + ruleID + "\" {\n  title    = \"Every record\"\n  severity = \"low\"\n  on       = [" + strings.Join(on, ", ") + "]\n  score    = 1\n}\n"
}

const agentConfig = `
agent {
  state_dir        = %q
  initial_lookback = "1d"
  tick             = "1s"
  snapshot         = "5s"
  log_level        = "warn"
  shutdown_timeout = "5s"
}
source "entra" "e2e" {
  tenant_id      = %q
  client_id      = %q
  client_secret  = env("APPGOV_E2E_SECRET")
  graph_url      = %q
  office_url     = %q
  login_url      = %q
  ca_file        = %q
  poll_interval  = "10s"
  sync_interval  = "30s"
  sweep_interval = "15s"
  overlap        = "20s"
  sweep_depth    = "3h"
  budget_share   = %d
%s}
rules = [%q]
`
