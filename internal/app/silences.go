package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/route"
)

// maxSilenceText bounds what a request about a silence may say.
const maxSilenceText = 64 << 10

func (a *Agent) listSilences(w http.ResponseWriter, _ *http.Request) {
	list := a.routing.silences.List(a.o.Now())
	if list == nil {
		list = []route.Silence{}
	}
	answer(w, list, nil)
}

// addSilence makes a silence durable and answers with it, and with its id.
func (a *Agent) addSilence(w http.ResponseWriter, r *http.Request) {
	var add route.Silence
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxSilenceText))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&add); err != nil {
		http.Error(w, "silence: "+err.Error(), http.StatusBadRequest)
		return
	}
	op, err := a.routing.silences.Add(add, a.o.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := a.routing.commit(op); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	added, _ := op.Silence()
	a.log.Info("silence added", zap.Stringer("silence", added.ID), zap.String("where", added.Where), zap.String("author", added.Author), zap.String("reason", added.Reason), zap.Time("until", added.Until))
	answer(w, added, nil)
}

func (a *Agent) expireSilence(w http.ResponseWriter, r *http.Request) {
	id, err := a.silenceID(r.PathValue("id"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	op, err := a.routing.silences.Expire(id, a.o.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	if err := a.routing.commit(op); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	a.log.Info("silence ended", zap.Stringer("silence", id))
	answer(w, map[string]string{"id": id.String()}, nil)
}

// silenceID is the id that begins with prefix, of at least four characters.
func (a *Agent) silenceID(prefix string) (event.ID, error) {
	var found []route.Silence
	for _, s := range a.routing.silences.List(a.o.Now()) {
		if len(prefix) >= 4 && strings.HasPrefix(s.ID.String(), strings.ToLower(prefix)) {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		return event.ID{}, fmt.Errorf("%d silences have an id that begins with %q; \"appgovd silence list\" shows them", len(found), prefix)
	}
	return found[0].ID, nil
}

// status is nil for a sink that tells nobody.
func (r *routing) status(sink string) *route.Status {
	if !r.notifies(sink) {
		return nil
	}
	s := r.boards[sink].Status(r.now())
	return &s
}

// boardMetrics says at each scrape what the boards hold.
type boardMetrics struct {
	r                                    *routing
	groups, alerts, account, met, silent *prometheus.Desc
}

func newBoardMetrics(r *routing) boardMetrics {
	return boardMetrics{
		r:       r,
		groups:  prometheus.NewDesc("appgovd_route_groups", "Open groups of alerts of a sink that tells people.", []string{"sink"}, nil),
		alerts:  prometheus.NewDesc("appgovd_route_alerts", "Alerts of open groups (open), and those of them that nobody is told of at the moment (silenced, inhibited).", []string{"sink", "state"}, nil),
		account: prometheus.NewDesc("appgovd_route_grouped_alerts_total", "What became of alerts that joined groups; all of them are those with an outcome and those that are open.", []string{"sink", "outcome"}, nil),
		met:     prometheus.NewDesc("appgovd_route_bounds_met_total", "How often a bound of groups was met, beyond which alerts are counted and not kept.", []string{"sink", "bound"}, nil),
		silent:  prometheus.NewDesc("appgovd_route_silences", "Silences that hold or will.", nil, nil),
	}
}

// Describe sends all descriptions.
func (m boardMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, x := range []*prometheus.Desc{m.groups, m.alerts, m.account, m.met, m.silent} {
		out <- x
	}
}

// Collect sends the values of now.
func (m boardMetrics) Collect(out chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, kind, float64(v), labels...)
	}
	send(m.silent, prometheus.GaugeValue, uint64(len(m.r.silences.List(m.r.now()))))
	for _, name := range m.r.names {
		s := m.r.status(name)
		if s == nil {
			continue
		}
		send(m.groups, prometheus.GaugeValue, uint64(s.Groups), name)
		for state, n := range map[string]uint64{"open": s.Alerts, "silenced": s.Silenced, "inhibited": s.Inhibited} {
			send(m.alerts, prometheus.GaugeValue, n, name, state)
		}
		for outcome, n := range map[string]uint64{"notified": s.Account.Notified, "silenced": s.Account.Silenced, "inhibited": s.Account.Inhibited, "muted": s.Account.Muted, "over": s.Account.Over} {
			send(m.account, prometheus.CounterValue, n, name, outcome)
		}
		for bound, n := range map[string]uint64{"groups": s.Bounds.Groups, "tracked": s.Bounds.Tracked, "whole": s.Bounds.Whole, "sources": s.Bounds.Sources, "rate": s.Bounds.Rate} {
			send(m.met, prometheus.CounterValue, n, name, bound)
		}
	}
}

// Explained is what routing makes of one alert.
type Explained struct {
	Alert string          `json:"alert"` // its title
	Steps []route.Step    `json:"routes"`
	Sinks []ExplainedSink `json:"sinks"`
}

// ExplainedSink is what becomes of an alert at one sink.
type ExplainedSink struct {
	Sink     string         `json:"sink"`
	Outcome  string         `json:"outcome"` // direct, grouped, elsewhere or below_min_severity
	Why      string         `json:"why"`
	Route    string         `json:"route,omitempty"`
	Labels   []event.Detail `json:"labels,omitempty"` // of its group
	Wait     string         `json:"group_wait,omitempty"`
	Muted    time.Time      `json:"muted_until,omitzero"`
	Endless  bool           `json:"muted_without_end,omitempty"`
	Silenced *route.Silence `json:"silenced_by,omitempty"`
}

// ExplainRoute tells which sinks would get an alert at a time, and why. It knows the
// silences of files, and nothing of groups and of alerts that are open.
func (p *Plan) ExplainRoute(a *event.Alert, at time.Time) (Explained, error) {
	silences, err := route.NewSilences(p.matcher, p.silences)
	if err != nil {
		return Explained{}, fmt.Errorf("build silences: %w", err)
	}
	steps, verdicts := p.tree.Explain(a, silences, at)
	e := Explained{Alert: a.Title, Steps: steps}
	for _, v := range verdicts {
		x := ExplainedSink{Sink: v.Sink, Outcome: v.Outcome.String(), Why: v.Why, Labels: v.Labels, Muted: v.Muted, Endless: v.Endless, Silenced: v.Silence}
		if v.Policy != nil {
			x.Route, x.Wait = v.Policy.Route, v.Policy.Wait.String()
		}
		e.Sinks = append(e.Sinks, x)
	}
	return e, nil
}
