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

// filled has a group and a silence, by frames 4 and 5; what it returns is its snapshot.
func filled(t *testing.T, r *routing) *bytes.Buffer {
	t.Helper()
	_, _, op := r.boards[theSink].Board.Take([]event.Alert{{ID: event.NewID("a"), State: event.AlertNew, Severity: event.SeverityHigh, Title: "One", Time: time.Now()}}, event.Position{LSN: 3}, time.Now())
	add, err := r.silences.Add(route.Silence{Where: "true", Author: "ann", Reason: "r", Until: time.Now().Add(time.Hour)}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range []*route.Op{op, add} {
		r.replay(&event.Frame{LSN: uint64(4 + i), Kind: event.FrameNotify, Notify: o.Append(nil)})
	}
	b := new(bytes.Buffer)
	if err := r.snapshot(b); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGroupsAndSilencesAreKeptInASnapshot(t *testing.T) {
	r := freshRouting(t, zap.NewNop())
	b := filled(t, r)
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

// Where the newest snapshot is damaged the one before is read, or none: nothing of the
// damaged one is left, since the frames behind the older one are replayed.
func TestNothingIsLeftOfASnapshotThatIsDamaged(t *testing.T) {
	r := freshRouting(t, zap.NewNop())
	empty := r.boards[theSink].StateHash()
	b := filled(t, r)
	isEmpty := func(what string) {
		t.Helper()
		if n := len(r.silences.List(time.Now())); n != 0 || r.boards[theSink].StateHash() != empty {
			t.Errorf("%s: %d silences are left, and groups: %v", what, n, r.boards[theSink].StateHash() != empty)
		}
	}
	if err := r.restore(bytes.NewReader(b.Bytes()[:b.Len()-1])); err == nil {
		t.Fatal("a part is read as a whole")
	}
	isEmpty("after a damaged one")
	if err := r.restore(bytes.NewReader(b.Bytes())); err != nil {
		t.Fatal(err)
	}
	if err := r.restore(strings.NewReader("")); err != nil {
		t.Fatal(err)
	}
	isEmpty("after one of a build without groups")
}

// What a board holds may be more than a text of a snapshot is: what was stored is read.
func TestALargeBoardIsReadFromItsSnapshot(t *testing.T) {
	const routes = 12
	w := newWorld(t)
	for i := range routes {
		w.more += fmt.Sprintf("route {\n  name = \"r%d\"\n  rules = [\"rule%d\"]\n  sinks = [\"stdout/bad\"]\n  group_by = [\"app.id\"]\n}\n", i, i)
	}
	p := w.plan(t)
	build := func() *routing {
		r, err := newRouting(p, time.Now, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r, text := build(), strings.Repeat("x", 4<<10)
	for i := range routes {
		batch := make([]event.Alert, route.MaxGroups)
		for k := range batch {
			batch[k] = event.Alert{ID: event.NewID("a", fmt.Sprint(i, k)), State: event.AlertNew, RuleID: fmt.Sprintf("rule%d", i), Severity: event.SeverityHigh, Title: text, Summary: text, Time: time.Now()}
			batch[k].App.ID, batch[k].Origin.UserAgent = fmt.Sprint(k), text
		}
		_, _, op := r.boards[theSink].Board.Take(batch, event.Position{LSN: uint64(1 + i)}, time.Now())
		if err := r.boards[theSink].Apply(op); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(r.boards[theSink].AppendState(nil)); n <= maxText {
		t.Fatalf("the state has %d bytes: too few to show anything", n)
	}
	var b bytes.Buffer
	if err := r.snapshot(&b); err != nil {
		t.Fatal(err)
	}
	again := build()
	if err := again.restore(&b); err != nil {
		t.Fatal(err)
	}
	if again.boards[theSink].StateHash() != r.boards[theSink].StateHash() {
		t.Error("the state is not the same")
	}
}

// What a summary said is ended by another, though all of its groups are gone and no route
// groups any more.
func TestTheEndOfASummaryIsToldAfterItsRouteIsGone(t *testing.T) {
	w := newWorld(t)
	w.more = "route {\n  sinks = [\"stdout/bad\"]\n  group_by = [\"app.id\"]\n  group_wait = \"0s\"\n  rate {\n    max = 1\n    per = \"1m\"\n  }\n}\n"
	now := time.Now()
	r, err := newRouting(w.plan(t), func() time.Time { return now }, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	b := r.boards[theSink].Board
	join := func(state event.AlertState) {
		t.Helper()
		batch := make([]event.Alert, 3)
		for i := range batch {
			batch[i] = event.Alert{ID: event.NewID("a", fmt.Sprint(i)), State: state, Severity: event.SeverityHigh, Title: "One", Time: now}
			batch[i].App.ID = fmt.Sprint(i)
		}
		_, _, op := b.Take(batch, event.Position{LSN: 3}, now)
		if err := b.Apply(op); err != nil {
			t.Fatal(err)
		}
	}
	join(event.AlertNew)
	if notices, op := b.Due(now); len(notices) != 1 || b.Apply(op) != nil {
		t.Fatalf("%d notices, not one summary", len(notices))
	}
	join(event.AlertResolved)
	w.more = ""
	p := w.plan(t)
	after, err := newRouting(p, func() time.Time { return now }, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	board := after.boards[theSink]
	if err := board.Restore(b.AppendState(nil)); err != nil {
		t.Fatal(err)
	}
	if after.of(theSink) == nil {
		t.Fatal("the sink has no board: nobody is told that it is over")
	}
	now = now.Add(time.Minute)
	notices, op := board.Board.Due(now)
	if len(notices) != 1 || notices[0].State != event.AlertResolved || board.Apply(op) != nil {
		t.Fatalf("notices %v", notices)
	}
	if after.of(theSink) != nil || board.Status(now).Account.Open != 0 {
		t.Errorf("something is left: %+v", board.Status(now))
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
