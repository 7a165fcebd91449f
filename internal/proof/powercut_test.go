package proof

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/servicetest"
)

// The power of a real ext4 disk is cut while the ledger writes: what was
// acknowledged is there when it comes back, nothing else is but what was being
// written, and nothing needs a hand. -proof.cuts says how often; each hundred
// begins with an empty directory.
func TestPowerCut(t *testing.T) {
	const life = 100
	disk := servicetest.NewDisk(t, 96)
	for done := 0; done < *cuts; done += life {
		cutPower(t, disk, fmt.Sprint("state", done), min(life, *cuts-done))
	}
}

func cutPower(t *testing.T, disk *servicetest.Disk, name string, times int) {
	path, notes, dir := self(t), notes(t), filepath.Join(disk.Dir, name)
	j := newJudge(notes)
	for range times {
		p := start(t, path, dir, notes)
		alive := p.runs(20*time.Millisecond + rand.N(120*time.Millisecond))
		if rand.IntN(2) == 0 { // what nobody synced is on the disk too, up to a moment
			disk.Flush(t)
		}
		if alive = alive && p.runs(rand.N(110*time.Millisecond)); !alive {
			t.Fatalf("the writer ended by itself: %s", &p.output)
		}
		j.listen(t)
		disk.Cut(t)
		j.dark = true // ext4 may answer a sync with success that it began before the cut and did not finish
		p.kill()
		disk.Restore(t)
		if j.check(t, dir); t.Failed() {
			t.Fatalf("at cut %d", j.cycles)
		}
	}
	j.worth(t)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
}
