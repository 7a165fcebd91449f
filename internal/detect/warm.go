package detect

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/event"
)

// Learner is how rules that are new or changed learn from the history, beside the
// machine in which they are in force and silent. It is used by one goroutine; what
// it learned becomes part of the machine by a FrameWarmed alone.
type Learner struct {
	m    *Machine
	left []string // rules that have not been handed over
	none bool     // they begin with nothing
}

// Learn begins with the rules that are silent until they know the history; nil =
// there are none. whole says that the history begins with the first frame of all;
// else the inventory is taken as it is now, and goes through the changes that are
// still held. It is called under the same lock as Apply.
func (m *Machine) Learn(whole bool) (*Learner, error) {
	var left []string
	for _, id := range sortedKeys(m.state.Rules) {
		if m.state.Rules[id].Warming {
			left = append(left, id)
		}
	}
	if len(left) == 0 || m.set == nil {
		return nil, nil
	}
	o := m.opt
	o.Watch, o.Elapsed = Watch{}, nil
	w := &Learner{m: New(m.set.Only(left), o), left: left}
	w.m.aside = true
	if whole {
		return w, nil
	}
	var now bytes.Buffer
	if err := m.inv.Snapshot(&now); err != nil {
		return nil, fmt.Errorf("copy the inventory: %w", err)
	}
	if err := w.m.inv.Restore(&now); err != nil {
		return nil, fmt.Errorf("copy the inventory: %w", err)
	}
	return w, nil
}

// Left is how many rules have not been handed over.
func (w *Learner) Left() int { return len(w.left) }

// Events is how many events were learned from.
func (w *Learner) Events() uint64 { return w.m.sum.Events }

// GiveUp lets the rules that are left begin with nothing: the history cannot be read.
func (w *Learner) GiveUp() { w.none = true }

// Apply takes in a stored frame, as it was given to the ledger: frames come in
// order and without a gap. f is not changed.
func (w *Learner) Apply(f *event.Frame) {
	m := w.m
	m.frame = nanos(f.Time)
	switch f.Kind {
	case event.FramePage, event.FrameInput:
		if len(f.Quarantined) > 0 {
			m.inv.Lost(f.Sync)
		}
		m.interrupt(f)
		m.inv.Apply(f.Objects, f.Sync, f.Time) // what it derives stands in the frame
		m.relive(f)
		m.watermarks(f)
	case event.FrameTick:
		m.watermarks(f)
		m.relive(f)
		m.ripen(f)
		m.silences(f)
		m.expire(f)
	}
}

// relive evaluates the events of a stored frame, those that were derived then
// included, by the tiers in force.
func (m *Machine) relive(f *event.Frame) {
	for i := range f.Events {
		e := f.Events[i]
		e.Permissions = slices.Clone(e.Permissions)
		for j := range e.Permissions {
			e.Permissions[j].Tier = 0
			m.fillPermission(&e.Permissions[j])
		}
		if !e.Derived {
			m.observe(f, &e)
		}
		m.evaluate(&e)
	}
}

// Bounds of a FrameWarmed, and of what one rule may remember of the history.
const (
	enoughWarmed = 8 << 20
	mostWarmed   = 64 << 20
)

// Fill hands rules over: it adds what they learned to f, which must be the next
// frame behind the last one applied. It may take several frames until none is left.
func (w *Learner) Fill(f *event.Frame) error {
	f.Kind = event.FrameWarmed
	for size := 0; len(w.left) > 0 && size < enoughWarmed; w.left = w.left[1:] {
		id := w.left[0]
		b, err := w.m.state.Rules[id].pack(id)
		if err != nil {
			return fmt.Errorf("encode what rule %s learned: %w", id, err)
		}
		if len(b) > mostWarmed {
			w.m.opt.Log.Warn("what a rule learned from the history is too large to keep; it begins with nothing", zap.String("rule", id), zap.Int("bytes", len(b)))
		}
		if len(b) > mostWarmed || w.none {
			b = nil
		}
		size += len(b)
		f.Warmed = append(f.Warmed, event.Warmed{Rule: id, State: b})
	}
	return nil
}

// warmed lets rules speak, with what they learned. A state of another condition is
// left aside: the rule was changed meanwhile.
func (m *Machine) warmed(f *event.Frame) {
	for i := range f.Warmed {
		x := &f.Warmed[i]
		if st := m.state.Rules[x.Rule]; st != nil && st.Warming && m.set != nil {
			m.speak(x, st)
		}
	}
	for _, l := range m.lanes {
		l.settled = math.MaxInt64
	}
	if m.set != nil {
		m.await()
	}
}

func (m *Machine) speak(x *event.Warmed, st *ruleState) {
	learned, err := unpack(x)
	switch {
	case err != nil:
		m.opt.Log.Error("what a rule learned cannot be read; it begins with nothing", zap.String("rule", x.Rule), zap.Error(err))
	case learned == nil:
	case learned.Revision != st.Revision:
		return
	default:
		st.Seen, st.windows, st.baseline, st.sequence, st.absence = learned.Seen, learned.windows, learned.baseline, learned.sequence, learned.absence
	}
	st.Warming = false
	r := ruleOf(m.set, x.Rule)
	st.fit(&r)
}

// pack is what a rule remembers, without its alerts: the JSON of the state behind
// its length (uvarint), then its tables.
func (r *ruleState) pack(id string) ([]byte, error) {
	alone := *r
	alone.Quiet, alone.Upstream, alone.Warming, alone.Since = nil, nil, false, 0
	b, err := json.Marshal(&alone)
	if err != nil {
		return nil, err
	}
	one := state{Rules: map[string]*ruleState{id: &alone}}
	return append(append(binary.AppendUvarint(nil, uint64(len(b))), b...), one.remember()...), nil
}

// unpack is the inverse of pack; nil = nothing.
func unpack(x *event.Warmed) (*ruleState, error) {
	if len(x.State) == 0 {
		return nil, nil
	}
	n, at := binary.Uvarint(x.State)
	if at <= 0 || n > uint64(len(x.State)-at) {
		return nil, errShort
	}
	r := &ruleState{}
	head := x.State[at : at+int(n)]
	if err := json.Unmarshal(head, r); err != nil {
		return nil, err
	}
	one := state{Rules: map[string]*ruleState{x.Rule: r}}
	if err := one.recall(x.State[at+int(n):]); err != nil {
		return nil, err
	}
	if r.Revision == "" {
		return nil, errors.New("it names no rule")
	}
	return r, nil
}
