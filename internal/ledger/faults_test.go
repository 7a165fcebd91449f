package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"

	"github.com/appgovd/appgovd/internal/event"
)

// twice uses a ledger, twice, until something fails for good; p is what it was promised.
func (p *promises) twice(fs *crashFS) error {
	err := p.life(fs)
	if err == nil {
		err = p.life(fs)
	}
	return err
}

func (p *promises) life(fs *crashFS) error {
	v, err := reopen(fs, Options{SegmentBytes: 400, MaxBytes: 1 << 20})
	if err != nil {
		return err
	}
	return errors.Join(p.use(v), v.l.Close())
}

// use goes on where a reader fails, and tells it in the end.
func (p *promises) use(v opened) (failed error) {
	for range 8 {
		i := len(p.frames)
		p.frames = append(p.frames, fmt.Sprintf("%d.1", i))
		wait, err := v.l.Append(modelFrame(p.frames[i]))
		if err != nil {
			return err
		}
		if err := wait(context.Background()); err != nil {
			return err
		}
		p.acked = len(p.frames)
		for i, r := range v.readers {
			failed = errors.Join(failed, p.read(i, r))
		}
		if i%4 == 3 {
			state := strings.Join(p.frames, " ")
			_ = v.l.Snapshot(v.l.Head(), func(w io.Writer) error { _, err := io.WriteString(w, state); return err })
			p.letters = append(p.letters, fmt.Sprint("letter ", i))
			if err := v.l.PutDeadLetter(event.DeadLetter{Sink: "x", Reason: p.letters[len(p.letters)-1]}); err != nil {
				return err
			}
			p.buried = len(p.letters)
		}
	}
	return failed
}

func (p *promises) read(i int, r *Reader) error {
	if r.handed >= r.l.alerts {
		return nil
	}
	_, pos, err := r.Next(context.Background(), 3)
	if err != nil {
		return err
	}
	p.trying[i] = r.handed
	if err := r.Ack(pos, event.Settled{Accepted: r.handed - r.cur.ordinal}); err != nil {
		return err
	}
	p.settled[i] = r.handed
	return nil
}

// Every operation of a run fails in turn, once or for ever from there on: no
// panic, nothing that was acknowledged is missing afterwards, neither to a
// restart nor after a crash, also one in the operations behind it, and the ledger
// opens again. No file is synced after a sync of it failed; where it is none of a
// segment and fails once, nothing ends.
func TestTheNthOperationFails(t *testing.T) {
	kinds := map[string]int{}
	runs := 0
	for _, tt := range []struct {
		name string
		err  error
		ever bool
	}{{"once", errInjected, false}, {"from there on", errInjected, true}, {"no room, once", unix.ENOSPC, false}} {
		for n := 1; ; n++ {
			fired := sweep(t, n, tt.err, tt.ever, tt.name)
			if fired == "" {
				break
			}
			kinds[fired]++
			runs++
		}
	}
	for _, what := range []string{"open", "create", "write", "sync", "rename", "mkdir", "syncdir", "remove", "list", "allocate"} {
		if kinds[what] == 0 {
			t.Errorf("no operation of kind %s failed", what)
		}
	}
	t.Logf("%d runs, by the operation that failed: %v", runs, kinds)
}

// sweep runs with operation n failing; it says what kind that was, "" when there
// are fewer operations.
func sweep(t *testing.T, n int, injected error, ever bool, name string) (fired string) {
	synctest.Test(t, func(t *testing.T) {
		fs := newCrashFS()
		var file string
		fs.fail = func(op int, what, name string) error {
			if op == n {
				fired, file = what, name
			}
			if op == n || ever && op > n {
				return injected
			}
			return nil
		}
		var p promises
		var behind []point // crashes in the operations behind the fault
		fs.watch = func() {
			if fired != "" && len(behind) < 12 {
				behind = append(behind, point{fs.image(), p})
			}
		}
		err := p.twice(fs)
		where := fmt.Sprintf("%s, operation %d (%s %s)", name, n, fired, file)
		if err != nil && fired == "sync" && !ever && !strings.HasPrefix(file, "/l/segments/") {
			t.Fatalf("%s ends it: %v", where, err)
		}
		if fs.again > 0 {
			t.Fatalf("%s: a file is synced after a sync of it failed", where)
		}
		fs.mu.Lock()
		image := fs.image()
		fs.fail, fs.watch = nil, nil
		fs.mu.Unlock()
		r := rand.New(rand.NewPCG(uint64(n), 1))
		for _, at := range behind {
			if v, err := reopen(at.image.restart(r), Options{}); err != nil {
				t.Fatalf("%s, a crash behind it: %v", where, err)
			} else if err = errors.Join(at.broken(v), v.l.Close()); err != nil {
				t.Fatalf("%s, a crash behind it: %v", where, err)
			}
		}
		for i, disk := range []*crashFS{image.restart(nil), image.restart(r), image.restart(r), fs, fs} { // the last: no crash loop
			v, err := reopen(disk, Options{})
			if err == nil {
				err = errors.Join(p.broken(v), v.l.Close())
			}
			if err != nil {
				t.Fatalf("%s, restart %d: %v", where, i, err)
			}
		}
	})
	return fired
}

// The same for the operations of a start that mends: a torn tail, a rotten frame,
// a rotten snapshot, a rotten dead letter.
func TestTheNthOperationOfAMendingStartFails(t *testing.T) {
	whole, p := closedRun(t)
	names := whole.names("/l/segments")
	damage := func() *crashFS {
		fs := whole.crash(nil)
		fs.live[names[0]].live[headerBytes+3] ^= 1
		fs.live["/l/snapshots/"+snapName(10)].live[50] ^= 1
		fs.live["/l/deadletter/"+deadName].live[12] ^= 1
		last := fs.live[names[len(names)-1]]
		last.live = append(last.live, "torn"...)
		for _, node := range fs.live {
			node.kept = slices.Clone(node.live)
		}
		return fs
	}
	want := openDamaged(t, damage(), "no fault")
	if lost := missing(t, "no fault", p.frames, want.ids); lost != 1 || len(want.told) < 3 {
		t.Fatalf("%d frames lost, told %q", lost, want.told)
	}
	kinds := map[string]int{}
	for n := 1; ; n++ {
		fired := ""
		fs := damage()
		fs.fail = func(op int, what, _ string) error {
			if op == n {
				fired = what
				return errInjected
			}
			return nil
		}
		if v, err := reopen(fs, Options{}); err == nil {
			_ = v.l.Close()
		}
		fs.fail = nil
		after := openDamaged(t, fs, fmt.Sprintf("operation %d (%s)", n, fired))
		if !slices.Equal(want.ids, after.ids) {
			t.Fatalf("operation %d (%s): frames %v, want %v", n, fired, after.ids, want.ids)
		}
		if fired == "" {
			break
		}
		kinds[fired]++
	}
	if kinds["truncate"] == 0 || kinds["rename"] == 0 {
		t.Error("nothing was mended")
	}
	t.Logf("by the operation that failed: %v", kinds)
}
