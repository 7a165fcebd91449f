package ledger

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/appgovd/appgovd/internal/event"
)

// closedRun is a ledger that was used and closed: several segments, two
// snapshots, cursors of which one stands within a frame, dead letters.
func closedRun(t *testing.T) (*crashFS, promises) {
	t.Helper()
	fs := newCrashFS()
	v, err := reopen(fs, Options{SegmentBytes: 900})
	if err != nil {
		t.Fatal(err)
	}
	var p promises
	for i := range 20 {
		p.frames = append(p.frames, fmt.Sprintf("%d.1", i))
		put(t, v.l, modelFrame(p.frames[i]))
		if i == 5 || i == 9 {
			state := strings.Join(p.frames, " ")
			if err := v.l.Snapshot(v.l.Head(), func(w io.Writer) error { _, err := io.WriteString(w, state); return err }); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 5 {
		take(t, v.readers[0], 2)
	}
	for i := range 2 {
		p.letters = append(p.letters, fmt.Sprint("letter ", i))
		if err := v.l.PutDeadLetter(event.DeadLetter{Sink: "x", Reason: p.letters[i]}); err != nil {
			t.Fatal(err)
		}
	}
	p.acked, p.buried = len(p.frames), len(p.letters)
	p.settled[0], p.trying[0] = v.readers[0].cur.ordinal, v.readers[0].cur.ordinal
	if err := v.l.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(fs.names("/l/segments")); n < 3 {
		t.Fatalf("%d segments: too few", n)
	}
	return fs, p
}

func (c *crashFS) names(dir string) (out []string) {
	names, _ := c.List(dir)
	for _, name := range names {
		out = append(out, dir+"/"+name)
	}
	return out
}

// afterDamage is what a restart finds of a damaged ledger. The frames come from
// the beginning, also where a snapshot is behind them.
type afterDamage struct {
	ids    []string
	alerts [2][]string // what every reader gets
	starts [2]uint64
	buried []string
	told   []string // alarms
	copies int      // of damaged parts
}

func openDamaged(t *testing.T, fs *crashFS, where string) (a afterDamage) {
	t.Helper()
	v, err := reopen(fs, Options{OnAlarm: func(al Alarm) {
		if al.Active {
			a.told = append(a.told, al.Key+": "+al.Text)
		}
	}})
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	a.buried = v.letters
	if err := v.l.Frames(1, func(f *event.Frame) error { a.ids = append(a.ids, f.Events[0].UpstreamID); return nil }); err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	for i, r := range v.readers {
		a.starts[i] = r.cur.ordinal
		if a.alerts[i], err = drain(r); err != nil {
			t.Fatalf("%s: %v", where, err)
		}
	}
	put(t, v.l, modelFrame("99.2"))
	if err := v.l.Close(); err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	a.copies = len(fs.names("/l/corrupt"))
	return a
}

// missing says how many of all are not in got, which must hold nothing else, in order.
func missing(t *testing.T, where string, all, got []string) (n int) {
	t.Helper()
	for _, id := range all {
		if len(got) > 0 && got[0] == id {
			got = got[1:]
		} else {
			n++
		}
	}
	if len(got) > 0 {
		t.Fatalf("%s: invented or out of order: %v", where, got)
	}
	return n
}

// A bit of every byte of a closed ledger is flipped in turn: it starts, tells
// that it is damaged, loses at most one frame, hands out nothing else than what
// was appended, and goes on.
func TestEveryFlippedByteIsFoundAndCostsAtMostOneFrame(t *testing.T) {
	fs, p := closedRun(t)
	flips := map[string]int{}
	for _, dir := range []string{"segments", "snapshots", "cursors", "deadletter", "."} {
		for _, name := range fs.names(strings.TrimSuffix("/l/"+dir, "/.")) {
			for i := range fs.live[name].live {
				for _, bit := range flippedBits(dir) {
					damaged := fs.crash(nil)
					damaged.live[name].live[i] ^= bit
					if strings.HasSuffix(name, snapName(6)) { // is read when there is no newer one
						delete(damaged.live, "/l/snapshots/"+snapName(10))
					}
					where := fmt.Sprintf("%s byte %d bit %#x", name, i, bit)
					a := openDamaged(t, damaged, where)
					a.check(t, where, dir, p)
					flips[dir]++
				}
			}
		}
	}
	t.Logf("bits flipped: %v", flips)
}

func flippedBits(dir string) []byte {
	if dir == "segments" {
		return []byte{0x01, 0x40}
	}
	return []byte{0x40}
}

func (a *afterDamage) check(t *testing.T, where, dir string, p promises) {
	t.Helper()
	lost := missing(t, where, p.frames, a.ids)
	lostAlerts := 0
	all := modelAlerts(p.frames)
	for i := range a.alerts {
		if a.starts[i] > p.settled[i] {
			t.Fatalf("%s: the cursor of %s jumped from %d to %d", where, modelReaders[i], p.settled[i], a.starts[i])
		}
		lostAlerts = max(lostAlerts, missing(t, where, all[min(a.starts[i], uint64(len(all))):], a.alerts[i]))
	}
	lostLetters := missing(t, where, p.letters, a.buried)
	most := map[string]int{"segments": 1}[dir]
	if lost > most || lostAlerts > 2*most || lostLetters > map[string]int{"deadletter": 1}[dir] {
		t.Fatalf("%s: %d frames, %d alerts and %d dead letters lost", where, lost, lostAlerts, lostLetters)
	}
	if lost+lostAlerts+lostLetters > 0 && len(a.told) == 0 || lostLetters > 0 && a.copies == 0 {
		t.Fatalf("%s: lost and not told", where)
	}
	if (dir == "segments" || dir == "snapshots" || dir == "deadletter") && len(a.told) == 0 {
		t.Fatalf("%s: not told", where)
	}
}

// Every file is cut at every byte in turn: every frame before the cut survives,
// and frames that were durable and are gone are told.
func TestAfterATruncationEveryFrameBeforeTheCutSurvives(t *testing.T) {
	fs, p := closedRun(t)
	cuts := 0
	for name, whole := "/l/deadletter/"+deadName, fs.live["/l/deadletter/"+deadName].live; cuts < len(whole); cuts++ {
		damaged := fs.crash(nil)
		damaged.live[name].live = whole[:cuts]
		where := fmt.Sprintf("%s cut at %d", name, cuts)
		if a := openDamaged(t, damaged, where); missing(t, where, p.letters, a.buried) == 0 || len(a.told) > 0 {
			t.Fatalf("%s: letters %v, told %q", where, a.buried, a.told)
		}
	}
	files := slices.Concat(fs.names("/l/segments"), fs.names("/l/snapshots"), fs.names("/l/cursors"), fs.names("/l"))
	for _, name := range files {
		whole := fs.live[name].live
		for cut := range whole {
			damaged := fs.crash(nil)
			damaged.live[name].live = damaged.live[name].live[:cut]
			where := fmt.Sprintf("%s cut at %d", name, cut)
			a := openDamaged(t, damaged, where)
			cuts++
			lost := missing(t, where, p.frames, a.ids)
			if most := framesFrom(fs, whole, cut); lost > most {
				t.Fatalf("%s: %d frames lost, %d stood behind the cut", where, lost, most)
			}
			if lost > 0 && len(a.told) == 0 {
				t.Fatalf("%s: %d durable frames lost and not told", where, lost)
			}
		}
	}
	t.Logf("%d cuts", cuts)
}

// framesFrom counts the frames of a segment that are not whole before cut.
func framesFrom(fs *crashFS, segment []byte, cut int) (n int) {
	slot, _ := peekSlots(fs, "/l", identityName)
	id, _ := decodeIdentity(slot)
	for off := 0; off < len(segment); {
		h, err := parseHeader(segment[off:], id.of(1))
		if err != nil {
			return n
		}
		off += headerBytes + int(h.length)
		if h.magic == frameMagic && off > cut {
			n++
		}
	}
	return n
}
