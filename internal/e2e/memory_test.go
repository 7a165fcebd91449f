package e2e

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/sim"
)

// How much the process holds, as the kernel counts it: idle on an empty tenant,
// at most while it reads a page of 1,000 alerts, and with a large inventory.
func TestMemory(t *testing.T) {
	const (
		mb        = 1 << 20
		idleBar   = 60 * mb
		pageBar   = 75 * mb // above idle
		tenantBar = 200 * mb
	)
	idle := 0
	t.Run("an empty tenant", func(t *testing.T) {
		d := observed(t, sim.Options{Apps: -1, Grants: -1})
		idle = d.memory("VmRSS")
		t.Logf("resident %d MB, at most %d MB", idle/mb, d.memory("VmHWM")/mb)
		if idle > idleBar {
			t.Errorf("resident %d MB, want at most %d MB", idle/mb, idleBar/mb)
		}
	})
	t.Run("a page of a thousand alerts", func(t *testing.T) {
		d := observed(t, sim.Options{Apps: 1, Grants: -1, Alerts: 1000})
		peak := d.memory("VmHWM")
		t.Logf("at most %d MB, %d MB above idle", peak/mb, (peak-idle)/mb)
		if peak-idle > pageBar {
			t.Errorf("at most %d MB above idle, want %d MB", (peak-idle)/mb, pageBar/mb)
		}
		s, err := d.status(t.Context())
		for _, x := range s.Sources {
			if strings.HasSuffix(x.Key, "/alerts") && x.Account.New != 1000 {
				t.Errorf("account of the alerts: %+v: %v", x.Account, err)
			}
		}
	})
	t.Run("10,000 apps and 100,000 grants", func(t *testing.T) {
		d := observed(t, sim.Options{Apps: 10_000, Grants: 100_000, Users: 5000, DirectoryPage: 999})
		rss := d.memory("VmRSS")
		t.Logf("resident %d MB, at most %d MB", rss/mb, d.memory("VmHWM")/mb)
		if rss > tenantBar {
			t.Errorf("resident %d MB, want at most %d MB", rss/mb, tenantBar/mb)
		}
		s, err := d.status(t.Context())
		for _, c := range s.Apps {
			if c.Apps < 10_000 || c.Grants < 100_000 {
				t.Errorf("the inventory holds %+v: %v", c, err)
			}
		}
	})
}

// observed runs the shipped rules on a tenant until every source was read.
func observed(t *testing.T, o sim.Options) *daemon {
	t.Helper()
	cloud, err := sim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	d := newDaemon(t)
	configure(t, d, cloud, size{budgetShare: 100, rules: shipped(t)}, []receiver{fileReceiver(d.path("alerts.jsonl"))}, nil)
	d.start(t)
	why := ""
	d.until(t, 2*time.Minute, "every source was read", &why, func() bool {
		s, err := d.status(t.Context())
		if err != nil {
			why = err.Error()
			return false
		}
		for _, x := range s.Sources {
			if x.CompleteThrough.IsZero() {
				why = x.Key + ": " + x.Error
				return false
			}
		}
		return len(s.Sources) > 0
	})
	pause(t.Context(), 3*time.Second) // a tick and a snapshot
	return d
}

// shipped is the directory of the rules that come with the product.
func shipped(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../rules")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
