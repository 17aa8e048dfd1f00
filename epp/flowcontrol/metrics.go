package flowcontrol

import (
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const namespace = "llm_d_epp"

// other stands for label values beyond the bound of distinct ones, and for every fairness id: clients choose those, and series
// outlive flows.
const other = "other"

// Bounds, for the life of the process.
const (
	maxModels     = 1000
	maxLabelBytes = 256
	maxSeries     = 10_000
)

// Buckets in seconds.
var (
	waitBuckets  = []float64{.0001, .0005, .001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 30, 45, 60}
	cycleBuckets = []float64{.00001, .00005, .0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1}
)

type modelPair struct{ model, target string }

// waitLabels identify the series of a request's wait.
type waitLabels struct {
	pool     string
	priority int
	outcome  Outcome
	models   modelPair
}

// waitSeries is where a wait is counted.
type waitSeries struct {
	duration, enqueue prometheus.Observer
	total             prometheus.Counter
}

// series is the metrics of a controller. A nil one counts nothing.
type series struct {
	waits, enqueues *prometheus.HistogramVec
	cycles          prometheus.Histogram
	totals          *prometheus.CounterVec

	known      sync.Map // waitLabels -> *waitSeries
	count      atomic.Int64
	models     sync.Map
	modelCount atomic.Int64
}

func newSeries(registerer prometheus.Registerer, c *Controller) (*series, error) {
	if registerer == nil {
		return nil, nil
	}
	s := &series{
		waits: histograms("flow_control_request_queue_duration_seconds", "Time that a request waited in flow control.", waitBuckets,
			"fairness_id", "priority", "outcome", "inference_pool", "model_name", "target_model_name"),
		enqueues: histograms("flow_control_request_enqueue_duration_seconds", "Time that it took to queue, dispatch or refuse a request on its arrival.",
			cycleBuckets, "fairness_id", "priority", "outcome"),
		cycles: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: "flow_control_dispatch_cycle_duration_seconds",
			Help: help("Time that one pass over the queues of a pool took."), Buckets: cycleBuckets}),
		totals: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: "flow_control_requests_total",
			Help: help("Requests by the outcome of flow control.")}, []string{"outcome", "priority", "inference_pool"}),
	}
	for _, collector := range []prometheus.Collector{s.waits, s.enqueues, s.cycles, s.totals, &collector{c}} {
		if err := registerer.Register(collector); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func help(text string) string { return "[ALPHA] " + text }

func histograms(name, text string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help(text), Buckets: buckets}, labels)
}

// bound makes the request's model names fit for labels.
func (s *series) bound(r *Request) {
	if s == nil {
		r.Model, r.TargetModel = "", ""
		return
	}
	r.Model, r.TargetModel = s.admit(r.Model), s.admit(r.TargetModel)
}

// admit passes the first maxModels distinct names.
func (s *series) admit(name string) string {
	if _, ok := s.models.Load(name); ok {
		return name
	}
	if len(name) > maxLabelBytes {
		name = name[:maxLabelBytes]
	}
	name = strings.ToValidUTF8(name, "?")
	if _, ok := s.models.Load(name); ok {
		return name
	}
	if s.modelCount.Load() >= maxModels {
		return other
	}
	if _, loaded := s.models.LoadOrStore(name, struct{}{}); !loaded {
		s.modelCount.Add(1)
	}
	return name
}

// waited counts the end of a wait.
func (s *series) waited(pool string, r *Request, outcome Outcome, took time.Duration) {
	if s == nil {
		return
	}
	found := s.of(waitLabels{pool, r.Priority, outcome, modelPair{r.Model, r.TargetModel}})
	found.duration.Observe(took.Seconds())
	found.total.Inc()
}

// entered counts what the arrival of a request took.
func (s *series) entered(pool string, r *Request, outcome Outcome, took time.Duration) {
	if s == nil {
		return
	}
	s.of(waitLabels{pool, r.Priority, outcome, modelPair{r.Model, r.TargetModel}}).enqueue.Observe(took.Seconds())
}

// cycle counts a pass over the queues.
func (s *series) cycle(took time.Duration) {
	if s != nil {
		s.cycles.Observe(took.Seconds())
	}
}

func (s *series) of(labels waitLabels) *waitSeries {
	if known, ok := s.known.Load(labels); ok {
		return known.(*waitSeries)
	}
	if s.count.Load() >= maxSeries {
		labels.models = modelPair{other, other}
	}
	priority, outcome := strconv.Itoa(labels.priority), labels.outcome.String()
	made, loaded := s.known.LoadOrStore(labels, &waitSeries{
		duration: s.waits.WithLabelValues(other, priority, outcome, labels.pool, labels.models.model, labels.models.target),
		enqueue:  s.enqueues.WithLabelValues(other, priority, outcome),
		total:    s.totals.WithLabelValues(outcome, priority, labels.pool),
	})
	if !loaded {
		s.count.Add(1)
	}
	return made.(*waitSeries)
}

// forget drops the series of a pool.
func (s *series) forget(pool string) {
	if s == nil {
		return
	}
	s.known.Range(func(key, _ any) bool {
		if key.(waitLabels).pool == pool {
			s.known.Delete(key)
			s.count.Add(-1)
		}
		return true
	})
	s.waits.DeletePartialMatch(prometheus.Labels{"inference_pool": pool})
	s.totals.DeletePartialMatch(prometheus.Labels{"inference_pool": pool})
}
