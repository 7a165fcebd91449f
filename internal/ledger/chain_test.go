package ledger

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/appgovd/appgovd/internal/event"
)

func told(a afterDamage, text string) bool {
	return slices.ContainsFunc(a.told, func(s string) bool { return strings.Contains(s, text) })
}

func TestALostSegmentIsTold(t *testing.T) {
	whole, p := closedRun(t)
	names := whole.names("/l/segments")
	first := make([]uint64, len(names)+1)
	for i, name := range names {
		first[i], _ = parseSegmentName(name[len("/l/segments/"):])
	}
	first[len(names)] = uint64(len(p.frames)) + 1
	for i := 1; i < len(names); i++ { // the oldest is what retention takes: see the cursors
		fs := whole.crash(nil)
		delete(fs.live, names[i])
		a := openDamaged(t, fs, names[i])
		if lost := uint64(missing(t, names[i], p.frames, a.ids)); lost != first[i+1]-first[i] {
			t.Errorf("%s: %d frames lost, it held %d", names[i], lost, first[i+1]-first[i])
		}
		if want := fmt.Sprintf("frames %d to %d ", first[i], first[i+1]-1); !told(a, want) {
			t.Errorf("%s: told %q, want %q", names[i], a.told, want)
		}
	}
}

// A segment from an older copy of the same directory, where another frame has the
// same number, does not follow its neighbours.
func TestASegmentFromElsewhereIsTold(t *testing.T) {
	fs := newCrashFS()
	fork := func(fs *crashFS, from, to int, life string) {
		v, err := reopen(fs, Options{SegmentBytes: 300})
		if err != nil {
			t.Fatal(err)
		}
		for i := from; i < to; i++ {
			put(t, v.l, modelFrame(fmt.Sprintf("%d.%s", i, life)))
		}
		if err := v.l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	fork(fs, 0, 3, "1")
	other := fs.crash(nil)
	fork(fs, 3, 12, "1")
	fork(other, 3, 12, "2")
	names := fs.names("/l/segments")
	moved := 0
	for _, name := range names[2 : len(names)-1] {
		if other.live[name] == nil || bytes.Equal(other.live[name].live, fs.live[name].live) {
			continue
		}
		mixed := fs.crash(nil)
		mixed.live[name].live = slices.Clone(other.live[name].live)
		var alarms []string
		v, err := reopen(mixed, Options{OnAlarm: func(a Alarm) { alarms = append(alarms, a.Text) }})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.Join(alarms, "\n"), "does not follow") {
			t.Errorf("%s: told %q", name, alarms)
		}
		if err := v.l.Close(); err != nil {
			t.Fatal(err)
		}
		moved++
	}
	if moved == 0 {
		t.Error("the copies have no segment in common")
	}
}

// Whole frames within a payload, of another directory or of version 1, are never
// taken for frames, also where the frame around them is damaged.
func TestBytesThatLookLikeAFrameAreNone(t *testing.T) {
	other := newCrashFS()
	l := open(t, "/o", Options{FS: other})
	put(t, l, modelFrame("7.9"))
	foreign := slices.Clone(other.live["/o/segments/"+segmentName(1)].live)
	old := header{magic: frameMagic, kind: 1, lsn: 2, alertBase: 0}
	v1 := old.append(nil, 0)
	v1[4] = 1
	for _, planted := range [][]byte{foreign, v1} {
		fs := newCrashFS()
		l := open(t, "/l", Options{FS: fs})
		put(t, l, &event.Frame{Kind: event.FramePage, Events: []event.Event{{UpstreamID: "0.1", Raw: planted}}})
		put(t, l, modelFrame("1.1"))
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		name := "/l/segments/" + segmentName(1)
		for i := range headerBytes {
			damaged := fs.crash(nil)
			damaged.live[name].live[i] ^= 1
			a := openDamaged(t, damaged, fmt.Sprint("byte ", i))
			if !slices.Equal(a.ids, []string{"1.1"}) || len(a.told) == 0 {
				t.Fatalf("byte %d: frames %v, told %q", i, a.ids, a.told)
			}
		}
		for cut := headerBytes; cut < headerBytes+len(planted); cut++ { // a torn write of the frame that holds it
			damaged := fs.crash(nil)
			damaged.live[name].live = damaged.live[name].live[:cut]
			if a := openDamaged(t, damaged, fmt.Sprint("cut ", cut)); len(a.ids) > 0 {
				t.Fatalf("cut %d: frames %v", cut, a.ids)
			}
		}
	}
}

func TestTheIdentityIsMadeAgainFromTheFrames(t *testing.T) {
	whole, p := closedRun(t)
	for _, lose := range []func(*crashFS){
		func(fs *crashFS) { delete(fs.live, "/l/"+identityName) },
		func(fs *crashFS) { clear(fs.live["/l/"+identityName].live) },
		func(fs *crashFS) {
			clear(fs.live["/l/"+identityName].live)
			fs.live["/l/segments/"+segmentName(1)].live[9] ^= 1 // with the first header
		},
	} {
		fs := whole.crash(nil)
		lose(fs)
		a := openDamaged(t, fs, "first start")
		if lost := missing(t, "first start", p.frames, a.ids); lost > 1 || !told(a, "identity") {
			t.Errorf("%d frames lost, told %q", lost, a.told)
		}
		if a = openDamaged(t, fs, "second start"); told(a, "identity") || len(a.ids) < len(p.frames) {
			t.Errorf("second start: %d frames, told %q", len(a.ids), a.told)
		}
	}
}

// A sector that the disk does not give back costs the frames that touch it and
// no start, wherever it is.
func TestABadSectorIsSkippedAndTold(t *testing.T) {
	fs := newCrashFS()
	l := open(t, "/l", Options{FS: fs, SegmentBytes: 16 << 10})
	var ids []string
	for i := range 200 {
		ids = append(ids, fmt.Sprintf("%d.1", i))
		put(t, l, modelFrame(ids[i]))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	sectors := 0
	for _, name := range fs.names("/l/segments") {
		for bad := int64(0); bad < int64(len(fs.live[name].live)); bad += sector {
			disk := fs.crash(nil)
			disk.bad = func(file string, from, to int64) bool { return file == name && from < bad+sector && to > bad }
			where := fmt.Sprintf("%s sector at %d", name, bad)
			a := openDamaged(t, disk, where)
			lost := missing(t, where, ids, a.ids)
			if most := touching(fs, name, bad); lost > most || len(a.told) == 0 {
				t.Fatalf("%s: %d frames lost, %d touch it; told %q", where, lost, most, a.told)
			}
			disk.bad = nil
			if again := openDamaged(t, disk, where); missing(t, where, append(slices.Clone(ids), "99.2"), again.ids) > lost {
				t.Fatalf("%s: less is there when the sector is back: %d frames", where, len(again.ids))
			}
			sectors++
		}
	}
	if sectors < 5 {
		t.Errorf("%d sectors", sectors)
	}
	t.Logf("%d bad sectors", sectors)
}

func touching(fs *crashFS, name string, bad int64) (n int) {
	slot, _ := peekSlots(fs, "/l", identityName)
	id, _ := decodeIdentity(slot)
	content := fs.live[name].live
	for off := int64(0); off < int64(len(content)); {
		h, err := parseHeader(content[off:], id.of(1))
		if err != nil {
			return n
		}
		end := off + headerBytes + int64(h.length)
		if off < bad+sector && end > bad {
			n++
		}
		off = end
	}
	return n
}

// The number of the last durable frame is synced at least every second that
// something is written: a lost synced tail is told.
func TestALostDurableTailIsTold(t *testing.T) {
	fs := newCrashFS()
	l := open(t, "/l", Options{FS: fs})
	put(t, l, modelFrame("0.1"), modelFrame("1.1"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	name := "/l/segments/" + segmentName(1)
	h, err := parseHeader(fs.live[name].live, l.identity.of(1))
	if err != nil {
		t.Fatal(err)
	}
	lost := fs.crash(nil)
	lost.live[name].live = lost.live[name].live[:headerBytes+h.length] // exactly at the end of the first
	if a := openDamaged(t, lost, "lost"); !told(a, "frames 2 to 2 were durable and are gone") {
		t.Errorf("told %q", a.told)
	}
	torn := fs.crash(nil)
	torn.live[name].live = append(torn.live[name].live, "AGFR of a frame that was never acknowledged"...)
	if a := openDamaged(t, torn, "torn"); len(a.told) > 0 || len(a.ids) != 2 {
		t.Errorf("a tail that was never durable is told: %q, frames %v", a.told, a.ids)
	}
}

func TestAFrameAboveTheLimitIsKeptInParts(t *testing.T) {
	fs := newCrashFS()
	large := func() *event.Frame {
		f := &event.Frame{Kind: event.FramePage, Source: "s", Mark: []byte("behind"), Account: event.Account{Fetched: 40, New: 40}}
		for i := range 40 {
			f.Events = append(f.Events, event.Event{UpstreamID: fmt.Sprint(i), Raw: bytes.Repeat([]byte{byte('a' + i%26)}, 300)})
			f.Alerts = append(f.Alerts, event.Alert{Title: fmt.Sprintf("l.%d", i)})
		}
		return f
	}
	l := open(t, "/l", Options{FS: fs, MaxFrame: 2000})
	r, err := l.Reader("x", ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	before := &event.Frame{Kind: event.FramePage, Source: "s", Mark: []byte("before")}
	put(t, l, before)
	name := "/l/segments/" + segmentName(1)
	start := len(fs.live[name].live)
	f, want := large(), large()
	put(t, l, f)
	if f.LSN < 8 || f.LSN != l.Head() {
		t.Fatalf("the frame has number %d, the newest is %d: not in parts", f.LSN, l.Head())
	}
	var got []string
	for len(got) < 40 {
		got = append(got, take(t, r, 100)...)
	}
	if !slices.Equal(got, titles(want.Alerts)) {
		t.Errorf("alerts %v", got)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	recover := func(fs *crashFS) (last *event.Frame, n int, l *Ledger) {
		l = open(t, "/l", Options{FS: fs, MaxFrame: 2000})
		if err := l.Recover(func(io.Reader) error { return nil }, func(f *event.Frame) error { last, n = f, n+1; return nil }); err != nil {
			t.Fatal(err)
		}
		return last, n, l
	}
	last, n, l := recover(fs.crash(nil))
	if n != 2 || !bytes.Equal(event.AppendFrame(nil, last), event.AppendFrame(nil, want)) || string(l.Mark("s")) != "behind" || last.LSN != f.LSN {
		t.Errorf("%d frames, the last is %d with %d records, mark %s", n, last.LSN, len(last.Events), l.Mark("s"))
	}
	content := fs.live[name].live
	for cut := start; cut < len(content); cut += 7 { // torn anywhere: all of it or nothing
		torn := fs.crash(nil)
		torn.live[name].live = content[:cut:cut]
		delete(torn.live, "/l/durable")
		delete(torn.live, "/l/cursors/x.cur")
		_, n, l := recover(torn)
		if n != 1 || string(l.Mark("s")) != "before" {
			t.Fatalf("cut at %d: %d frames, mark %s", cut, n, l.Mark("s"))
		}
		put(t, l, large())
		if s := string(l.Mark("s")); s != "behind" {
			t.Fatalf("mark %s", s)
		}
	}
}

func TestARecordAboveTheLimitGoesToTheQuarantine(t *testing.T) {
	l := open(t, t.TempDir(), Options{MaxFrame: 8000})
	f := &event.Frame{Kind: event.FramePage, Source: "s", Events: []event.Event{{UpstreamID: "small", Raw: []byte("x")}, {UpstreamID: "large", Raw: bytes.Repeat([]byte("y"), 9000)}}}
	l.Fit(f)
	if len(f.Events) != 1 || f.Events[0].UpstreamID != "small" || len(f.Quarantined) != 1 {
		t.Fatalf("%d records, %d quarantined", len(f.Events), len(f.Quarantined))
	}
	if q := f.Quarantined[0]; q.Reason != "too_large" || !strings.Contains(q.Detail, "9000 bytes") || q.Source != "s" || len(q.Raw) == 0 {
		t.Errorf("quarantined %+v", q)
	}
	if _, err := l.Append(&event.Frame{Kind: event.FramePage, Mark: bytes.Repeat([]byte("m"), 9000)}); err == nil || !strings.Contains(err.Error(), "at most 8000") {
		t.Errorf("a mark above the limit: %v", err)
	}
	put(t, l, f)
}
