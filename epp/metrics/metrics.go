package metrics

import (
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard/switchyard/epp/datalayer"
)

const namespace = "llm_d_epp"

// Bounds of distinct label values and of their combinations, for the life of the process; beyond them the value is Other.
const (
	maxLabelValues = 1000
	maxSeries      = 10_000
)

// Other stands for label values beyond the bound.
const Other = "other"

// DefaultFairness is the fairness id of a request that names none.
const DefaultFairness = "default-flow"

// requestLabels are the labels of every series of requests.
var requestLabels = []string{"model_name", "target_model_name", "fairness_id", "priority"}

// Metrics is the picker's series. Safe for concurrent use.
type Metrics struct {
	requests, errors                  *prometheus.CounterVec
	running                           *prometheus.GaugeVec
	duration, requestSize             *prometheus.HistogramVec
	inputTokens, outputTokens, cached *prometheus.HistogramVec
	attempts                          *prometheus.CounterVec
	prefixHitRatio                    prometheus.Observer

	// SchedulerDuration takes seconds from the body's arrival in the scheduler to the choice.
	SchedulerDuration prometheus.Histogram

	series          sync.Map // labels -> *Series
	seriesCount     atomic.Int64
	models, tenants labelBound
}

// Build identifies the binary in the info series.
type Build struct {
	Commit, Ref string
}

// New registers the series with registerer.
func New(registerer prometheus.Registerer, build Build, pools *datalayer.Pools) (*Metrics, error) {
	m := &Metrics{
		requests:     counters("request_total", "Requests taken.", requestLabels...),
		errors:       counters("request_error_total", "Requests that were refused or failed at the model server.", append(requestLabels[:4:4], "error_code")...),
		running:      prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: "request_running", Help: help("Requests under way.")}, requestLabels),
		duration:     histograms("request_duration_seconds", "Time from the arrival of a request to its end.", latencyBuckets),
		requestSize:  histograms("request_size_bytes", "Size of the request body as far as it was received.", sizeBuckets()),
		inputTokens:  histograms("request_input_tokens", "Prompt tokens, as the model server reported them.", tokenBuckets(1<<20)),
		outputTokens: histograms("request_output_tokens", "Generated tokens, as the model server reported them.", tokenBuckets(8192)),
		cached:       histograms("request_cached_tokens", "Prompt tokens served from the cache, as the model server reported them.", tokenBuckets(1<<20)),
		attempts: counters("scheduler_attempts_total", "Scheduling attempts by outcome and endpoint.",
			"status", "target_model_name", "endpoint_name", "namespace", "port"),
		SchedulerDuration: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: "scheduler_e2e_duration_seconds",
			Help: help("Time that scheduling took."), Buckets: schedulerBuckets}),
	}
	hitRatio := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: "prefix_indexer_hit_ratio",
		Help: help("Share of a prompt that the chosen endpoint holds."), Buckets: prometheus.LinearBuckets(0, 0.1, 11)}, pluginLabels)
	m.prefixHitRatio = hitRatio.WithLabelValues(prefixProducer, prefixProducer)
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: "info", Help: help("Build of this process.")},
		[]string{"commit", "build_ref"})
	info.WithLabelValues(build.Commit, build.Ref).Set(1)
	for _, collector := range []prometheus.Collector{
		m.requests, m.errors, m.running, m.duration, m.requestSize, m.inputTokens, m.outputTokens, m.cached, m.attempts,
		m.SchedulerDuration, hitRatio, info, &Collector{pools: pools, attempts: m.attempts},
	} {
		if err := registerer.Register(collector); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// ObservePrefixHit notes how many of a prompt's blocks the chosen endpoint held.
func (m *Metrics) ObservePrefixHit(held, blocks int) {
	if blocks > 0 {
		m.prefixHitRatio.Observe(float64(held) / float64(blocks))
	}
}

// CountAttempt notes the outcome of scheduling; endpoint is nil when there was none.
func (m *Metrics) CountAttempt(model string, endpoint *datalayer.Endpoint) {
	model = m.models.admit(model)
	if endpoint == nil {
		m.attempts.WithLabelValues("failure", model, "", "", "").Inc()
		return
	}
	m.attempts.WithLabelValues("success", model, endpoint.Name, endpoint.Namespace, portOf(endpoint.Address)).Inc()
}

func portOf(address string) string {
	for i := len(address) - 1; i >= 0; i-- {
		if address[i] == ':' {
			return address[i+1:]
		}
	}
	return ""
}

// labels identify the series of a request.
type labels struct {
	model, target, fairness string
	priority                int
}

// Series is the series of requests of one set of labels.
type Series struct {
	Total          prometheus.Counter
	Running        prometheus.Gauge
	Duration, Size prometheus.Observer

	// made on first use: where the proxy reports no usage there are none.
	input, output, cached func() prometheus.Observer
	errors                func(code string) prometheus.Counter
}

// Tokens notes what the model server reported; a negative number was not.
func (s *Series) Tokens(input, output, cached int64) {
	if input >= 0 {
		s.input().Observe(float64(input))
	}
	if output >= 0 {
		s.output().Observe(float64(output))
	}
	if cached >= 0 {
		s.cached().Observe(float64(cached))
	}
}

// Error notes a request that was refused or failed, by the name of the error.
func (s *Series) Error(code string) { s.errors(code).Inc() }

// Series returns the series of requests for model, to be counted under these labels.
func (m *Metrics) Series(model, target, fairness string, priority int) *Series {
	if fairness == "" {
		fairness = DefaultFairness
	}
	key := labels{model, target, fairness, priority}
	if known, ok := m.series.Load(key); ok {
		return known.(*Series)
	}
	bounded := labels{m.models.admit(model), m.models.admit(target), m.tenants.admit(fairness), priority}
	if m.seriesCount.Load() >= maxSeries {
		bounded = labels{Other, Other, Other, 0}
	}
	if bounded != key {
		if known, ok := m.series.Load(bounded); ok {
			return known.(*Series)
		}
	}
	made, loaded := m.series.LoadOrStore(bounded, m.newSeries(bounded))
	if !loaded {
		m.seriesCount.Add(1)
	}
	return made.(*Series)
}

func (m *Metrics) newSeries(l labels) *Series {
	values := []string{l.model, l.target, l.fairness, strconv.Itoa(l.priority)}
	observer := func(vec *prometheus.HistogramVec) func() prometheus.Observer {
		return sync.OnceValue(func() prometheus.Observer { return vec.WithLabelValues(values...) })
	}
	return &Series{
		Total:    m.requests.WithLabelValues(values...),
		Running:  m.running.WithLabelValues(values...),
		Duration: m.duration.WithLabelValues(values...),
		Size:     m.requestSize.WithLabelValues(values...),
		input:    observer(m.inputTokens),
		output:   observer(m.outputTokens),
		cached:   observer(m.cached),
		errors: func(code string) prometheus.Counter {
			return m.errors.WithLabelValues(append(values[:4:4], code)...)
		},
	}
}

// labelBound admits the first maxLabelValues distinct values.
type labelBound struct {
	seen  sync.Map
	count atomic.Int64
}

func (b *labelBound) admit(value string) string {
	value = cleanLabel(value)
	if _, ok := b.seen.Load(value); ok {
		return value
	}
	if b.count.Load() >= maxLabelValues {
		return Other
	}
	if _, loaded := b.seen.LoadOrStore(value, struct{}{}); !loaded {
		b.count.Add(1)
	}
	return value
}

// maxLabelBytes bounds a label value; clients choose some of them.
const maxLabelBytes = 256

// cleanLabel makes a value that Prometheus accepts.
func cleanLabel(value string) string {
	if len(value) > maxLabelBytes {
		value = value[:maxLabelBytes]
	}
	return strings.ToValidUTF8(value, "?")
}
