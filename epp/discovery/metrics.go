package discovery

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics tell whether the endpoints in force are those of the file as it stands.
type Metrics struct {
	total      *prometheus.CounterVec
	successful prometheus.Gauge
}

// NewMetrics registers the series.
func NewMetrics(registerer prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "llm_d_epp", Name: "discovery_reloads_total",
			Help: "[ALPHA] Changes of the file of endpoints, by result."}, []string{"result"}),
		successful: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "llm_d_epp", Name: "discovery_last_reload_successful",
			Help: "[ALPHA] 1: the endpoints are those of the file. 0: the file was refused, and the endpoints before it stay."}),
	}
	m.successful.Set(1)
	m.total.WithLabelValues("success")
	m.total.WithLabelValues("failure")
	for _, collector := range []prometheus.Collector{m.total, m.successful} {
		if err := registerer.Register(collector); err != nil {
			return nil, fmt.Errorf("registering metrics of the file of endpoints: %w", err)
		}
	}
	return m, nil
}

func (m *Metrics) succeeded() {
	m.total.WithLabelValues("success").Inc()
	m.successful.Set(1)
}

func (m *Metrics) failed() {
	m.total.WithLabelValues("failure").Inc()
	m.successful.Set(0)
}
