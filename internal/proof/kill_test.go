package proof

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// The writer is killed at random moments of 5 to 500 ms. -proof.kills says how
// often.
func TestKill(t *testing.T) {
	path, notes, dir := self(t), notes(t), filepath.Join(t.TempDir(), "state")
	j := newJudge(notes)
	for range *kills {
		p := start(t, path, dir, notes)
		if !p.runs(5*time.Millisecond + rand.N(495*time.Millisecond)) {
			t.Fatalf("the writer ended by itself: %s", &p.output)
		}
		p.kill()
		if _, err := os.Stat(dir); err != nil {
			continue // killed before it did anything
		}
		if j.check(t, dir); t.Failed() {
			t.Fatalf("at kill %d", j.cycles)
		}
	}
	j.worth(t)
}

// crashPoints are the moments between two steps of the ledger at which a process
// may die, and at how many passes one of them is deadly, so that there is some
// work before.
func crashPoints() map[string]string {
	return map[string]string{
		"frame_half":       "50", // the half of a group is written
		"frame_written":    "50", // written, not synced
		"frame_synced":     "50", // synced, acknowledged to nobody
		"segment_made":     "3",  // the directory is not synced
		"footer_synced":    "3",  // in the middle of a rotation
		"snapshot_written": "2",  // under its temporary name
		"snapshot_renamed": "2",  // the directory is not synced
		"slot_half":        "90", // the half of a cursor, or of the number of the last durable frame
		"segment_delete":   "3",  // decided, not done
		"segment_deleted":  "3",  // done, the directory is not synced
	}
}

// The writer dies at each of the ledger's named crash points, which are compiled
// into it by a build tag; -proof.turns says how often at each.
func TestCrashPoints(t *testing.T) {
	path := filepath.Join(t.TempDir(), "writer")
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-tags", "crashpoints", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("build the writer: %v: %s", err, out)
	}
	for name, share := range crashPoints() {
		t.Run(name, func(t *testing.T) {
			notes, dir := notes(t), filepath.Join(t.TempDir(), "state")
			j := newJudge(notes)
			for j.cycles < *turns || j.frames == 0 { // a death before the first acknowledgement proves little
				p := start(t, path, dir, notes, "APPGOVD_CRASH_POINT="+name+"/"+share)
				if p.runs(time.Minute) {
					t.Fatal("it never came to this point")
				}
				if !p.killed() {
					t.Fatalf("the writer ended by itself: %s", &p.output)
				}
				if j.check(t, dir); t.Failed() {
					t.Fatalf("at death %d", j.cycles)
				}
			}
			j.worth(t)
		})
	}
}
