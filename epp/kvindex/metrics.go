package kvindex

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard/switchyard/epp/kvevents"
)

// Metrics count what happens to an index. A nil *Metrics may not be used; one that is not registered costs little.
type Metrics struct {
	// Events are those of the events that the index lives on; nil: not counted.
	Events *kvevents.Metrics

	admissions, evictions, requests, hits, longest prometheus.Counter
	suppressed, forwarded                          prometheus.Counter
	latency                                        prometheus.Histogram
}

// NewMetrics makes metrics that are not registered.
func NewMetrics(events *kvevents.Metrics) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "llm_d_epp", Name: "kv_cache_" + name, Help: "[ALPHA] " + help})
	}
	return &Metrics{
		Events:     events,
		admissions: counter("index_admissions_total", "Blocks of servers taken into the index."),
		evictions:  counter("index_evictions_total", "Blocks of servers dropped from the index."),
		requests:   counter("index_lookup_requests_total", "Prompts looked up."),
		hits:       counter("index_lookup_hits_total", "Blocks that the server with the longest beginning of the prompt holds, over all lookups."),
		longest:    counter("index_max_pod_hit_count_total", "The same as lookup hits: blocks of the longest beginning of a prompt at one server."),
		suppressed: counter("events_dedup_removed_hashes_suppressed_total", "Removed blocks that the server still holds in another tier."),
		forwarded:  counter("events_dedup_removed_hashes_forwarded_total", "Removed blocks that were dropped from the index."),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "llm_d_epp", Name: "kv_cache_index_lookup_latency_seconds",
			Help: "[ALPHA] Time that a lookup took.", Buckets: prometheus.DefBuckets}),
	}
}

// Collectors are all of them, those of the events included.
func (m *Metrics) Collectors() []prometheus.Collector {
	all := []prometheus.Collector{m.admissions, m.evictions, m.requests, m.hits, m.longest, m.suppressed, m.forwarded, m.latency}
	if m.Events != nil {
		all = append(all, m.Events.Collectors()...)
	}
	return all
}

// Admitted counts blocks that were taken in.
func (m *Metrics) Admitted(n int) { m.admissions.Add(float64(n)) }

// Evicted counts blocks that were dropped.
func (m *Metrics) Evicted(n int) { m.evictions.Add(float64(n)) }

func (m *Metrics) removed(dropped bool) {
	if dropped {
		m.forwarded.Inc()
	} else {
		m.suppressed.Inc()
	}
}

func (m *Metrics) looked(longest int, took time.Duration) {
	m.requests.Inc()
	m.hits.Add(float64(longest))
	m.longest.Add(float64(longest))
	m.latency.Observe(took.Seconds())
}
