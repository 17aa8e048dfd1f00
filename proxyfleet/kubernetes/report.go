package kubernetes

import (
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/internal/source"
)

// maxNote is how long the note of an Event may be, in bytes.
const maxNote = 1024

// complain tells of a failure: once in the log and as an Event of the Gateway, until it is another one.
func (t *term) complain(key source.Key, s *state, err error) {
	s.mu.Lock()
	news, first := s.told != err.Error(), s.told == ""
	s.told = err.Error()
	uid := s.want.uid
	s.mu.Unlock()
	if first {
		t.metrics.failing.Inc()
	}
	if !news {
		t.opts.Log.Debug("the fleet is still not as its Gateway says", "gateway", key, "error", err)
		return
	}
	t.opts.Log.Warn("the fleet is not as its Gateway says; trying again", "gateway", key, "error", err)
	if t.opts.Events == nil {
		return
	}
	note := err.Error()
	if len(note) > maxNote {
		note = note[:maxNote]
	}
	t.opts.Events.Eventf(&corev1.ObjectReference{
		APIVersion: gwv1.GroupVersion.String(), Kind: "Gateway", Namespace: key.Namespace, Name: key.Name, UID: uid,
	}, nil, corev1.EventTypeWarning, "FleetNotApplied", "Apply", "%s", note)
}

// settle ends what complain began.
func (t *term) settle(key source.Key, s *state) {
	s.mu.Lock()
	failed := s.told != ""
	s.told = ""
	s.mu.Unlock()
	if failed {
		t.metrics.failing.Dec()
		t.opts.Log.Info("the fleet is as its Gateway says", "gateway", key)
	}
}

// forget drops the failure of a Gateway that is gone.
func (t *term) forget(s *state) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.told != "" {
		t.metrics.failing.Dec()
	}
	s.told = ""
}

// metrics count writes by kind of object, and fleets.
type metrics struct {
	writes  *prometheus.CounterVec
	fleets  prometheus.Gauge
	failing prometheus.Gauge
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	m := &metrics{
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "switchyard_fleet_writes_total",
			Help: "Objects of fleets that were applied or deleted, by kind and result.",
		}, []string{"verb", "kind", "result"}),
		fleets: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "switchyard_fleets", Help: "Fleets that are to be kept as their Gateways say.",
		}),
		failing: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "switchyard_fleets_failing", Help: "Fleets that are not as their Gateways say, for the API server refuses something.",
		}),
	}
	if registerer != nil {
		registerer.MustRegister(m.writes, m.fleets, m.failing)
	}
	return m
}

func (m *metrics) wrote(verb, kind string, err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	m.writes.WithLabelValues(verb, kind, result).Inc()
}
