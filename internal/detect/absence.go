package detect

import (
	"fmt"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/rule"
)

// absence is what the rule of an absence remembers.
type absence struct {
	gap  int64       // end of the last gap in what is read: silence before it is none
	last lists[byte] // an activity per key

	due int64 // before it no silence is over; 0 = not known. Not part of the state
}

// activity is the last match of a key.
type activity struct {
	T     int64
	N     uint64 // matches
	ID    event.ID
	Event []byte // what the alert about the silence is about; nil where the return is told
}

// ahead is how far before its reading an event may lie in the future.
const ahead = time.Hour

// active takes in a match, and tells it where it ends a silence.
func (m *Machine) active(r *rule.Rule, st *ruleState, e *event.Event) {
	t, a, x := r.Absence, st.absence, nanos(e.Time)
	key, ok := m.hashOf(t.By)
	if !ok || !e.Observed.IsZero() && e.Time.After(e.Observed.Add(ahead)) {
		m.stopped(r, "absence", func() string {
			return "a part of its key is unknown, or the event is dated behind its reading: it is left out"
		})
		return
	}
	b := reader{b: a.last.get(key)}
	was, known := activity{}, len(b.b) > 0
	if known {
		was = readActivity(&b)
	}
	now := activity{T: max(was.T, x), N: was.N + 1, ID: was.ID, Event: was.Event}
	if !known || x >= was.T {
		now.T, now.ID = x, e.ID
		if !t.Returns {
			now.Event = stored(about(e))
		}
	}
	var w writer
	writeActivity(&w, now)
	a.last.put(key, w.b)
	m.evicted(r.ID, a.last.evict(m.limit(t.MaxKeys), newestMark))
	a.due = min(a.due, now.T+int64(t.For))
	silence := x - max(was.T, a.gap)
	if !t.Returns || !known || was.N < uint64(t.After) || silence < int64(t.For) {
		m.stopped(r, "absence", func() string { return was.short(t, known, time.Duration(silence)) })
		return
	}
	m.env.Silence = time.Duration(silence)
	m.fire(r, st, e, []hit{{T: was.T, ID: was.ID}, {T: x, ID: e.ID}}, 1)
	m.env.Silence = 0
}

// short says why a match tells nothing that was the last one until then.
func (a *activity) short(t *rule.Absence, known bool, silence time.Duration) string {
	switch {
	case !t.Returns:
		return fmt.Sprintf("it is told when nothing comes for %s, after %d matches or more; this is match %d", lasting(t.For), t.After, a.N+1)
	case !known:
		return "the key was not seen before"
	case a.N < uint64(t.After):
		return fmt.Sprintf("%d matches came before, of %d", a.N, t.After)
	default:
		return fmt.Sprintf("the silence was %s, of %s", lasting(silence), lasting(t.For))
	}
}

// about is what an alert says of an event, without the rest of it.
func about(e *event.Event) *event.Event {
	return &event.Event{
		ID: e.ID, UpstreamID: e.UpstreamID, Provider: e.Provider, Tenant: e.Tenant, Source: e.Source, Class: e.Class, Time: e.Time, Observed: e.Observed,
		Action: e.Action, Activity: e.Activity, Result: e.Result, App: e.App, Actor: e.Actor, Target: e.Target, Resource: e.Resource, Origin: e.Origin, Backfill: e.Backfill,
	}
}

// interrupt notes the gaps of a page: what was not read is no silence.
func (m *Machine) interrupt(f *event.Frame) {
	if len(f.Gaps) == 0 || m.set == nil {
		return
	}
	for _, r := range m.set.Rules {
		st := m.state.Rules[r.ID]
		if r.Absence == nil || st == nil || st.absence == nil {
			continue
		}
		for _, g := range f.Gaps {
			if feeds(g.Source, r) {
				st.absence.gap = max(st.absence.gap, nanos(g.To))
			}
		}
	}
}

// silences tells what has been silent for as long as rules ask, where all that
// feeds them is read up to then.
func (m *Machine) silences(f *event.Frame) {
	if m.set == nil {
		return
	}
	for _, r := range m.set.Rules {
		st := m.state.Rules[r.ID]
		if r.Absence == nil || r.Absence.Returns || st == nil || st.absence == nil {
			continue
		}
		if read := settled(f, r.On); read > 0 && read >= st.absence.due {
			m.silent(r, st, read)
		}
	}
}

func (m *Machine) silent(r *rule.Rule, st *ruleState, read int64) {
	a, during := st.absence, int64(r.Absence.For)
	a.due = read + during
	for _, key := range a.last.sorted() {
		b := reader{b: a.last.get(key)}
		x := readActivity(&b)
		over := max(x.T, a.gap) + during
		if over > read {
			a.due = min(a.due, over)
			continue
		}
		a.last.drop(key)
		f, err := event.DecodeFrame(x.Event)
		if err != nil || len(f.Events) != 1 || x.N < uint64(r.Absence.After) {
			continue
		}
		m.look(&f.Events[0])
		m.looks(r.ID)
		m.env.Silence = time.Duration(read - x.T)
		m.fire(r, st, &f.Events[0], nil, 1)
		m.env.Silence = 0
	}
}

// writeActivity writes the time first.
func writeActivity(w *writer, x activity) {
	w.int(x.T)
	w.uint(x.N)
	w.raw(x.ID[:])
	w.bytes(x.Event)
}

func readActivity(r *reader) activity {
	return activity{T: r.int(), N: r.uint(), ID: event.ID(r.raw(len(event.ID{}))), Event: r.bytes()}
}
