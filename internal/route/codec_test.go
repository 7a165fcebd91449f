package route

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// busy is a desk with a bit of everything on its board.
func busy(t tester) *desk {
	c := notify(func(n *Notify) { n.GroupBy = []string{"app.id"}; n.Rate = &Rate{2, time.Minute} })
	c.Inhibits = []Inhibit{{Source: condition("severity=critical"), Target: condition("severity=low"), Equal: []string{"app.id"}}}
	d := newDesk(t, c)
	d.silence("app.id=3", d.now.Add(time.Hour))
	for i := range 6 {
		d.take(d.an("r", fmt.Sprint(i), low), d.an("s", fmt.Sprint(i), high), d.an("c", "4", critical))
	}
	d.pass(time.Minute)
	d.take(d.an("r", "7", low), over(d.an("s", "0", high)))
	return d
}

func seeds(t tester) (ops, states [][]byte) {
	d := busy(t)
	_, _, join := d.b.Take([]event.Alert{d.an("r", "9", low), d.an("r", "4", low), d.an("c", "9", critical)}, event.Position{LSN: 99, Index: 1}, d.now)
	_, told := d.b.Due(d.now.Add(10 * time.Minute))
	silence, _ := d.s.Add(Silence{Where: "app.id=1", Author: "kim", Reason: "known", Until: d.now.Add(time.Hour)}, d.now)
	expire, _ := d.s.Expire(d.s.List(d.now)[0].ID, d.now)
	for _, op := range []*Op{join, told, silence, expire} {
		ops = append(ops, op.Append(nil))
	}
	return ops, [][]byte{d.b.AppendState(nil)}
}

func TestAnOperationIsItsBytes(t *testing.T) {
	ops, _ := seeds(t)
	for _, b := range ops {
		op, err := DecodeOp(b)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(op.Append(nil), b) {
			t.Fatalf("kind %d: other bytes come back", op.Kind)
		}
		for n := range b {
			if _, err := DecodeOp(b[:n]); err == nil {
				t.Fatalf("kind %d: %d of %d bytes are taken for the whole", op.Kind, n, len(b))
			}
		}
	}
}

func TestAStateIsItsBytes(t *testing.T) {
	_, states := seeds(t)
	d := newDesk(t, notify(nil))
	for n := range states[0] {
		if err := d.b.Restore(states[0][:n]); err == nil {
			t.Fatalf("%d of %d bytes are taken for the whole", n, len(states[0]))
		}
	}
	if d.b.Status(d.now).Groups != 0 {
		t.Fatal("what is damaged was taken over")
	}
	if err := d.b.Restore(states[0]); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(d.b.AppendState(nil), states[0]) {
		t.Fatal("other bytes come back")
	}
}

func TestSilencesAreKeptByASnapshot(t *testing.T) {
	d := newDesk(t, notify(nil))
	id := d.silence("app.id=1", d.now.Add(time.Hour))
	state := d.s.AppendState(nil)
	s, _ := NewSilences(compile, nil)
	for n := range state {
		if err := s.Restore(state[:n]); err == nil {
			t.Fatalf("%d of %d bytes are taken for the whole", n, len(state))
		}
	}
	if err := s.Restore(state); err != nil {
		t.Fatal(err)
	}
	if got := s.List(d.now); len(got) != 1 || got[0].ID != id || got[0].Author != "kim" || !got[0].Until.Equal(d.now.Add(time.Hour)) {
		t.Fatalf("%+v", got)
	}
}

func FuzzDecodeOp(f *testing.F) {
	ops, _ := seeds(f)
	for _, b := range ops {
		f.Add(b)
	}
	tree, _ := NewTree(notify(nil))
	state := busy(f).b.AppendState(nil)
	f.Fuzz(func(t *testing.T, b []byte) {
		op, err := DecodeOp(b)
		if err != nil {
			return
		}
		if _, err := DecodeOp(op.Append(nil)); err != nil {
			t.Fatalf("what was read is not written back: %v", err)
		}
		s, _ := NewSilences(compile, nil)
		board := NewBoard(op.Sink, tree, s)
		if err := board.Restore(state); err != nil {
			t.Fatal(err)
		}
		if op.Sink == "" {
			_ = s.Apply(op)
		}
		if board.Apply(op) != nil {
			return
		}
		use(t, board)
	})
}

func FuzzRestore(f *testing.F) {
	_, states := seeds(f)
	f.Add(states[0])
	tree, _ := NewTree(notify(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, _ := NewSilences(compile, nil)
		board := NewBoard(pager, tree, s)
		if board.Restore(b) == nil {
			use(t, board)
		}
		_ = s.Restore(b)
	})
}

// use does with a board what a worker does: whatever its state, it does not panic, and
// what it writes it can read.
func use(t *testing.T, b *Board) {
	now := start().Add(time.Hour)
	b.Wake(now)
	b.Status(now)
	if _, op := b.Due(now); op != nil {
		if err := b.Apply(op); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, op := b.Take([]event.Alert{an("r", "1", low), over(an("s", "1", high))}, event.Position{LSN: 1 << 62}, now); op != nil {
		if err := b.Apply(op); err != nil {
			t.Fatal(err)
		}
	}
	state := b.AppendState(nil)
	if err := b.Restore(state); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(state, b.AppendState(nil)) {
		t.Fatal("other bytes come back")
	}
}

func TestHostileNamesAreCapped(t *testing.T) {
	d := newDesk(t, notify(func(n *Notify) { n.GroupBy = []string{"app.name"} }))
	a := d.an("r", "a", low)
	a.App.Name = strings.Repeat("ä", 64<<10)
	a.Title, a.Summary, a.Reason = a.App.Name, a.App.Name, a.App.Name
	for range 100 {
		a.Evidence = append(a.Evidence, event.Evidence{Summary: a.App.Name})
		a.References = append(a.References, a.App.Name)
	}
	d.take(a)
	told := d.pass(time.Minute)
	if got := told[0].Group.Labels[0].Value; got != strings.Repeat("ä", MaxLabel/2) {
		t.Fatalf("%d bytes", len(got))
	}
	if n := len(d.b.AppendState(nil)); n > 2*slimBytes {
		t.Fatalf("the state has %d bytes", n)
	}
}
