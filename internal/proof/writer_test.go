package proof

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ledger"
)

const (
	source = "entra/x/s"
	sink   = "file/x"
)

// options make a ledger that rotates, takes snapshots and deletes all the time.
func options() ledger.Options {
	return ledger.Options{MaxBytes: 8 << 20, SegmentBytes: 48 << 10}
}

// alertsIn is how many alerts frame n has.
func alertsIn(n uint64) int { return int(n*7%5) % 4 }

// made is frame number n: its content is a function of n and of nothing else,
// so that whoever reads it can tell whether it was ever written.
func made(n uint64) *event.Frame {
	random := rand.NewChaCha8(sha256.Sum256(fmt.Append(nil, n)))
	f := &event.Frame{Kind: event.FramePage, Source: source, Mark: fmt.Append(nil, n), Account: event.Account{Fetched: 1, New: 1}}
	raw := make([]byte, 100+random.Uint64()%3000)
	_, _ = random.Read(raw)
	f.Events = []event.Event{{UpstreamID: fmt.Sprint(n), Raw: raw}}
	for i := range alertsIn(n) {
		f.Alerts = append(f.Alerts, event.Alert{ID: event.NewID("alert", fmt.Sprint(n, i)), DeliveryID: event.NewID("delivery", fmt.Sprint(n, i)), Title: fmt.Sprint(n, ".", i), Sequence: uint32(i)})
	}
	return f
}

// state is what a detect machine is to the daemon: a function of all frames.
type state struct {
	n   uint64 // frames so far
	sum [sha256.Size]byte
}

// apply takes the next frame; it must be the next one and must be what was made.
func (s *state) apply(f *event.Frame) error {
	want := made(s.n + 1)
	want.LSN, want.AlertBase = f.LSN, f.AlertBase
	b := event.AppendFrame(nil, f)
	if string(b) != string(event.AppendFrame(nil, want)) {
		return fmt.Errorf("frame %d with mark %s is not the frame that was written as number %d", f.LSN, f.Mark, s.n+1)
	}
	s.n++
	s.sum = sha256.Sum256(append(s.sum[:], f.Events[0].Raw...))
	return nil
}

func (s *state) write(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%d %x", s.n, s.sum)
	return err
}

func (s *state) read(r io.Reader) error {
	var sum []byte
	if _, err := fmt.Fscanf(r, "%d %x", &s.n, &sum); err != nil {
		return err
	}
	if copy(s.sum[:], sum) != len(s.sum) {
		return errors.New("short sum")
	}
	return nil
}

// writer is the process that is killed: it uses the ledger as the daemon does,
// and tells in a file elsewhere what it was promised.
type writer struct {
	l     *ledger.Ledger
	tell  *os.File
	mu    sync.Mutex // the lane: order of frames = order of detection
	state state
}

// write appends, reads and takes snapshots until the process is killed. What it
// tells: "T n" before frame n is appended, "A n" once it is acknowledged; "D id"
// before an alert is settled, when the sink has it, "C ordinal" once that many
// alerts are settled for good.
func write(dir, notes string) error {
	tell, err := os.OpenFile(notes, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	w := &writer{tell: tell}
	if w.l, err = ledger.Open(dir, options()); err != nil {
		return err
	}
	if err := w.l.Recover(w.state.read, w.state.apply); err != nil {
		return err
	}
	r, err := w.l.Reader(sink, ledger.ReaderOptions{FromStart: true})
	if err != nil {
		return err
	}
	ended := make(chan error)
	for range 3 {
		go func() { ended <- forever(w.append) }()
	}
	go func() { ended <- forever(func() error { return w.deliver(r) }) }()
	go func() { ended <- forever(w.snapshot) }()
	return <-ended
}

func forever(do func() error) error {
	for {
		if err := do(); err != nil {
			return err
		}
	}
}

func (w *writer) say(format string, args ...any) error {
	_, err := w.tell.WriteString(fmt.Sprintf(format, args...))
	return err
}

func (w *writer) append() error {
	if err := w.l.Reserve(context.Background()); err != nil {
		return err
	}
	n, wait, err := w.enqueue()
	if err != nil {
		return err
	}
	if err := wait(context.Background()); err != nil {
		return err
	}
	return w.say("A %d\n", n)
}

func (w *writer) enqueue() (uint64, func(context.Context) error, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.state.n + 1
	if err := w.say("T %d\n", n); err != nil {
		return 0, nil, err
	}
	f := made(n)
	if err := w.state.apply(f); err != nil {
		return 0, nil, err
	}
	wait, err := w.l.Append(f)
	return n, wait, err
}

func (w *writer) deliver(r *ledger.Reader) error {
	alerts, pos, err := r.Next(context.Background(), 1+rand.IntN(9))
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, a := range alerts {
		_, _ = fmt.Fprintf(&text, "D %s\n", a.Title)
	}
	if err := w.say("%s", text.String()); err != nil {
		return err
	}
	if err := r.Ack(pos, event.Settled{Accepted: uint64(len(alerts))}); err != nil {
		return err
	}
	return w.say("C %s\n", alerts[len(alerts)-1].Title)
}

// snapshot stores the state about as often as a segment is full.
func (w *writer) snapshot() error {
	until := w.l.Head() + 20 + rand.Uint64N(60)
	for w.l.Head() < until {
		if err := w.l.Reserve(context.Background()); err != nil {
			return err
		}
		wait, err := func() (func(context.Context) error, error) {
			_, wait, err := w.enqueue()
			return wait, err
		}()
		if err != nil {
			return err
		}
		if err := wait(context.Background()); err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.l.Snapshot(w.l.Head(), w.state.write)
}
