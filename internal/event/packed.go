package event

import (
	"bytes"
	"fmt"
	"slices"
	"time"
)

// Packed is a frame as it is kept: its bytes, and where each of its records lies in
// them. What is small is decoded; an event, an object or an alert is, when it is
// asked for. So a reader of alerts never decodes an event.
//
// The index is made of the whole frame: lengths that do not fit are an error of
// Unpack. What is wrong within one record is an error of the function that decodes it,
// and names the record.
type Packed struct {
	Head Frame // all but events, objects and alerts, with texts of its own

	events, objects, alerts [][]byte
	c                       coder
}

// Unpack makes p the frame that AppendFrame wrote as b. The records of p lie in b,
// which must not change while one is used. The room of an earlier frame is used again.
// Garbage is an error, never a panic; memory is bounded by the length of b.
func (p *Packed) Unpack(b []byte) error {
	p.Head = Frame{}
	p.events, p.objects, p.alerts = p.events[:0], p.objects[:0], p.alerts[:0]
	p.c = coder{at: at{in: b}, index: p}
	if p.c.message(&p.Head); p.c.err != nil {
		return fmt.Errorf("decode frame: %w", p.c.err)
	}
	return nil
}

// Events is the number of events.
func (p *Packed) Events() int { return len(p.events) }

// Objects is the number of objects.
func (p *Packed) Objects() int { return len(p.objects) }

// Alerts is the number of alerts.
func (p *Packed) Alerts() int { return len(p.alerts) }

// Brief is what readers choose events by.
type Brief struct {
	ID             ID
	Tenant, Source string
	Class, Action  string
	Time           time.Time
}

func (e *Brief) fields(c *coder) {
	c.id(1, &e.ID)
	c.str(5, &e.Tenant)
	c.str(6, &e.Source)
	c.str(7, &e.Class)
	c.time(9, &e.Time)
	c.str(11, &e.Action)
}

// Brief fills e from event i and leaves the rest undecoded. Its texts lie in the
// bytes of the frame.
func (p *Packed) Brief(i int, e *Brief) error {
	*e = Brief{}
	p.c = coder{at: at{in: p.events[i]}, lies: true}
	p.c.advance()
	if e.fields(&p.c); p.c.err != nil {
		return fmt.Errorf("decode event %d of frame %d: %w", i, p.Head.LSN, p.c.err)
	}
	return nil
}

// Event fills e with event i. Its texts lie in the bytes of the frame.
func (p *Packed) Event(i int, e *Event) error {
	*e = Event{}
	return p.record("event", i, p.events[i], e)
}

// AlertsIn decodes the alerts from number from up to but without number to, as
// many as there are. They keep nothing of the frame's bytes.
func (p *Packed) AlertsIn(from, to int) ([]Alert, error) {
	to = min(to, len(p.alerts))
	out := make([]Alert, max(to-from, 0))
	for i := range out {
		if err := p.copied("alert", from+i, p.alerts[from+i], &out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// EventsIn decodes the events from number from up to but without number to, as many as
// there are. They keep nothing of the frame's bytes.
func (p *Packed) EventsIn(from, to int) ([]Event, error) {
	to = min(to, len(p.events))
	out := make([]Event, max(to-from, 0))
	for i := range out {
		if err := p.record("event", from+i, bytes.Clone(p.events[from+i]), &out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Frame decodes all of it. The frame keeps nothing of the bytes of p: the texts
// of each event lie in one copy of its encoding, which lives as long as one of them,
// so who keeps one alone clones it.
func (p *Packed) Frame() (*Frame, error) {
	f := p.Head
	f.Events, f.Objects = room[Event](len(p.events)), room[Object](len(p.objects))
	for i := range f.Events {
		if err := p.record("event", i, bytes.Clone(p.events[i]), &f.Events[i]); err != nil {
			return nil, err
		}
	}
	for i := range f.Objects {
		if err := p.copied("object", i, p.objects[i], &f.Objects[i]); err != nil {
			return nil, err
		}
	}
	f.Alerts = room[Alert](len(p.alerts))
	for i := range f.Alerts {
		if err := p.copied("alert", i, p.alerts[i], &f.Alerts[i]); err != nil {
			return nil, err
		}
	}
	return &f, nil
}

func room[T any](n int) []T {
	if n == 0 {
		return nil
	}
	return make([]T, n)
}

// Join makes p the first part and next the rest of one frame: all of the records, and
// of next what else there is.
func (p *Packed) Join(next *Packed) {
	base, rollups := p.Head.AlertBase, p.Head.Rollups
	p.Head = next.Head
	p.Head.AlertBase, p.Head.Rollups = base, slices.Concat(rollups, next.Head.Rollups)
	p.events = slices.Concat(p.events, next.events)
	p.objects = slices.Concat(p.objects, next.objects)
	p.alerts = slices.Concat(p.alerts, next.alerts)
}

// copied decodes a record, whose texts are copies.
func (p *Packed) copied(what string, i int, b []byte, m message) error {
	return p.decode(what, i, coder{at: at{in: b}}, m)
}

// record decodes a record, whose texts lie in b.
func (p *Packed) record(what string, i int, b []byte, m message) error {
	return p.decode(what, i, coder{at: at{in: b}, lies: true}, m)
}

func (p *Packed) decode(what string, i int, c coder, m message) error {
	p.c = c
	if p.c.message(m); p.c.err != nil {
		return fmt.Errorf("decode %s %d of frame %d: %w", what, i, p.Head.LSN, p.c.err)
	}
	return nil
}
