package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ledger"
	"github.com/appgovd/appgovd/internal/servicetest"
	"github.com/appgovd/appgovd/internal/sim"
)

// trial is a daemon on a small simulated tenant with a file behind its one
// sink. What is put in its way stops in the end; then everything must be there.
type trial struct {
	d     *daemon
	cloud *sim.Cloud
	file  receiver
}

// newTrial makes one whose records come at rate per second, all at once for 0;
// state is where the daemon keeps its state, empty for a directory of its own.
func newTrial(t *testing.T, state string, events int, rate float64) *trial {
	t.Helper()
	x := &trial{d: newDaemon(t)}
	if state != "" {
		x.d.state = state
	}
	x.file = fileReceiver(x.d.path("alerts.jsonl"))
	o := sim.Options{Seed: 11, Apps: 30, Grants: 100, Users: 20, Events: events, EventsPerSecond: rate, Scenario: "quiet", DirectoryPage: 10, LogPage: 20}
	if rate > 0 {
		o.Late, o.LateBy, o.Duplicates, o.Changes, o.ChangeEvery = 0.02, 2*time.Hour, 0.01, events/50, time.Second
	}
	var err error
	if x.cloud, err = sim.New(o); err != nil {
		t.Fatal(err)
	}
	configure(t, x.d, x.cloud, size{budgetShare: 1000}, []receiver{x.file}, nil)
	x.edit(t, `snapshot         = "5s"`, `snapshot         = "1s"`)
	return x
}

// edit changes a line of the configuration.
func (x *trial) edit(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(x.d.path("agent.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	x.d.write(t, "agent.hcl", strings.Replace(string(text), from, to, 1))
}

// settle lets the daemon, which runs, come to its end in peace, and compares.
func (x *trial) settle(t *testing.T) {
	t.Helper()
	pause(t.Context(), time.Until(x.cloud.Complete()))
	compare(t, x.d, 3*time.Minute, x.cloud, []receiver{x.file})
	x.d.stop()
}

// told are the deliveries that the sink has.
func (x *trial) told(t *testing.T) map[string]bool {
	ids := map[string]bool{}
	for _, g := range x.file.got(t) {
		ids[g.DeliveryID] = true
	}
	return ids
}

// kept checks, while the daemon does not run, that its ledger holds every alert
// that a sink was told: nothing leaves before it is durable.
func (x *trial) kept(t *testing.T, told map[string]bool) {
	t.Helper()
	for _, id := range x.frames(t) {
		delete(told, id)
	}
	for id := range told {
		t.Errorf("LOST: delivery %s left and is in no frame", id)
	}
}

// frames are the deliveries in the ledger; none where the daemon ended before there
// was one.
func (x *trial) frames(t *testing.T) (ids []string) {
	t.Helper()
	v, err := ledger.OpenView(x.d.state, "")
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = v.Close() }()
	if err := v.Packed(func(p *event.Packed) error {
		alerts, err := p.AlertsIn(0, p.Alerts())
		for _, a := range alerts {
			ids = append(ids, a.DeliveryID.String())
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return ids
}

// The power of the disk below the daemon's state directory is cut at random
// moments: what left is in the ledger when the disk is back, the daemon starts by
// itself, and in the end everything is there.
func TestPowerCutOfTheDaemon(t *testing.T) {
	t.Parallel()
	disk := servicetest.NewDisk(t, 128)
	x := newTrial(t, disk.Dir+"/state", 20**cuts, 20)
	for range *cuts {
		x.d.start(t)
		pause(t.Context(), 50*time.Millisecond+rand.N(950*time.Millisecond))
		x.d.alive(t)
		told := x.told(t) // what leaves after the cut, nobody would hear of
		disk.Cut(t)
		x.d.kill()
		disk.Restore(t)
		x.kept(t, told)
	}
	before := len(x.told(t))
	x.d.start(t)
	x.settle(t)
	t.Logf("%d cuts, %d alerts left between them", *cuts, before)
}

// The daemon is killed at random moments of 5 to 500 ms.
func TestKillOfTheDaemon(t *testing.T) {
	t.Parallel()
	x := newTrial(t, "", 5**kills, 20)
	for range *kills {
		x.d.start(t)
		pause(t.Context(), 5*time.Millisecond+rand.N(495*time.Millisecond))
		x.d.alive(t)
		x.d.kill()
	}
	x.kept(t, x.told(t))
	before := len(x.told(t))
	x.d.start(t)
	x.settle(t)
	t.Logf("%d kills, %d alerts left between them", *kills, before)
}

// The daemon, built with the ledger's crash points, dies at each of those that it
// comes to in a minute's work; the other ones are shown on the ledger alone.
func TestCrashPointsOfTheDaemon(t *testing.T) {
	t.Parallel()
	x := newTrial(t, "", 500, 50)
	x.d.binary = build(t, "crashpoints")
	env := x.d.env
	for range *turns {
		for _, point := range []string{"frame_half/3", "frame_written/3", "frame_synced/3", "slot_half/9", "snapshot_written", "snapshot_renamed"} {
			x.d.env = append(slices.Clone(env), "APPGOVD_CRASH_POINT="+point)
			x.d.start(t)
			select {
			case <-x.d.exited:
			case <-time.After(time.Minute):
				t.Fatalf("it never came to %s", point)
			}
			if s := fmt.Sprint(x.d.cmd.ProcessState); s != "signal: killed" {
				t.Fatalf("at %s: %s", point, s)
			}
			x.d.cmd = nil
			x.kept(t, x.told(t))
		}
	}
	x.d.env = env
	x.d.start(t)
	x.settle(t)
	t.Logf("%d deaths", 6**turns)
}
