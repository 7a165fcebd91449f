package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/servicetest"
)

// The disk below the state directory fills up: the daemon pauses and raises the
// alarm; it goes on by itself when there is room again, and so does one that was
// killed while there was none. In the end everything is there, and the alarm is
// resolved.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := servicetest.NewTmpfs(t, "12m")
	x := newTrial(t, filepath.Join(dir, "state"), 600, 20)
	why := ""
	alarm := func() bool {
		s, err := x.d.status(t.Context())
		why = fmt.Sprint("health ", s.Health, err)
		return s.Ledger.DiskFull && strings.Contains(why, "disk_full")
	}
	x.d.start(t)
	x.d.until(t, time.Minute, "the first alerts", &why, func() bool { return len(x.told(t)) > 0 })
	for _, kill := range []bool{false, true} {
		ballast := filepath.Join(dir, "ballast")
		fill(t, ballast)
		x.d.until(t, time.Minute, "the alarm of a full disk", &why, alarm)
		if kill {
			x.d.kill()
			x.kept(t, x.told(t))
			x.d.start(t)
			x.d.until(t, time.Minute, "the alarm of a full disk, after a start without room", &why, alarm)
		}
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		x.d.until(t, time.Minute, "the end of the alarm", &why, func() bool { return !alarm() })
	}
	x.settle(t)
	var states []string
	for _, g := range x.file.got(t) {
		if g.RuleID == "health.disk_full" {
			states = append(states, g.State)
		}
	}
	if n := len(states); n == 0 || states[n-1] != "resolved" {
		t.Errorf("the sink was told %v of the full disk", states)
	}
}

// fill writes until there is no room left.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for size := 1 << 20; size > 0; {
		switch _, err := f.Write(make([]byte, size)); {
		case errors.Is(err, syscall.ENOSPC):
			size /= 2
		case err != nil:
			t.Fatal(err)
		}
	}
}
