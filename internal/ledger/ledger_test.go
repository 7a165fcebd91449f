package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/appgovd/appgovd/internal/event"
)

func frame(n, alerts int) *event.Frame {
	f := &event.Frame{Kind: event.FramePage, Source: "s", Mark: []byte(fmt.Sprint("mark", n)), Account: event.Account{Fetched: 1, New: 1}, Events: []event.Event{{UpstreamID: fmt.Sprint(n), Raw: bytes.Repeat([]byte{byte(n)}, 100+n%700)}}}
	for i := range alerts {
		f.Alerts = append(f.Alerts, event.Alert{Title: fmt.Sprintf("%d.%d", n, i), Sequence: uint32(i)})
	}
	return f
}

func open(t testing.TB, dir string, o Options) *Ledger {
	t.Helper()
	l, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func put(t testing.TB, l *Ledger, frames ...*event.Frame) {
	t.Helper()
	for _, f := range frames {
		wait, err := l.Append(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// recovered returns the upstream ids that a restart sees, behind a state that
// is itself the list of ids.
func recovered(l *Ledger) (ids []string, err error) {
	err = l.Recover(func(r io.Reader) error {
		b, err := io.ReadAll(r)
		ids = strings.Fields(string(b))
		return err
	}, func(f *event.Frame) error {
		ids = append(ids, f.Events[0].UpstreamID)
		return nil
	})
	return ids, err
}

func take(t *testing.T, r *Reader, limit int) []string {
	t.Helper()
	alerts, pos, err := r.Next(t.Context(), limit)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Ack(pos, event.Settled{Accepted: uint64(len(alerts))}); err != nil {
		t.Fatal(err)
	}
	return titles(alerts)
}

func titles(alerts []event.Alert) (out []string) {
	for _, a := range alerts {
		out = append(out, a.Title)
	}
	return out
}

func TestWhatIsAcknowledgedIsThereAfterARestart(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{SegmentBytes: 2000})
	for i := range 20 {
		put(t, l, frame(i, i%3))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, Options{})
	ids, err := recovered(l)
	if err != nil || len(ids) != 20 || ids[19] != "19" {
		t.Errorf("recovered %v, %v", ids, err)
	}
	if got := string(l.Mark("s")); got != "mark19" {
		t.Errorf("mark %q", got)
	}
	if got := l.Accounts()["s"]; got != (event.Account{Fetched: 20, New: 20}) {
		t.Errorf("account %+v", got)
	}
	put(t, l, frame(20, 1))
	if s := l.Stats(); s.LastLSN != 21 || s.Alerts != 20 {
		t.Errorf("stats %+v", s)
	}
}

func TestAReaderGetsEveryAlertOnceAndItsAccountAddsUp(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{SegmentBytes: 1500})
	r, err := l.Reader("soc", ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for i := range 12 {
		f := frame(i, (i*7)%5)
		want = append(want, titles(f.Alerts)...)
		put(t, l, f)
	}
	for range 4 {
		got = append(got, take(t, r, 3)...)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, Options{SegmentBytes: 1500})
	if r, err = l.Reader("soc", ReaderOptions{}); err != nil {
		t.Fatal(err)
	}
	for len(got) < len(want) {
		got = append(got, take(t, r, 3)...)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := r.Balanced(); err != nil {
		t.Error(err)
	}
	if s := l.Stats().Readers["soc"]; s.Waiting != 0 || s.Accepted != uint64(len(want)) {
		t.Errorf("stats %+v, want %d accepted", s, len(want))
	}
	if err := r.Ack(event.Position{LSN: 99}, event.Settled{Accepted: 1}); err != nil {
		t.Fatal(err)
	}
}

func TestASegmentPoisonedBeforeARestartIsLetGo(t *testing.T) {
	fs := newCrashFS()
	l := open(t, "/d", Options{FS: fs, SegmentBytes: 2000})
	put(t, l, frame(0, 1))
	failOnce(fs, "sync")
	for i := 1; i < 5; i++ {
		put(t, l, frame(i, 1))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, "/d", Options{FS: fs, SegmentBytes: 2000, MaxBytes: 20_000})
	if _, err := recovered(l); err != nil {
		t.Fatal(err)
	}
	for i := 5; i < 200; i++ {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		err := l.Reserve(ctx)
		cancel()
		if err != nil {
			t.Fatalf("frame %d finds no room: %v", i, err)
		}
		put(t, l, frame(i, 1))
		if i%5 == 0 {
			if err := l.Snapshot(l.Head(), func(io.Writer) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// failOnce lets the next operation of that kind on a segment fail.
func failOnce(fs *crashFS, what string) {
	done := false
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.fail = func(_ int, op, name string) error {
		if op == what && strings.HasSuffix(name, ".seg") && !done {
			done = true
			return errInjected
		}
		return nil
	}
}

func TestNothingIsWrittenBehindAGroupThatFailed(t *testing.T) {
	fs := newCrashFS()
	l := open(t, "/d", Options{FS: fs})
	put(t, l, frame(0, 0))
	third, gate := make(chan struct{}), make(chan struct{})
	syncs := 0
	fs.mu.Lock()
	fs.fail = func(_ int, what, name string) error {
		if what != "sync" || !strings.HasSuffix(name, ".seg") {
			return nil
		}
		if syncs++; syncs == 3 {
			close(third)
			fs.mu.Unlock()
			<-gate
			fs.mu.Lock()
		}
		if syncs <= 3 {
			return errInjected
		}
		return nil
	}
	fs.mu.Unlock()
	a, b := frame(1, 1), frame(2, 1)
	a.Source, b.Source = "a", "b"
	waitA, err := l.Append(a)
	if err != nil {
		t.Fatal(err)
	}
	<-third
	waitB, err := l.Append(b)
	if err != nil {
		t.Fatal(err)
	}
	close(gate)
	if err := waitA(t.Context()); !errors.Is(err, errInjected) {
		t.Errorf("the first frame: %v", err)
	}
	if err := waitB(t.Context()); !errors.Is(err, errInjected) {
		t.Errorf("the frame behind it: %v", err)
	}
	if err := l.Snapshot(l.Head(), func(io.Writer) error { return nil }); err == nil {
		t.Error("a snapshot of frames that are not there was stored")
	}
	_ = l.Close()
	l = open(t, "/d", Options{FS: fs})
	ids, err := recovered(l)
	if err != nil || len(ids) > 2 || l.Mark("b") != nil || (l.Mark("a") != nil) != (len(ids) == 2) {
		t.Errorf("after a restart: frames %v, marks %q and %q, %v", ids, l.Mark("a"), l.Mark("b"), err)
	}
}

func TestAResendWindowThatBeginsInARottenFrameSkipsNothingNew(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	r, err := l.Reader("x", ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	put(t, l, frame(0, 2), frame(1, 2), frame(2, 2))
	take(t, r, 2)
	take(t, r, 2) // frame 2 is not delivered
	s := l.segments[0]
	_, first, _ := s.check(0, s.synced)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "segments", segmentName(1))
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[first+headerBytes+3] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, Options{})
	if r, err = l.Reader("x", ReaderOptions{ResendWindow: 2}); err != nil {
		t.Fatal(err)
	}
	if got := take(t, r, 10); !cmp.Equal([]string{"2.0", "2.1"}, got) {
		t.Errorf("handed out %v", got)
	}
}

func TestAFrameThatBecomesRottenIsSkippedAndCounted(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	if _, err := l.Reader("x", ReaderOptions{}); err != nil {
		t.Fatal(err)
	}
	put(t, l, frame(0, 2), frame(1, 3), frame(2, 2))
	s := l.segments[0]
	_, first, _ := s.check(0, s.synced)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	flip := func(t *testing.T, restart bool) {
		path := filepath.Join(dir, "segments", segmentName(1))
		if !restart {
			l = open(t, dir, Options{})
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b[first+headerBytes+3] ^= 1
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		alarms := ""
		if restart {
			l = open(t, dir, Options{OnAlarm: func(a Alarm) {
				if a.Active {
					alarms += a.Text
				}
			}})
		}
		ids := []string{}
		if err := l.Frames(1, func(f *event.Frame) error { ids = append(ids, f.Events[0].UpstreamID); return nil }); err != nil {
			t.Fatal(err)
		}
		if !cmp.Equal([]string{"0", "2"}, ids) {
			t.Errorf("frames %v", ids)
		}
		r, err := l.Reader("x", ReaderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for len(got) < 4 {
			batch, pos, err := r.Next(t.Context(), 10)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, titles(batch)...)
			if !restart {
				continue // the next start hands them out again
			}
			if err := r.Ack(pos, event.Settled{Accepted: uint64(len(batch))}); err != nil {
				t.Fatal(err)
			}
		}
		if !cmp.Equal([]string{"0.0", "0.1", "2.0", "2.1"}, got) {
			t.Errorf("handed out %v", got)
		}
		if err := r.Balanced(); err != nil {
			t.Error(err)
		}
		if st := l.Stats().Readers["x"]; restart && (st.Lost != 3 || st.Waiting != 0 || alarms == "") {
			t.Errorf("lost %d, waiting %d, alarms %q", st.Lost, st.Waiting, alarms)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		b[first+headerBytes+3] ^= 1
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("while it runs", func(t *testing.T) { flip(t, false) })
	t.Run("over a restart", func(t *testing.T) { flip(t, true) })
}

func TestDeadLettersAroundARottenOneStay(t *testing.T) {
	letters := func(l *Ledger) (reasons []string) {
		t.Helper()
		if err := l.DeadLetters(func(d event.DeadLetter) error { reasons = append(reasons, d.Reason); return nil }); err != nil {
			t.Fatal(err)
		}
		return reasons
	}
	write := func(l *Ledger, reason string) {
		t.Helper()
		if err := l.PutDeadLetter(event.DeadLetter{Sink: "s", Reason: reason, Alert: event.Alert{Title: "x"}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name   string
		damage func([]byte) []byte
		want   []string
		alarm  bool
	}{
		{"a flipped bit in the first", func(b []byte) []byte { b[12] ^= 1; return b }, []string{"two", "three", "new"}, true},
		{"a flipped bit in a length", func(b []byte) []byte { b[1] ^= 64; return b }, []string{"two", "three", "new"}, true},
		{"a flipped bit in the last", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, []string{"one", "two", "new"}, true},
		{"a flipped bit in the last length", func(b []byte) []byte { b[len(b)/3*2+1] ^= 64; return b }, []string{"one", "two", "new"}, true},
		{"a torn end", func(b []byte) []byte { return b[:len(b)-5] }, []string{"one", "two", "new"}, false},
		{"zeros behind the end", func(b []byte) []byte { return append(b, make([]byte, 64)...) }, []string{"one", "two", "three", "new"}, false},
		{"nothing but zeros", func([]byte) []byte { return make([]byte, 64) }, []string{"new"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			l := open(t, dir, Options{})
			write(l, "one")
			write(l, "two")
			write(l, "three")
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "deadletter", deadName)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, tt.damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
			alarmed := false
			l = open(t, dir, Options{OnAlarm: func(a Alarm) { alarmed = alarmed || a.Active }})
			write(l, "new")
			if got := letters(l); !cmp.Equal(tt.want, got) {
				t.Errorf("letters %v, want %v", got, tt.want)
			}
			if alarmed != tt.alarm {
				t.Errorf("alarm %v, want %v", alarmed, tt.alarm)
			}
			aside := "torn"
			if tt.alarm {
				aside = "corrupt"
			}
			if kept, _ := os.ReadDir(filepath.Join(dir, aside)); len(kept) != 1 {
				t.Errorf("%d copies of damaged parts are kept", len(kept))
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if got := letters(open(t, dir, Options{})); !cmp.Equal(tt.want, got) {
				t.Errorf("letters after another start %v, want %v", got, tt.want)
			}
		})
	}
}

func TestALargeFrameIsHandedOutInParts(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	r, err := l.Reader("s", ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	large := frame(1, 1200)
	for i := range large.Alerts {
		large.Alerts[i].Summary = strings.Repeat("x", 2000)
	}
	put(t, l, large, frame(2, 3))
	var got []string
	for _, want := range []int{500, 500, 203} {
		batch, pos, err := r.Next(t.Context(), 500)
		if err != nil || len(batch) != want {
			t.Fatalf("%d alerts, want %d: %v", len(batch), want, err)
		}
		for _, a := range batch {
			got = append(got, a.Title)
		}
		if err := r.Ack(pos, event.Settled{Accepted: uint64(len(batch))}); err != nil {
			t.Fatal(err)
		}
	}
	var want []string
	for i := range large.Alerts {
		want = append(want, fmt.Sprintf("1.%d", i))
	}
	want = append(want, "2.0", "2.1", "2.2")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ids, err := recovered(open(t, dir, Options{}))
	if diff := cmp.Diff([]string{"1", "2"}, ids); diff != "" || err != nil {
		t.Errorf("after a restart: %v\n%s", err, diff)
	}
}

// What came in small frames while a sink was away leaves together, in its order, up to the size of a batch; what goes
// out again is a batch of its own.
func TestWhatIsThereOfManyFramesIsHandedOutTogether(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{SegmentBytes: 600})
	if _, err := l.Reader("es/x", ReaderOptions{}); err != nil {
		t.Fatal(err)
	}
	for i := range 7 {
		put(t, l, frame(i, 2), &event.Frame{Kind: event.FrameTick})
	}
	if len(l.segments) < 2 {
		t.Fatal("all lies in one segment")
	}
	for _, step := range []struct {
		limit int
		want  []string
	}{{5, []string{"0.0", "0.1", "1.0", "1.1", "2.0"}}, {1, []string{"2.1"}}, {100, []string{"3.0", "3.1", "4.0", "4.1", "5.0", "5.1", "6.0", "6.1"}}} {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = open(t, dir, Options{SegmentBytes: 600})
		r, err := l.Reader("es/x", ReaderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.want, take(t, r, step.limit)); diff != "" {
			t.Error(diff)
		}
		if err := r.Balanced(); err != nil {
			t.Error(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, Options{SegmentBytes: 600})
	r, err := l.Reader("es/x", ReaderOptions{ResendWindow: 2})
	if err != nil {
		t.Fatal(err)
	}
	put(t, l, frame(7, 1))
	for _, want := range [][]string{{"6.0", "6.1"}, {"7.0"}} {
		if diff := cmp.Diff(want, take(t, r, 100)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestAnAccountThatDoesNotAddUpIsNamed(t *testing.T) {
	l := open(t, t.TempDir(), Options{})
	r, err := l.Reader("soc", ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	put(t, l, frame(1, 3))
	_, pos, err := r.Next(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Ack(pos, event.Settled{Accepted: 2}); err != nil {
		t.Fatal(err)
	}
	if err := r.Balanced(); err == nil || !strings.Contains(err.Error(), "3 alerts lie before the cursor") {
		t.Errorf("error %v", err)
	}
}

func TestANewReaderStartsFromNowOrFromTheStart(t *testing.T) {
	l := open(t, t.TempDir(), Options{})
	put(t, l, frame(1, 2))
	now, err := l.Reader("now", ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	all, err := l.Reader("all", ReaderOptions{FromStart: true})
	if err != nil {
		t.Fatal(err)
	}
	put(t, l, frame(2, 1))
	if diff := cmp.Diff([]string{"2.0"}, take(t, now, 10)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"1.0", "1.1", "2.0"}, take(t, all, 10)); diff != "" {
		t.Error(diff)
	}
}

func TestAResendWindowGoesOutAgainAfterARestartAndIsNotCountedTwice(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	r, err := l.Reader("syslog", ReaderOptions{ResendWindow: 3})
	if err != nil {
		t.Fatal(err)
	}
	put(t, l, frame(1, 2), frame(2, 2), frame(3, 2))
	for range 3 {
		take(t, r, 2)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, Options{})
	if r, err = l.Reader("syslog", ReaderOptions{ResendWindow: 3}); err != nil {
		t.Fatal(err)
	}
	put(t, l, frame(4, 1))
	var got []string
	for range 3 {
		got = append(got, take(t, r, 10)...)
	}
	if diff := cmp.Diff([]string{"2.1", "3.0", "3.1", "4.0"}, got); diff != "" {
		t.Error(diff)
	}
	if err := r.Balanced(); err != nil {
		t.Error(err)
	}
}

func TestASecondInstanceIsRefusedWithThePidOfTheFirst(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, Options{})
	_, err := Open(dir, Options{})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("pid %d", os.Getpid())) {
		t.Errorf("error %v", err)
	}
}

func TestABadStateDirectoryIsRefusedClearly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "x")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "chmod 0700") {
		t.Errorf("error %v", err)
	}
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(filepath.Join(file, "state"), Options{}); err == nil || !strings.Contains(err.Error(), "open state directory") {
		t.Errorf("error %v", err)
	}
}

func TestASnapshotShortensRecoveryAndADamagedOneFallsBack(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	var ids []string
	for i := range 9 {
		put(t, l, frame(i, 0))
		ids = append(ids, fmt.Sprint(i))
		if i == 3 || i == 6 {
			state := strings.Join(ids, " ")
			if err := l.Snapshot(uint64(i+1), func(w io.Writer) error { _, err := io.WriteString(w, state); return err }); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "snapshots", snapName(7))
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, damaged := range []bool{false, true} {
		if damaged {
			b[len(b)-1] ^= 1
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		alarms := 0
		l = open(t, dir, Options{OnAlarm: func(Alarm) { alarms++ }})
		got, err := recovered(l)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(ids, got); diff != "" {
			t.Errorf("damaged %v: %s", damaged, diff)
		}
		if (alarms == 1) != damaged || string(l.Mark("s")) != "mark8" {
			t.Errorf("damaged %v: %d alarms, mark %s", damaged, alarms, l.Mark("s"))
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAFullLedgerBlocksAndNamesTheSinkThatHoldsIt(t *testing.T) {
	var alarms []string
	l := open(t, t.TempDir(), Options{MaxBytes: 12000, SegmentBytes: 1000, OnAlarm: func(a Alarm) {
		if a.Active {
			alarms = append(alarms, a.Text)
		}
	}})
	r, err := l.Reader("kafka", ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	room := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		return l.Reserve(ctx)
	}
	for ; room() == nil; n++ {
		if n > 1000 {
			t.Fatal("never full")
		}
		put(t, l, frame(600+n, 1))
	}
	if text := strings.Join(alarms, "\n"); len(alarms) != 3 || !strings.Contains(text, "held by sink kafka") {
		t.Errorf("alarms %q", alarms)
	}
	if err := l.Snapshot(uint64(n), func(io.Writer) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for range n {
		take(t, r, 1)
	}
	if err := room(); err != nil {
		t.Errorf("still full after everything was settled: %v", err)
	}
}

func TestDeadLettersStay(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	for i := range 3 {
		if err := l.PutDeadLetter(event.DeadLetter{Sink: "es", Reason: fmt.Sprint("r", i), Alert: event.Alert{Title: "t"}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, Options{})
	var reasons []string
	if err := l.DeadLetters(func(d event.DeadLetter) error { reasons = append(reasons, d.Reason); return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"r0", "r1", "r2"}, reasons); diff != "" {
		t.Error(diff)
	}
}

// dead is what is open, as sink: reason.
func dead(t *testing.T, each func(func(event.DeadLetter) error) error) (all []string, ids []event.ID) {
	t.Helper()
	if err := each(func(d event.DeadLetter) error {
		all, ids = append(all, d.Sink+": "+d.Reason), append(ids, d.ID)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all, ids
}

func TestDeadLettersAreSettledForGood(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	l := open(t, dir, Options{Now: func() time.Time { return now }})
	write := func(sink, reason string, n byte, at time.Time) {
		t.Helper()
		a := event.Alert{DeliveryID: event.ID{n}, Summary: strings.Repeat("x", 300<<10)}
		if err := l.PutDeadLetter(event.DeadLetter{Sink: sink, Reason: reason, Time: at, Alert: a}); err != nil {
			t.Fatal(err)
		}
	}
	write("es", "old", 1, now.Add(-48*time.Hour))
	for n := byte(2); n < 6; n++ {
		write("es", fmt.Sprint("r", n), n, now)
	}
	write("kafka", "too large", 2, now)
	write("es", "r3 again", 3, now)
	want := []string{"es: old", "es: r2", "es: r4", "es: r5", "kafka: too large", "es: r3 again"}
	all, ids := dead(t, l.DeadLetters)
	if diff := cmp.Diff(want, all); diff != "" {
		t.Fatalf("a second refusal of an alert takes the place of the first: %s", diff)
	}
	if err := l.SettleDeadLetter(ids[1], event.OutcomeDropped, "seen"); err != nil {
		t.Fatal(err)
	}
	if err := l.SettleDeadLetter(ids[1], event.OutcomeDropped, "seen"); !errors.Is(err, ErrNoDeadLetter) {
		t.Errorf("settled twice: %v", err)
	}
	if _, err := l.DeadLetter(ids[1]); !errors.Is(err, ErrNoDeadLetter) {
		t.Errorf("settled and shown: %v", err)
	}
	if n, err := l.TrimDeadLetters(now.Add(-24 * time.Hour)); n != 1 || err != nil {
		t.Errorf("%d letters trimmed, %v", n, err)
	}
	check := func(when string, each func(func(event.DeadLetter) error) error) {
		t.Helper()
		if all, _ := dead(t, each); !cmp.Equal(want, all) {
			t.Errorf("%s: %v, want %v", when, all, want)
		}
	}
	want = []string{"es: r4", "es: r5", "kafka: too large", "es: r3 again"}
	check("settled and trimmed", l.DeadLetters)
	if n := l.DeadLetterCount("es"); n != 3 {
		t.Errorf("%d letters of es", n)
	}
	for _, id := range ids[2:4] {
		if err := l.SettleDeadLetter(id, event.OutcomeDelivered, ""); err != nil {
			t.Fatal(err)
		}
	}
	want = want[2:]
	if info, err := os.Stat(filepath.Join(dir, "deadletter", deadName)); err != nil || info.Size() > 1<<20 {
		t.Errorf("the file keeps what is settled: %v, %v", info.Size(), err)
	}
	write("es", "behind", 9, now)
	want = append(want, "es: behind")
	check("written anew", l.DeadLetters)
	v, err := OpenView(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = v.Close() }()
	check("seen from beside", v.DeadLetters)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	check("over a restart", open(t, dir, Options{}).DeadLetters)
}

func TestAFailedSyncIsNeverRetriedOnThatSegment(t *testing.T) {
	fs := newCrashFS()
	l := open(t, "/l", Options{FS: fs})
	put(t, l, frame(1, 0))
	failed := ""
	fs.mu.Lock()
	fs.fail = func(_ int, what, name string) error {
		if what == "sync" && strings.HasSuffix(name, ".seg") && (failed == "" || failed == name) {
			failed = name
			return errInjected
		}
		return nil
	}
	fs.mu.Unlock()
	put(t, l, frame(2, 0), frame(3, 0))
	if n := len(fs.names("/l/segments")); n != 2 {
		t.Errorf("%d segments, want a new one beside the poisoned one", n)
	}
	l2 := open(t, "/l", Options{FS: fs.crash(nil)})
	ids, err := recovered(l2)
	if diff := cmp.Diff([]string{"1", "2", "3"}, ids); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestAFullDiskPausesAndGoesOnByItself(t *testing.T) {
	for _, call := range []string{"write", "sync"} { // file systems that give room late tell it late
		t.Run(call, func(t *testing.T) { fullDisk(t, call) })
	}
}

func fullDisk(t *testing.T, call string) {
	synctest.Test(t, func(t *testing.T) {
		fs := newCrashFS()
		var alarms []Alarm
		l, err := Open("/l", Options{FS: fs, OnAlarm: func(a Alarm) { alarms = append(alarms, a) }})
		if err != nil {
			t.Fatal(err)
		}
		full := time.Now().Add(time.Minute)
		fs.mu.Lock()
		fs.fail = func(_ int, what, name string) error {
			if what == call && strings.HasSuffix(name, ".seg") && time.Now().Before(full) {
				return unix.ENOSPC
			}
			return nil
		}
		fs.mu.Unlock()
		put(t, l, frame(1, 0))
		if time.Now().Before(full) {
			t.Error("acknowledged while the disk was full")
		}
		synctest.Wait()
		if len(alarms) != 2 || !alarms[0].Active || alarms[1].Active {
			t.Errorf("alarms %+v", alarms)
		}
		if n := len(fs.names("/l/segments")); n != 1 || fs.again > 0 {
			t.Errorf("%d segments, %d syncs of a file after one failed", n, fs.again)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAFailedAppendIsAnErrorForEverybody(t *testing.T) {
	fs := newCrashFS()
	l := open(t, "/l", Options{FS: fs})
	fs.mu.Lock()
	fs.fail = func(_ int, what, _ string) error {
		if what == "sync" || what == "write" {
			return errInjected
		}
		return nil
	}
	fs.mu.Unlock()
	wait, err := l.Append(frame(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	if err := wait(t.Context()); !errors.Is(err, errInjected) {
		t.Errorf("error %v", err)
	}
	if err := l.Reserve(t.Context()); !errors.Is(err, errInjected) {
		t.Errorf("error %v", err)
	}
}

func FuzzParseHeader(f *testing.F) {
	h := header{magic: frameMagic, kind: 1, lsn: 7, length: 3}
	f.Add(h.append(nil, 7))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHeader(b, format{version, 7})
		if err == nil && !bytes.Equal(h.append(nil, 7)[:4], b[:4]) {
			t.Error("a header that does not round trip")
		}
	})
}

// Whatever a segment holds, a scan ends, all that it leaves is whole and in order,
// and a scan of what it leaves finds the same and nothing torn.
func FuzzSegment(f *testing.F) {
	c, err := newCodec(1<<20, false)
	if err != nil {
		f.Fatal(err)
	}
	c.seed = 7
	var content []byte
	sum := uint32(0)
	for i := range 4 {
		fr := modelFrame(fmt.Sprintf("%d.1", i*5))
		fr.LSN = uint64(i + 1)
		b, h, err := c.encode(fr, 0, sum)
		if err != nil {
			f.Fatal(err)
		}
		content, sum = append(content, b...), h.sum
	}
	f.Add(content)
	f.Add(append(append([]byte(nil), content[:70]...), content[200:]...))
	f.Add(append(append([]byte(nil), content...), content...))
	f.Fuzz(func(t *testing.T, b []byte) {
		fs := newCrashFS()
		scan := func(b []byte) (s *segment, found findings, lsns []uint64) {
			s = &segment{f: &crashFile{c: fs, node: &crashNode{live: b}, name: "x"}, first: 1, format: format{version, 7}}
			found, err := s.scan(int64(len(b)), 0)
			if err != nil {
				t.Skip(err)
			}
			for off := s.skip(0); off < s.synced; off = s.skip(off) {
				h, n, reason := s.check(off, s.synced)
				if reason != "" {
					t.Fatalf("at %d: %s", off, reason)
				}
				if h.magic == frameMagic {
					lsns = append(lsns, h.lsn)
				}
				off += n
			}
			return s, found, lsns
		}
		s, _, lsns := scan(append([]byte(nil), b...))
		for i := 1; i < len(lsns); i++ {
			if lsns[i] <= lsns[i-1] {
				t.Fatalf("numbers %v", lsns)
			}
		}
		again, found, same := scan(append([]byte(nil), b[:s.synced]...))
		if !slices.Equal(lsns, same) || again.last != s.last || again.lastSum != s.lastSum || slices.ContainsFunc(found.damaged, func(d damage) bool { return d.Torn }) {
			t.Fatalf("frames %v, then %v; %+v", lsns, same, found)
		}
	})
}

func FuzzParseSlot(f *testing.F) {
	b := make([]byte, slotBytes)
	binary.LittleEndian.PutUint32(b, slotMagic)
	f.Add(b)
	f.Fuzz(func(_ *testing.T, b []byte) {
		if _, payload, err := parseSlot(b); err == nil {
			_, _ = decodeCursor(payload)
		}
	})
}

// 2 KB records, one fsync per 1,000.
func BenchmarkAppend(b *testing.B) {
	l := open(b, b.TempDir(), Options{MaxBytes: 1 << 40})
	raw := bytes.Repeat([]byte("0123456789abcdef"), 125)
	b.SetBytes(2000)
	i := 0
	for b.Loop() {
		f := &event.Frame{Kind: event.FramePage, Source: "s", Events: []event.Event{{Raw: raw}}}
		wait, err := l.Append(f)
		if err != nil {
			b.Fatal(err)
		}
		if i++; i%1000 == 0 {
			if err := wait(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// A start behind a snapshot: 150,000 records of 1 KB, in pages of 1,000; and as
// many before it, whose segments are closed and not read.
func BenchmarkRestart(b *testing.B) {
	dir := b.TempDir()
	l := open(b, dir, Options{MaxBytes: 1 << 40})
	raw := bytes.Repeat([]byte(`{"id":"0123456789abcdef","operation":"Consent to application"},`), 16)
	for i := range 300 {
		f := &event.Frame{Kind: event.FramePage, Source: "s"}
		for j := range 1000 {
			f.Events = append(f.Events, event.Event{UpstreamID: fmt.Sprint(i, j), Raw: raw})
		}
		put(b, l, f)
		if i == 149 {
			if err := l.Snapshot(l.Head(), func(io.Writer) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	var opened time.Duration
	for b.Loop() {
		start := time.Now()
		l, err := Open(dir, Options{MaxBytes: 1 << 40})
		if err != nil {
			b.Fatal(err)
		}
		opened += time.Since(start)
		n := 0
		if err := l.Recover(func(io.Reader) error { return nil }, func(f *event.Frame) error { n += len(f.Events); return nil }); err != nil || n != 150_000 {
			b.Fatal(n, err)
		}
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(opened.Milliseconds())/float64(b.N), "ms-open")
}
