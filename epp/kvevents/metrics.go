package kvevents

import "github.com/prometheus/client_golang/prometheus"

// Metrics count what comes from engines. A nil *Metrics counts nothing.
type Metrics struct {
	subscribers   prometheus.Gauge
	reconnections *prometheus.CounterVec
	messages      *prometheus.CounterVec
	errors        *prometheus.CounterVec
	stores        *prometheus.CounterVec
	removals      *prometheus.CounterVec
}

// NewMetrics makes metrics that are not registered.
func NewMetrics() *Metrics {
	const engine = "pod_identifier"
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "llm_d_epp", Subsystem: "kv_cache_events", Name: name,
			Help: "[ALPHA] " + help}, labels)
	}
	return &Metrics{
		subscribers: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "llm_d_epp", Subsystem: "kv_cache_events",
			Name: "active_subscribers", Help: "[ALPHA] Engines whose KV cache events are followed, or tried to be."}),
		reconnections: counter("subscriber_reconnections_total", "Times a connection to an engine was tried again.", engine),
		messages:      counter("messages_received_total", "Messages of engines about their KV caches.", engine),
		errors:        counter("zmq_errors_total", "Connections and messages of engines that failed, by what was being done.", engine, "operation"),
		stores:        counter("stores_skipped_total", "Events about stored blocks that were not taken into the index.", "cache_kind", "reason"),
		removals:      counter("removals_skipped_total", "Events about removed blocks that do not concern the index.", "cache_kind", "reason"),
	}
}

// Collectors are all of them.
func (m *Metrics) Collectors() []prometheus.Collector {
	return []prometheus.Collector{m.subscribers, m.reconnections, m.messages, m.errors, m.stores, m.removals}
}

func (m *Metrics) began() {
	if m != nil {
		m.subscribers.Inc()
	}
}

func (m *Metrics) ended() {
	if m != nil {
		m.subscribers.Dec()
	}
}

func (m *Metrics) reconnecting(engine string) {
	if m != nil {
		m.reconnections.WithLabelValues(engine).Inc()
	}
}

func (m *Metrics) received(engine string) {
	if m != nil {
		m.messages.WithLabelValues(engine).Inc()
	}
}

func (m *Metrics) failed(engine, operation string) {
	if m != nil {
		m.errors.WithLabelValues(engine, operation).Inc()
	}
}

func (m *Metrics) skippedStores(kind, reason string, n int) {
	if m != nil {
		m.stores.WithLabelValues(label(kind), reason).Add(float64(n))
	}
}

// SkippedStore counts an event about stored blocks that its sink does not take, and why.
func (m *Metrics) SkippedStore(kind, reason string) { m.skippedStores(kind, reason, 1) }

// SkippedRemoval counts an event about removed blocks that does not concern its sink, and why.
func (m *Metrics) SkippedRemoval(kind, reason string) {
	if m != nil {
		m.removals.WithLabelValues(label(kind), reason).Inc()
	}
}

// forget drops the series of an engine that is gone.
func (m *Metrics) forget(engine string) {
	if m == nil {
		return
	}
	m.reconnections.DeleteLabelValues(engine)
	m.messages.DeleteLabelValues(engine)
	m.errors.DeletePartialMatch(prometheus.Labels{"pod_identifier": engine})
}

// label bounds what an engine may make a label of.
func label(kind string) string {
	switch kind {
	case "", "full_attention", "mla_attention", "sink_full_attention", "sliding_window", "sliding_window_mla", "mamba", "chunked_local_attention",
		"cross_attention", "encoder_only_attention":
		return kind
	}
	return "other"
}
