package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
)

// SinkTest is what a destination made of a test alert.
type SinkTest struct {
	Sink     string           `json:"sink"`
	State    event.AlertState `json:"state"` // of the alert
	Alert    event.ID         `json:"alert_id"`
	Delivery event.ID         `json:"delivery_id"`
	Outcome  string           `json:"outcome"`         // Accepted, Refused or Failed
	Class    string           `json:"class,omitempty"` // of what failed: transient, throttled, auth, untrusted
	Error    string           `json:"error,omitempty"`
	Hint     string           `json:"hint,omitempty"`
}

// Outcomes of a SinkTest, beside Refused: the destination took the alert, or it
// is not known to have it.
const (
	Accepted = "accepted"
	Failed   = "failed"
)

// SinkTestOptions say which sink gets what.
type SinkTestOptions struct {
	Sink     string // "kind/name", or the name alone where it is one sink's
	Severity string // "" = high
	Resolve  bool   // resolve the alert again
	Version  string
	Out      io.Writer // of the sink stdout
}

// testAlert says of itself that it is one.
func testAlert(now time.Time, severity event.Severity) event.Alert {
	now = now.UTC()
	a := event.Alert{
		ID: event.NewID("alert", "", event.TestRule, now.Format(time.RFC3339Nano)), State: event.AlertNew, Kind: event.AlertHealth, Provider: "appgovd", RuleID: event.TestRule,
		Title: "Test alert of appgovd: nothing has happened", Summary: "Somebody ran `appgovd sink test` to see whether alerts arrive here. No app is affected.",
		Severity: severity, Time: now, Opened: now, DedupeKey: event.TestRule, Count: 1, Labels: []event.Detail{{Name: "test", Value: "true"}},
	}
	a.SetDelivery()
	return a
}

// testWith sends a test alert by write, and its resolution if asked.
func testWith(now time.Time, sink string, o SinkTestOptions, write func(event.Alert) error) ([]SinkTest, error) {
	severity := event.SeverityHigh
	if o.Severity != "" {
		var ok bool
		if severity, ok = event.ParseSeverity(o.Severity); !ok {
			return nil, fmt.Errorf("test %s: %q is no severity", sink, o.Severity)
		}
	}
	a := testAlert(now, severity)
	all := []SinkTest{outcomeOf(sink, a, write(a))}
	if o.Resolve && all[0].Outcome == Accepted {
		a.State, a.Sequence, a.Reason = event.AlertResolved, 1, "it was a test"
		a.SetDelivery()
		all = append(all, outcomeOf(sink, a, write(a)))
	}
	return all, nil
}

// outcomeOf tells the answer of a sink as the worker would take it.
func outcomeOf(sink string, a event.Alert, err error) SinkTest {
	t := SinkTest{Sink: sink, State: a.State, Alert: a.ID, Delivery: a.DeliveryID, Outcome: Accepted}
	var r *deliver.Rejected
	switch {
	case err == nil:
		return t
	case errors.As(err, &r) && len(r.Items) > 0:
		t.Outcome, t.Error = Refused, r.Items[0].Reason
	case fault.Of(err) == fault.Permanent:
		t.Outcome, t.Error = Refused, err.Error()
	default:
		t.Outcome, t.Class, t.Error = Failed, fault.Of(err).String(), err.Error()
	}
	t.Hint = fault.Hint(err)
	return t
}

// TestSink sends a test alert by a sink of its own making, beside a daemon that
// may run. The error is about the configuration; what the destination says is in
// the results.
func (p *Plan) TestSink(ctx context.Context, o SinkTestOptions) ([]SinkTest, error) {
	var names []string
	for _, s := range p.sinks {
		names = append(names, s.block.Key())
	}
	name, err := sinkNamed(names, o.Sink)
	if err != nil {
		return nil, err
	}
	s := p.sinks[slices.Index(names, name)]
	sink, err := s.kind.build(deps{log: zap.NewNop(), metrics: prometheus.NewRegistry(), now: time.Now, version: o.Version, stdout: o.Out, links: p.Config.Agent.Links})
	if err != nil {
		return nil, fmt.Errorf("build sink %s: %w", name, err)
	}
	all, err := testWith(time.Now(), name, o, func(a event.Alert) error { return sink.Write(ctx, []event.Alert{a}) })
	return all, errors.Join(err, sink.Close())
}

// sinkNamed finds a sink by "kind/name", or by a name that only one has.
func sinkNamed(all []string, name string) (string, error) {
	var found []string
	for _, s := range all {
		if s == name || strings.HasSuffix(s, "/"+name) {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("there is no sink %q; there are %s", name, strings.Join(all, ", "))
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%q may be %s: write the kind, too", name, strings.Join(found, " or "))
}

// sinkTestLimit bounds a test through the daemon; who asks has a little more.
const sinkTestLimit = 25 * time.Second

// testSink lets the worker of a sink write a test alert between its batches.
func (a *Agent) testSink(w http.ResponseWriter, r *http.Request) {
	var names []string
	for _, worker := range a.workers {
		names = append(names, worker.Status().Sink)
	}
	name, err := sinkNamed(names, r.FormValue("sink"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), sinkTestLimit)
	defer cancel()
	all, err := testWith(a.o.Now(), name, SinkTestOptions{Severity: r.FormValue("severity"), Resolve: r.FormValue("resolve") == "true"}, func(al event.Alert) error {
		reason, err := a.worker(name).Again(ctx, al)
		switch {
		case reason != "":
			return fault.NewPermanent(errors.New(reason))
		case err != nil && ctx.Err() != nil:
			return fault.WithHint(fmt.Errorf("no answer within %s: %w", sinkTestLimit, err), "the destination hangs, or a batch is under way that takes longer: see appgovd status")
		}
		return err
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, t := range all {
		a.log.Info("test alert sent", zap.String("sink", name), zap.Stringer("alert", t.Alert), zap.String("outcome", t.Outcome))
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(all)
}
