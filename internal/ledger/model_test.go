package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/appgovd/appgovd/internal/event"
)

// The model test. A random life of a ledger (append, rotate, read, acknowledge,
// snapshot, dead letter, retention) runs over a strict file system; before each
// operation that changes the disk an image of it is taken. From every image a
// random crash is made and recovered from, and the promises are checked: what
// was acknowledged is there, in order, with equal bytes; nothing is there that
// was not appended; every reader gets exactly the alerts behind its cursor; no
// alarm is raised.
type model struct {
	fs      *crashFS
	l       *Ledger
	life    int
	readers []*Reader
	open    [len(modelReaders)][]hand // what was read and not acknowledged
	now     promises
	points  []point
	watched bool // images are taken
}

// promises are what a restart must keep.
type promises struct {
	frames  []string // ids of all that was appended, in order; those up to acked were acknowledged
	acked   int
	settled [2]uint64 // per reader: alerts before its cursor for which Ack returned
	trying  [2]uint64 // and for which it was called
	letters []string  // those up to buried were acknowledged
	buried  int
}

type point struct {
	image *crashImage
	promises
}

var modelReaders = [...]string{"kafka/soc", "syslog/siem"}

// modelFrame is the frame with that id: "number.life". All of it follows from its id.
func modelFrame(id string) *event.Frame {
	f := &event.Frame{Kind: event.FramePage, Source: "s", Mark: []byte(id), Account: event.Account{Fetched: 1, New: 1}}
	f.Events = []event.Event{{UpstreamID: id, Raw: modelRaw(id)}}
	for i, title := range modelTitles(nil, id) {
		f.Alerts = append(f.Alerts, event.Alert{Title: title, Sequence: uint32(i)})
	}
	return f
}

func modelNumber(id string) int {
	n, _ := strconv.Atoi(id[:strings.IndexByte(id, '.')])
	return n
}

func modelRaw(id string) []byte {
	n := modelNumber(id)
	size := 10 + n*37%90
	if n%16 == 15 {
		size = 600 // is compressed
	}
	return bytes.Repeat([]byte{byte('a' + n%26)}, size)
}

func modelTitles(dst []string, id string) []string {
	for i := range modelNumber(id) % 3 {
		dst = append(dst, id+"."+strconv.Itoa(i))
	}
	return dst
}

func modelAlerts(ids []string) (out []string) {
	for _, id := range ids {
		out = modelTitles(out, id)
	}
	return out
}

func (m *model) watch() {
	if m.watched {
		m.points = append(m.points, point{m.fs.image(), m.now})
	}
}

// opened is a ledger as a restart finds it.
type opened struct {
	l       *Ledger
	ids     []string
	readers []*Reader
	letters []string
}

func reopen(fs *crashFS, o Options) (v opened, err error) {
	o.FS = fs
	if v.l, err = Open("/l", o); err != nil {
		return v, err
	}
	err = v.l.Recover(func(r io.Reader) error {
		b, err := io.ReadAll(r)
		v.ids = strings.Fields(string(b))
		return err
	}, func(f *event.Frame) error {
		id := f.Events[0].UpstreamID
		v.ids = append(v.ids, id)
		if len(f.Events) != 1 || !bytes.Equal(f.Events[0].Raw, modelRaw(id)) || string(f.Mark) != id {
			return fmt.Errorf("frame %d has other bytes than %s", f.LSN, id)
		}
		return nil
	})
	for _, name := range modelReaders {
		if err != nil {
			break
		}
		var r *Reader
		r, err = v.l.Reader(name, ReaderOptions{FromStart: true})
		v.readers = append(v.readers, r)
	}
	if err == nil {
		err = v.l.DeadLetters(func(d event.DeadLetter) error { v.letters = append(v.letters, d.Reason); return nil })
	}
	if err != nil {
		err = errors.Join(err, v.l.Close())
	}
	return v, err
}

// broken says which promise v does not keep, nil if it keeps all. It reads what
// every reader still has to get.
func (p *promises) broken(v opened) error {
	if len(v.ids) < p.acked || len(v.ids) > len(p.frames) || !slices.Equal(v.ids, p.frames[:len(v.ids)]) {
		return fmt.Errorf("acknowledged %v, appended behind it %v, recovered %v: lost, invented or out of order", p.frames[:p.acked], p.frames[p.acked:], v.ids)
	}
	if len(v.ids) > 0 && string(v.l.Mark("s")) != v.ids[len(v.ids)-1] {
		return fmt.Errorf("the mark is %s behind frame %s", v.l.Mark("s"), v.ids[len(v.ids)-1])
	}
	if len(v.letters) < p.buried || len(v.letters) > len(p.letters) || !slices.Equal(v.letters, p.letters[:len(v.letters)]) {
		return fmt.Errorf("dead letters %v, acknowledged %v of %v", v.letters, p.letters[:p.buried], p.letters)
	}
	all := modelAlerts(v.ids)
	for i, r := range v.readers {
		at := r.cur.ordinal
		if at < p.settled[i] || at > max(p.trying[i], r.cur.start) || at > uint64(len(all)) {
			return fmt.Errorf("the cursor of %s is at %d of %d alerts, acknowledged %d, tried %d", r.name, at, len(all), p.settled[i], p.trying[i])
		}
		got, err := drain(r)
		if err != nil {
			return err
		}
		if !slices.Equal(got, all[at:]) {
			return fmt.Errorf("%s gets %v, want %v", r.name, got, all[at:])
		}
		if err := r.Balanced(); err != nil {
			return err
		}
	}
	return nil
}

func drain(r *Reader) (got []string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for r.handed < r.l.alerts {
		batch, _, err := r.Next(ctx, 100)
		if err != nil {
			return nil, err
		}
		got = append(got, titles(batch)...)
	}
	return got, nil
}

// check makes a crash of p, recovers, and now and then crashes while it recovers.
func (p *point) check(r *rand.Rand) (crashes int, err error) {
	fs := p.image.restart(r)
	var during []*crashImage
	if r.IntN(8) == 0 {
		fs.watch = func() { during = append(during, fs.image()) }
	}
	crashes, err = 1, p.recover(fs)
	for _, image := range during {
		if err != nil {
			break
		}
		crashes, err = crashes+1, p.recover(image.restart(r))
	}
	return crashes, err
}

func (p *point) recover(fs *crashFS) error {
	var told []string
	v, err := reopen(fs, Options{OnAlarm: func(a Alarm) {
		if a.Active {
			told = append(told, a.Text)
		}
	}})
	if err != nil {
		return err
	}
	err = errors.Join(p.broken(v), v.l.Close())
	if len(told) > 0 { // a crash damages nothing
		err = errors.Join(err, fmt.Errorf("alarms %q", told))
	}
	return err
}

// begin opens the ledger for another life; what is recovered is what counts from now on.
func (m *model) begin(t *rapid.T) {
	m.watched, m.fs.watch = true, m.watch
	v, err := reopen(m.fs, Options{
		SegmentBytes: int64(rapid.IntRange(150, 1500).Draw(t, "segment")),
		Uncompressed: rapid.Bool().Draw(t, "uncompressed"),
		MaxBytes:     1 << 20,
		History:      time.Duration(rapid.IntRange(0, 1).Draw(t, "history")) * time.Hour,
	})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	m.l, m.readers, m.open = v.l, v.readers, [len(modelReaders)][]hand{}
	m.life++
	if len(v.ids) < m.now.acked {
		t.Fatalf("acknowledged %v, recovered %v", m.now.frames[:m.now.acked], v.ids)
	}
	m.now.frames, m.now.acked = slices.Clip(v.ids), len(v.ids)
	m.now.letters, m.now.buried = slices.Clip(v.letters), len(v.letters)
	for i, r := range m.readers {
		m.now.settled[i], m.now.trying[i] = r.cur.ordinal, r.cur.ordinal
	}
}

// append enqueues some frames at once and waits for all: one group.
func (m *model) append(t *rapid.T) {
	var group []*pendingFrame
	n := rapid.IntRange(1, 4).Draw(t, "group")
	for range n {
		m.now.frames = append(slices.Clip(m.now.frames), fmt.Sprintf("%d.%d", len(m.now.frames), m.life))
	}
	m.l.mu.Lock()
	for _, id := range m.now.frames[len(m.now.frames)-n:] {
		p, err := m.l.enqueue(modelFrame(id))
		if err != nil {
			m.l.mu.Unlock()
			t.Fatalf("append: %v", err)
		}
		group = append(group, p)
	}
	m.l.mu.Unlock()
	for _, p := range group {
		if err := p.wait(context.Background()); err != nil {
			t.Fatalf("append: %v", err)
		}
	}
	m.now.acked = len(m.now.frames)
}

func (m *model) read(t *rapid.T) {
	i := rapid.IntRange(0, len(m.readers)-1).Draw(t, "reader")
	r := m.readers[i]
	if r.handed >= m.l.alerts {
		return
	}
	batch, pos, err := r.Next(context.Background(), rapid.IntRange(1, 5).Draw(t, "limit"))
	if err != nil {
		t.Fatalf("next: %v", err)
	}
	m.open[i] = append(m.open[i], hand{pos: pos, ordinal: r.handed})
	if rapid.IntRange(0, 3).Draw(t, "later") == 0 {
		return
	}
	n := rapid.IntRange(0, len(m.open[i])-1).Draw(t, "how far") // some of what was read, not all
	end := m.open[i][n]
	m.open[i] = m.open[i][n+1:]
	m.now.trying[i] = end.ordinal
	accepted := end.ordinal - m.now.settled[i]
	if err := r.Ack(end.pos, event.Settled{Accepted: accepted}); err != nil || len(batch) == 0 {
		t.Fatalf("acknowledge %d alerts: %v", len(batch), err)
	}
	m.now.settled[i] = end.ordinal
}

func (m *model) snapshot(t *rapid.T) {
	state := strings.Join(m.now.frames, " ")
	if err := m.l.Snapshot(m.l.Head(), func(w io.Writer) error { _, err := io.WriteString(w, state); return err }); err != nil {
		t.Fatalf("snapshot: %v", err)
	}
}

func (m *model) bury(t *rapid.T) {
	m.now.letters = append(slices.Clip(m.now.letters), fmt.Sprintf("%d.%d", len(m.now.letters), m.life))
	if err := m.l.PutDeadLetter(event.DeadLetter{Sink: "x", Reason: m.now.letters[m.now.buried], Alert: event.Alert{Title: "t"}}); err != nil {
		t.Fatalf("dead letter: %v", err)
	}
	m.now.buried++
}

// modelRun is some lives, each ended by a crash; it returns how many crashes it checked.
func modelRun(t *rapid.T) (crashes int) {
	m := &model{fs: newCrashFS()}
	steps := []func(*rapid.T){m.append, m.append, m.append, m.append, m.read, m.read, m.read, m.snapshot, m.bury}
	for range rapid.IntRange(1, 3).Draw(t, "lives") {
		m.begin(t)
		for range rapid.IntRange(0, 15).Draw(t, "steps") {
			steps[rapid.IntRange(0, len(steps)-1).Draw(t, "step")](t)
		}
		m.fs.mu.Lock()
		m.watch()
		m.fs.mu.Unlock()
		m.watched = false
		if err := m.l.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "crash"), 0))
		for i := range m.points {
			n, err := m.points[i].check(r)
			if crashes += n; err != nil {
				t.Fatalf("life %d, crash point %d: %v", m.life, i, err)
			}
		}
		end := m.points[len(m.points)-1]
		m.fs, m.now, m.points = end.image.restart(r), end.promises, nil
	}
	return crashes
}

// APPGOVD_CRASH_POINTS sets how many crash points there are at least. A seed
// that fails is kept in testdata/rapid.
func TestModelWithCrashes(t *testing.T) {
	want := int64(20_000)
	if v, err := strconv.ParseInt(os.Getenv("APPGOVD_CRASH_POINTS"), 10, 64); err == nil {
		want = v
	}
	var points atomic.Int64
	t.Run("cores", func(t *testing.T) {
		for core := range 2 {
			t.Run(strconv.Itoa(core), func(t *testing.T) {
				t.Parallel()
				for points.Load() < want && !t.Failed() {
					rapid.Check(t, func(t *rapid.T) { points.Add(int64(modelRun(t))) })
				}
			})
		}
	})
	violations := 0
	if t.Failed() {
		violations++
	}
	t.Logf("%d crash points, %d violations", points.Load(), violations)
}
