package epp

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// metricsNamespace begins the names of all series of a picker.
const metricsNamespace = "llm_d_epp"

// streamBuckets are seconds; a stream lasts as long as its request, so they reach further than those that dashboards know.
var streamBuckets = []float64{.001, .005, .01, .05, .1, .5, 1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600}

// streamMetrics count ext_proc streams.
type streamMetrics struct {
	inFlight prometheus.Gauge
	duration prometheus.Histogram
	total    *prometheus.CounterVec
}

func newStreamMetrics(registerer prometheus.Registerer) (*streamMetrics, error) {
	m := &streamMetrics{
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: metricsNamespace, Name: "extproc_streams_inflight",
			Help: "[ALPHA] ext_proc streams open now."}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: metricsNamespace, Name: "extproc_stream_duration_seconds",
			Help: "[ALPHA] How long ext_proc streams were open.", Buckets: streamBuckets}),
		total: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: metricsNamespace, Name: "extproc_streams_total",
			Help: "[ALPHA] ext_proc streams that ended, by the gRPC code of their end."}, []string{"code"}),
	}
	return m, registerAll(registerer, m.inFlight, m.duration, m.total)
}

// registerAll registers collectors. Two plugins may show the same one.
func registerAll(registerer prometheus.Registerer, collectors ...prometheus.Collector) error {
	for _, collector := range collectors {
		err := registerer.Register(collector)
		var again prometheus.AlreadyRegisteredError
		if err != nil && !(errors.As(err, &again) && again.ExistingCollector == collector) {
			return err
		}
	}
	return nil
}

func (m *streamMetrics) begin() { m.inFlight.Inc() }

func (m *streamMetrics) end(began time.Time, err error) {
	m.inFlight.Dec()
	m.duration.Observe(time.Since(began).Seconds())
	m.total.WithLabelValues(codeOf(err).String()).Inc()
}

// codeOf is the code that the proxy is told; errors of a context have no status of their own.
func codeOf(err error) codes.Code {
	if s, ok := status.FromError(err); ok {
		return s.Code()
	}
	if c := status.FromContextError(err).Code(); c != codes.Unknown {
		return c
	}
	return codes.Unknown
}
