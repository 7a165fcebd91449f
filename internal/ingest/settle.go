package ingest

import (
	"context"
	"fmt"

	"github.com/appgovd/appgovd/internal/event"
)

// Settle appends what became of records of this source that could not be decoded
// when they were read: verdicts, and the events of those that can be now. Such an
// event counts as fetched once more, goes through everything that a page goes
// through, and may alert; the source's cursor stays. It may be called while Run
// reads, and returns once the frame is durable.
func (l *Loop) Settle(ctx context.Context, events []event.Event, verdicts []event.Verdict) error {
	now := l.o.Now().UTC()
	for i := range events {
		events[i].Source, events[i].Observed = l.o.Key, now
	}
	if l.o.Enricher != nil && len(events) > 0 {
		l.o.Enricher.Enrich(ctx, events)
	}
	read := event.Page{Fetched: len(events)}
	f := &event.Frame{Kind: event.FrameInput, Time: now, Source: l.o.Key, Events: events, Verdicts: verdicts}
	var account event.Account // the frame is the log's once it is committed
	err := l.o.Lane.Commit(ctx, f, func(f *event.Frame) {
		var seen int
		f.Events, seen = l.o.Seen.Filter(f.Events, through(f))
		account = count(&read, f, seen)
		f.Account = account
		l.observe(f)
	})
	if err != nil {
		return fmt.Errorf("settle records of %s: %w", l.o.Key, err)
	}
	for _, v := range verdicts {
		l.o.Metrics.settled.WithLabelValues(l.o.Key, v.Outcome).Inc()
	}
	l.set(func(s *Status) { s.Account = s.Account.Add(account) }, nil)
	return nil
}
