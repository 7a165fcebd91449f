package syslog

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ledger"
)

// generation is one life of the daemon's delivery: ledger, reader, worker, sink.
func generation(t *testing.T, dir string, c Config, batch []event.Alert, sent func()) {
	t.Helper()
	l, err := ledger.Open(dir, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if err := l.Recover(nil, func(*event.Frame) error { return nil }); err != nil {
		t.Fatal(err)
	}
	r, err := l.Reader("syslog/siem", ledger.ReaderOptions{FromStart: true, ResendWindow: c.Window()})
	if err != nil {
		t.Fatal(err)
	}
	if len(batch) > 0 {
		wait, err := l.Append(&event.Frame{Kind: event.FrameHealth, Alerts: batch})
		if err != nil {
			t.Fatal(err)
		}
		if err := wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	w := deliver.New(deliver.Options{Name: "siem", Sink: sink(t, c, nil), Reader: r, DeadLetters: l, Batch: deliver.Batch{Events: 10}})
	go func() { done <- w.Run(ctx) }()
	for range time.Tick(5 * time.Millisecond) {
		if l.Stats().Readers["syslog/siem"].Waiting == 0 {
			break
		}
	}
	sent()
	if r.Balanced() != nil {
		t.Error(r.Balanced())
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// A receiver and the daemon that die together: what the receiver had not read
// is acknowledged by its kernel and behind the daemon's cursor, and comes again
// out of the ledger.
func TestARestartSendsTheWindowAgain(t *testing.T) {
	dir, batch := t.TempDir(), sinktest.Batch(60)
	ids := sinktest.IDs(batch)
	quit := make(chan struct{})
	deaf := listen(t, func(*receiver, int, net.Conn) { <-quit })
	window := 45
	generation(t, dir, Config{Address: deaf.address(), ResendWindow: &window}, batch[:40], func() {})
	close(quit)

	r := listen(t, nil)
	generation(t, dir, Config{Address: r.address(), ResendWindow: &window}, batch[40:], func() { r.ids(60) })
	if diff := cmp.Diff(ids, r.ids(60)); diff != "" {
		t.Errorf("ids (-appended +arrived):\n%s", diff)
	}
	again := listen(t, nil)
	generation(t, dir, Config{Address: again.address(), ResendWindow: &window}, nil, func() { again.ids(window) })
	if diff := cmp.Diff(ids[60-window:], again.ids(window)); diff != "" {
		t.Errorf("after one more start: ids (-window +arrived):\n%s", diff)
	}
}
