package detect

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/event"
)

// story is a world with a bit of everything.
func story(t testing.TB) *world {
	rules := testRules + exception("x.story", `"t.*"`, `app.id == "s3" && actor.id == "u6"`, "") + riskRules
	w := newWorld(t, rules)
	w.firstSync(app(1), app(2), app(3), wide(1))
	w.tick(time.Minute)
	for i := range 40 {
		at := w.now.Add(-time.Duration(i%5) * time.Minute)
		actions := []string{event.ActionConsentGranted, event.ActionOwnerAdded, event.ActionCredentialAdded, event.ActionUserSignIn, event.ActionAppSignIn}
		w.page(
			w.make(actions[i%5], at, func(e *event.Event) { e.Actor.ID = fmt.Sprint("u", i%7); e.Origin.ASN = uint32(i) }),
			w.make(actions[(i+2)%5], at, func(e *event.Event) { e.App = event.App{ID: fmt.Sprintf("s%d", i%4)} }))
		switch i % 10 {
		case 3:
			w.objects(delta(event.ObjectDelegatedGrant), wide(2+i%2))
		case 6:
			w.tick(26 * time.Hour)
		case 8:
			w.objects(delta(event.ObjectDelegatedGrant), removed(wide(2+(i-5)%2)))
		case 9:
			w.objects(delta(event.ObjectServicePrincipal), app(10+i))
		}
	}
	w.rules(strings.Replace(rules, "24h", "12h", 1))
	w.tick(time.Hour)
	return w
}

func TestTheSameFramesGiveTheSameStateAndAlerts(t *testing.T) {
	a, b := story(t), story(t)
	if a.m.StateHash() != b.m.StateHash() {
		t.Error("two runs end in different states")
	}
	if diff := cmp.Diff(a.alerts, b.alerts); diff != "" {
		t.Errorf("two runs alert differently:\n%s", diff)
	}
	if len(a.alerts) < 30 {
		t.Errorf("the story raises only %d alerts", len(a.alerts))
	}
}

func TestReplayReachesTheSameStateAndAlertsNothing(t *testing.T) {
	w := story(t)
	m := New(nil, options())
	for _, f := range w.frames {
		m.Replay(reread(t, f))
	}
	if m.StateHash() != w.m.StateHash() {
		t.Error("replay ends in another state")
	}
	if n := m.Stats().Diverged; n != 0 {
		t.Errorf("%d frames give other alerts than those stored", n)
	}
}

func TestARestartAtAnyFrameChangesNothing(t *testing.T) {
	w := story(t)
	m := New(nil, options())
	for i, f := range w.frames {
		m.Replay(reread(t, f))
		var snap bytes.Buffer
		if err := m.Snapshot(&snap); err != nil {
			t.Fatal(err)
		}
		hash := m.StateHash()
		m = New(nil, options())
		if err := m.Restore(&snap); err != nil {
			t.Fatalf("restart behind frame %d: %v", i, err)
		}
		if m.StateHash() != hash {
			t.Fatalf("a restart behind frame %d changes the state", i)
		}
	}
	if m.StateHash() != w.m.StateHash() || m.Stats().Diverged != 0 {
		t.Error("the restarted machine went another way")
	}
}

func TestADamagedSnapshotIsRefused(t *testing.T) {
	w := story(t)
	var snap bytes.Buffer
	if err := w.m.Snapshot(&snap); err != nil {
		t.Fatal(err)
	}
	empty := New(nil, options()).StateHash()
	for n := 0; n < snap.Len(); n += 1 + n/50 {
		m := New(nil, options())
		if err := m.Restore(bytes.NewReader(snap.Bytes()[:n])); err == nil {
			t.Fatalf("a snapshot cut at byte %d is accepted", n)
		}
		if m.Set() == nil && m.StateHash() != empty {
			t.Fatalf("a snapshot cut at byte %d leaves something behind", n)
		}
	}
}

func FuzzRestore(f *testing.F) {
	w := newWorld(f, testRules)
	w.event(event.ActionCredentialAdded, start(), nil)
	w.event(event.ActionAppSignIn, start(), nil)
	var snap bytes.Buffer
	if err := w.m.Snapshot(&snap); err != nil {
		f.Fatal(err)
	}
	f.Add(snap.Bytes())
	f.Add([]byte{0})
	var blocks bytes.Buffer
	if err := long(f, 60).m.Snapshot(&blocks); err != nil {
		f.Fatal(err)
	}
	f.Add(blocks.Bytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := New(nil, options())
		if m.Restore(bytes.NewReader(raw)) != nil {
			return
		}
		m.Apply(&event.Frame{Kind: event.FrameTick, Time: start()}) // what was accepted must work
		m.StateHash()
	})
}

var update = flag.Bool("update", false, "write the golden files anew")

func TestGoldenAlerts(t *testing.T) {
	w := newWorld(t, testRules)
	w.firstSync(app(1), app(2), wide(1))
	w.tick(time.Minute)
	w.event(event.ActionConsentGranted, start(), func(e *event.Event) {
		e.Origin = event.Origin{IP: "192.0.2.7", ASN: 64500, Country: "DE"}
	})
	w.event(event.ActionCredentialAdded, start(), nil)
	w.event(event.ActionCredentialAdded, start().Add(time.Minute), nil)
	w.event(event.ActionCredentialAdded, start().Add(2*time.Minute), nil)
	w.objects(delta(event.ObjectDelegatedGrant), wide(2))
	w.objects(delta(event.ObjectDelegatedGrant), removed(wide(2)))
	path := filepath.Join("testdata", "alerts.golden")
	got := printAlerts(t, w.alerts)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("alerts (-golden +got):\n%s", diff)
	}
}

// reread is f as a restart reads it.
func reread(t *testing.T, f *event.Frame) *event.Frame {
	t.Helper()
	again, err := event.DecodeFrame(event.AppendFrame(nil, f))
	if err != nil {
		t.Fatal(err)
	}
	return again
}
