package stats

import (
	"slices"
	"testing"
	"time"
)

func TestPercentileIsTheNearestRank(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(i + 1)
	}
	for _, test := range []struct {
		name    string
		samples []float64
		p, want float64
	}{
		{"none", nil, 50, 0},
		{"one", []float64{7}, 99, 7},
		{"median of an odd count", []float64{1, 2, 9}, 50, 2},
		{"median of an even count is the lower one", []float64{1, 2, 3, 4}, 50, 2},
		{"p99 of a hundred", hundred, 99, 99},
		{"p90 of a hundred", hundred, 90, 90},
		{"p99 of few is the largest", []float64{1, 2, 3}, 99, 3},
		{"p0 is the smallest", hundred, 0, 1},
		{"p100 is the largest", hundred, 100, 100},
	} {
		if got := Percentile(test.samples, test.p); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

func TestSummarize(t *testing.T) {
	samples := []time.Duration{30 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond, 1500 * time.Microsecond}
	given := slices.Clone(samples)
	d := Summarize(samples)
	if d.Count != 4 || d.Min != 1.5 || d.Max != 30 || d.P50 != 10 || d.P90 != 30 || d.P99 != 30 || d.Mean != 15.375 {
		t.Errorf("unexpected summary: %+v", d)
	}
	if want := []float64{30, 10, 20, 1.5}; !slices.Equal(d.Samples, want) {
		t.Errorf("raw samples %v, want them in the order taken: %v", d.Samples, want)
	}
	if !slices.Equal(samples, given) {
		t.Errorf("the caller's samples were reordered: %v", samples)
	}
	if empty := Summarize(nil); empty.Count != 0 || empty.Max != 0 {
		t.Errorf("summary of nothing: %+v", empty)
	}
}

func TestRatio(t *testing.T) {
	if got := Ratio(30, 2); got != 15 {
		t.Errorf("30 over 2: got %v", got)
	}
	if got := Ratio(30, 0); got != 0 {
		t.Errorf("without a floor: got %v, want 0", got)
	}
}
