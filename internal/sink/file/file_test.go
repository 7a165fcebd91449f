package file

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
)

func open(t *testing.T, path string) *Sink {
	t.Helper()
	s, err := New(Config{Path: path}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func write(t *testing.T, s *Sink, batch []event.Alert) {
	t.Helper()
	if err := s.Write(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}

// read returns the delivery ids of the lines of a file and how many lines are
// no document.
func read(t *testing.T, name string) (ids []string, broken int) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var d struct {
			AppGov struct {
				DeliveryID string `json:"delivery_id"`
			} `json:"appgov"`
		}
		if json.Unmarshal(lines.Bytes(), &d) != nil {
			broken++
			continue
		}
		ids = append(ids, d.AppGov.DeliveryID)
	}
	return ids, broken
}

func TestConformance(t *testing.T) {
	sinktest.Run(t, sinktest.Suite{
		Can: []sinktest.Behaviour{sinktest.Down},
		Start: func(t *testing.T, b sinktest.Behaviour) sinktest.Peer {
			path := filepath.Join(t.TempDir(), "alerts.jsonl")
			if b == sinktest.Down {
				path = "/dev/full"
			}
			return sinktest.Peer{Sink: open(t, path), Got: func(int) []string {
				ids, broken := read(t, path)
				if broken > 0 {
					t.Errorf("%d lines are no document", broken)
				}
				return ids
			}}
		},
	})
}

func TestAFullDiskIsWaitedFor(t *testing.T) {
	err := open(t, "/dev/full").Write(t.Context(), sinktest.Batch(1))
	if fault.Of(err) != fault.Transient || !strings.Contains(fault.Hint(err), "make room") {
		t.Errorf("%v: class %v, hint %q", err, fault.Of(err), fault.Hint(err))
	}
}

func TestRotation(t *testing.T) {
	t.Run("after a move and a reopen nothing is lost and nothing is twice", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "alerts.jsonl")
		s, batch := open(t, path), sinktest.Batch(200)
		var writer sync.WaitGroup
		writer.Go(func() {
			for i := range batch {
				if err := s.Write(t.Context(), batch[i:i+1]); err != nil {
					t.Error(err)
				}
			}
		})
		const rotations = 20
		for i := range rotations { // as logrotate does: rename, then SIGHUP
			if err := os.Rename(path, fmt.Sprintf("%s.%d", path, i)); err != nil {
				t.Error(err)
			}
			if err := s.Reopen(); err != nil {
				t.Error(err)
			}
		}
		writer.Wait()
		got, broken := read(t, path)
		for i := range rotations {
			ids, b := read(t, fmt.Sprintf("%s.%d", path, i))
			got, broken = append(ids, got...), broken+b
		}
		want := map[string]int{}
		for _, id := range sinktest.IDs(batch) {
			want[id] = 1
		}
		count := map[string]int{}
		for _, id := range got {
			count[id]++
		}
		if diff := cmp.Diff(want, count); diff != "" || broken > 0 {
			t.Errorf("%d broken lines; lines by id (-want +got):\n%s", broken, diff)
		}
	})
	t.Run("a file that was deleted is made again, not written to in the dark", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "alerts.jsonl")
		s, batch := open(t, path), sinktest.Batch(2)
		write(t, s, batch[:1])
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		write(t, s, batch[1:])
		if got, _ := read(t, path); len(got) != 1 {
			t.Errorf("%d lines, want 1", len(got))
		}
	})
	t.Run("a reopen that fails keeps the file that is open", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "d")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		s, batch := open(t, filepath.Join(dir, "alerts.jsonl")), sinktest.Batch(1)
		if err := os.Rename(dir, dir+"2"); err != nil {
			t.Fatal(err)
		}
		if err := s.Reopen(); err == nil || fault.Hint(err) == "" {
			t.Errorf("error %v, hint %q", err, fault.Hint(err))
		}
		write(t, s, batch)
		if got, _ := read(t, filepath.Join(dir+"2", "alerts.jsonl")); len(got) != 1 {
			t.Errorf("%d lines, want 1", len(got))
		}
	})
}

func TestATornLineSpoilsNoOther(t *testing.T) {
	batch := sinktest.Batch(2)
	t.Run("it is ended before the next one when the process died within it", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "alerts.jsonl")
		s := open(t, path)
		write(t, s, batch[:1])
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, info.Size()-10); err != nil {
			t.Fatal(err)
		}
		write(t, open(t, path), batch)
		got, broken := read(t, path)
		if diff := cmp.Diff(sinktest.IDs(batch), got); diff != "" || broken != 1 {
			t.Errorf("%d broken lines, want 1; ids (-want +got):\n%s", broken, diff)
		}
	})
	t.Run("it is ended before the next one when a write failed within it", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "alerts.jsonl")
		s := open(t, path)
		limitFileSize(t, 100, func() {
			if err := s.Write(t.Context(), batch); err == nil {
				t.Error("no error")
			}
		})
		write(t, s, batch)
		got, broken := read(t, path)
		if diff := cmp.Diff(sinktest.IDs(batch), got); diff != "" || broken != 1 {
			t.Errorf("%d broken lines, want 1; ids (-want +got):\n%s", broken, diff)
		}
	})
	t.Run("a whole last line gets no empty one behind it", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "alerts.jsonl")
		for i := range batch {
			s := open(t, path)
			write(t, s, batch[i:i+1])
			_ = s.Close()
		}
		if got, broken := read(t, path); len(got) != 2 || broken != 0 {
			t.Errorf("%d documents, %d broken lines", len(got), broken)
		}
	})
}

// limitFileSize lets writes beyond n bytes of a file fail while fn runs.
func limitFileSize(t *testing.T, n uint64, fn func()) {
	t.Helper()
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
			t.Fatal(err)
		}
	}()
	fn()
}

func TestBadConfigurationIsNamed(t *testing.T) {
	for want, c := range map[string]Config{
		`"xml" is no format`: {Path: filepath.Join(t.TempDir(), "x"), Format: "xml"},
		"names no file":      {},
		"open file sink":     {Path: filepath.Join(t.TempDir(), "none", "x")},
	} {
		if _, err := New(c, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
