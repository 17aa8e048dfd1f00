package metrics

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// DefaultFairness is the fairness id of a request that names none.
const DefaultFairness = "default-flow"

// requestLabels are the labels of every series of requests.
var requestLabels = []string{"model_name", "target_model_name", "fairness_id", "priority"}

// labels identify the series of a request.
type labels struct {
	model, target, fairness string
	priority                int
}

// The histograms of a request that not every request observes. They are made on first use: a feature that is not used has no
// series.
const (
	inputTokens = iota
	outputTokens
	cachedTokens
	responseSize
	firstTokenWhole
	firstTokenStreamed
	perToken
	normalizedPerToken
	gap
	rareHistograms
)

// requestMetrics are the families that Series has its series of.
type requestMetrics struct {
	total, errors  *prometheus.CounterVec
	running        *prometheus.GaugeVec
	duration, size *prometheus.HistogramVec
	rare           [rareHistograms]prometheus.ObserverVec
	families       []prometheus.Collector
}

func newRequestMetrics() requestMetrics {
	input := histograms("request_input_tokens", "Prompt tokens, as the model server reported them.", tokenBuckets(mostInput))
	output := histograms("request_output_tokens", "Generated tokens, as the model server reported them.", tokenBuckets(mostOutput))
	cached := histograms("request_cached_tokens", "Prompt tokens served from the cache, as the model server reported them.", tokenBuckets(mostInput))
	response := histograms("response_size_bytes", "Size of the body of an answer, where the proxy shows it.", tokenBuckets(mostResponse))
	first := histograms("request_ttft_seconds", "Time from the arrival of a request to the first byte of its answer.", firstTokenBuckets, "streaming")
	token := histograms("request_streaming_tpot_seconds",
		"Average time per generated token after the first one, of streamed answers.", perTokenBuckets)
	normalized := histograms("request_ntpot_seconds", "Duration of a request divided by its generated tokens.", normalizedBuckets)
	gaps := histograms("request_streaming_itl_seconds", "Time between two pieces of a streamed answer.", gapBuckets)
	m := requestMetrics{
		total:    counters("request_total", "Requests taken.", requestLabels...),
		errors:   counters("request_error_total", "Requests that were refused or failed at the model server.", append(requestLabels[:4:4], "error_code")...),
		running:  prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: "request_running", Help: help("Requests under way.")}, requestLabels),
		duration: histograms("request_duration_seconds", "Time from the arrival of a request to its end.", latencyBuckets),
		size:     histograms("request_size_bytes", "Size of the request body as far as it was received.", sizeBuckets()),
		rare: [rareHistograms]prometheus.ObserverVec{
			inputTokens: input, outputTokens: output, cachedTokens: cached, responseSize: response,
			firstTokenWhole:    first.MustCurryWith(prometheus.Labels{"streaming": "false"}),
			firstTokenStreamed: first.MustCurryWith(prometheus.Labels{"streaming": "true"}),
			perToken:           token, normalizedPerToken: normalized, gap: gaps,
		},
	}
	m.families = []prometheus.Collector{m.total, m.errors, m.running, m.duration, m.size, input, output, cached, response, first, token, normalized, gaps}
	return m
}

// Series is the series of requests of one set of labels. Safe for concurrent use.
type Series struct {
	Total          prometheus.Counter
	Running        prometheus.Gauge
	Duration, Size prometheus.Observer

	metrics *requestMetrics
	values  []string
	rare    [rareHistograms]atomic.Pointer[prometheus.Observer]
}

func (m *requestMetrics) series(l labels) *Series {
	values := []string{l.model, l.target, l.fairness, strconv.Itoa(l.priority)}
	return &Series{
		Total:    m.total.WithLabelValues(values...),
		Running:  m.running.WithLabelValues(values...),
		Duration: m.duration.WithLabelValues(values...),
		Size:     m.size.WithLabelValues(values...),
		metrics:  m,
		values:   values,
	}
}

// observe notes a value of one of the rare histograms.
func (s *Series) observe(which int, value float64) {
	made := s.rare[which].Load()
	if made == nil {
		// Two that come here at once get the same one.
		observer := s.metrics.rare[which].WithLabelValues(s.values...)
		made = &observer
		s.rare[which].Store(made)
	}
	(*made).Observe(value)
}

// Tokens notes what the model server reported; a negative number was not.
func (s *Series) Tokens(input, output, cached int64) {
	for which, tokens := range [...]int64{inputTokens: input, outputTokens: output, cachedTokens: cached} {
		if tokens >= 0 {
			s.observe(which, float64(tokens))
		}
	}
}

// FirstToken notes the time from the request's arrival to the first byte of its answer; of one that came whole that is the
// duration of the request.
func (s *Series) FirstToken(took time.Duration, streaming bool) {
	which := firstTokenWhole
	if streaming {
		which = firstTokenStreamed
	}
	s.observe(which, took.Seconds())
}

// Gap notes the time between two pieces of a streamed answer.
func (s *Series) Gap(took time.Duration) { s.observe(gap, took.Seconds()) }

// PerToken notes the average time that a token of a streamed answer took, without the first one.
func (s *Series) PerToken(took time.Duration) { s.observe(perToken, took.Seconds()) }

// NormalizedPerToken notes the duration of the request divided by its tokens.
func (s *Series) NormalizedPerToken(took time.Duration) {
	s.observe(normalizedPerToken, took.Seconds())
}

// ResponseSize notes the bytes of the answer's body.
func (s *Series) ResponseSize(bytes int64) { s.observe(responseSize, float64(bytes)) }

// Error notes a request that was refused or failed, by the name of the error, which is one of a few.
func (s *Series) Error(code string) {
	s.metrics.errors.WithLabelValues(append(s.values[:len(s.values):len(s.values)], code)...).Inc()
}

// Keep has names of models, those that rewrites are configured with, shown as they are however many others came. They are
// kept for the life of the process.
func (m *Metrics) Keep(names func(yield func(string) bool)) {
	for name := range names {
		m.models.keep(name)
	}
}

// Series returns the series of requests for model, to be counted under these labels.
func (m *Metrics) Series(model, target, fairness string, priority int) *Series {
	if fairness == "" {
		fairness = DefaultFairness
	}
	key := labels{model, target, fairness, priority}
	if known, ok := m.series.get(key); ok {
		return known
	}
	key = labels{m.models.admit(model), m.models.admit(target), m.tenants.admit(fairness), priority}
	if known, ok := m.series.add(key, maxSeries, m.requests.series); ok {
		return known
	}
	// Too many combinations: first tenants are not told apart any more, then models, except those that are kept.
	key.fairness = Other
	if !m.models.keeps(key.model) || !m.models.keeps(key.target) {
		key.model, key.target = Other, Other
	}
	last, _ := m.series.add(key, 0, m.requests.series)
	return last
}
