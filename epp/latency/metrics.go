package latency

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the series of predictions. Safe for concurrent use; a nil *Metrics counts nothing.
type Metrics struct {
	last                          *prometheus.GaugeVec
	ttft, tpot                    *prometheus.HistogramVec
	ttftDuration, tpotDuration    *prometheus.HistogramVec
	violations, outcomes, samples *prometheus.CounterVec

	series sync.Map // [2]string of model and target -> *Series
	count  atomic.Int64
}

// Buckets are seconds.
var (
	ttftBuckets = []float64{.005, .025, .05, .1, .2, .4, .6, .8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60, 120,
		180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600}
	tpotBuckets = []float64{.0005, .00205, .005, .01, .02, .04, .06, .08, .1, .125, .15, .2, .3, .4, .5, .6, .8, 1, 1.5, 2, 3,
		4.5, 6, 12, 18, 24, 30, 36, 48, 60, 90, 120, 180, 270, 360}
	durationBuckets = []float64{.0001, .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5}
)

// maxModels bounds the pairs of models that have series of their own; names come from clients.
const maxModels = 1000

const other = "other"

// Shared is the metrics of this process: a configuration that is loaded again goes on counting.
var Shared = sync.OnceValue(newMetrics)

func newMetrics() *Metrics {
	models := []string{"plugin_name", "plugin_type", "model_name", "target_model_name"}
	histogram := func(name, text string, buckets []float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "llm_d_epp", Name: name, Help: "[ALPHA] " + text, Buckets: buckets}, models)
	}
	counter := func(name, text string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "llm_d_epp", Name: name, Help: "[ALPHA] " + text}, labels)
	}
	return &Metrics{
		last: prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "llm_d_epp", Name: "inference_request_metric",
			Help: "[ALPHA] The latest value of what the type says, in seconds, or 1 for an objective that was missed."}, append(models[:4:4], "type")),
		ttft: histogram("request_predicted_ttft_seconds", "Time to the first token as it was predicted for the endpoint that answered.", ttftBuckets),
		tpot: histogram("request_predicted_tpot_seconds", "Time per further token as it was predicted for the endpoint that answered.", tpotBuckets),
		ttftDuration: histogram("request_ttft_prediction_duration_seconds", "How long a request waited for predictions of its time to the first token.",
			durationBuckets),
		tpotDuration: histogram("request_tpot_prediction_duration_seconds", "How long a request waited for predictions of its time per further token.",
			durationBuckets),
		violations: counter("request_slo_violation_total", "Requests that took longer than they asked for.", append(models[:4:4], "type")...),
		outcomes: counter("latency_predictions_total", "Requests that asked for predictions, by what came of it; all but ok were scheduled without.",
			"plugin_name", "plugin_type", "outcome"),
		samples: counter("latency_training_samples_total", "Measured requests, by whether the training server got them.",
			"plugin_name", "plugin_type", "outcome"),
	}
}

// Collectors are the series for a registry.
func (m *Metrics) Collectors() []prometheus.Collector {
	return []prometheus.Collector{m.last, m.ttft, m.tpot, m.ttftDuration, m.tpotDuration, m.violations, m.outcomes, m.samples}
}

func (m *Metrics) countSamples(outcome string, n int) {
	if m != nil && n > 0 {
		m.samples.WithLabelValues(Producer, Producer, outcome).Add(float64(n))
	}
}

// CountPrediction notes what came of asking for predictions.
func (m *Metrics) CountPrediction(err error) {
	if m != nil {
		m.outcomes.WithLabelValues(Producer, Producer, Outcome(err)).Inc()
	}
}

// Series are the series of one model.
type Series struct {
	m      *Metrics
	labels []string

	ttftDuration, tpotDuration prometheus.Observer
	lastTTFTDuration           prometheus.Gauge
	lastTPOTDuration           prometheus.Gauge
}

// Of gives the series of requests for a model that is served as target.
func (m *Metrics) Of(model, target string) *Series {
	key := [2]string{model, target}
	if known, ok := m.series.Load(key); ok {
		return known.(*Series)
	}
	if m.count.Load() >= maxModels {
		key = [2]string{other, other}
	}
	made, loaded := m.series.LoadOrStore(key, m.newSeries(key))
	if !loaded {
		m.count.Add(1)
	}
	return made.(*Series)
}

// maxLabelBytes bounds a label value.
const maxLabelBytes = 256

func (m *Metrics) newSeries(key [2]string) *Series {
	labels := []string{Producer, Producer, label(key[0]), label(key[1])}
	return &Series{
		m: m, labels: labels,
		ttftDuration: m.ttftDuration.WithLabelValues(labels...), tpotDuration: m.tpotDuration.WithLabelValues(labels...),
		lastTTFTDuration: m.last.WithLabelValues(append(labels[:4:4], "ttft_prediction_duration")...),
		lastTPOTDuration: m.last.WithLabelValues(append(labels[:4:4], "tpot_prediction_duration")...),
	}
}

// Predicted notes how long a request waited for its predictions.
func (s *Series) Predicted(wait time.Duration) {
	seconds := wait.Seconds()
	s.ttftDuration.Observe(seconds)
	s.tpotDuration.Observe(seconds)
	s.lastTTFTDuration.Set(seconds)
	s.lastTPOTDuration.Set(seconds)
}

// TTFT notes the time to the first token as it was, as it was predicted (0: it was not) and as it was asked for (0: it was
// not), in milliseconds.
func (s *Series) TTFT(actual, predicted, limit float64) {
	s.compare("ttft", s.m.ttft, actual, predicted, limit)
}

// TPOT is TTFT for the time per further token.
func (s *Series) TPOT(actual, predicted, limit float64) {
	s.compare("tpot", s.m.tpot, actual, predicted, limit)
}

func (s *Series) compare(name string, predictions *prometheus.HistogramVec, actual, predicted, limit float64) {
	latest := func(kind string, value float64) { s.m.last.WithLabelValues(append(s.labels[:4:4], kind)...).Set(value) }
	latest(name, actual/1000)
	if predicted > 0 {
		predictions.WithLabelValues(s.labels...).Observe(predicted / 1000)
		latest("predicted_"+name, predicted/1000)
	}
	if limit <= 0 {
		return
	}
	if actual <= limit {
		latest(name+"_slo_violation", 0)
		return
	}
	latest(name+"_slo_violation", 1)
	s.m.violations.WithLabelValues(append(s.labels[:4:4], name)...).Inc()
}

// label makes a value that a registry takes.
func label(value string) string {
	if len(value) > maxLabelBytes {
		value = value[:maxLabelBytes]
	}
	return strings.ToValidUTF8(value, "?")
}
