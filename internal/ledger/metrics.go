package ledger

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	torn, corrupt, breaks prometheus.Counter
	dead, settled         *prometheus.CounterVec
	waiting               *prometheus.GaugeVec // dead letters
	fsync                 prometheus.Histogram
}

func newMetrics(r prometheus.Registerer, l *Ledger) *metrics {
	m := &metrics{
		torn:    prometheus.NewCounter(prometheus.CounterOpts{Name: "appgovd_ledger_torn_tails_total", Help: "Unfinished writes cut off at start; a copy is kept."}),
		corrupt: prometheus.NewCounter(prometheus.CounterOpts{Name: "appgovd_ledger_corrupt_frames_total", Help: "Rotten parts quarantined."}),
		breaks:  prometheus.NewCounter(prometheus.CounterOpts{Name: "appgovd_ledger_chain_breaks_total", Help: "Places where frames are missing or do not follow each other, found at start."}),
		dead:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "appgovd_ledger_dead_letters_total", Help: "Alerts that a sink refused for good."}, []string{"sink"}),
		settled: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "appgovd_ledger_dead_letters_settled_total", Help: "Dead letters that were settled, by outcome (delivered, dropped)."}, []string{"sink", "outcome"}),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "appgovd_ledger_dead_letters_open", Help: "Dead letters that wait for a human."}, []string{"sink"}),
		fsync:   prometheus.NewHistogram(prometheus.HistogramOpts{Name: "appgovd_ledger_fsync_seconds", Help: "Duration of one group commit's fdatasync.", Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9)}),
	}
	if r != nil {
		r.MustRegister(m.torn, m.corrupt, m.breaks, m.dead, m.settled, m.waiting, m.fsync,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "appgovd_ledger_size_bytes", Help: "Bytes in all segments."}, func() float64 { return float64(l.Stats().Bytes) }),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "appgovd_ledger_last_lsn", Help: "Number of the last durable frame."}, func() float64 { return float64(l.Stats().LastLSN) }))
	}
	return m
}

func (m *metrics) settledDead(sink, outcome string) {
	m.settled.WithLabelValues(sink, outcome).Inc()
	m.waiting.WithLabelValues(sink).Dec()
}
