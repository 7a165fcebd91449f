package detect

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// learn lets a warming read all frames from the first one named on.
func (w *world) learn(from int) *Learner {
	w.t.Helper()
	x, err := w.m.Learn(from == 0)
	if err != nil || x == nil {
		w.t.Fatalf("no rule is warming: %v, %v", x, err)
	}
	for _, f := range w.frames[from:] {
		x.Apply(f)
	}
	return x
}

// handOver appends the frames that let the rules speak.
func (w *world) handOver(x *Learner) {
	w.t.Helper()
	for x.Left() > 0 {
		f := &event.Frame{}
		if err := x.Fill(f); err != nil {
			w.t.Fatal(err)
		}
		if got := w.apply(f); len(got) != 0 {
			w.t.Errorf("the end of the warming alerts: %v", told(got))
		}
	}
}

func (w *world) warm() { w.handOver(w.learn(0)) }

func packed(t testing.TB, m *Machine, id string) string {
	t.Helper()
	b, err := m.state.Rules[id].pack(id)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const otherRules = `
rule "t.each" {
  title    = "Each consent"
  severity = "low"
  on       = ["app.consent.granted"]
}
`

func TestARuleThatIsNewComesToKnowWhatOneThatWasThereKnows(t *testing.T) {
	const from, to = 150, 220
	old := long(t, 320)
	fresh := newWorld(t, otherRules)
	again := func(frames []*event.Frame) {
		for _, f := range frames {
			c := AsRead(f)
			fresh.apply(&c)
		}
	}
	there := New(nil, options())
	there.Replay(reread(t, old.frames[0]))
	replay := func(frames []*event.Frame) {
		for _, f := range frames {
			there.Replay(reread(t, f))
		}
	}
	again(old.frames[1:from])
	fresh.rules(allBlocks)
	x := fresh.learn(0)
	read := len(fresh.frames)
	before := len(fresh.alerts)
	again(old.frames[from:to]) // it goes on while they learn
	if n := len(fresh.alerts) - before; n != 0 {
		t.Errorf("rules that do not know the history yet tell %v", told(fresh.alerts[before:]))
	}
	for _, f := range fresh.frames[read:] {
		x.Apply(f)
	}
	fresh.handOver(x)
	replay(old.frames[1:to])
	same := func(when string) {
		t.Helper()
		for _, r := range there.Set().Rules {
			if packed(t, there, r.ID) != packed(t, fresh.m, r.ID) {
				t.Errorf("%s: %s does not remember what it would had it been there", when, r.ID)
			}
			if fresh.m.state.Rules[r.ID].keys() == 0 {
				t.Errorf("%s: %s remembers nothing at all", when, r.ID)
			}
		}
	}
	same("when they begin to speak")
	again(old.frames[to:])
	replay(old.frames[to:])
	same("later")
	if len(fresh.alerts) == before {
		t.Error("they never speak")
	}
}

func TestARuleThatLearnsIsSilentAndCountsEachEventOnce(t *testing.T) {
	changed := strings.Replace(testRules, `within = "10m"`, `within = "20m"`, 1)
	add := func(w *world, minute int) []event.Alert {
		return w.event(event.ActionCredentialAdded, start().Add(time.Duration(minute)*time.Minute), nil)
	}
	run := func(t *testing.T) *world {
		w := newWorld(t, testRules)
		w.tick(time.Minute)
		add(w, 1)
		expectTold(t, w.rules(changed))
		expectTold(t, add(w, 2))
		expectTold(t, add(w, 3)) // would be full
		return w
	}
	t.Run("a match behind the hand-over fires with all of them", func(t *testing.T) {
		w := run(t)
		w.warm()
		expectTold(t, add(w, 4), "t.burst detection new One n=4")
	})
	t.Run("a crash before the end begins anew", func(t *testing.T) {
		w := run(t)
		w.learn(0)
		var snap bytes.Buffer
		if err := w.m.Snapshot(&snap); err != nil {
			t.Fatal(err)
		}
		w.m = New(nil, options())
		if err := w.m.Restore(&snap); err != nil {
			t.Fatal(err)
		}
		expectTold(t, add(w, 4))
		w.warm()
		expectTold(t, add(w, 5), "t.burst detection new One n=5")
	})
	t.Run("what was learned for a former condition is left aside", func(t *testing.T) {
		w := run(t)
		x := w.learn(0)
		w.rules(strings.Replace(testRules, `within = "10m"`, `within = "30m"`, 1))
		w.handOver(x)
		expectTold(t, add(w, 4))
		w.warm()
		expectTold(t, add(w, 5), "t.burst detection new One n=5")
	})
	t.Run("a frame that names no rule of ours, or nonsense, harms nothing", func(t *testing.T) {
		w := run(t)
		w.apply(&event.Frame{Kind: event.FrameWarmed, Warmed: []event.Warmed{{Rule: "t.gone", State: []byte{9}}, {Rule: "t.quiet"}}})
		w.apply(&event.Frame{Kind: event.FrameWarmed, Warmed: []event.Warmed{{Rule: "t.burst", State: []byte{200}}}})
		expectTold(t, add(w, 4))
		add(w, 5)
		expectTold(t, add(w, 6), "t.burst detection new One n=3") // it began with nothing
	})
	t.Run("where the history cannot be read it begins with what comes", func(t *testing.T) {
		w := run(t)
		x := w.learn(0)
		x.GiveUp()
		w.handOver(x)
		expectTold(t, add(w, 4))
		expectTold(t, add(w, 5))
		expectTold(t, add(w, 6), "t.burst detection new One n=3")
	})
	t.Run("rules that remember nothing, and the first ones of all, need no history", func(t *testing.T) {
		w := newWorld(t, testRules)
		if x, _ := w.m.Learn(true); x != nil {
			t.Error("the first rules of all learn from a history that there is not")
		}
		w.tick(time.Minute)
		w.rules(strings.Replace(testRules, `["app.owner.added"]`, `["app.owner.added", "app.owner.removed"]`, 1))
		if x, _ := w.m.Learn(true); x != nil {
			t.Errorf("%v learn, which remember nothing", x.left)
		}
	})
}

func TestWhereTheBeginningIsGoneTheInventoryIsThatOfNow(t *testing.T) {
	w := newWorld(t, otherRules)
	w.firstSync(app(1), wide(1))
	w.tick(time.Minute)
	from := len(w.frames)
	sign := func() []event.Alert {
		w.now = w.now.Add(time.Minute)
		return w.event(event.ActionAppSignIn, w.now, nil)
	}
	sign()
	sign()
	w.rules(`
rule "t.wide" {
  title    = "Sign-ins of an app with tenant-wide consent"
  severity = "low"
  on       = ["app.signin"]
  where    = app.tenant_wide
  threshold {
    count  = 3
    by     = [app.id]
    within = "1h"
  }
}`)
	if h := healthOf(w, "t.wide"); !slices.Contains(h.Statuses, Warming) {
		t.Errorf("health says nothing of it: %+v", h)
	}
	w.handOver(w.learn(from))
	if h := healthOf(w, "t.wide"); slices.Contains(h.Statuses, Warming) {
		t.Errorf("health says that it still learns: %+v", h)
	}
	expectTold(t, sign(), "t.wide detection new One n=3")
}

// BenchmarkLearn is what a rule of every block takes to learn from one frame of the
// history, some three events each.
func BenchmarkLearn(b *testing.B) {
	w := long(b, 390)
	w.tick(time.Minute)
	w.rules(strings.NewReplacer(`"2h"`, `"3h"`, `"2d"`, `"3d"`, `"6h"`, `"7h"`, `"12h"`, `"13h"`, `"8h"`, `"9h"`, `"5h"`, `"6h"`).Replace(allBlocks))
	x, i := w.learn(0), 0
	events := x.Events()
	for b.Loop() {
		x.Apply(w.frames[i%len(w.frames)])
		i++
	}
	b.ReportMetric(float64(x.Events()-events)/b.Elapsed().Seconds(), "events/s")
}
