package ledger

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/event"
)

// lived makes a ledger of small segments that has frames 1 to 20 with two alerts
// each, a reader that is at frame 10, a snapshot and a dead letter.
func lived(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	l := open(t, dir, Options{SegmentBytes: 1 << 10, History: time.Hour})
	for i := range 20 {
		f := frame(i, 2)
		f.Time = time.Date(2026, 3, 1, i, 0, 0, 0, time.UTC)
		put(t, l, f)
	}
	r := reader(t, l, "kafka/soc", Block)
	for range 10 {
		take(t, r, 2)
	}
	if err := l.PutDeadLetter(event.DeadLetter{Sink: "kafka/soc", Reason: "too large"}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func inspect(t *testing.T, dir string, deep bool) Report {
	t.Helper()
	v, err := OpenView(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	r, err := v.Inspect(deep)
	if err := errors.Join(err, v.Close()); err != nil {
		t.Fatal(err)
	}
	return r
}

// files are the names and contents below dir, but for the lock.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	if err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && d.Name() != "LOCK" {
			var b []byte
			b, err = os.ReadFile(path)
			out[path] = string(b)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAnInspectionTellsWhatIsThereAndChangesNothing(t *testing.T) {
	dir := lived(t)
	before := files(t, dir)
	r := inspect(t, dir, true)
	if r.First != 1 || r.Last != 20 || r.Alerts != 40 || r.Frames != 20 || r.DeadLetters != 1 || len(r.Segments) < 3 || len(r.Problems) != 0 || r.Owner != 0 {
		t.Errorf("report %+v", r)
	}
	if len(r.Cursors) != 1 || r.Cursors[0].Name != "kafka/soc" || r.Cursors[0].Accepted != 20 || r.Cursors[0].Waiting != 20 || r.Cursors[0].LSN != 11 {
		t.Errorf("cursors %+v", r.Cursors)
	}
	if diff := cmp.Diff(before, files(t, dir)); diff != "" {
		t.Error(diff)
	}
	l := open(t, dir, Options{History: time.Hour})
	if r := inspect(t, dir, true); r.Owner != os.Getpid() || len(r.Problems) != 0 {
		t.Errorf("beside its owner: pid %d, %v", r.Owner, r.Problems)
	}
	if _, err := Repair(dir, Options{}); err == nil || !strings.Contains(err.Error(), "in use by another appgovd (pid ") {
		t.Errorf("repair beside its owner: %v", err)
	}
	if _, err := Rewind(dir, "kafka/soc", Target{LSN: 1}, true, Options{}); err == nil || !strings.Contains(err.Error(), "in use by another appgovd (pid ") {
		t.Errorf("rewind beside its owner: %v", err)
	}
	_ = l
}

func TestAnInspectionNamesDamageAndARepairSetsItAside(t *testing.T) {
	newest := func(dir string) string {
		all, err := filepath.Glob(filepath.Join(dir, "segments", "*.seg"))
		if err != nil || len(all) < 3 {
			t.Fatalf("%v, %v", all, err)
		}
		return all[len(all)-1]
	}
	first := func(dir string) string { return filepath.Join(dir, "segments", segmentName(1)) }
	change := func(path string, edit func([]byte) []byte) {
		b, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, edit(b), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	flip := func(at int) func([]byte) []byte { return func(b []byte) []byte { b[at] ^= 1; return b } }
	for _, tt := range []struct {
		name   string
		damage func(dir string)
		want   string // of the problem
		shy    bool   // a look at the footers alone does not see it
		stays  bool   // after a repair
	}{
		{"a bit of a frame in a closed segment", func(d string) { change(first(d), flip(60)) }, "are rotten: payload checksum differs", true, true},
		{"half a frame at the end", func(d string) { change(newest(d), func(b []byte) []byte { return append(b, b[:70]...) }) }, "bytes of an unfinished write", false, false},
		{"a segment that is gone", func(d string) {
			if err := os.Remove(filepath.Join(d, "segments", filepath.Base(newest(d)))); err != nil {
				t.Fatal(err)
			}
		}, "were durable and are gone", false, true},
		{"both slots of a cursor", func(d string) {
			change(filepath.Join(d, "cursors", "kafka.soc.cur"), func(b []byte) []byte { clear(b); return b })
		}, "both slots are damaged", false, true},
		{"a dead letter", func(d string) { change(filepath.Join(d, "deadletter", deadName), flip(9)) }, "bytes hold no letter", false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := lived(t)
			tt.damage(dir)
			found := func(deep bool) (text string) {
				for _, p := range inspect(t, dir, deep).Problems {
					text += p.Where + ": " + p.What + "\n"
				}
				return text
			}
			if got := found(true); !strings.Contains(got, tt.want) {
				t.Errorf("problems %q", got)
			}
			if got := found(false); strings.Contains(got, tt.want) == tt.shy {
				t.Errorf("problems at a first look %q", got)
			}
			if _, err := Repair(dir, Options{}); err != nil {
				t.Fatal(err)
			}
			if got := found(true); !tt.stays && got != "" {
				t.Errorf("after the repair %q", got)
			}
			if r := inspect(t, dir, true); !tt.stays && r.Corrupt+r.Torn == 0 {
				t.Error("no copy is kept")
			}
		})
	}
}

func TestARewoundReaderGetsItsAlertsAgain(t *testing.T) {
	ids := func(dir string) (all []string) {
		l := open(t, dir, Options{History: time.Hour})
		defer func() { _ = l.Close() }()
		r := reader(t, l, "kafka/soc", Block)
		for range l.Stats().Readers["kafka/soc"].Waiting {
			all = append(all, take(t, r, 1)...)
		}
		if err := r.Balanced(); err != nil {
			t.Error(err)
		}
		return all
	}
	dir := lived(t)
	fresh := ids(dir) // alerts 21 to 40
	if len(fresh) != 20 {
		t.Fatalf("%d alerts", len(fresh))
	}
	got, err := Rewind(dir, "kafka/soc", Target{LSN: 6}, false, Options{})
	if want := (Rewound{Reader: "kafka/soc", From: 21, To: 6, Alerts: 30}); err != nil || got != want {
		t.Errorf("would do %+v, %v; want %+v", got, err, want)
	}
	if again := ids(dir); len(again) != 0 {
		t.Errorf("a plan alone sends %d again", len(again))
	}
	if got, err = Rewind(dir, "kafka/soc", Target{Time: time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)}, true, Options{}); err != nil || got.To != 11 || got.Alerts != 20 {
		t.Errorf("did %+v, %v", got, err)
	}
	if again := ids(dir); !cmp.Equal(fresh, again) {
		t.Errorf("again %v, want %v", again, fresh)
	}
	for name, tt := range map[string]struct {
		sink   string
		to     Target
		reason string
	}{
		"no such sink":   {"kafka/sco", Target{LSN: 1}, "there are: of alerts kafka/soc, of events none"},
		"behind the end": {"kafka/soc", Target{LSN: 99}, "no frame is that late; the last one is 20"},
	} {
		if _, err := Rewind(dir, tt.sink, tt.to, true, Options{}); err == nil || !strings.Contains(err.Error(), tt.reason) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Rewind(dir, "kafka/soc", Target{LSN: 3}, true, Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := Rewind(dir, "kafka/soc", Target{LSN: 10}, true, Options{}); err == nil || !strings.Contains(err.Error(), "nothing is skipped") {
		t.Errorf("forward: %v", err)
	}
	if _, err := Repair(t.TempDir(), Options{}); err == nil || !strings.Contains(err.Error(), "holds none") {
		t.Errorf("an empty directory: %v", err)
	}
}
