package route

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// rules is a condition that compares fields: "rule_id=entra.a app.id=7". It stands in
// for the rule language.
type condition string

func (c condition) String() string { return string(c) }

func (c condition) Match(a *event.Alert) bool {
	for _, part := range strings.Fields(string(c)) {
		name, value, _ := strings.Cut(part, "=")
		f, ok := FieldNamed(name)
		if !ok || f.Value(a) != value {
			return false
		}
	}
	return true
}

func compile(text string) (Matcher, error) {
	for _, part := range strings.Fields(text) {
		name, _, ok := strings.Cut(part, "=")
		if _, known := FieldNamed(name); !ok || !known {
			return nil, fmt.Errorf("%q is no condition", part)
		}
	}
	return condition(text), nil
}

const pager = "pagerduty/soc"

func start() time.Time { return time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC) }

// desk is a board whose every operation goes through its bytes, to a second board too
// that is restored from a snapshot before each: they must agree.
type desk struct {
	t     tester
	b     *Board
	s     *Silences
	tree  *Tree
	shade *Board
	now   time.Time
	place uint64
}

type tester interface {
	Helper()
	Fatalf(string, ...any)
}

func newDesk(t tester, c Config) *desk {
	t.Helper()
	if c.Sinks == nil {
		c.Sinks = []Sink{{Name: pager}, {Name: "kafka/all"}}
	}
	tree, err := NewTree(c)
	if err != nil {
		t.Fatalf("%v", err)
	}
	s, err := NewSilences(compile, nil)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return &desk{t: t, tree: tree, s: s, b: NewBoard(pager, tree, s), shade: NewBoard(pager, tree, s), now: start()}
}

// notify is a config of one route to the pager that groups by rule.
func notify(change func(*Notify)) Config {
	n := Notify{GroupBy: []string{"rule_id"}}
	if change != nil {
		change(&n)
	}
	return Config{Routes: []Route{{Name: "oncall", Sinks: []string{pager}, Notify: n}}}
}

func dur(d time.Duration) *time.Duration { return &d }

func (d *desk) apply(op *Op) {
	d.t.Helper()
	got, err := DecodeOp(op.Append(nil))
	if err != nil {
		d.t.Fatalf("%v", err)
	}
	got.Settled.Notify = op.Settled.Notify
	if err := d.b.Apply(got); err != nil {
		d.t.Fatalf("%v", err)
	}
	again := NewBoard(pager, d.tree, d.s)
	if err := again.Restore(d.shade.AppendState(nil)); err != nil {
		d.t.Fatalf("%v", err)
	}
	other, _ := DecodeOp(op.Append(nil))
	if err := again.Apply(other); err != nil {
		d.t.Fatalf("%v", err)
	}
	if d.shade = again; d.b.StateHash() != again.StateHash() {
		d.t.Fatalf("a board that was restored before the operation has another state after it")
	}
	if a := d.b.Status(d.now).Account; !a.Balanced() {
		d.t.Fatalf("the account does not add up: %+v", a)
	}
}

// take hands alerts to the board at the time of the desk.
func (d *desk) take(alerts ...event.Alert) (direct []event.Alert) {
	d.t.Helper()
	d.place += uint64(len(alerts))
	direct, elsewhere, op := d.b.Take(alerts, event.Position{LSN: d.place}, d.now)
	grouped := 0
	if op != nil {
		grouped = int(op.Settled.Grouped)
		d.apply(op)
	}
	if len(direct)+elsewhere+grouped != len(alerts) {
		d.t.Fatalf("of %d alerts %d are direct, %d go elsewhere, %d joined", len(alerts), len(direct), elsewhere, grouped)
	}
	return direct
}

// until moves the time and tells what is due on the way: each notice with its time.
func (d *desk) until(t time.Time) (told []event.Alert) {
	d.t.Helper()
	for i := 0; ; i++ {
		wake := d.b.Wake(d.now)
		if wake.IsZero() || wake.After(t) {
			break
		}
		if d.now = later(d.now, wake); i > 10_000 {
			d.t.Fatalf("the board wakes again and again at %s", d.now)
		}
		told = append(told, d.due()...)
	}
	d.now = t
	return told
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// pass is until, by a duration.
func (d *desk) pass(by time.Duration) []event.Alert {
	d.t.Helper()
	return d.until(d.now.Add(by))
}

func (d *desk) due() []event.Alert {
	d.t.Helper()
	notices, op := d.b.Due(d.now)
	if op == nil {
		return nil
	}
	again, _ := d.b.Due(d.now)
	for i := range notices {
		if again[i].DeliveryID != notices[i].DeliveryID {
			d.t.Fatalf("the same notice has another delivery id before it is noted as told")
		}
	}
	d.apply(op)
	return notices
}

// silence adds one until then.
func (d *desk) silence(where string, until time.Time) event.ID {
	d.t.Helper()
	op, err := d.s.Add(Silence{Where: where, Author: "kim", Reason: "known", Until: until}, d.now)
	if err != nil {
		d.t.Fatalf("%v", err)
	}
	d.silences(op)
	s, _ := op.Silence()
	return s.ID
}

func (d *desk) silences(op *Op) {
	d.t.Helper()
	got, err := DecodeOp(op.Append(nil))
	if err != nil {
		d.t.Fatalf("%v", err)
	}
	if err := d.s.Apply(got); err != nil {
		d.t.Fatalf("%v", err)
	}
}

// reload takes over the state into a board of another configuration.
func (d *desk) reload(c Config) {
	d.t.Helper()
	n := newDesk(d.t, c)
	state := d.b.AppendState(nil)
	d.tree, d.b, d.shade = n.tree, NewBoard(pager, n.tree, d.s), NewBoard(pager, n.tree, d.s)
	for _, b := range []*Board{d.b, d.shade} {
		if err := b.Restore(state); err != nil {
			d.t.Fatalf("%v", err)
		}
	}
}

// an is an alert: rule, name of the alert, severity.
func an(rule, name string, severity event.Severity) event.Alert {
	a := event.Alert{ID: event.NewID("alert", rule, name), State: event.AlertNew, Kind: event.AlertDetection, RuleID: rule, Title: rule + " of " + name, Summary: "what " + name + " did", Severity: severity, Time: start(), Opened: start(), Count: 1}
	a.App.ID = name
	a.SetDelivery()
	return a
}

func (d *desk) an(rule, name string, severity event.Severity) event.Alert {
	a := an(rule, name, severity)
	a.Time, a.Opened = d.now, d.now
	return a
}

func in(state event.AlertState, a event.Alert) event.Alert {
	a.State = state
	a.Sequence++
	a.SetDelivery()
	return a
}

func over(a event.Alert) event.Alert { return in(event.AlertResolved, a) }

// said are the states and titles of notices.
func said(told []event.Alert) string {
	var lines []string
	for _, a := range told {
		lines = append(lines, string(a.State)+" "+a.Title)
	}
	return strings.Join(lines, " | ")
}

func want(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Fatalf("got:  %s\nwant: %s", got, want)
	}
}
