package scorer_test

import (
	"testing"

	"github.com/switchyard/switchyard/epp/latency"
	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/scorer"
)

func TestLatency(t *testing.T) {
	f := func(ttft, ttftLimit, tpot, tpotLimit float64) latency.Forecast {
		return latency.Forecast{Prediction: latency.Prediction{TTFT: ttft, TPOT: tpot}, TTFTLimit: ttftLimit, TPOTLimit: tpotLimit}
	}
	busy := scheduling.Load{Requests: 1}
	for _, test := range []struct {
		name, parameters string
		loads            []scheduling.Load
		forecasts        []latency.Forecast
		want             []float32
	}{
		{"without limits the fastest", ``, []scheduling.Load{busy, {}, busy},
			[]latency.Forecast{f(100, 0, 0, 0), f(300, 0, 0, 0), f(200, 0, 0, 0)}, []float32{1, 0.01, 0.505}},
		{"without limits the strategy does not count", `{"headroomSelectionStrategy":"most"}`, []scheduling.Load{busy, busy},
			[]latency.Forecast{f(100, 0, 5, 0), f(300, 0, 9, 0)}, []float32{1, 0.01}},
		{"both kinds by weight", ``, []scheduling.Load{busy, busy},
			[]latency.Forecast{f(100, 0, 9, 0), f(300, 0, 5, 0)}, []float32{0.01 + 0.99*0.8, 0.01 + 0.99*0.2}},
		{"a kind in which all are equal does not count", `{"ttftWeight":1,"tpotWeight":9}`, []scheduling.Load{busy, busy},
			[]latency.Forecast{f(100, 0, 5, 0), f(300, 0, 5, 0)}, []float32{1, 0.01}},
		{"all equal", ``, []scheduling.Load{busy, busy}, []latency.Forecast{f(1, 0, 5, 0), f(1, 0, 5, 0)}, []float32{1, 1}},
		{"least to spare", ``, []scheduling.Load{busy, busy, busy},
			[]latency.Forecast{f(100, 400, 0, 0), f(300, 400, 0, 0), f(500, 400, 0, 0)}, []float32{0.01, 1, 0}},
		{"most to spare", `{"headroomSelectionStrategy":"most"}`, []scheduling.Load{busy, busy, busy},
			[]latency.Forecast{f(100, 400, 0, 0), f(300, 400, 0, 0), f(500, 400, 0, 0)}, []float32{1, 0.01, 0}},
		{"nobody keeps the limit: the least miss", `{"headroomSelectionStrategy":"most"}`, []scheduling.Load{busy, busy},
			[]latency.Forecast{f(500, 400, 0, 0), f(450, 400, 0, 0)}, []float32{0.01, 1}},
		{"nobody keeps the limit: who is idle", ``, []scheduling.Load{busy, {}},
			[]latency.Forecast{f(500, 400, 0, 0), f(900, 400, 0, 0)}, []float32{0, 1}},
		{"a late token is worse than slow ones", ``, []scheduling.Load{busy, busy, busy},
			[]latency.Forecast{f(500, 400, 1, 2), f(300, 400, 9, 2), f(500, 400, 9, 2)}, []float32{0, 1, 0}},
		{"one late is better than both", ``, []scheduling.Load{busy, busy},
			[]latency.Forecast{f(500, 400, 1, 2), f(401, 400, 3, 2)}, []float32{1, 0}},
		{"without predictions", ``, []scheduling.Load{{KVUsage: 0.4, Waiting: 0}, {KVUsage: 0.1, Waiting: 10}}, nil,
			[]float32{(0.6 + 1 + 0.5) / 3, (0.9 + 0 + 1) / 3}},
		{"without predictions, by weight", `{"compositeKVWeight":0,"compositeQueueWeight":3,"compositePrefixWeight":1}`,
			[]scheduling.Load{{KVUsage: 0.4, Waiting: 5}, {KVUsage: 0.1, Waiting: 10}}, nil, []float32{0.5*0.75 + 0.5*0.25, 0.25}},
		{"weights of nothing", `{"compositeKVWeight":0,"compositeQueueWeight":0,"compositePrefixWeight":0,"ttftWeight":0,"tpotWeight":0}`,
			[]scheduling.Load{{KVUsage: 0.4}, {KVUsage: 0.1}}, nil, []float32{0.6, 0.9}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := cycleOf(t, test.loads...)
			c.Keys = make([]uint64, 2)
			c.PrefixBlocks[0], c.PrefixBlocks[1] = 1, 2
			if test.forecasts != nil {
				latency.Attach(c, test.forecasts)
			}
			expectScores(t, must(scorer.NewLatency([]byte(test.parameters))), c, test.want)
		})
	}
}

func TestLatencyScoresASubset(t *testing.T) {
	c := cycleOf(t, scheduling.Load{}, scheduling.Load{}, scheduling.Load{})
	latency.Attach(c, []latency.Forecast{
		{Prediction: latency.Prediction{TTFT: 1}}, {Prediction: latency.Prediction{TTFT: 9}}, {Prediction: latency.Prediction{TTFT: 5}}})
	got := make([]float32, 2)
	must(scorer.NewLatency(nil)).Score(c, []int{1, 2}, got)
	if got[0] != 0.01 || got[1] != 1 {
		t.Errorf("scores of candidates 1 and 2 are %v, want [0.01 1]", got)
	}
}

func TestLatencyParameters(t *testing.T) {
	for _, bad := range []string{`{"ttftWeight":-1}`, `{"compositeQueueWeight":-1}`, `{"headroomSelectionStrategy":"some"}`, `{"x":1}`,
		`{"latencyPredictionInfoProducerName":"x"}`, `{"prefixMatchInfoProducerName":"x"}`} {
		if _, err := scorer.NewLatency([]byte(bad)); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}
