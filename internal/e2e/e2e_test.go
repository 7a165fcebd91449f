// Package e2e runs the whole agent against the simulated tenant.
package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/app"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/sim"
)

var full = flag.Bool("e2e.full", false, "the size of a large tenant: 10,000 apps, 100,000 grants, 200,000 records")

// Every numbered record of the simulated tenant, late, copied or throttled,
// raises one alert of a rule that alerts on each: none is missing, none is
// invented, and a second one has the same id.
func TestE2EConservation(t *testing.T) {
	size, limit := sim.Options{Apps: 60, Grants: 300, Users: 40, Events: 1500, EventsPerSecond: 300}, 3*time.Minute
	share := 1
	if *full {
		size, limit, share = sim.Options{Apps: 10_000, Grants: 100_000, Users: 5000, Events: 200_000, EventsPerSecond: 4000}, 20*time.Minute, 100
	}
	cloud, err := sim.New(sim.Options{Seed: 7, Apps: size.Apps, Grants: size.Grants, Users: size.Users, Events: size.Events, EventsPerSecond: size.EventsPerSecond, Late: 0.02, LateBy: 2 * time.Hour, Duplicates: 0.01, Throttle: 0.01, Gone: 1, Scenario: "quiet"})
	if err != nil {
		t.Fatal(err)
	}
	base, ca, stop, err := cloud.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	dir := t.TempDir()
	alerts := filepath.Join(dir, "alerts.jsonl")
	write(t, filepath.Join(dir, "ca.pem"), string(ca))
	write(t, filepath.Join(dir, "rules", "every.hcl"), everyRule())
	t.Setenv("APPGOV_E2E_SECRET", cloud.ClientSecret())
	conf := filepath.Join(dir, "agent.hcl")
	write(t, conf, fmt.Sprintf(agentConfig, dir, cloud.TenantID(), cloud.ClientID(), base, base, filepath.Join(dir, "ca.pem"), share, alerts))

	want := map[string]bool{}
	for range 2 { // restarted on the way
		run(t, conf, 12*time.Second, func() bool { return false })
	}
	for _, r := range cloud.Issued() {
		if r.Kind != "alert" {
			want[r.ID] = true
		}
	}
	run(t, conf, limit, func() bool { return len(told(t, alerts)) >= len(want) })
	got := told(t, alerts)
	for id := range want {
		if len(got[id]) == 0 {
			t.Errorf("no alert for record %s", id)
		}
	}
	for id, deliveries := range got {
		if !want[id] {
			t.Errorf("an alert for a record that was never issued: %s", id)
		}
		if len(deliveries) > 1 {
			t.Errorf("record %s raised %d alerts", id, len(deliveries))
		}
	}
	t.Logf("%d records, %d alerts", len(want), len(got))
}

func everyRule() string {
	var on []string
	for _, a := range event.Actions() {
		if !strings.HasPrefix(a.Name, "inventory.") && a.Name != event.ActionUpstreamAlert {
			on = append(on, fmt.Sprintf("%q", a.Name))
		}
	}
	return "rule \"e2e.every\" {\n  title    = \"Every record\"\n  severity = \"low\"\n  on       = [" + strings.Join(on, ", ") + "]\n  score    = 1\n}\n"
}

const agentConfig = `
agent {
  state_dir        = "%s/state"
  initial_lookback = "1d"
  tick             = "1s"
  snapshot         = "5s"
  log_level        = "error"
  shutdown_timeout = "5s"
}
source "entra" "e2e" {
  tenant_id      = "%s"
  client_id      = "%s"
  client_secret  = env("APPGOV_E2E_SECRET")
  graph_url      = "%s"
  login_url      = "%s"
  ca_file        = "%s"
  poll_interval  = "10s"
  sync_interval  = "30s"
  sweep_interval = "20s"
  budget_share   = %d
}
sink "file" "alerts" {
  path   = "%s"
  format = "json"
}
rules = ["rules"]
`

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// run runs the agent until done or for at most d.
func run(t *testing.T, conf string, d time.Duration, done func() bool) {
	t.Helper()
	p, diags := app.Check(conf)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	a, err := app.New(ctx, p, app.Options{Log: zap.NewNop(), Version: "e2e"})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for ctx.Err() == nil && !done() {
			<-time.After(500 * time.Millisecond)
		}
		cancel()
	}()
	if err := a.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

// told returns the alert ids per record that the file tells.
func told(t *testing.T, name string) map[string]map[string]bool {
	out := map[string]map[string]bool{}
	f, err := os.Open(name)
	if err != nil {
		return out
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var a struct {
			AlertID  string `json:"alert_id"`
			RuleID   string `json:"rule_id"`
			Evidence []struct {
				UpstreamID string `json:"upstream_id"`
			}
		}
		if json.Unmarshal(s.Bytes(), &a) != nil || a.RuleID != "e2e.every" {
			continue // a line that is still being written
		}
		for _, e := range a.Evidence {
			if out[e.UpstreamID] == nil {
				out[e.UpstreamID] = map[string]bool{}
			}
			out[e.UpstreamID][a.AlertID] = true
		}
	}
	return out
}
