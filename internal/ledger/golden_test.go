package ledger

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/event"
)

var update = flag.Bool("update", false, "write the golden directory of this release's format anew")

const (
	goldenFrames   = 14
	goldenSnapshot = 8 // the frame of the one that stays behind
	goldenAcked    = 5 // alerts, the last within a frame
)

// goldenWant is what every golden directory holds, whatever release wrote it.
func goldenWant() (ids, alerts []string) {
	for i := range goldenFrames {
		f := frame(i*50, i%4)
		ids, alerts = append(ids, f.Events[0].UpstreamID), append(alerts, titles(f.Alerts)...)
	}
	return ids, alerts
}

// writeGolden makes a directory as a daemon leaves it: several segments, small
// and compressed payloads, two snapshots, two cursors of which one stands
// within a frame, a dead letter.
func writeGolden(t *testing.T, dir string) {
	t.Helper()
	l := open(t, dir, Options{SegmentBytes: 1500})
	a, err := l.Reader("kafka/soc", ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Reader("syslog/siem", ReaderOptions{}); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for i := range goldenFrames {
		f := frame(i*50, i%4)
		ids = append(ids, f.Events[0].UpstreamID)
		put(t, l, f)
		if n := uint64(i + 1); n == goldenSnapshot/2 || n == goldenSnapshot {
			state := strings.Join(ids, " ")
			if err := l.Snapshot(n, func(w io.Writer) error { _, err := io.WriteString(w, state); return err }); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 3 {
		take(t, a, 2)
	}
	if err := l.PutDeadLetter(event.DeadLetter{Sink: "kafka/soc", Reason: "too large", Alert: event.Alert{Title: "dead"}}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "LOCK")); err != nil {
		t.Fatal(err)
	}
}

// Directories written by older releases open: every frame, cursor, snapshot and
// dead letter is there, and writing goes on.
func TestDirectoriesOfOlderReleasesOpen(t *testing.T) {
	if *update {
		dir := fmt.Sprintf("testdata/golden/v%d", version)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		writeGolden(t, dir)
	}
	dirs, err := filepath.Glob("testdata/golden/v*")
	if err != nil || len(dirs) != version {
		t.Fatalf("%d golden directories, want one for each of %d versions: %v", len(dirs), version, err)
	}
	for _, golden := range dirs {
		t.Run(filepath.Base(golden), func(t *testing.T) { checkGolden(t, golden) })
	}
}

func checkGolden(t *testing.T, golden string) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.CopyFS(dir, os.DirFS(golden)); err != nil {
		t.Fatal(err)
	}
	if err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error { // a checkout may leave more
		if err == nil && d.IsDir() {
			err = os.Chmod(name, 0o700)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	ids, alerts := goldenWant()
	for _, more := range []int{900, 950} { // twice: what the first start wrote is read by the second
		var told []string
		l := open(t, dir, Options{SegmentBytes: 1500, OnAlarm: func(a Alarm) { told = append(told, a.Text) }})
		got, err := recovered(l)
		if diff := cmp.Diff(ids, got); diff != "" || err != nil {
			t.Fatalf("frames: %v\n%s", err, diff)
		}
		if want := "mark" + ids[len(ids)-1]; string(l.Mark("s")) != want {
			t.Errorf("mark %s, want %s", l.Mark("s"), want)
		}
		if got := l.Accounts()["s"]; got != (event.Account{Fetched: uint64(len(ids)), New: uint64(len(ids))}) {
			t.Errorf("account %+v of %d frames", got, len(ids))
		}
		if snaps := l.Stats().Snapshots; !cmp.Equal([]uint64{goldenSnapshot / 2, goldenSnapshot}, snaps) {
			t.Errorf("snapshots %v", snaps)
		}
		checkGoldenReader(t, l, "kafka/soc", alerts[goldenAcked:])
		checkGoldenReader(t, l, "syslog/siem", alerts)
		var dead []string
		if err := l.DeadLetters(func(d event.DeadLetter) error { dead = append(dead, d.Alert.Title+": "+d.Reason); return nil }); err != nil || !cmp.Equal([]string{"dead: too large"}, dead) {
			t.Errorf("dead letters %v, %v", dead, err)
		}
		if len(told) > 0 {
			t.Errorf("alarms %q", told)
		}
		f := frame(more, 2)
		ids, alerts = append(ids, f.Events[0].UpstreamID), append(alerts, titles(f.Alerts)...)
		put(t, l, f)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// checkGoldenReader wants the alerts, and acknowledges none: the next start hands
// them out again.
func checkGoldenReader(t *testing.T, l *Ledger, name string, want []string) {
	t.Helper()
	r, err := l.Reader(name, ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for len(got) < len(want) {
		batch, _, err := r.Next(t.Context(), 100)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, titles(batch)...)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: %s", name, diff)
	}
	if err := r.Balanced(); err != nil {
		t.Error(err)
	}
}
