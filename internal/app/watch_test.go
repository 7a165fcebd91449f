package app_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/app"
	"github.com/appgovd/appgovd/internal/sim"
)

// tenant is a simulated tenant that serves.
type tenant struct {
	*sim.Cloud
	base, ca string // ca is PEM
}

func newTenant(t *testing.T, o sim.Options) *tenant {
	t.Helper()
	cloud, err := sim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	base, ca, stop, err := cloud.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return &tenant{cloud, base, string(ca)}
}

// watch is a whole agent that watches a tenant.
type watch struct {
	*app.Agent
	cloud  *tenant
	alerts string       // file of the sink
	ahead  atomic.Int64 // by which the agent's clock is ahead of ours
	stop   func()       // harmless when it has stopped
}

const watchConfig = `
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
  client_secret = env("APPGOV_WATCH_SECRET")
  graph_url     = %q
  login_url     = %q
  ca_file       = %q
  poll_interval = "10s"
  page_size     = 100
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

// startWatch runs an agent whose files are in dir, until the test ends or stop.
func startWatch(t *testing.T, cloud *tenant, dir, rules string) *watch {
	t.Helper()
	t.Setenv("APPGOV_WATCH_SECRET", cloud.ClientSecret())
	in := func(name string) string { return filepath.Join(dir, name) }
	w := &watch{cloud: cloud, alerts: in("alerts.jsonl")}
	for name, text := range map[string]string{
		"ca.pem": cloud.ca, "rules.hcl": rules,
		"agent.hcl": fmt.Sprintf(watchConfig, in("state"), cloud.TenantID(), cloud.ClientID(), cloud.base, cloud.base, in("ca.pem"), w.alerts, in("rules.hcl")),
	} {
		if err := os.WriteFile(in(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, diags := app.Check(in("agent.hcl"))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	var err error
	w.Agent, err = app.New(t.Context(), p, app.Options{Now: func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(w.stop)
	return w
}

// told is an alert as it left.
type told struct {
	RuleID   string `json:"rule_id"`
	Kind     string `json:"kind"`
	State    string `json:"state"`
	Key      string `json:"dedupe_key"`
	Summary  string `json:"summary"`
	Action   string `json:"action"`
	Backfill bool   `json:"backfill"`
	Count    int    `json:"count"`
	App      struct {
		Name string `json:"name"`
	} `json:"app"`
}

// told lists what has left so far, by rule.
func (w *watch) told(t *testing.T) map[string][]told {
	t.Helper()
	f, err := os.Open(w.alerts)
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

func (w *watch) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.After(time.Minute)
	for !ok() {
		select {
		case <-limit:
			t.Fatalf("not in time: %s\n%+v", what, w.Status())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
