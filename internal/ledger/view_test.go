package ledger

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/event"
)

// contents are all files below dir.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		out[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAViewReadsBesideTheDaemonAndChangesNothing(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for i := 1; i <= 5; i++ {
		put(t, l, frame(i, 1))
	}
	seen := func(dir string) (lsns []uint64, first uint64, damaged int) {
		before := contents(t, dir)
		v, err := OpenView(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Frames(func(f *event.Frame) error { lsns = append(lsns, f.LSN); return nil }); err != nil {
			t.Fatal(err)
		}
		first, damaged = v.First(), v.Damaged()
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
			t.Error("the view changed the directory")
		}
		return lsns, first, damaged
	}
	if lsns, first, damaged := seen(dir); !cmp.Equal(lsns, []uint64{1, 2, 3, 4, 5}) || first != 1 || damaged != 0 {
		t.Errorf("frames %v from %d, %d damaged", lsns, first, damaged)
	}
	t.Run("a rotten frame is counted and skipped, a torn tail is not there yet", func(t *testing.T) {
		copied := t.TempDir()
		for name, text := range contents(t, dir) {
			to := filepath.Join(copied, strings.TrimPrefix(name, dir))
			if strings.Contains(name, "segments") {
				b := []byte(text)
				second := len(b)/5 + headerBytes + 8 // five frames of one size
				b[second] ^= 1
				text = string(b) + "APGF" // the beginning of another frame
			}
			if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if lsns, _, damaged := seen(copied); len(lsns) != 4 || damaged != 1 {
			t.Errorf("frames %v, %d damaged", lsns, damaged)
		}
	})
	t.Run("what is no ledger", func(t *testing.T) {
		if _, err := OpenView(t.TempDir(), ""); err == nil || !strings.Contains(err.Error(), "segments") {
			t.Errorf("%v", err)
		}
	})
}

func TestReadingGoesOnWhereSegmentsAreDeletedMeanwhile(t *testing.T) {
	l := open(t, t.TempDir(), Options{SegmentBytes: 2000})
	for i := range 60 {
		put(t, l, frame(i, i%3))
	}
	n, last := 0, uint64(0)
	err := l.Frames(0, func(f *event.Frame) error {
		if n++; n == 1 {
			l.mu.Lock()
			defer l.mu.Unlock()
			if err := l.segments[1].f.Close(); err != nil {
				return err
			}
			l.segments = append(l.segments[:1:1], l.segments[2:]...)
		}
		last = f.LSN
		return nil
	})
	if err != nil || last != 60 || n >= 60 {
		t.Errorf("%d frames up to %d were read: %v", n, last, err)
	}
}
