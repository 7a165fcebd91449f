package msgraph

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	reg        prometheus.Registerer
	requests   *prometheus.CounterVec
	bytes      *prometheus.CounterVec
	passed     *prometheus.CounterVec
	registered []prometheus.Collector
}

// newMetrics registers the metrics of one tenant: the label provider keeps two
// of them in one process apart. reg may be nil.
func newMetrics(reg prometheus.Registerer, name string, budgets map[string]*budget) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "appgovd_msgraph_requests_total", Help: "Requests to Microsoft by source and status; status none means that no answer came."}, []string{"source", "status"}),
		bytes:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "appgovd_msgraph_read_bytes_total", Help: "Bytes of pages by source, decompressed."}, []string{"source"}),
		passed:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "appgovd_msgraph_passed_over_total", Help: "Records of the unified audit log by source that tell of no app; they are not kept, and not counted as fetched."}, []string{"source"}),
	}
	if reg == nil {
		return m, nil
	}
	m.reg = prometheus.WrapRegistererWith(prometheus.Labels{"provider": name}, reg)
	all := []prometheus.Collector{m.requests, m.bytes, m.passed}
	all = append(all, loads(budgets))
	for _, c := range all {
		if err := m.reg.Register(c); err != nil {
			m.close()
			return nil, fmt.Errorf("register metrics of %q: %w", name, err)
		}
		m.registered = append(m.registered, c)
	}
	return m, nil
}

func (m *metrics) close() {
	for _, c := range m.registered {
		m.reg.Unregister(c)
	}
	m.registered = nil
}

// loads exports what the sources need of the budgets.
type loads map[string]*budget

// Describe implements prometheus.Collector: which sources there are shows later.
func (l loads) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range l.descs() {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (l loads) Collect(ch chan<- prometheus.Metric) {
	d := l.descs()
	for _, b := range l {
		s := b.state()
		ch <- prometheus.MustNewConstMetric(d[0], prometheus.GaugeValue, s.Load, s.Family)
		for key, v := range s.Sources {
			ch <- prometheus.MustNewConstMetric(d[1], prometheus.GaugeValue, v, key)
		}
	}
}

func (l loads) descs() []*prometheus.Desc {
	return []*prometheus.Desc{
		prometheus.NewDesc("appgovd_msgraph_budget_load_ratio", "Share of our part of Microsoft's limit that polls and sweeps need; above 1 they no longer fit.", []string{"family"}, nil),
		prometheus.NewDesc("appgovd_msgraph_source_load_ratio", "Share of our part of its family's limit that a source needs.", []string{"source"}, nil),
	}
}
