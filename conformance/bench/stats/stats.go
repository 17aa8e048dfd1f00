// Package stats turns raw samples into the few figures that a benchmark reports.
//
// It knows neither clocks nor Kubernetes, and it never drops a sample: the raw figures stay beside the summary.
//
//	samples -> Distribution
package stats

import (
	"math"
	"slices"
	"time"
)

// Distribution summarises durations. All figures are milliseconds. The zero value means that nothing was measured.
type Distribution struct {
	Count int     `json:"count"`
	Min   float64 `json:"minMs"`
	Mean  float64 `json:"meanMs"`
	P50   float64 `json:"p50Ms"`
	P90   float64 `json:"p90Ms"`
	P99   float64 `json:"p99Ms"`
	Max   float64 `json:"maxMs"`
	// Samples are in the order in which they were taken.
	Samples []float64 `json:"samplesMs,omitempty"`
}

// Summarize does not keep or reorder the given slice.
func Summarize(samples []time.Duration) Distribution {
	if len(samples) == 0 {
		return Distribution{}
	}
	raw := make([]float64, len(samples))
	sum := 0.0
	for i, s := range samples {
		raw[i] = Milliseconds(s)
		sum += raw[i]
	}
	sorted := slices.Sorted(slices.Values(raw))
	return Distribution{
		Count:   len(raw),
		Min:     sorted[0],
		Mean:    sum / float64(len(raw)),
		P50:     Percentile(sorted, 50),
		P90:     Percentile(sorted, 90),
		P99:     Percentile(sorted, 99),
		Max:     sorted[len(sorted)-1],
		Samples: raw,
	}
}

// Percentile is the smallest sample that is not below p percent of all samples (the nearest rank), so that it is always a value that
// was measured. The samples must be sorted; of none it is 0.
func Percentile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// Milliseconds keeps the parts of a millisecond.
func Milliseconds(d time.Duration) float64 {
	return float64(d) / float64(time.Millisecond)
}

// Ratio of a figure to its floor; 0 when there is no floor.
func Ratio(figure, floor float64) float64 {
	if floor <= 0 {
		return 0
	}
	return figure / floor
}
