package kube

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard/switchyard/internal/source"
)

// metrics has one series per kind at most, never one per namespace or object.
type metrics struct {
	objects *prometheus.GaugeVec
	errors  *prometheus.CounterVec
	puts    prometheus.Counter
}

// newMetrics makes the metrics and registers them when a registerer is given.
func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		objects: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "switchyard_source_objects",
			Help: "Objects of the cluster in the newest view, by kind.",
		}, []string{"kind"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "switchyard_source_errors_total",
			Help: "Lists and watches that the API server refused or did not answer, by kind.",
		}, []string{"kind"}),
		puts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "switchyard_source_views_total",
			Help: "Views of the cluster that were handed on to be translated.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.objects, m.errors, m.puts)
	}
	return m
}

// put notes a view that is handed on.
func (m *metrics) put(view *source.Objects, of []*kind) {
	m.puts.Inc()
	for _, k := range of {
		m.objects.WithLabelValues(k.id()).Set(float64(k.count(view)))
	}
}
