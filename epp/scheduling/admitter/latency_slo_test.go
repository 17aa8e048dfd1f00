package admitter_test

import (
	"errors"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/latency"
	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/admitter"
)

func TestLatencySLO(t *testing.T) {
	known := datalayer.HasWaiting | datalayer.HasRunning | datalayer.HasKVUsage
	busy := scheduling.Load{Known: known, Running: 3, KVUsage: 0.5}
	late := latency.Forecast{Prediction: latency.Prediction{TTFT: 11, TPOT: 1}, TTFTLimit: 10}
	slow := latency.Forecast{Prediction: latency.Prediction{TTFT: 1, TPOT: 3}, TPOTLimit: 2}
	fine := latency.Forecast{Prediction: latency.Prediction{TTFT: 10, TPOT: 3}, TTFTLimit: 10}
	plugin, err := admitter.NewLatencySLO(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		priority   int
		ttft, tpot time.Duration
		load       scheduling.Load
		forecasts  []latency.Forecast
		refused    bool
	}{
		"nobody keeps the limit":        {-1, 10, 0, busy, []latency.Forecast{late, late}, true},
		"nobody keeps either":           {-1, 10, 2, busy, []latency.Forecast{late, slow}, true},
		"one keeps it":                  {-1, 10, 0, busy, []latency.Forecast{late, fine}, false},
		"not to be shed":                {0, 10, 0, busy, []latency.Forecast{late, late}, false},
		"no limits":                     {-1, 0, 0, busy, []latency.Forecast{late, late}, false},
		"no predictions":                {-1, 10, 0, busy, nil, false},
		"one is idle":                   {-1, 10, 0, scheduling.Load{Known: known, KVUsage: 0.5}, []latency.Forecast{late, late}, false},
		"one is cold":                   {-1, 10, 0, scheduling.Load{Known: known, Running: 3, KVUsage: 0.019}, []latency.Forecast{late, late}, false},
		"not idle, by our own requests": {-1, 10, 0, scheduling.Load{Known: known, KVUsage: 0.5, Requests: 1}, []latency.Forecast{late, late}, true},
		"numbers not known":             {-1, 10, 0, scheduling.Load{}, []latency.Forecast{late, late}, true},
	} {
		pools := datalayer.New(datalayer.Options{})
		pools.Set("ns/pool", []datalayer.Spec{{Name: "a", Address: "10.0.0.1:1"}, {Name: "b", Address: "10.0.0.2:1"}})
		pool, _ := pools.Get("ns/pool")
		c := scheduling.NewCycle(&body.Request{}, pool.Endpoints(), time.Now())
		c.Priority, c.TTFT, c.TPOT = test.priority, test.ttft*time.Millisecond, test.tpot*time.Millisecond
		c.Loads[0], c.Loads[1] = busy, test.load
		if test.forecasts != nil {
			latency.Attach(c, test.forecasts)
		}
		err := plugin.Admit(c)
		if (err != nil) != test.refused || err != nil && !errors.Is(err, scheduling.ErrNotAdmitted) {
			t.Errorf("%s: error %v, want a refusal: %t", name, err, test.refused)
		}
		c.Release()
	}
	for _, bad := range []string{`{"latencyPredictionInfoProducerName":"x"}`, `{"x":1}`} {
		if _, err := admitter.NewLatencySLO([]byte(bad)); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}
