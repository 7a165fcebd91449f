package route

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/appgovd/appgovd/internal/event"
)

// Inhibit keeps alerts from being told while a graver one is open: nobody is told of
// one that Target matches while an alert is open that Source matches and that has the
// same values in all fields of Equal. Every alert that the sink's reader meets can be
// a source, whatever its route. No alert inhibits itself.
type Inhibit struct {
	Source Matcher
	Target Matcher
	Equal  []string // names of fields, as for group_by; empty = any open source will do

	id     event.ID // of its words: what an open source is known by
	fields []Field
}

// MaxInhibits is how many there can be.
const MaxInhibits = 32

func (in *Inhibit) prepare() error {
	if in.Source == nil || in.Target == nil {
		return errors.New("it needs a source and a target")
	}
	if len(in.Equal) > MaxGroupBy {
		return fmt.Errorf("equal has %d fields, at most %d are possible", len(in.Equal), MaxGroupBy)
	}
	words := []string{"inhibit", in.Source.String(), in.Target.String()}
	for _, name := range in.Equal {
		f, ok := FieldNamed(name)
		if !ok {
			return fmt.Errorf("there is no field %q", name)
		}
		in.fields, words = append(in.fields, f), append(words, name)
	}
	in.id = event.NewID(words...)
	return nil
}

// target is short for the inhibition and the values of a that must be equal.
func (in *Inhibit) target(a *event.Alert) uint64 {
	parts := append(make([]string, 0, 1+MaxGroupBy), string(in.id[:]))
	for _, f := range in.fields {
		parts = append(parts, f.Value(a))
	}
	return short(event.NewID(parts...))
}

// freshness is how much older the news of a source may be than the board knows: to
// note every one would write as much as there are alerts.
const freshness = int64(SourceAfter) / 24

// inhibits notes a as a source, open or over, where that is new.
func (t *taker) inhibits(a *event.Alert) {
	for i := range t.b.tree.inhibits {
		in := &t.b.tree.inhibits[i]
		isSource := in.Source.Match(a)
		if !isSource && (a.State == event.AlertNew || len(t.b.sources)+len(t.sources) == 0) {
			continue
		}
		s := source{target: in.target(a), rule: short(in.id), id: a.ID}
		if isSource && a.State != event.AlertResolved {
			s.last = t.now
		}
		if last := t.lastOf(s); s.last == 0 && last != 0 || s.last > last+freshness {
			t.sources = append(t.sources, s)
		}
	}
}

// lastOf is the last news of a source as it will be known; 0 = it is not open.
func (t *taker) lastOf(s source) int64 {
	for i := len(t.sources) - 1; i >= 0; i-- {
		if o := &t.sources[i]; o.target == s.target && o.id == s.id {
			return o.last
		}
	}
	if i, ok := t.b.findSource(s); ok {
		return t.b.sources[i].last
	}
	return 0
}

func (b *Board) findSource(s source) (int, bool) {
	return slices.BinarySearchFunc(b.sources, s, func(a, s source) int { return compareSources(&a, &s) })
}

func compareSources(a, b *source) int {
	return cmp.Or(cmp.Compare(a.target, b.target), bytes.Compare(a.id[:], b.id[:]))
}

// applySource notes an open source of an inhibition, or that it is over.
func (b *Board) applySource(s source) {
	i, known := b.findSource(s)
	switch {
	case s.last == 0 && known:
		b.sources = slices.Delete(b.sources, i, i+1)
	case s.last == 0:
		return
	case known:
		b.sources[i].last = max(b.sources[i].last, s.last)
	default:
		b.sources = slices.Insert(b.sources, i, s)
		b.boundSources(s.rule)
	}
	for _, g := range b.order {
		g.dirty = true
	}
}

// boundSources forgets the oldest source of an inhibition that has too many.
func (b *Board) boundSources(rule uint64) {
	n, oldest := 0, -1
	for i := range b.sources {
		if b.sources[i].rule != rule {
			continue
		}
		if n++; oldest < 0 || b.sources[i].last < b.sources[oldest].last {
			oldest = i
		}
	}
	if n <= MaxSources {
		return
	}
	if b.sources[oldest].last > b.now-int64(SourceAfter) {
		b.bounds.Sources++
	}
	b.sources = slices.Delete(b.sources, oldest, oldest+1)
}

// inhibited reports whether another alert than id is open that stands for target, and
// until when that is so without news.
func (b *Board) inhibited(target uint64, id event.ID, now int64) (until int64, yes bool) {
	i, _ := b.findSource(source{target: target})
	for ; i < len(b.sources) && b.sources[i].target == target; i++ {
		s := &b.sources[i]
		if s.id != id && s.last+int64(SourceAfter) > now && b.rules[s.rule] {
			until, yes = max(until, s.last+int64(SourceAfter)), true
		}
	}
	return until, yes
}

// hushOf is by what a can be kept from being told, and by what it is at now.
func (b *Board) hushOf(a *event.Alert, now int64) (h hush, why reason, until int64) {
	if s := b.silences.match(a, at(now)); s != nil {
		h.silence, why, until = short(s.ID), reasonSilenced, nanos(s.Until)
	}
	n := 0
	for i := range b.tree.inhibits {
		in := &b.tree.inhibits[i]
		if !in.Target.Match(a) {
			continue
		}
		target := in.target(a)
		if n < maxTargets {
			h.targets[n] = target
			n++
		}
		if end, yes := b.inhibited(target, a.ID, now); yes {
			if until = max(until, end); why != reasonSilenced {
				why = reasonInhibited
			}
		}
	}
	return h, why, until
}

// reasonOf is the same for an alert that is not whole any more.
func (b *Board) reasonOf(e *entry, now int64) (why reason, until int64) {
	if s := b.silences.known(e.hush.silence); s != nil && s.At(at(now)) {
		why, until = reasonSilenced, nanos(s.Until)
	}
	for _, target := range e.hush.targets {
		if target == 0 {
			continue
		}
		if end, yes := b.inhibited(target, e.id, now); yes {
			if until = max(until, end); why != reasonSilenced {
				why = reasonInhibited
			}
		}
	}
	return why, until
}
