package ingest

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/appgovd/appgovd/internal/event"
)

// Metrics of all loops of one process.
type Metrics struct {
	records, errors, quarantined, gaps, settled *prometheus.CounterVec
	lateness                                    *prometheus.HistogramVec
	complete, states                            *prometheus.GaugeVec
}

// NewMetrics registers on r; nil registers nowhere.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	m := &Metrics{
		records:     counter("appgovd_ingest_records_total", "Records by source and account (fetched, new, seen, quarantined, gap): fetched is the sum of the others.", "source", "account"),
		errors:      counter("appgovd_ingest_errors_total", "Failed reads by source and class of failure.", "source", "class"),
		quarantined: counter("appgovd_ingest_quarantined_total", "Records that could not be decoded, by reason.", "source", "reason"),
		gaps:        counter("appgovd_ingest_gaps_total", "Windows or pages that were skipped for good.", "source"),
		settled:     counter("appgovd_ingest_quarantine_settled_total", "Records that could not be decoded and were tried again or dropped, by outcome (read, superseded, dropped).", "source", "outcome"),
		lateness: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "appgovd_ingest_lateness_seconds", Help: "From the event to its first reading, without backfill.",
			Buckets: []float64{30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 4 * 3600, 12 * 3600, 24 * 3600, 72 * 3600},
		}, []string{"source"}),
		complete: gauge("appgovd_ingest_complete_through_timestamp_seconds", "Every record with an earlier event time has been read, as far as the source's lateness allows.", "source"),
		states:   gauge("appgovd_ingest_source_state", "1 for the state that a source is in.", "source", "state"),
	}
	if r != nil {
		r.MustRegister(m.records, m.errors, m.quarantined, m.gaps, m.settled, m.lateness, m.complete, m.states)
	}
	return m
}

func (m *Metrics) account(key string, a event.Account) {
	for name, n := range map[string]uint64{"fetched": a.Fetched, "new": a.New, "seen": a.Seen, "quarantined": a.Quarantined, "gap": a.Gap} {
		m.records.WithLabelValues(key, name).Add(float64(n))
	}
}

func (m *Metrics) state(key string, now State) {
	for _, s := range []State{StateStarting, StateHealthy, StateThrottled, StateRetrying, StateFailed, StateStopped} {
		v := 0.0
		if s == now {
			v = 1
		}
		m.states.WithLabelValues(key, string(s)).Set(v)
	}
}
