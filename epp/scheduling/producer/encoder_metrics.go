package producer

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// encoderMetrics are the series of encoder caches, as they are believed to be.
type encoderMetrics struct {
	queries, hits *prometheus.CounterVec
	ratio         *prometheus.HistogramVec
}

// sharedEncoderMetrics is one set for the process: a configuration that is loaded again goes on counting.
var sharedEncoderMetrics = sync.OnceValue(func() *encoderMetrics {
	return &encoderMetrics{
		queries: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "llm_d_epp", Name: "encoder_cache_queries_total",
			Help: "[ALPHA] Images, sounds and videos of prompts that were looked up."}, []string{"plugin_type", "plugin_name", "modality"}),
		hits: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "llm_d_epp", Name: "encoder_cache_hits_total",
			Help: "[ALPHA] Those that a candidate is believed to have in its encoder's cache, by candidate."},
			[]string{"plugin_type", "plugin_name", "modality", "pod"}),
		ratio: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "llm_d_epp", Name: "encoder_cache_hit_ratio",
			Help:    "[ALPHA] Share of a prompt's images, sounds and videos that a candidate is believed to have, once for each candidate.",
			Buckets: prometheus.LinearBuckets(0, 0.1, 11)}, []string{"plugin_type", "plugin_name"}),
	}
})

func (m *encoderMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.queries, m.hits, m.ratio}
}
