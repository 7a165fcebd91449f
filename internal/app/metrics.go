package app

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// sinkMetrics says at each scrape what waits for the sinks, and how the state
// was rebuilt and stored.
type sinkMetrics struct{ a *Agent }

type sinkDescs struct{ waiting, oldest, dead, diverged, paused *prometheus.Desc }

func (sinkMetrics) descs() sinkDescs {
	return sinkDescs{
		waiting:  prometheus.NewDesc("appgovd_deliver_waiting_alerts", "Alerts in the ledger behind the sink's cursor.", []string{"sink"}, nil),
		oldest:   prometheus.NewDesc("appgovd_deliver_oldest_waiting_seconds", "How long the batch in flight has been waiting for the sink, since this start at most; 0 = nothing waits.", []string{"sink"}, nil),
		dead:     prometheus.NewDesc("appgovd_deliver_dead_letters", "Alerts in the dead letter that the sink refused for good, those of former runs included.", []string{"sink"}, nil),
		diverged: prometheus.NewDesc("appgovd_detect_diverged_frames", "Frames that gave other alerts when the state was rebuilt at the start than when they were read.", []string{"source"}, nil),
		paused:   prometheus.NewDesc("appgovd_app_snapshot_pause_seconds", "How long detection waited while the last snapshot was encoded.", nil, nil),
	}
}

// Describe sends all descriptions.
func (m sinkMetrics) Describe(out chan<- *prometheus.Desc) {
	d := m.descs()
	for _, x := range []*prometheus.Desc{d.waiting, d.oldest, d.dead, d.diverged, d.paused} {
		out <- x
	}
}

// Collect sends the values of now.
func (m sinkMetrics) Collect(out chan<- prometheus.Metric) {
	d := m.descs()
	gauge := func(x *prometheus.Desc, v float64, label string) {
		out <- prometheus.MustNewConstMetric(x, prometheus.GaugeValue, v, label)
	}
	out <- prometheus.MustNewConstMetric(d.paused, prometheus.GaugeValue, time.Duration(m.a.paused.Load()).Seconds())
	readers := m.a.ledger.Stats().Readers
	for _, w := range m.a.workers {
		s, age := w.Status(), 0.0
		if !s.Oldest.IsZero() {
			age = m.a.o.Now().Sub(s.Oldest).Seconds()
		}
		gauge(d.waiting, float64(readers[s.Sink].Waiting), s.Sink)
		gauge(d.oldest, age, s.Sink)
		gauge(d.dead, float64(m.a.watched.dead.get(s.Sink).N), s.Sink)
	}
	for _, t := range m.a.tenants {
		gauge(d.diverged, float64(m.a.watched.diverged[t.key]), t.key)
	}
}
