package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/appgovd/appgovd/internal/app"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ledger"
)

func TestRecordsThatWereMovedToTheOverflowAreListed(t *testing.T) {
	dir, overflow := t.TempDir(), t.TempDir()
	l, err := ledger.Open(dir, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	wait, err := l.Append(&event.Frame{Kind: event.FramePage, Source: "s", Quarantined: []event.Quarantine{{Source: "s", Reason: "no_time", Raw: []byte("{}")}}})
	if err == nil {
		err = wait(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "segments", "*.seg"))
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	if err := os.Rename(names[0], filepath.Join(overflow, filepath.Base(names[0]))); err != nil {
		t.Fatal(err)
	}
	for want, at := range []store{{dir: dir}, {dir: dir, overflow: overflow}} {
		got := 0
		err := (&letters{store: at}).undecoded(nil, func(app.Undecoded) error { got++; return nil })
		if err != nil || got != want {
			t.Errorf("%+v: %d, %v, want %d", at, got, err, want)
		}
	}
}
