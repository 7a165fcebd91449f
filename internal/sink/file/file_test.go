package file

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/appgovd/appgovd/internal/event"
)

func TestOneLinePerAlertAlsoAfterRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alerts.jsonl")
	s, err := New(Config{Path: path}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	batch := []event.Alert{{Title: "a\nb"}, {Title: "c"}}
	if err := s.Write(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := s.Reopen(); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), batch[:1]); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{path + ".1": 2, path: 1} {
		if got := lines(t, name); got != want {
			t.Errorf("%s has %d lines, want %d", filepath.Base(name), got, want)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if err := s.Write(t.Context(), batch); err == nil {
		t.Error("a closed sink accepted alerts")
	}
}

func lines(t *testing.T, name string) (n int) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for s := bufio.NewScanner(f); s.Scan(); n++ {
		if !json.Valid(s.Bytes()) || !strings.Contains(s.Text(), `"App Governance"`) {
			t.Errorf("line %q", s.Text())
		}
	}
	return n
}

func TestBadConfigurationIsNamed(t *testing.T) {
	for want, c := range map[string]Config{
		`must be "ecs" or "json"`: {Path: filepath.Join(t.TempDir(), "x"), Format: "cef"},
		"open file sink":          {Path: filepath.Join(t.TempDir(), "none", "x")},
	} {
		if _, err := New(c, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
