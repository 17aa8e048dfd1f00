package xds

import "github.com/prometheus/client_golang/prometheus"

// metrics has one series per resource type at most, never one per route, proxy or view.
type metrics struct {
	proxies     prometheus.Gauge
	pushes      *prometheus.CounterVec
	nacks       *prometheus.CounterVec
	gateExpired prometheus.Counter
	latency     prometheus.Histogram
}

// newMetrics makes the metrics and registers them when a registerer is given.
func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		proxies: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "switchyard_xds_connected_proxies",
			Help: "Proxies with an open ADS stream.",
		}),
		pushes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "switchyard_xds_pushes_total",
			Help: "Responses sent to proxies, by resource type.",
		}, []string{"type"}),
		nacks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "switchyard_xds_nacks_total",
			Help: "Responses that a proxy rejected, by resource type.",
		}, []string{"type"}),
		gateExpired: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "switchyard_xds_gate_deadlines_expired_total",
			Help: "Listeners and route tables sent before everything they refer to was acknowledged, because the deadline had passed.",
		}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "switchyard_xds_push_latency_seconds",
			Help:    "Time from a view being set to a proxy acknowledging what changed.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
	}
	for _, name := range kindNames {
		m.pushes.WithLabelValues(name)
		m.nacks.WithLabelValues(name)
	}
	if reg != nil {
		reg.MustRegister(m.proxies, m.pushes, m.nacks, m.gateExpired, m.latency)
	}
	return m
}
