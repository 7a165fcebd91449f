package app

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/appgovd/appgovd/internal/detect"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/rule"
)

// RulesStatus is how the rules of one source block fare, as of the last tick: what
// `GET /rules` answers, by source block.
type RulesStatus struct {
	Time       time.Time               `json:"time"`
	Rules      []detect.RuleHealth     `json:"rules"`
	Exceptions []detect.ExceptionStats `json:"exceptions"`
	Risks      []detect.EntityRisk     `json:"risks"` // the apps, then the actors, with the highest risk
	Evicted    uint64                  `json:"risks_evicted"`
}

const topRisks = 20

// rulesView holds what was seen of the rules at the last tick, so that a question
// waits for no frame.
type rulesView struct {
	mu   sync.Mutex
	last RulesStatus
}

func (v *rulesView) get() RulesStatus {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.last
}

// lookAtRules takes stock of the rules of a tenant.
func (t *tenant) lookAtRules(now time.Time) {
	_ = t.lane.Hold(func(uint64) error {
		s := RulesStatus{Time: now.UTC(), Rules: t.machine.Health(now), Exceptions: t.machine.Exceptions(), Evicted: t.machine.Stats().RiskEvicted}
		for _, kind := range []string{rule.RiskApp, rule.RiskActor} {
			s.Risks = append(s.Risks, t.machine.TopRisks(kind, topRisks, now)...)
		}
		t.rules.mu.Lock()
		defer t.rules.mu.Unlock()
		t.rules.last = s
		return nil
	})
}

// Rules says how the rules fare, by source block.
func (a *Agent) Rules() map[string]RulesStatus {
	out := map[string]RulesStatus{}
	for _, t := range a.tenants {
		out[t.key] = t.rules.get()
	}
	return out
}

// unwell are the statuses that are alarms, with how grave they are: most attacks never
// come, so that a rule which never matched is worth a look at most.
func unwell() []ailment {
	return []ailment{
		{detect.NeverSeen, event.SeverityLow}, {detect.AlwaysMatched, event.SeverityLow}, {detect.Slow, event.SeverityLow}, {detect.Evicting, event.SeverityLow},
		{detect.NeverMatched, event.SeverityInformational},
	}
}

type ailment struct {
	status   detect.Status
	severity event.Severity
}

// watchRules tells of rules that cannot do their work, and of exceptions that have
// ended.
func (a *Agent) watchRules(t *tenant, now time.Time) {
	t.lookAtRules(now)
	a.tellUnwell(t, t.rules.get(), now)
}

func (a *Agent) tellUnwell(t *tenant, s RulesStatus, now time.Time) {
	for _, x := range unwell() {
		var ids []string
		for _, r := range s.Rules {
			if slices.Contains(r.Statuses, x.status) {
				ids = append(ids, r.ID)
			}
		}
		a.tellRules(t, string(x.status), x.severity, ids, "Rules are not well: "+strings.ReplaceAll(string(x.status), "_", " "), x.status.Describe())
	}
	a.tellRules(t, "exception_expired", event.SeverityLow, s.ended(now), "Exceptions have ended", "they spare nothing any more: renew or delete them")
}

// ended are the exceptions that spare nothing any more.
func (s RulesStatus) ended(now time.Time) (ids []string) {
	for _, x := range s.Exceptions {
		if !x.Until.IsZero() && !now.Before(x.Until) {
			ids = append(ids, x.ID)
		}
	}
	return ids
}

const idsShown = 20

func (a *Agent) tellRules(t *tenant, what string, severity event.Severity, ids []string, title, text string) {
	key := "rules/" + t.key + "/" + what
	if len(ids) == 0 {
		a.health.Resolve(key, "no longer so")
		return
	}
	list := strings.Join(ids[:min(len(ids), idsShown)], ", ")
	if more := len(ids) - idsShown; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	a.health.Raise(key, severity, title, fmt.Sprintf("%s: %s: %s.", t.key, list, text))
}

// ruleMetrics says at each scrape how the rules fared at the last tick.
type ruleMetrics struct{ a *Agent }

type ruleDescs struct {
	evaluations, matches, alerts, suppressed, excepted, evicted, keys, estimated, warmingUp, mean, seen, matched *prometheus.Desc
	statuses, hits, ended, risks                                                                                 *prometheus.Desc
}

func (d ruleDescs) all() []*prometheus.Desc {
	return []*prometheus.Desc{
		d.evaluations, d.matches, d.alerts, d.suppressed, d.excepted, d.evicted, d.keys, d.estimated, d.warmingUp, d.mean, d.seen, d.matched, d.statuses, d.hits, d.ended, d.risks,
	}
}

func (ruleMetrics) descs() ruleDescs {
	of := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("appgovd_detect_"+name, help, append([]string{"source"}, labels...), nil)
	}
	return ruleDescs{
		evaluations: of("rule_evaluations_total", "Events at which a rule, or apps at which a policy, looked since this start.", "rule"),
		matches:     of("rule_matches_total", "Events that a rule, or apps that a policy, matched since the rule is what it is.", "rule"),
		alerts:      of("rule_alerts_total", "Alerts of a rule or policy since this start, those of modes audit and score included.", "rule"),
		suppressed:  of("rule_suppressed_total", "Matches of a rule that its suppression counted since this start.", "rule"),
		excepted:    of("rule_excepted_total", "Matches of a rule or policy that an exception took out since this start.", "rule"),
		evicted:     of("rule_evicted_total", "Keys that a rule forgot because there were too many, since the rule is what it is.", "rule"),
		keys:        of("rule_keys", "Keys that a rule or policy holds.", "rule"),
		estimated:   of("rule_estimated_windows", "Windows of a rule whose different values are estimated, since there are many.", "rule"),
		warmingUp:   of("rule_unjudged_total", "Matches of a rule that were not judged since this start, for their baseline has too few samples.", "rule"),
		mean:        of("rule_evaluation_seconds", "Mean duration of an evaluation of a rule, one event in some being timed; 0 = none was.", "rule"),
		matched:     of("rule_last_match_timestamp_seconds", "Time of the newest match of a rule or policy; 0 = none.", "rule"),
		seen:        of("rule_last_seen_timestamp_seconds", "Time of the newest event of a rule's actions; 0 = none, or a policy.", "rule"),
		statuses:    of("rules_unwell", "Rules by what may be wrong with them.", "status"),
		hits:        of("exception_hits_total", "Events, and looks of policies at an app, that an exception took out.", "exception"),
		ended:       of("exceptions_expired", "Exceptions that have ended and spare nothing any more."),
		risks:       of("risk_evicted_total", "Apps and actors whose risk was dropped because there were too many."),
	}
}

// Describe sends all descriptions.
func (m ruleMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range m.descs().all() {
		out <- d
	}
}

// Collect sends the values of the last tick.
func (m ruleMetrics) Collect(out chan<- prometheus.Metric) {
	d := m.descs()
	for _, t := range m.a.tenants {
		s := t.rules.get()
		send := func(x *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(x, kind, v, append([]string{t.key}, labels...)...)
		}
		count := map[detect.Status]int{}
		for _, r := range s.Rules {
			send(d.evaluations, prometheus.CounterValue, float64(r.Evaluations), r.ID)
			send(d.matches, prometheus.CounterValue, float64(r.Matches), r.ID)
			send(d.alerts, prometheus.CounterValue, float64(r.Alerts), r.ID)
			send(d.suppressed, prometheus.CounterValue, float64(r.Suppressed), r.ID)
			send(d.excepted, prometheus.CounterValue, float64(r.Excepted), r.ID)
			send(d.evicted, prometheus.CounterValue, float64(r.Evicted), r.ID)
			send(d.keys, prometheus.GaugeValue, float64(r.Keys), r.ID)
			send(d.estimated, prometheus.GaugeValue, float64(r.Estimated), r.ID)
			send(d.warmingUp, prometheus.CounterValue, float64(r.WarmingUp), r.ID)
			send(d.mean, prometheus.GaugeValue, r.Mean.Seconds(), r.ID)
			send(d.seen, prometheus.GaugeValue, seconds(r.LastSeen), r.ID)
			send(d.matched, prometheus.GaugeValue, seconds(r.LastMatch), r.ID)
			for _, status := range r.Statuses {
				count[status]++
			}
		}
		for _, x := range unwell() {
			send(d.statuses, prometheus.GaugeValue, float64(count[x.status]), string(x.status))
		}
		send(d.statuses, prometheus.GaugeValue, float64(count[detect.Warming]), string(detect.Warming))
		send(d.ended, prometheus.GaugeValue, float64(len(s.ended(s.Time))))
		for _, x := range s.Exceptions {
			send(d.hits, prometheus.CounterValue, float64(x.Hits), x.ID)
		}
		send(d.risks, prometheus.CounterValue, float64(s.Evicted))
	}
}

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
