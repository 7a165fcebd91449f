package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/app"
	"github.com/appgovd/appgovd/internal/sim"
)

// run runs the trial's agent in this process, with a clock that is ahead of
// ours by what the test says, until the test ends.
func (x *trial) run(t *testing.T, ahead *atomic.Int64) {
	t.Helper()
	x.d.write(t, "secret", x.cloud.ClientSecret())
	x.edit(t, `env("APPGOV_E2E_SECRET")`, fmt.Sprintf("file(%q)", x.d.path("secret")))
	p, diags := app.Check(x.d.path("agent.hcl"))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	a, err := app.New(t.Context(), p, app.Options{Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	if err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("unix", filepath.Join(x.d.state, "admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: a.Handler(), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(socket) }()
	ctx, stop := context.WithCancel(context.Background())
	x.d.exited = make(chan struct{})
	go func() {
		if err := a.Run(ctx); err != nil {
			t.Error(err)
		}
		close(x.d.exited)
	}()
	t.Cleanup(func() {
		stop()
		<-x.d.exited
		_ = server.Close()
	})
}

// Clocks are wrong: that of the host jumps by a year, that of the cloud, as its
// Date headers tell it, is off by an hour and by a day, the hour comes twice and
// not at all. No record is missed, none is told twice, and nobody is asked more
// than else.
func TestClocks(t *testing.T) {
	t.Parallel()
	const (
		year         = 365 * 24 * time.Hour
		mostRequests = 400 // four times what it takes when all is well
		mostBesides  = 60
	)
	at := func(when time.Time) func(*trial, *atomic.Int64) {
		return func(_ *trial, ahead *atomic.Int64) { ahead.Store(int64(time.Until(when))) }
	}
	host := func(by time.Duration) func(*trial, *atomic.Int64) {
		return func(_ *trial, ahead *atomic.Int64) { ahead.Store(int64(by)) }
	}
	date := func(by time.Duration) func(*trial, *atomic.Int64) {
		return func(x *trial, _ *atomic.Int64) { x.cloud.SetFaults(sim.Faults{DateSkew: by}) }
	}
	for name, jumps := range map[string][]func(*trial, *atomic.Int64){
		"all is well":              {host(0), host(0), host(0), host(0)},
		"the host, a year":         {host(0), host(year), host(-year), host(0)},
		"the host, from the start": {host(year), host(-year), host(year), host(0)},
		"the cloud, an hour":       {date(0), date(time.Hour), date(-time.Hour), date(0)},
		"the cloud, a day":         {date(0), date(24 * time.Hour), date(-24 * time.Hour), date(0)},
		"the end of summer time":   {at(time.Date(2026, 10, 25, 0, 59, 50, 0, time.UTC)), at(time.Date(2026, 10, 25, 1, 59, 50, 0, time.UTC)), host(0)},
		"the beginning of summer":  {at(time.Date(2027, 3, 28, 0, 59, 50, 0, time.UTC)), host(0)},
	} {
		if !*clocks && name != "the host, a year" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newTrial(t, "", 600, 600/(12*float64(len(jumps))))
			x.edit(t, "  tick ", "  time_zone = \"Europe/Berlin\"\n  tick ")
			var ahead atomic.Int64
			jumps[0](x, &ahead)
			x.run(t, &ahead)
			for _, jump := range jumps {
				jump(x, &ahead)
				pause(t.Context(), 12*time.Second)
			}
			pause(t.Context(), time.Until(x.cloud.Complete()))
			compare(t, x.d, time.Minute, x.cloud, []receiver{x.file})
			if n := x.cloud.Requests(); n > mostRequests {
				t.Errorf("%d requests, want at most %d", n, mostRequests)
			}
			besides := 0
			for _, g := range x.file.got(t) {
				if g.RuleID != ruleID {
					besides++
				}
			}
			if besides > mostBesides {
				t.Errorf("%d alerts about the daemon itself, want at most %d", besides, mostBesides)
			}
			t.Logf("%s: %d requests, %d alerts besides", name, x.cloud.Requests(), besides)
		})
	}
}
