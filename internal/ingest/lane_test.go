package ingest

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ledger"
)

type blind struct{}

func (blind) Apply(*event.Frame) {}

func TestAFrameThatTheLogRefusesIsNotTakenForSeen(t *testing.T) {
	dir := t.TempDir()
	open := func() (*ledger.Ledger, *Seen, *Lane) {
		l, err := ledger.Open(dir, ledger.Options{MaxFrame: 5000})
		if err != nil {
			t.Fatal(err)
		}
		seen := NewSeen(time.Hour)
		if err := l.Recover(seen.Restore, func(f *event.Frame) error { seen.Observe(f); return nil }); err != nil {
			t.Fatal(err)
		}
		return l, seen, NewLane(blind{}, l)
	}
	at := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	commit := func(lane *Lane, seen *Seen, mark int) (before int, err error) {
		f := &event.Frame{Kind: event.FramePage, Source: "s", Time: at, Mark: bytes.Repeat([]byte("x"), mark), Events: []event.Event{{ID: event.NewID("a"), Time: at}}}
		err = lane.Commit(t.Context(), f, func(f *event.Frame) { f.Events, before = seen.Filter(f.Events, f.Time) })
		return before, err
	}
	l, seen, lane := open()
	if err := lane.Note(t.Context(), &event.Frame{Kind: event.FrameTick, Time: at}); err != nil {
		t.Fatal(err)
	}
	if _, err := commit(lane, seen, 6000); err == nil {
		t.Fatal("a mark above the limit was accepted")
	}
	err := lane.Hold(func(uint64) error { return l.Snapshot(l.Head(), func(w io.Writer) error { return seen.Snapshot(w) }) })
	if err == nil {
		t.Error("a state that no frame led to was stored")
	}
	if _, again := commit(lane, seen, 10); again == nil || errors.Unwrap(again) == nil {
		t.Errorf("the lane went on: %v", again)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, seen, lane = open()
	defer func() { _ = l.Close() }()
	if before, err := commit(lane, seen, 100); before != 0 || err != nil {
		t.Errorf("after a restart the record is known already (%d): %v", before, err)
	}
}
