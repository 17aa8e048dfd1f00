package metrics

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard/switchyard/epp/datalayer"
)

const namespace = "llm_d_epp"

// promptBytesPerToken is the estimate by which blocks of a prompt become bytes.
const promptBytesPerToken = 4

// Metrics is the picker's series. Safe for concurrent use.
type Metrics struct {
	// SchedulerDuration takes seconds from the body's arrival in the scheduler to the choice.
	SchedulerDuration prometheus.Histogram
	// Processing takes seconds from the arrival of a request to what the proxy is told of it, waiting for a turn included.
	Processing prometheus.Histogram
	// ResponseProcessing takes seconds of work on an answer, all its pieces together.
	ResponseProcessing prometheus.Histogram

	requests requestMetrics
	attempts *attempts
	flights  *flights

	rewrites                    *prometheus.CounterVec
	plugins                     *prometheus.HistogramVec
	prefixHitRatio, prefixBytes prometheus.Observer

	models, tenants *names
	series          *bounded[labels, *Series]
	rewritten       *bounded[rewrite, prometheus.Counter]
	watched         atomic.Uint64
}

// Build identifies the binary in the info series.
type Build struct {
	Commit, Ref string
}

// New registers the series with registerer.
func New(registerer prometheus.Registerer, build Build, pools *datalayer.Pools) (*Metrics, error) {
	hitRatio := histogramsBy(pluginLabels, "prefix_indexer_hit_ratio", "Share of a prompt that the chosen endpoint holds.",
		shareBuckets)
	hitBytes := histogramsBy(pluginLabels, "prefix_indexer_hit_bytes", "Length of the part of a prompt that the chosen endpoint holds.", hitBuckets())
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: "info", Help: help("Build of this process.")},
		[]string{"commit", "build_ref"})
	info.WithLabelValues(build.Commit, build.Ref).Set(1)
	m := &Metrics{
		SchedulerDuration: histogram("scheduler_e2e_duration_seconds", "Time that scheduling took.", schedulerBuckets),
		Processing: histogram("request_processing_duration_seconds",
			"Time from the arrival of a request to the answer to the proxy, with the wait in flow control.", requestBuckets),
		ResponseProcessing: histogram("response_processing_duration_seconds", "Time that was spent on an answer, all its pieces together.", responseBuckets),
		requests:           newRequestMetrics(),
		attempts:           newAttempts(pools),
		rewrites:           counters("model_rewrite_decisions_total", "Requests whose model was rewritten.", "model_rewrite_name", "model_name", "target_model"),
		plugins: histogramsBy([]string{"extension_point", "plugin_type", "plugin_name"}, "plugin_duration_seconds",
			"Time that a plugin took, of a sample of the requests.", schedulerBuckets),
		prefixHitRatio: hitRatio.WithLabelValues(prefixProducer, prefixProducer),
		prefixBytes:    hitBytes.WithLabelValues(prefixProducer, prefixProducer),
		models:         newNames(),
		tenants:        newNames(),
		series:         newBounded[labels, *Series](),
		rewritten:      newBounded[rewrite, prometheus.Counter](),
	}
	m.flights = newFlights(pools, m.tenants)
	collectors := append(m.requests.families, m.attempts, m.SchedulerDuration, m.Processing, m.ResponseProcessing, m.rewrites, m.plugins, hitRatio, hitBytes, info, &Collector{pools: pools, flights: m.flights})
	for _, collector := range collectors {
		if err := registerer.Register(collector); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// PrefixHit notes how many of a prompt's blocks, of so many tokens each, the chosen endpoint held.
func (m *Metrics) PrefixHit(held, blocks, blockTokens int) {
	if blocks > 0 {
		m.prefixHitRatio.Observe(float64(held) / float64(blocks))
		m.prefixBytes.Observe(float64(held * blockTokens * promptBytesPerToken))
	}
}

// rewrite is the labels of a series.
type rewrite struct{ name, model, target string }

// ModelRewritten notes that the rewrite of this name made target of model.
func (m *Metrics) ModelRewritten(name, model, target string) {
	key := rewrite{name, model, target}
	counter, ok := m.rewritten.get(key)
	if !ok {
		counter = m.addRewrite(rewrite{cleanLabel(name), m.models.admit(model), m.models.admit(target)})
	}
	counter.Inc()
}

// addRewrite makes a series. A rewrite of all models meets whatever clients name; its own name and target are configured.
func (m *Metrics) addRewrite(key rewrite) prometheus.Counter {
	counterOf := func(k rewrite) prometheus.Counter { return m.rewrites.WithLabelValues(k.name, k.model, k.target) }
	counter, ok := m.rewritten.add(key, maxSeries, counterOf)
	if !ok {
		key.model = Other
		counter, _ = m.rewritten.add(key, 0, counterOf)
	}
	return counter
}
