//go:build crashpoints

package ledger

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// crashPoint kills the process with SIGKILL where APPGOVD_CRASH_POINT says
// "name" or "name/n": at one in n passes, drawn. What comes last before it is
// done first.
func crashPoint(name string, before ...func()) {
	wanted, share, _ := strings.Cut(os.Getenv("APPGOVD_CRASH_POINT"), "/")
	if wanted != name {
		return
	}
	n := 1
	_, _ = fmt.Sscan(share, &n)
	if rand.IntN(max(n, 1)) > 0 {
		return
	}
	for _, do := range before {
		do()
	}
	_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	select {} // the signal arrives
}
