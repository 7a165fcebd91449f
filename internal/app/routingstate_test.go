package app

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/route"
)

// freshRouting is the routing of a configuration with one group for people, before any
// frame.
func freshRouting(t *testing.T, log *zap.Logger) *routing {
	t.Helper()
	w := newWorld(t)
	w.more = "route {\n  sinks = [\"stdout/bad\"]\n  group_by = [\"app.id\"]\n}\n"
	r, err := newRouting(w.plan(t), time.Now, log)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestGroupsAndSilencesAreKeptInASnapshot(t *testing.T) {
	r := freshRouting(t, zap.NewNop())
	_, _, op := r.boards[theSink].Board.Take([]event.Alert{{ID: event.NewID("a"), State: event.AlertNew, Severity: event.SeverityHigh, Title: "One", Time: time.Now()}}, event.Position{LSN: 3}, time.Now())
	add, err := r.silences.Add(route.Silence{Where: "true", Author: "ann", Reason: "r", Until: time.Now().Add(time.Hour)}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range []*route.Op{op, add} {
		r.replay(&event.Frame{LSN: uint64(4 + i), Kind: event.FrameNotify, Notify: o.Append(nil)})
	}
	var b bytes.Buffer
	if err := r.snapshot(&b); err != nil {
		t.Fatal(err)
	}
	again := freshRouting(t, zap.NewNop())
	if err := again.restore(bytes.NewReader(b.Bytes())); err != nil {
		t.Fatal(err)
	}
	if again.boards[theSink].StateHash() != r.boards[theSink].StateHash() || len(again.silences.List(time.Now())) != 1 {
		t.Error("the state is not the same")
	}
	if g := again.grouped(theSink); g.Settled.Notify != 4 || g.Settled.Grouped != 1 || g.Position.LSN != 3 {
		t.Errorf("what was grouped last: %+v", g)
	}
	for n := 1; n < b.Len(); n++ {
		if err := again.restore(bytes.NewReader(b.Bytes()[:n])); err == nil {
			t.Fatalf("%d of %d bytes are read as a whole", n, b.Len())
		}
	}
	if err := again.restore(strings.NewReader("")); err != nil {
		t.Errorf("a snapshot of a build without groups: %v", err)
	}
}

// A notify frame of a defect, or of a later build, is told, and nothing else is lost.
func TestANotifyFrameThatCannotBeReadIsTold(t *testing.T) {
	core, log := observer.New(zapcore.ErrorLevel)
	r := freshRouting(t, zap.New(core))
	r.replay(&event.Frame{LSN: 4, Kind: event.FrameNotify, Notify: []byte{255, 1}})
	if log.FilterMessage("a notify frame cannot be replayed").Len() != 1 {
		t.Errorf("logged %v", log.All())
	}
}

// A silence that the daemon would not take is a mistake of the configuration, with its place.
func TestASilenceThatIsNotWholeIsFoundByACheck(t *testing.T) {
	text := fmt.Sprintf("silence \"long\" {\n  where = true\n  author = %q\n  reason = \"r\"\n  until = \"2030-01-01T00:00:00Z\"\n}\n", strings.Repeat("a", route.MaxSilenceText+1))
	name := filepath.Join(t.TempDir(), "agent.hcl")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, diags := Check(name)
	if len(diags) != 1 || diags[0].Summary != "Invalid silence" || diags[0].Subject.Start.Line != 1 {
		t.Errorf("found %v", diags)
	}
}
