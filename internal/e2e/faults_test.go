package e2e

import (
	"bytes"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/servicetest"
)

// One call of the kernel fails below the shipped binary, its n-th in some
// thread, for each n up to -e2e.faults: a sync with EIO, a write of the ledger
// with ENOSPC. The daemon goes on, or ends and starts again; in the end
// everything is there. How many calls a run has, and in which threads, is up to the
// scheduler: the highest n may not come, which one in five runs is allowed.
func TestFaultsOfTheKernel(t *testing.T) {
	t.Parallel()
	strace := servicetest.Program(t, "strace")
	for _, c := range []struct{ call, errno string }{{"fdatasync", "EIO"}, {"fsync", "EIO"}, {"pwrite64", "ENOSPC"}} {
		t.Run(c.call, func(t *testing.T) {
			t.Parallel()
			var injected, ended, spared atomic.Int64
			t.Cleanup(func() {
				t.Logf("%s: %d runs, %d calls failed with %s, in %d runs none, the daemon ended %d times", c.call, *faults, injected.Load(), c.errno, spared.Load(), ended.Load())
				if int(spared.Load()) > max(1, *faults/5) {
					t.Errorf("in %d of %d runs no call of %s failed", spared.Load(), *faults, c.call)
				}
			})
			for n := 1; n <= *faults; n++ {
				t.Run(fmt.Sprint(n), func(t *testing.T) {
					t.Parallel()
					x := newTrial(t, "", 1500, 0)
					x.edit(t, "  overlap ", "  page_size = 4\n  overlap ") // many frames
					out := x.d.path("strace")
					x.d.wrap = []string{strace, "-D", "-f", "-qq", "--seccomp-bpf", "-o", out, "-e", "trace=" + c.call, "-e", fmt.Sprintf("inject=%s:error=%s:when=%d", c.call, c.errno, n)}
					x.d.env = append(x.d.env, "GOMAXPROCS=1") // few threads: each is counted alone
					x.d.start(t)
					if !x.survives(t) {
						ended.Add(1)
					}
					hits := countInjected(out)
					if injected.Add(int64(hits)); hits == 0 {
						spared.Add(1)
					}
					x.settle(t)
				})
			}
		})
	}
}

func countInjected(path string) int {
	b, _ := os.ReadFile(path)
	return bytes.Count(b, []byte("(INJECTED)"))
}

// survives waits until the daemon has everything, or has ended: then it is
// started again, without faults. It reports whether it went on.
func (x *trial) survives(t *testing.T) bool {
	t.Helper()
	x.d.wrap = nil
	deadline := time.Now().Add(2 * time.Minute)
	for time.Now().Before(deadline) {
		select {
		case <-x.d.exited:
			if s := x.d.cmd.ProcessState; s.ExitCode() != 1 {
				t.Errorf("it ended with %s", s)
			}
			x.d.cmd = nil
			x.kept(t, x.told(t))
			x.d.start(t)
			return false
		case <-time.After(50 * time.Millisecond):
			if unsettled(t, x.d, len(x.cloud.Issued()), x.file, x.cloud) == "" {
				return true
			}
		}
	}
	return true
}
