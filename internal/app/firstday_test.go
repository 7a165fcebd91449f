package app_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/app"
	"github.com/appgovd/appgovd/internal/sim"
)

// firstDay is an agent that begins to watch a tenant that has been there for
// long: apps, grants, credentials, and six hours of records.
type firstDay struct {
	cloud  *sim.Cloud
	agent  *app.Agent
	alerts string       // file of the sink
	ahead  atomic.Int64 // by which the agent's clock is ahead of ours
}

// told is an alert as it left.
type told struct {
	RuleID   string `json:"rule_id"`
	Kind     string `json:"kind"`
	Action   string `json:"action"`
	Backfill bool   `json:"backfill"`
	Count    int    `json:"count"`
	App      struct {
		Name string `json:"name"`
	} `json:"app"`
}

const firstDayConfig = `
agent {
  state_dir        = %q
  initial_lookback = "1d"
  tick             = "1s"
  log_level        = "warn"
  shutdown_timeout = "2s"
}
source "entra" "day" {
  tenant_id     = %q
  client_id     = %q
  client_secret = env("APPGOV_FIRSTDAY_SECRET")
  graph_url     = %q
  login_url     = %q
  ca_file       = %q
  poll_interval = "10s"
  budget_share  = 1000
  collector "applications" {
    poll_interval = "10s"
  }
  collector "service_principals" {
    poll_interval = "10s"
  }
  collector "delegated_grants" {
    poll_interval = "10s"
  }
}
sink "file" "alerts" {
  path   = %q
  format = "json"
}
rules = [%q]
`

const firstDayRules = `
rule "day.added" {
  title    = "The inventory grew"
  severity = "low"
  on       = ["inventory.app.added", "inventory.grant.added", "inventory.credential.added"]
  score    = 1
}
rule "day.record" {
  title    = "A record was read"
  severity = "low"
  on       = ["app.signin", "user.signin", "app.added", "app.updated", "app.consent.granted", "app.permission.granted", "app.credential.added", "directory.other"]
  score    = 1
}
policy "day.enabled" {
  title    = "An app that is enabled"
  severity = "low"
  where    = app.enabled
}
policy "day.newcomer" {
  title    = "An app by the name of Newcomer"
  severity = "low"
  where    = app.name == "Newcomer"
}
`

func startFirstDay(t *testing.T) *firstDay {
	t.Helper()
	cloud, err := sim.New(sim.Options{Seed: 11, Apps: 30, Grants: 90, Users: 10, Events: 200, Scenario: "quiet"})
	if err != nil {
		t.Fatal(err)
	}
	base, ca, stop, err := cloud.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	t.Setenv("APPGOV_FIRSTDAY_SECRET", cloud.ClientSecret())
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	d := &firstDay{cloud: cloud, alerts: in("alerts.jsonl")}
	for name, text := range map[string]string{
		"ca.pem": string(ca), "rules.hcl": firstDayRules,
		"agent.hcl": fmt.Sprintf(firstDayConfig, in("state"), cloud.TenantID(), cloud.ClientID(), base, base, in("ca.pem"), d.alerts, in("rules.hcl")),
	} {
		if err := os.WriteFile(in(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, diags := app.Check(in("agent.hcl"))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	d.agent, err = app.New(t.Context(), p, app.Options{Now: func() time.Time { return time.Now().Add(time.Duration(d.ahead.Load())) }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.agent.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return d
}

// told lists what has left so far, by rule.
func (d *firstDay) told(t *testing.T) map[string][]told {
	t.Helper()
	f, err := os.Open(d.alerts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	out := map[string][]told{}
	for s := bufio.NewScanner(f); s.Scan(); {
		var a told
		if err := json.Unmarshal(s.Bytes(), &a); err != nil {
			continue // a line that is still being written
		}
		out[a.RuleID] = append(out[a.RuleID], a)
	}
	return out
}

func (d *firstDay) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.After(time.Minute)
	for !ok() {
		select {
		case <-limit:
			t.Fatalf("not in time: %s\n%+v", what, d.agent.Status())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Day one is quiet: what was there before appgovd is no news. Afterwards the
// same things are.
func TestTheFirstDayIsQuietAndTheNextIsNot(t *testing.T) {
	d := startFirstDay(t)
	records := d.cloud.Issued()
	d.until(t, "every source was read once", func() bool {
		for _, s := range d.agent.Status().Sources {
			if s.CompleteThrough.IsZero() {
				return false
			}
		}
		return true
	})
	d.ahead.Store(int64(31 * time.Second)) // policies wait until the first sync has settled
	d.until(t, "the policies have looked", func() bool { return len(d.told(t)["day.enabled"]) > 0 })
	d.until(t, "the records have left", func() bool { return len(d.told(t)["day.record"]) >= len(records) })

	t.Run("the first sync raises no alert on what it finds", func(t *testing.T) {
		inv, known := d.cloud.Inventory(), d.agent.Status().Apps["entra/day"]
		if known.Apps < len(inv.ServicePrincipals) || known.Grants < len(inv.Grants) || known.Credentials == 0 {
			t.Errorf("the inventory holds %+v of %d apps and %d grants", known, len(inv.ServicePrincipals), len(inv.Grants))
		}
		if got := d.told(t)["day.added"]; len(got) > 0 {
			t.Errorf("%d alerts, the first is %+v", len(got), got[0])
		}
	})
	t.Run("what a policy finds goes out as one summary", func(t *testing.T) {
		got := d.told(t)
		if s := got["day.enabled"]; len(s) != 1 || s[0].Kind != "summary" || !s[0].Backfill || s[0].Count < 30 {
			t.Errorf("%d alerts: %+v", len(s), s)
		}
		if s := got["day.newcomer"]; len(s) > 0 {
			t.Errorf("a policy that finds nothing says so: %+v", s)
		}
	})
	t.Run("old records carry backfill", func(t *testing.T) {
		told := d.told(t)["day.record"]
		if len(told) != len(records) {
			t.Errorf("%d alerts on %d records", len(told), len(records))
		}
		for _, a := range told {
			if !a.Backfill {
				t.Fatalf("an alert without backfill: %+v", a)
			}
		}
	})
	t.Run("what changes from then on is news", func(t *testing.T) {
		id := d.cloud.Inventory().ServicePrincipals[3].ID
		for _, m := range []sim.Mutation{{Op: "rename_app", ID: id, Name: "Newcomer"}, {Op: "add_secret", ID: id, Name: "late"}} {
			if err := d.cloud.Mutate(m); err != nil {
				t.Fatal(err)
			}
		}
		d.until(t, "both are told", func() bool { got := d.told(t); return len(got["day.added"]) > 0 && len(got["day.newcomer"]) > 0 })
		got := d.told(t)
		if a := got["day.added"]; len(a) != 1 || a[0].Action != "inventory.credential.added" || a[0].Backfill {
			t.Errorf("%+v", a)
		}
		if a := got["day.newcomer"]; len(a) != 1 || a[0].Kind != "policy" || a[0].Backfill || a[0].App.Name != "Newcomer" {
			t.Errorf("%+v", a)
		}
		if a := got["day.enabled"]; len(a) != 1 {
			t.Errorf("the summary goes out again: %+v", a)
		}
	})
}
