package app

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/appgovd/appgovd/internal/detect"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ingest"
)

// replayTenant is one tenant of a replay: its machine, and the time by which
// events were applied. It is the log of its own lane: what a frame alerts is
// handed on.
type replayTenant struct {
	replay  *Replay
	machine *detect.Machine
	lane    *ingest.Lane
	objects []datedObject
	sources map[string]bool
	seen    map[string]*ingest.Seen
	page    []event.Event
	next    time.Time // of the next tick; zero = not begun
	lsn     uint64
}

// datedObject is an object, with the time at which it was so where its record says it.
type datedObject struct {
	event.Object
	at time.Time
}

const (
	replayPage = 200         // events of one frame
	replayTick = time.Minute // while there are events
	replayIdle = time.Hour   // while there are none
	replayGap  = 10_000      // ticks of one gap, at most
)

// Fit takes a record of any size: nothing is stored.
func (t *replayTenant) Fit(*event.Frame) {}

// Reserve has always room.
func (t *replayTenant) Reserve(context.Context) error { return nil }

// Append hands the alerts of the frame on.
func (t *replayTenant) Append(f *event.Frame) (func(context.Context) error, error) {
	t.lsn++
	f.LSN = t.lsn
	for i := range f.Alerts {
		t.replay.sum.Alerts[f.Alerts[i].RuleID]++
		if err := t.replay.o.Alert(&f.Alerts[i]); err != nil {
			return nil, err
		}
	}
	return func(context.Context) error { return nil }, nil
}

func (t *replayTenant) apply(ctx context.Context, e *event.Event) error {
	if t.next.IsZero() {
		if err := t.begin(ctx, e.Time); err != nil {
			return err
		}
	}
	if err := t.advance(ctx, e.Time); err != nil {
		return err
	}
	if n := len(t.page); n > 0 && (t.page[0].Source != e.Source || n == replayPage) {
		if err := t.flush(ctx); err != nil {
			return err
		}
	}
	t.page = append(t.page, *e)
	return nil
}

// begin shows the inventory as a first sync, and lets policies look at it.
func (t *replayTenant) begin(ctx context.Context, at time.Time) error {
	known := map[string]map[string]event.ID{}
	// Of versions of one object the last is what is known, in whatever order they came.
	slices.SortStableFunc(t.objects, func(a, b datedObject) int { return a.at.Compare(b.at) })
	for _, o := range t.objects {
		t.replay.count(known, o.Object)
	}
	for _, kind := range []string{event.ObjectApplication, event.ObjectServicePrincipal, event.ObjectDelegatedGrant, event.ObjectAppRoleAssignment, event.ObjectGovernance} {
		f := &event.Frame{Kind: event.FramePage, Source: "entra/replay/" + kind, Time: at,
			Sync: &event.Sync{Scope: kind, Kind: kind, Generation: 1, Complete: true, Baseline: true}}
		for _, o := range t.objects {
			if o.Kind == kind {
				f.Objects = append(f.Objects, o.Object)
			}
		}
		if len(t.objects) > 0 {
			if err := t.lane.Commit(ctx, f, nil); err != nil {
				return err
			}
		}
	}
	t.objects = nil
	return t.tick(ctx, at)
}

// count tells an object that is new from a further copy or version of it.
func (r *Replay) count(known map[string]map[string]event.ID, o event.Object) {
	of := known[o.Kind]
	if of == nil {
		of = map[string]event.ID{}
		known[o.Kind] = of
	}
	switch content, ok := of[o.ID]; {
	case !ok:
		r.sum.Unique++
	case content == o.Content:
		r.sum.Duplicates++
	default:
		r.sum.Versions++
	}
	of[o.ID] = o.Content
}

// advance lets time pass up to at: each minute while there are events, each hour
// where there are none, less often in a gap of years.
func (t *replayTenant) advance(ctx context.Context, at time.Time) error {
	if at.Before(t.next) {
		return nil
	}
	if err := t.flush(ctx); err != nil {
		return err
	}
	step := max(replayIdle, at.Sub(t.next)/replayGap)
	for !at.Before(t.next) {
		now := t.next
		if at.Sub(now) < replayIdle {
			now = at.Truncate(replayTick) // the last tick before the event
		}
		if err := t.tick(ctx, now); err != nil {
			return err
		}
		if at.Sub(now) >= replayIdle {
			if t.next = now.Add(step); at.Before(t.next) {
				t.next = at
			}
		}
	}
	return nil
}

// tick says the time, and that every log is known up to it.
func (t *replayTenant) tick(ctx context.Context, at time.Time) error {
	f := &event.Frame{Kind: event.FrameTick, Source: "entra/replay", Time: at}
	for _, key := range slices.Sorted(maps.Keys(t.sources)) {
		f.CompleteThrough = append(f.CompleteThrough, event.SourceTime{Source: key, Time: at})
	}
	t.next = at.Add(replayTick)
	return t.lane.Commit(ctx, f, nil)
}

func (t *replayTenant) flush(ctx context.Context) error {
	if len(t.page) == 0 {
		return nil
	}
	source := t.page[0].Source
	seen := t.seen[source]
	if seen == nil {
		seen = ingest.NewSeen(seenFor)
		t.seen[source] = seen
	}
	f := &event.Frame{Kind: event.FramePage, Source: source, Time: t.page[len(t.page)-1].Time, Events: t.page}
	t.page = nil
	return t.lane.Commit(ctx, f, func(f *event.Frame) {
		var again int
		f.Events, again = seen.Filter(f.Events, f.Time)
		t.replay.sum.Duplicates += again
		for i := range f.Events {
			if f.Events[i].Version == 0 {
				t.replay.sum.Unique++
			} else {
				t.replay.sum.Versions++
			}
		}
	})
}

// end applies what is left, and lets policies look at the last state; a tenant
// without events is looked at as it is now.
func (t *replayTenant) end(ctx context.Context) error {
	if t.next.IsZero() {
		return t.begin(ctx, t.replay.o.Now().UTC())
	}
	if err := t.flush(ctx); err != nil {
		return err
	}
	return t.tick(ctx, t.next)
}
