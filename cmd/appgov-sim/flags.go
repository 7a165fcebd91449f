package main

import (
	"cmp"
	"os"
	"time"

	"github.com/spf13/cobra"
)

// flags declares a flag for each option of the cloud.
func (s *settings) flags(cmd *cobra.Command) {
	o, f := &s.options, cmd.Flags()
	f.SortFlags = false
	f.StringVar(&s.listen, "listen", "127.0.0.1:8443", "address to serve at")
	f.StringVar(&s.caOut, "ca-out", "", "write the certificate authority to this file, once it serves")
	f.StringVar(&s.issued, "issued", "", "write a JSON line for each record to this file when it becomes visible")
	f.StringVar(&s.requests, "requests", "", "write a JSON line for each request to this file")
	f.StringSliceVar(&s.brokers, "kafka", nil, "brokers (host:port, by commas) that get the records of diagnostic settings, without TLS and log-in")
	f.StringVar(&s.topic, "topic", "insights-logs", "their topic, which must be there")
	f.StringSliceVar(&s.categories, "categories", nil, "those that are sent, by commas; all by default")
	f.BoolVar(&s.printConfig, "print-config", false, "print the source block for appgovd and exit")
	f.BoolVar(&s.scenarios, "list-scenarios", false, "print the scenarios and exit")

	f.Int64Var(&o.Seed, "seed", 1, "everything is made from it")
	f.StringVar(&o.Scenario, "scenario", "quiet", "what happens; several are joined by commas, see --list-scenarios")
	f.DurationVar(&o.ScenarioAt, "scenario-at", 5*time.Second, "when it begins, after the start")
	f.DurationVar(&o.ScenarioPace, "scenario-pace", 2*time.Second, "time between its steps")
	f.IntVar(&o.Apps, "apps", 100, "apps; -1 for none")
	f.IntVar(&o.Grants, "grants", 0, "delegated grants; 0 for ten per app, -1 for none")
	f.IntVar(&o.Users, "users", 50, "users")
	f.IntVar(&o.Events, "events", 0, "audit and sign-in records")
	f.IntVar(&o.Calls, "calls", 0, "records that only the diagnostic settings tell: calls of apps, sign-ins of Microsoft's own apps")
	f.IntVar(&o.Alerts, "alerts", 0, "resolved app-governance alerts")
	f.IntVar(&o.Office, "office", 0, "records of the unified audit log, by the Management Activity API")
	f.Float64Var(&o.LostContents, "lost-contents", 0, "share of its contents that are listed and gone")
	f.Float64Var(&o.EventsPerSecond, "rate", 0, "records per second; 0 for all at the start")
	f.DurationVar(&o.History, "history", 6*time.Hour, "with a rate of 0, time before the start over which the records lie")
	f.IntVar(&o.Changes, "changes", 0, "changes of the inventory after the start")
	f.DurationVar(&o.ChangeEvery, "change-every", time.Second, "time between them")
	f.IntVar(&o.Padding, "padding", 0, "bytes of filler in each record")
	f.IntVar(&o.DirectoryPage, "directory-page", 100, "default page size of the directory, up to 999")
	f.IntVar(&o.LogPage, "log-page", 1000, "default page size of the logs, up to 1000")

	f.Float64Var(&o.Late, "late", 0, "share of records that become visible late")
	f.DurationVar(&o.LateBy, "late-by", 2*time.Hour, "how late at most")
	f.DurationVar(&o.Grain, "grain", 0, "times of records are cut to it, so that many share one; 0 for as precise as the service's")
	f.Float64Var(&o.Duplicates, "duplicates", 0, "share of records that come again or change once")
	f.Float64Var(&o.Throttle, "throttle", 0, "share of requests answered 429")
	f.DurationVar(&o.RetryAfter, "retry-after", time.Second, "its Retry-After, in whole seconds")
	f.Float64Var(&o.ServerErrors, "server-errors", 0, "share of requests answered 5xx")
	f.Float64Var(&o.Truncate, "truncate", 0, "share of bodies that end early")
	f.IntVar(&o.Gone, "gone", 0, "so many delta tokens are refused with 410")
	f.BoolVar(&o.Limits, "limits", false, "enforce the documented throttling limits")
	f.DurationVar(&o.TokenLifetime, "token-lifetime", time.Hour, "how long an access token lives")

	f.StringVar(&o.TenantID, "tenant-id", "", "tenant; made from the seed by default")
	f.StringVar(&o.ClientID, "client-id", "", "client; made from the seed by default")
	o.ClientSecret = cmp.Or(os.Getenv("APPGOV_SIM_SECRET"), "sim-secret")
	o.ControlToken = os.Getenv("APPGOV_SIM_CONTROL")
	cmd.Long += "\n\nEnvironment: APPGOV_SIM_SECRET is the client's secret (default sim-secret);\n" +
		"APPGOV_SIM_CONTROL opens /sim/issued, /sim/inventory, /sim/status and /sim/faults to that bearer token."
}
