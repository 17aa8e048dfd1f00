package metrics

import "github.com/prometheus/client_golang/prometheus"

// latencyBuckets are seconds.
var latencyBuckets = []float64{.005, .025, .05, .1, .2, .4, .6, .8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60, 120,
	180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600}

// schedulerBuckets are seconds.
var schedulerBuckets = []float64{.0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1}

// sizeBuckets are bytes: powers of two from 64 to 1 GiB.
func sizeBuckets() []float64 { return prometheus.ExponentialBuckets(64, 2, 25) }

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

func histograms(name, text string, buckets []float64) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help(text), Buckets: buckets}, requestLabels)
}
