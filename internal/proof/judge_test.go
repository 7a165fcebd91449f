package proof

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ledger"
)

// promises are what the writers were told so far.
type promises struct {
	path    string
	read    int64
	tried   uint64          // the highest frame that any writer began to append
	acked   uint64          // the highest that was acknowledged
	has     map[string]bool // alerts that the sink has
	settled string          // the last alert whose settling was acknowledged
	frames  int             // acknowledged, in all
	states  state           // as of acked or later, made from scratch
	dark    bool            // the power is cut: what is promised from here on nobody hears
}

// judge compares a ledger with the promises.
type judge struct {
	promises
	cycles  int
	lost    uint64 // frames that were tried and are not there: allowed when not acknowledged
	waiting int    // alerts that a restart had to deliver, in all
}

func newJudge(path string) *judge {
	return &judge{promises: promises{path: path, has: map[string]bool{}}}
}

// listen reads what was told since the last time. A line that a kill cut off
// was not told.
func (p *promises) listen(t *testing.T) {
	t.Helper()
	f, err := os.Open(p.path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Seek(p.read, 0); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(f)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		p.read += int64(len(line))
		var n uint64
		switch text := line[2 : len(line)-1]; {
		case line[0] == 'D':
			p.has[text] = true
		case p.dark && line[0] != 'T':
		case line[0] == 'C':
			p.settled = text
		default:
			if _, err := fmt.Sscan(text, &n); err != nil {
				t.Fatal(err)
			}
			if line[0] == 'T' {
				p.tried = max(p.tried, n)
			} else {
				p.acked = max(p.acked, n)
				p.frames++
			}
		}
	}
}

// check opens the ledger and reports every promise that it breaks.
func (j *judge) check(t *testing.T, dir string) {
	t.Helper()
	j.listen(t)
	j.cycles++
	o := options()
	o.OnAlarm = func(a ledger.Alarm) {
		if a.Active {
			t.Errorf("alarm %s: %s", a.Key, a.Text)
		}
	}
	l, err := ledger.Open(dir, o)
	if err != nil {
		t.Fatalf("it does not start: %v", err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	var s state
	if err := l.Recover(s.read, s.apply); err != nil {
		t.Fatalf("recover: %v", err)
	}
	j.frameCount(t, l, s)
	j.alerts(t, l, s.n)
	j.tried = s.n // what was not there is given anew
	j.dark = false
}

func (j *judge) frameCount(t *testing.T, l *ledger.Ledger, s state) {
	t.Helper()
	if s.n < j.acked {
		t.Errorf("LOST: %d frames were acknowledged, %d are there", j.acked, s.n)
	}
	if s.n > j.tried {
		t.Errorf("INVENTED: %d frames were written, %d are there", j.tried, s.n)
	}
	j.lost += max(j.tried, s.n) - s.n
	for j.states.n < s.n {
		if err := j.states.apply(made(j.states.n + 1)); err != nil {
			t.Fatal(err)
		}
	}
	if j.states != s {
		t.Errorf("the state behind frame %d is another one", s.n)
	}
	if mark := string(l.Mark(source)); s.n > 0 && mark != fmt.Sprint(s.n) {
		t.Errorf("mark %s behind frame %d", mark, s.n)
	}
	if a := l.Accounts()[source]; a.New != s.n || !a.Balanced() {
		t.Errorf("account %+v behind frame %d", a, s.n)
	}
}

// alerts reads what the sink has not settled: with what it has it must be all,
// in order, each as it was made, and nothing that it settled comes again.
func (j *judge) alerts(t *testing.T, l *ledger.Ledger, n uint64) {
	t.Helper()
	r, err := l.Reader(sink, ledger.ReaderOptions{FromStart: true})
	if err != nil {
		t.Fatal(err)
	}
	left := l.Stats().Readers[sink].Waiting
	var got []string
	for uint64(len(got)) < left {
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		batch, pos, err := r.Next(ctx, 100)
		stop()
		if err != nil {
			t.Fatalf("LOST: %d alerts wait, %d are there: %v", left, len(got), err)
		}
		for _, a := range batch {
			got = append(got, a.Title)
		}
		if err := r.Ack(pos, event.Settled{Accepted: uint64(len(batch))}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Balanced(); err != nil {
		t.Error(err)
	}
	j.waiting += len(got)
	all := titles(n)
	if uint64(len(all)) != l.Stats().Alerts || len(got) > len(all) {
		t.Fatalf("%d alerts are counted, %d wait, there must be %d", l.Stats().Alerts, len(got), len(all))
	}
	before, behind := all[:len(all)-len(got)], all[len(all)-len(got):]
	for i, title := range behind {
		if got[i] != title {
			t.Fatalf("alert %s comes where %s should", got[i], title)
		}
		if title == j.settled {
			t.Errorf("alert %s was settled for good and comes again", title)
		}
		j.has[title] = true // the judge is a sink too
	}
	for _, title := range before {
		if !j.has[title] {
			t.Fatalf("LOST: alert %s is settled, and the sink never got it", title)
		}
	}
	if len(all) > 0 {
		j.settled = all[len(all)-1]
	}
}

// titles are those of all alerts up to frame n, in order.
func titles(n uint64) (all []string) {
	for i := range n {
		for k := range alertsIn(i + 1) {
			all = append(all, fmt.Sprint(i+1, ".", k))
		}
	}
	return all
}

var errNothing = errors.New("nothing was acknowledged")

// worth fails a run that proved nothing.
func (j *judge) worth(t *testing.T) {
	t.Helper()
	if j.frames == 0 || len(j.has) == 0 {
		t.Error(errNothing)
	}
	t.Logf("%d cycles, %d frames acknowledged, %d alerts, %d frames that were not acknowledged are gone, %d alerts left to the restarts", j.cycles, j.frames, len(j.has), j.lost, j.waiting)
}
