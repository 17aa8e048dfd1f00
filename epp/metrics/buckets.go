package metrics

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// Buckets in seconds.
var (
	latencyBuckets = []float64{.005, .025, .05, .1, .2, .4, .6, .8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60, 120,
		180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600}
	firstTokenBuckets = latencyBuckets[:slices.Index(latencyBuckets, 120)+1]
	perTokenBuckets   = []float64{.0005, .00205, .005, .01, .02, .04, .06, .08, .1, .125, .15, .2, .3, .4, .5, .6, .8, 1, 2}
	gapBuckets        = []float64{.001, .005, .01, .02, .04, .06, .08, .1, .15, .2, .3, .5, .75, 1, 2}
	normalizedBuckets = []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10}
	schedulerBuckets  = []float64{.0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1}
	requestBuckets    = []float64{.0005, .001, .002, .005, .01, .015, .025, .04, .06, .1, .25, .5, 1, 2.5, 5, 10}
	responseBuckets   = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}
)

// shareBuckets are written out: steps of 0.1 that are added up end just below 1, and a whole hit would be beyond them.
var shareBuckets = []float64{0, .1, .2, .3, .4, .5, .6, .7, .8, .9, 1}

// Bounds of the token buckets, in tokens (of a response size: bytes).
const (
	mostInput    = 1 << 20
	mostOutput   = 1 << 13
	mostResponse = 1 << 16
)

// sizeBuckets are bytes: powers of two from 64 to 1 GiB.
func sizeBuckets() []float64 { return prometheus.ExponentialBuckets(64, 2, 25) }

// hitBuckets are bytes of a prompt that an endpoint holds.
func hitBuckets() []float64 { return append([]float64{0}, prometheus.ExponentialBuckets(16, 2, 13)...) }

// tokenBuckets are tokens: 1, then powers of two from 8 to most. 32778 is what dashboards made for these series know.
func tokenBuckets(most int) []float64 {
	buckets := []float64{1}
	for tokens := 8; tokens <= most; tokens *= 2 {
		if tokens == 32768 {
			buckets = append(buckets, 32778)
			continue
		}
		buckets = append(buckets, float64(tokens))
	}
	return buckets
}

func help(text string) string { return "[ALPHA] " + text }

func counters(name, text string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help(text)}, labels)
}

// histograms are those of requests.
func histograms(name, text string, buckets []float64, more ...string) *prometheus.HistogramVec {
	labels := append(slices.Clip(requestLabels), more...)
	return histogramsBy(labels, name, text, buckets)
}

func histogramsBy(labels []string, name, text string, buckets []float64) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help(text), Buckets: buckets}, labels)
}

func histogram(name, text string, buckets []float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help(text), Buckets: buckets})
}
