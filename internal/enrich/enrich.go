// Package enrich owns what is added to events from outside before they are
// appended: lookups, their cache and their time budget. It never drops an event
// and never fails: what could not be looked up is noted on the event.
package enrich

import (
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/event"
)

// Lookup adds to an event in place. It keeps what the event already says, is
// safe for several goroutines, does not retry and keeps nothing of the event.
// An error means that this event could not be looked up; not to know is no
// error.
type Lookup interface {
	Name() string // lower-case word: label of metrics, part of notes
	Lookup(ctx context.Context, e *event.Event) error
}

// Options of a Pipeline. Log and Metrics may be nil.
type Options struct {
	Lookups []Lookup
	Budget  time.Duration // for one page; 0 = 2 s
	Log     *zap.Logger
	Metrics prometheus.Registerer
}

// Pipeline runs lookups over the events of a page. It implements
// ingest.Enricher and is safe for several goroutines.
type Pipeline struct {
	o       Options
	outcome *prometheus.CounterVec
}

// New returns a pipeline. Registering its metrics twice at one registerer
// panics, as the registerer says.
func New(o Options) *Pipeline {
	if o.Budget == 0 {
		o.Budget = 2 * time.Second
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	p := &Pipeline{o: o, outcome: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "appgovd_enrich_lookups_total", Help: "Lookups on events, by lookup and outcome (done, failed, skipped for want of time).",
	}, []string{"lookup", "outcome"})}
	if o.Metrics != nil {
		o.Metrics.MustRegister(p.outcome)
	}
	return p
}

// Enrich adds to events in place, within the budget. Events that the budget no
// longer reaches are noted and stay as they were.
func (p *Pipeline) Enrich(ctx context.Context, events []event.Event) {
	ctx, cancel := context.WithTimeout(ctx, p.o.Budget)
	defer cancel()
	for _, l := range p.o.Lookups {
		p.run(ctx, l, events)
	}
}

func (p *Pipeline) run(ctx context.Context, l Lookup, events []event.Event) {
	var done, failed, skipped int
	var first error
	for i := range events {
		e := &events[i]
		if ctx.Err() != nil {
			skipped++
			note(e, "enrich: "+l.Name()+" skipped")
			continue
		}
		err := l.Lookup(ctx, e)
		if err == nil {
			done++
			continue
		}
		failed++
		note(e, "enrich: "+l.Name()+" failed")
		if first == nil {
			first = err
		}
	}
	for outcome, n := range map[string]int{"done": done, "failed": failed, "skipped": skipped} {
		p.outcome.WithLabelValues(l.Name(), outcome).Add(float64(n))
	}
	if first != nil {
		p.o.Log.Warn("lookups failed", zap.String("lookup", l.Name()), zap.Int("events", failed), zap.Error(first))
	}
}

func note(e *event.Event, text string) {
	if !slices.Contains(e.Notes, text) {
		e.Notes = append(e.Notes, text)
	}
}
