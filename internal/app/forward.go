package app

import (
	"context"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/appgovd/appgovd/internal/config"
	"github.com/appgovd/appgovd/internal/diag"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ledger"
	"github.com/appgovd/appgovd/internal/rule"
)

// machines are the kinds of sinks that take events: the others tell people.
func machines() []string {
	return []string{"elasticsearch", "file", "kafka", "splunk_hec", "stdout", "syslog"}
}

// checkForwards compiles the conditions of sinks of events.
func (p *Plan) checkForwards() (diags hcl.Diagnostics) {
	p.forwards = map[string]*rule.Filter{}
	for _, s := range p.Config.Sinks {
		if s.Forward != config.ForwardEvents {
			continue
		}
		if !slices.Contains(machines(), s.Kind) {
			rng := config.AttributeRange(s.Body, "forward", s.Range)
			diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "No sink of events", Subject: &rng, Extra: diag.Code("invalid_value"),
				Detail: "A sink " + s.Kind + " tells people, or their tools, of alerts. Events can go to: " + strings.Join(machines(), ", ") + "."})
			continue
		}
		if s.Where == nil || p.set == nil {
			continue
		}
		f, d := p.set.EventCondition(s.Where.Expr)
		p.forwards[s.Key()], diags = f, append(diags, d...)
	}
	return diags
}

// eventReader is the way of events to a sink, each as what a sink takes.
type eventReader struct{ *ledger.EventReader }

// Next is deliver.Reader.Next.
func (r eventReader) Next(ctx context.Context, limit int) ([]event.Alert, event.Position, error) {
	events, pos, err := r.EventReader.Next(ctx, limit)
	batch := make([]event.Alert, len(events))
	for i := range events {
		batch[i] = event.Forwarded(&events[i])
	}
	return batch, pos, err
}

// forwarded decides by what an event says itself; what the inventory knows of its app is
// unknown there, and unknown is not true.
func forwarded(f *rule.Filter) func(*event.Alert) bool {
	if f == nil {
		return nil
	}
	return func(a *event.Alert) bool { return f.Match(&rule.Env{Event: a.Event, Now: a.Time}) == rule.True }
}
