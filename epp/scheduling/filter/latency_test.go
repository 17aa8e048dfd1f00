package filter_test

import (
	"slices"
	"testing"

	"github.com/switchyard/switchyard/epp/latency"
	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/filter"
)

// forecast is one without limits.
func forecast(ttft, tpot float64) latency.Forecast {
	return latency.Forecast{Prediction: latency.Prediction{TTFT: ttft, TPOT: tpot}}
}

// limited is one with limits.
func limited(ttft, ttftLimit, tpot, tpotLimit float64) latency.Forecast {
	return latency.Forecast{Prediction: latency.Prediction{TTFT: ttft, TPOT: tpot}, TTFTLimit: ttftLimit, TPOTLimit: tpotLimit}
}

func TestSLOHeadroomTier(t *testing.T) {
	for name, test := range map[string]struct {
		parameters string
		forecasts  []latency.Forecast
		want       []int
	}{
		"those that keep the limits": {`{"epsilonExploreNeg":0}`, []latency.Forecast{
			limited(10, 10, 1, 2), limited(11, 10, 1, 2), limited(9, 10, 3, 2), limited(0, 10, 0, 2)}, []int{0, 3}},
		"exploring":               {`{"epsilonExploreNeg":1}`, []latency.Forecast{limited(10, 10, 0, 0), limited(11, 10, 0, 0), limited(12, 10, 0, 0)}, []int{1, 2}},
		"a limit of one kind":     {`{"epsilonExploreNeg":0}`, []latency.Forecast{limited(10, 10, 99, 0), limited(11, 10, 99, 0)}, []int{0}},
		"nobody keeps them":       {``, []latency.Forecast{limited(11, 10, 0, 0), limited(12, 10, 0, 0)}, []int{0, 1}},
		"everybody keeps them":    {`{"epsilonExploreNeg":1}`, []latency.Forecast{limited(1, 10, 0, 0), limited(2, 10, 0, 0)}, []int{0, 1}},
		"no limits":               {`{"epsilonExploreNeg":1}`, []latency.Forecast{forecast(1, 1), forecast(1000, 1000)}, []int{0, 1}},
		"no predictions":          {`{"epsilonExploreNeg":0}`, nil, []int{0, 1}},
		"predictions of others":   {`{"epsilonExploreNeg":0}`, []latency.Forecast{limited(11, 10, 0, 0)}, []int{0, 1}},
		"one endpoint that fails": {`{"epsilonExploreNeg":0}`, []latency.Forecast{limited(11, 10, 0, 0)}, []int{0}},
	} {
		c := loaded(t, make([]scheduling.Load, max(len(test.want), len(test.forecasts)))...)
		if test.forecasts != nil {
			latency.Attach(c, test.forecasts)
		}
		if got := build(t, filter.NewSLOHeadroomTier, test.parameters).Filter(c, c.Indices()); !slices.Equal(got, test.want) {
			t.Errorf("%s: keeps %v, want %v", name, got, test.want)
		}
	}
	c := loaded(t, make([]scheduling.Load, 2)...)
	latency.Attach(c, []latency.Forecast{limited(1, 10, 0, 0), limited(11, 10, 0, 0)})
	explored := 0
	for f, i := build(t, filter.NewSLOHeadroomTier, `{"epsilonExploreNeg":0.2}`), 0; i < 10_000; i++ {
		if f.Filter(c, c.Indices())[0] == 1 {
			explored++
		}
	}
	if explored < 1500 || explored > 2500 {
		t.Errorf("explored %d of 10000 times, want about 2000", explored)
	}
	for _, bad := range []string{`{"epsilonExploreNeg":-0.1}`, `{"epsilonExploreNeg":1.1}`, `{"latencyPredictionInfoProducerName":"x"}`, `{"x":1}`} {
		if _, err := filter.NewSLOHeadroomTier([]byte(bad)); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}

func TestPrefixCacheAffinityByPredictions(t *testing.T) {
	for name, test := range map[string]struct {
		parameters string
		forecasts  []latency.Forecast
		want       []int
	}{
		"not too slow":             {`{"ttftSource":"latencyPredictor","maxTTFTPenaltyMs":100}`, []latency.Forecast{forecast(500, 0), forecast(150, 0), forecast(50, 0)}, []int{0, 1}},
		"too slow":                 {`{"ttftSource":"latencyPredictor","maxTTFTPenaltyMs":99}`, []latency.Forecast{forecast(500, 0), forecast(150, 0), forecast(50, 0)}, []int{0, 1, 2}},
		"no predictions":           {`{"ttftSource":"latencyPredictor"}`, nil, []int{0, 1, 2}},
		"no limit, no predictions": {`{"ttftSource":"latencyPredictor","maxTTFTPenaltyMs":0}`, nil, []int{0, 1}},
		"predictions do not count": {`{"ttftSource":"prefillThroughput","maxTTFTPenaltyMs":99}`, []latency.Forecast{forecast(500, 0), forecast(150, 0), forecast(50, 0)}, []int{0, 1}},
	} {
		c := loaded(t, make([]scheduling.Load, 3)...)
		c.Keys = make([]uint64, 10)
		copy(c.PrefixBlocks, []int{10, 9, 1})
		if test.forecasts != nil {
			latency.Attach(c, test.forecasts)
		}
		if got := build(t, filter.NewPrefixCacheAffinity, test.parameters).Filter(c, c.Indices()); !slices.Equal(got, test.want) {
			t.Errorf("%s: keeps %v, want %v", name, got, test.want)
		}
	}
}
