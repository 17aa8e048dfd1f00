package status

import "github.com/prometheus/client_golang/prometheus"

// outcome is how an attempt to write ended.
type outcome string

const (
	written  outcome = "written"
	conflict outcome = "conflict" // the object had changed in between
	gone     outcome = "gone"     // the object was deleted
	refused  outcome = "refused"  // the API server does not take the status, or not from us
	failed   outcome = "failed"
)

var outcomes = []outcome{written, conflict, gone, refused, failed}

// metrics has a series per kind and outcome, never one per object.
type metrics struct {
	writes  *prometheus.CounterVec
	latency prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "switchyard_status_writes_total",
			Help: "Attempts to write the status of an object, by kind and outcome.",
		}, []string{"kind", "outcome"}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "switchyard_status_write_latency_seconds",
			Help:    "Time from a changed status being wanted to its being written.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}),
	}
	for _, k := range kinds {
		for _, o := range outcomes {
			m.writes.WithLabelValues(k.name(), string(o))
		}
	}
	if reg != nil {
		reg.MustRegister(m.writes, m.latency)
	}
	return m
}
