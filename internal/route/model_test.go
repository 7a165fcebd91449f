package route

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/appgovd/appgovd/internal/event"
)

// model follows a board through random days and knows only what was asked of it and
// what it said.
type model struct {
	*desk
	c        Config
	ops      [][]byte
	open     map[event.ID]event.Alert
	shown    map[event.ID]bool // members of notices
	silences map[event.ID]Silence
	sources  map[event.ID]event.Alert // open critical alerts
	last     map[event.ID]event.Alert // last notice by id
	at       map[event.ID]time.Time
	sent     []time.Time
}

func drawConfig(t *rapid.T) Config {
	c := notify(func(n *Notify) {
		n.GroupBy = rapid.SampledFrom([][]string{{"rule_id"}, {"app.id"}, {"severity"}, {}, {ByAlert}}).Draw(t, "group_by")
		n.GroupWait = dur(time.Duration(rapid.IntRange(0, 60).Draw(t, "wait")) * time.Second)
		n.GroupInterval = dur(time.Duration(rapid.IntRange(1, 600).Draw(t, "interval")) * time.Second)
		n.RepeatInterval = dur(time.Duration(rapid.SampledFrom([]int{0, 0, 7200}).Draw(t, "repeat")) * time.Second)
		n.ResolveAfter = dur(MaxTime)
		if rapid.Bool().Draw(t, "rated") {
			n.Rate = &Rate{rapid.IntRange(1, 4).Draw(t, "max"), time.Duration(rapid.IntRange(1, 900).Draw(t, "per")) * time.Second}
		}
		if rapid.Bool().Draw(t, "muted") {
			n.Mutes = []string{"m"}
		}
	})
	c.Mutes = []Mute{{Name: "m", From: 10*60 + 20, To: 11 * 60}}
	if rapid.Bool().Draw(t, "inhibits") {
		c.Inhibits = []Inhibit{{Source: condition("severity=critical"), Target: condition("severity=low"), Equal: []string{"app.id"}}}
	}
	return c
}

func (m *model) draw(t *rapid.T) event.Alert {
	rule, name := fmt.Sprint("r", rapid.IntRange(0, 2).Draw(t, "rule")), fmt.Sprint(rapid.IntRange(0, 4).Draw(t, "name"))
	a := m.an(rule, name, rapid.SampledFrom([]event.Severity{low, medium, high, critical}).Draw(t, "severity"))
	a.ID = event.NewID("alert", rule, name, fmt.Sprint(m.place, len(m.ops)))
	return a
}

// takes hands on a batch. Of one rule and app at most one alert is open.
func (m *model) takes(t *rapid.T) {
	var batch []event.Alert
	seen := map[string]bool{}
	for range rapid.IntRange(1, 8).Draw(t, "alerts") {
		a := m.draw(t)
		key := a.RuleID + a.App.ID
		for _, id := range sorted(m.open) {
			o := m.open[id]
			if o.RuleID == a.RuleID && o.App.ID == a.App.ID && a.ID != id {
				a.ID, a.Sequence, a.Opened = id, o.Sequence+1, o.Opened
				a.State = rapid.SampledFrom([]event.AlertState{event.AlertUpdated, event.AlertResolved}).Draw(t, "state")
			}
		}
		if seen[key] {
			continue
		}
		seen[key] = true
		batch = append(batch, a)
	}
	m.place += uint64(len(batch))
	_, _, op := m.b.Take(batch, event.Position{LSN: m.place}, m.now)
	m.do(op)
	for _, a := range batch {
		delete(m.sources, a.ID)
		if a.State == event.AlertResolved {
			delete(m.open, a.ID)
			continue
		}
		if m.open[a.ID] = a; a.Severity == critical {
			m.sources[a.ID] = a
		}
	}
}

func (m *model) do(op *Op) {
	m.ops = append(m.ops, op.Append(nil))
	m.apply(op)
}

func (m *model) passes(by time.Duration) {
	end := m.now.Add(by)
	for i := 0; ; i++ {
		wake := m.b.Wake(m.now)
		if wake.IsZero() || wake.After(end) {
			break
		}
		if m.now = later(m.now, wake); i > 10_000 {
			m.t.Fatalf("the board wakes again and again at %s", m.now)
		}
		notices, op := m.b.Due(m.now)
		if op == nil {
			continue
		}
		for i := range notices {
			m.hears(&notices[i])
		}
		m.do(op)
	}
	m.now = end
}

// hears checks one notice against what the model knows.
func (m *model) hears(a *event.Alert) {
	n := m.c.Routes[0].Notify
	before, again := m.last[a.ID]
	switch {
	case a.Group == nil:
		m.t.Fatalf("a notice without its group")
	case again && (a.Sequence != before.Sequence+1 || before.State == event.AlertResolved || a.State == event.AlertNew):
		m.t.Fatalf("%s %d follows %s %d", a.State, a.Sequence, before.State, before.Sequence)
	case !again && (a.Sequence != 1 || a.State != event.AlertNew):
		m.t.Fatalf("the first notice is %s %d", a.State, a.Sequence)
	case again && a.Group.Groups == 0 && m.now.Sub(m.at[a.ID]) < *n.GroupInterval:
		m.t.Fatalf("told %s after the last time", m.now.Sub(m.at[a.ID]))
	case !again && m.now.Sub(a.Opened) < *n.GroupWait:
		m.t.Fatalf("told %s after the first alert", m.now.Sub(a.Opened))
	}
	if minute := m.now.Hour()*60 + m.now.Minute(); len(n.Mutes) > 0 && minute >= 10*60+20 && minute < 11*60 {
		m.t.Fatalf("told at %s", m.now)
	}
	m.last[a.ID], m.at[a.ID] = *a, m.now
	m.sent = append(m.sent, m.now)
	if r := n.Rate; r != nil && len(m.sent) > r.Max && m.now.Sub(m.sent[len(m.sent)-1-r.Max]) < r.Per {
		m.t.Fatalf("%d notices within %s", r.Max+1, m.now.Sub(m.sent[len(m.sent)-1-r.Max]))
	}
	for _, x := range a.Group.Members {
		m.shown[x.ID] = true
		m.mayShow(x.ID)
	}
}

// mayShow fails where a silence or a graver alert should have kept it.
func (m *model) mayShow(id event.ID) {
	a, ok := m.open[id]
	if !ok {
		m.t.Fatalf("an alert that is over is shown as open")
	}
	for _, s := range m.silences {
		if s.At(m.now) && condition(s.Where).Match(&a) {
			m.t.Fatalf("a silenced alert is told")
		}
	}
	for _, s := range m.sources {
		if len(m.c.Inhibits) > 0 && a.Severity == low && s.ID != a.ID && s.App.ID == a.App.ID && m.now.Sub(s.Time) < 22*time.Hour {
			m.t.Fatalf("an inhibited alert is told")
		}
	}
}

func (m *model) hushes(t *rapid.T) {
	if len(m.silences) > 0 && rapid.Bool().Draw(t, "expire") {
		if list := m.s.List(m.now); len(list) > 0 {
			op, err := m.s.Expire(list[0].ID, m.now)
			if err != nil {
				t.Fatal(err)
			}
			m.desk.silences(op)
			delete(m.silences, list[0].ID)
			return
		}
	}
	where := rapid.SampledFrom([]string{"rule_id=r0", "app.id=1", "severity=high", "app.id=2 rule_id=r1"}).Draw(t, "where")
	until := m.now.Add(time.Duration(rapid.IntRange(1, 7200).Draw(t, "for")) * time.Second)
	id := m.silence(where, until)
	for _, s := range m.s.List(m.now) {
		if s.ID == id {
			m.silences[id] = s
		}
	}
}

// restarts makes a board of all operations so far: it must be the same.
func (m *model) restarts() {
	fresh := NewBoard(pager, m.tree, m.s)
	for _, b := range m.ops {
		op, err := DecodeOp(b)
		if err != nil {
			m.t.Fatalf("%v", err)
		}
		if err := fresh.Apply(op); err != nil {
			m.t.Fatalf("%v", err)
		}
	}
	if fresh.StateHash() != m.b.StateHash() {
		m.t.Fatalf("the same operations make another state")
	}
	m.b = fresh
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawConfig(t)
		m := &model{desk: newDesk(t, c), c: c, open: map[event.ID]event.Alert{}, shown: map[event.ID]bool{}, silences: map[event.ID]Silence{}, sources: map[event.ID]event.Alert{}, last: map[event.ID]event.Alert{}, at: map[event.ID]time.Time{}}
		t.Repeat(map[string]func(*rapid.T){
			"take":    m.takes,
			"pass":    func(t *rapid.T) { m.passes(time.Duration(rapid.IntRange(0, 1200).Draw(t, "s")) * time.Second) },
			"silence": m.hushes,
			"restart": func(*rapid.T) { m.restarts() },
		})
		m.ends()
	})
}

// ends lets every silence, mute and wait end: then all that is open was told, but for
// what is inhibited, and then all is over.
func (m *model) ends() {
	m.passes(20 * time.Hour)
	rated := m.c.Routes[0].Notify.Rate != nil
	for id, a := range m.open {
		inhibited := false
		for _, s := range m.sources {
			inhibited = inhibited || len(m.c.Inhibits) > 0 && a.Severity == low && s.ID != id && s.App.ID == a.App.ID
		}
		if !m.shown[id] && !inhibited && !rated {
			m.t.Fatalf("nobody was told of %s, which is open", a.Title)
		}
	}
	for _, g := range m.b.order {
		if l := m.b.look(g, nanos(m.now)); l.pending > 0 {
			m.t.Fatalf("%d emissions of a group were not told in 20 hours", l.pending)
		}
	}
	var batch []event.Alert
	for _, id := range sorted(m.open) {
		a := m.open[id]
		a.Time = m.now
		batch = append(batch, over(a))
	}
	if len(batch) > 0 {
		m.place += uint64(len(batch))
		_, _, op := m.b.Take(batch, event.Position{LSN: m.place}, m.now)
		m.do(op)
	}
	m.open = map[event.ID]event.Alert{}
	m.passes(20 * time.Hour)
	m.restarts()
	if s := m.b.Status(m.now); s.Groups != 0 || s.Account.Open != 0 || !s.Account.Balanced() || len(m.b.entriesLeft()) != 0 {
		m.t.Fatalf("all is over and told: %+v", s)
	}
	for id, a := range m.last {
		if a.State != event.AlertResolved {
			m.t.Fatalf("the end of %s was never told", id)
		}
	}
}

func (b *Board) entriesLeft() (left []event.ID) {
	for _, l := range b.lanes {
		if l.size != 0 || l.summary.seq != 0 {
			left = append(left, l.id)
		}
	}
	if b.ids != 0 || b.wholeBytes != 0 {
		left = append(left, event.ID{1})
	}
	return left
}

func sorted[T any](m map[event.ID]T) []event.ID {
	return slices.SortedFunc(maps.Keys(m), func(a, b event.ID) int { return bytes.Compare(a[:], b[:]) })
}
