package flowcontrol

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const namespace = "llm_d_epp"

// maxSeries bounds the combinations of labels of requests at a time; beyond it tenant and models are "other".
const maxSeries = 10_000

// tenantIdle is how long the series of a tenant stay that sends nothing.
const tenantIdle = 5 * time.Minute

// Buckets in seconds.
var (
	waitBuckets  = []float64{.0001, .0005, .001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 30, 45, 60}
	cycleBuckets = []float64{.00001, .00005, .0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1}
)

type modelPair struct{ model, target string }

// waitLabels identify the series of a request's wait.
type waitLabels struct {
	pool, tenant string
	priority     int
	outcome      Outcome
	models       modelPair
}

// waitSeries is where a wait is counted.
type waitSeries struct {
	duration, enqueue prometheus.Observer
	total             prometheus.Counter
	used              atomic.Int64 // unix seconds
}

// series is the metrics of a controller. A nil one counts nothing.
type series struct {
	waits, enqueues, confirmations *prometheus.HistogramVec
	cycles                         prometheus.Histogram
	totals, issued, revocations    *prometheus.CounterVec

	known           sync.Map // waitLabels -> *waitSeries
	count           atomic.Int64
	models, tenants labelBound
	swept           atomic.Int64 // unix seconds
}

func newSeries(registerer prometheus.Registerer, c *Controller) (*series, error) {
	if registerer == nil {
		return nil, nil
	}
	s := &series{
		waits: histograms("request_queue_duration_seconds", "Time that a request waited in flow control.", waitBuckets,
			"fairness_id", "priority", "outcome", "inference_pool", "model_name", "target_model_name"),
		enqueues: histograms("request_enqueue_duration_seconds", "Time that it took to queue, dispatch or refuse a request on its arrival.",
			cycleBuckets, "fairness_id", "priority", "outcome"),
		confirmations: histograms("revocation_confirmation_seconds", "Time from the revocation of a request to its end.", waitBuckets,
			"inference_pool"),
		cycles: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: "flow_control_dispatch_cycle_duration_seconds",
			Help: help("Time that one pass over the queues of a pool took."), Buckets: cycleBuckets}),
		totals:      counters("requests_total", "Requests by the outcome of flow control.", "outcome", "priority", "inference_pool"),
		issued:      counters("revocations_issued_total", "Requests revoked in flight, by the priority that needed the room.", "priority", "inference_pool"),
		revocations: counters("revocations_total", "Revocations that are over: confirmed or timed_out.", "outcome", "inference_pool"),
	}
	s.tenants.admit(DefaultFairness)
	for _, collector := range []prometheus.Collector{s.waits, s.enqueues, s.confirmations, s.cycles, s.totals, s.issued, s.revocations,
		&collector{c}} {
		if err := registerer.Register(collector); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func help(text string) string { return "[ALPHA] " + text }

func histograms(name, text string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: "flow_control_" + name, Help: help(text), Buckets: buckets}, labels)
}

func counters(name, text string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: "flow_control_" + name, Help: help(text)}, labels)
}

// bound makes the request's names fit for labels.
func (s *series) bound(r *Request) {
	if s == nil {
		r.Model, r.TargetModel, r.tenant = "", "", ""
		return
	}
	r.Model, r.TargetModel, r.tenant = s.models.admit(r.Model), s.models.admit(r.TargetModel), s.tenants.admit(r.Fairness)
}

// passed counts a request that did not wait.
func (s *series) passed(pool string, r *Request, outcome Outcome, took time.Duration) {
	if s == nil {
		return
	}
	found := s.of(pool, r, outcome)
	found.enqueue.Observe(took.Seconds())
	found.wait(took)
}

// waited counts the end of a wait.
func (s *series) waited(pool string, r *Request, outcome Outcome, took time.Duration) {
	if s != nil {
		s.of(pool, r, outcome).wait(took)
	}
}

func (w *waitSeries) wait(took time.Duration) {
	w.duration.Observe(took.Seconds())
	w.total.Inc()
}

// entered counts what the arrival of a request took.
func (s *series) entered(pool string, r *Request, outcome Outcome, took time.Duration) {
	if s != nil {
		s.of(pool, r, outcome).enqueue.Observe(took.Seconds())
	}
}

// cycle counts a pass over the queues.
func (s *series) cycle(took time.Duration) {
	if s != nil {
		s.cycles.Observe(took.Seconds())
	}
}

func (s *series) revocationIssued(pool string, priority int) {
	if s != nil {
		s.issued.WithLabelValues(strconv.Itoa(priority), pool).Inc()
	}
}

func (s *series) revocationOver(pool, outcome string) {
	if s != nil {
		s.revocations.WithLabelValues(outcome, pool).Inc()
	}
}

func (s *series) confirmedAfter(pool string, took time.Duration) {
	if s != nil {
		s.confirmations.WithLabelValues(pool).Observe(took.Seconds())
	}
}

func (s *series) of(pool string, r *Request, outcome Outcome) *waitSeries {
	labels := waitLabels{pool, r.tenant, r.Priority, outcome, modelPair{r.Model, r.TargetModel}}
	known, ok := s.known.Load(labels)
	if !ok {
		known = s.add(labels)
	}
	found := known.(*waitSeries)
	if now := time.Now().Unix(); found.used.Load() != now {
		found.used.Store(now)
	}
	return found
}

func (s *series) add(labels waitLabels) any {
	if s.count.Load() >= maxSeries {
		labels.tenant, labels.models = other, modelPair{other, other}
	}
	priority, outcome := strconv.Itoa(labels.priority), labels.outcome.String()
	made, loaded := s.known.LoadOrStore(labels, &waitSeries{
		duration: s.waits.WithLabelValues(labels.tenant, priority, outcome, labels.pool, labels.models.model, labels.models.target),
		enqueue:  s.enqueues.WithLabelValues(labels.tenant, priority, outcome),
		total:    s.totals.WithLabelValues(outcome, priority, labels.pool),
	})
	if !loaded {
		s.count.Add(1)
	}
	return made
}

// forget drops the series of a pool.
func (s *series) forget(pool string) {
	if s == nil {
		return
	}
	s.drop(func(labels waitLabels) bool { return labels.pool == pool })
	of := prometheus.Labels{"inference_pool": pool}
	s.waits.DeletePartialMatch(of)
	s.confirmations.DeletePartialMatch(of)
	for _, counter := range []*prometheus.CounterVec{s.totals, s.issued, s.revocations} {
		counter.DeletePartialMatch(of)
	}
}

func (s *series) drop(gone func(waitLabels) bool) {
	s.known.Range(func(key, _ any) bool {
		if gone(key.(waitLabels)) {
			s.known.Delete(key)
			s.count.Add(-1)
		}
		return true
	})
}

// sweep drops the series of tenants that have sent nothing for long: clients choose those names, and there is no end of them. It
// looks once a minute. What is counted for such a tenant at this very moment may be lost.
func (s *series) sweep(now time.Time) {
	last := s.swept.Load()
	if now.Unix()-last < 60 || !s.swept.CompareAndSwap(last, now.Unix()) {
		return
	}
	used := map[string]int64{}
	s.known.Range(func(key, value any) bool {
		tenant := key.(waitLabels).tenant
		used[tenant] = max(used[tenant], value.(*waitSeries).used.Load())
		return true
	})
	delete(used, other)
	delete(used, DefaultFairness)
	for tenant, at := range used {
		if now.Unix()-at < int64(tenantIdle.Seconds()) {
			continue
		}
		s.drop(func(labels waitLabels) bool { return labels.tenant == tenant })
		of := prometheus.Labels{"fairness_id": tenant}
		s.waits.DeletePartialMatch(of)
		s.enqueues.DeletePartialMatch(of)
	}
}
