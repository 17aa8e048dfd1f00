package producer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/latency"
	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/producer"
)

// predictor is a training server and a prediction server. It predicts 10 ms per waiting request and 1 ms per running one.
type predictor struct {
	*httptest.Server
	mu     sync.Mutex
	asked  []map[string]any
	learnt []map[string]any
	broken bool
}

func newPredictor(t *testing.T) *predictor {
	p := &predictor{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var given struct{ Requests, Entries []map[string]any }
		if err := json.NewDecoder(r.Body).Decode(&given); err != nil {
			t.Error(err)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.broken {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		p.asked = append(p.asked, given.Requests...)
		p.learnt = append(p.learnt, given.Entries...)
		var predictions []string
		for _, row := range given.Requests {
			predictions = append(predictions, fmt.Sprintf(`{"ttft_ms":%g,"tpot_ms":%g}`, 10*row["num_request_waiting"].(float64), row["num_request_running"]))
		}
		_, _ = fmt.Fprintf(w, `{"predictions":[%s]}`, strings.Join(predictions, ","))
	}))
	t.Cleanup(p.Close)
	t.Setenv("PREDICTION_SERVER_URL", p.URL)
	t.Setenv("TRAINING_SERVER_URL", p.URL)
	return p
}

func (p *predictor) entries() []map[string]any {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.learnt)
}

func (p *predictor) questions() []map[string]any {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

// predicting makes a plugin that runs until the test ends.
func predicting(t *testing.T, parameters string) *producer.PredictedLatency {
	t.Helper()
	p, err := producer.NewPredictedLatency([]byte(parameters))
	if err != nil {
		t.Fatal(err)
	}
	p.FlushEvery(time.Millisecond)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx, nil) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return p
}

const scraped = datalayer.HasWaiting | datalayer.HasRunning | datalayer.HasKVUsage

// latencyCycle is a cycle of candidates with 0, 1, 2... waiting and 5, 6, 7... running requests.
func latencyCycle(t *testing.T, n int, labels ...map[string]string) *scheduling.Cycle {
	t.Helper()
	pools := datalayer.New(datalayer.Options{})
	specs := serverSpecs(n)
	for i := range labels {
		specs[i].Labels = labels[i]
	}
	pools.Set("ns/pool", specs)
	pool, _ := pools.Get("ns/pool")
	c := scheduling.NewCycle(&body.Request{Model: "m", PromptBytes: 400}, pool.Endpoints(), time.Now())
	for i := range c.Loads {
		c.Loads[i] = scheduling.Load{Known: scraped, Waiting: float32(i), Running: float32(5 + i), KVUsage: 0.25, Tokens: int64(100 * i)}
	}
	t.Cleanup(c.Release)
	return c
}

// produce asks until there is an answer: the client begins to run beside the test.
func produce(t *testing.T, p *producer.PredictedLatency, c *scheduling.Cycle) []latency.Forecast {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		p.Produce(c)
		if forecasts := latency.Forecasts(c); forecasts != nil {
			return forecasts
		}
		if time.Now().After(deadline) {
			t.Fatal("no forecasts")
		}
	}
}

func TestPredictedLatencyAsksWithTheFeaturesOfEachCandidate(t *testing.T) {
	server := newPredictor(t)
	p := predicting(t, `{"endpointRoleLabel":"role"}`)
	c := latencyCycle(t, 2, map[string]string{"role": "decode"})
	c.Keys = append(c.Keys, 1, 2, 3, 4)
	c.PrefixBlocks[1] = 3
	produce(t, p, c)
	want := []map[string]any{
		{"kv_cache_percentage": 0.25, "input_token_length": 100.0, "num_request_waiting": 0.0, "num_request_running": 5.0,
			"num_tokens_generated": 1.0, "prefix_cache_score": 0.0, "encoder_input_size": 0.0, "encoder_matched_size": 0.0, "pod_type": "decode",
			"prefill_tokens_in_flight": 0.0, "decode_tokens_in_flight": 0.0},
		{"kv_cache_percentage": 0.25, "input_token_length": 100.0, "num_request_waiting": 1.0, "num_request_running": 6.0,
			"num_tokens_generated": 1.0, "prefix_cache_score": 0.75, "encoder_input_size": 0.0, "encoder_matched_size": 0.0,
			"prefill_tokens_in_flight": 100.0, "decode_tokens_in_flight": 0.0},
	}
	got := server.questions()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("asked\n%v\nwant\n%v", got, want)
	}
}

func TestPredictedLatencyKnowsEncoderCaches(t *testing.T) {
	for parameters, want := range map[string][2]float64{`{"useEncoderCacheFeatures":true}`: {2, 1}, ``: {0, 0}} {
		server := newPredictor(t)
		p, cache, pools := predicting(t, parameters), newEncoderCache(t, ``), servers(t, 1)
		c := chatCycle(t, pools, "a")
		cache.Produce(c)
		cache.Follow(c, []int{0})
		c = chatCycle(t, pools, "a", "b")
		cache.Produce(c)
		produce(t, p, c)
		if got := server.questions()[0]; got["encoder_input_size"] != want[0] || got["encoder_matched_size"] != want[1] {
			t.Errorf("%s: asked %v", parameters, got)
		}
	}
}

func TestPredictedLatencyHoldsPredictionsAgainstLimits(t *testing.T) {
	newPredictor(t)
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	for name, test := range map[string]struct {
		parameters string
		ttft, tpot time.Duration
		want       []latency.Forecast
	}{
		"whole answers have no TPOT": {``, ms(15), ms(3), []latency.Forecast{
			{Prediction: latency.Prediction{TTFT: 0}, TTFTLimit: 15}, {Prediction: latency.Prediction{TTFT: 10}, TTFTLimit: 15}}},
		"streams have": {`{"streamingMode":true}`, ms(15), ms(3), []latency.Forecast{
			{Prediction: latency.Prediction{TTFT: 0, TPOT: 5}, TTFTLimit: 15, TPOTLimit: 3}, {Prediction: latency.Prediction{TTFT: 10, TPOT: 6}, TTFTLimit: 15, TPOTLimit: 3}}},
		"a buffer": {`{"streamingMode":true,"sloBufferFactor":0.5}`, 0, ms(8), []latency.Forecast{
			{Prediction: latency.Prediction{TTFT: 0, TPOT: 5}, TPOTLimit: 4}, {Prediction: latency.Prediction{TTFT: 10, TPOT: 6}, TPOTLimit: 4}}},
		"who works on prefill has no TPOT": {`{"streamingMode":true,"endpointRoleLabel":"role"}`, 0, ms(8), []latency.Forecast{
			{Prediction: latency.Prediction{TTFT: 0}}, {Prediction: latency.Prediction{TTFT: 10, TPOT: 6}, TPOTLimit: 8}}},
	} {
		c := latencyCycle(t, 2, map[string]string{"role": "prefill"})
		c.TTFT, c.TPOT = test.ttft, test.tpot
		if got := produce(t, predicting(t, test.parameters), c); !slices.Equal(got, test.want) {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}

func TestRequestsUnderWayMakeTheLimitStricter(t *testing.T) {
	newPredictor(t)
	p := predicting(t, `{"streamingMode":true}`)
	limits := func() (got []float64) {
		c := latencyCycle(t, 2)
		c.TPOT = 9 * time.Millisecond
		for _, forecast := range produce(t, p, c) {
			got = append(got, forecast.TPOTLimit)
		}
		return got
	}
	place := func(ms int) scheduling.Followed {
		c := latencyCycle(t, 2)
		c.TPOT = time.Duration(ms) * time.Millisecond
		return p.Follow(c, []int{1})
	}
	a, b, d := place(7), place(4), place(4)
	expect := func(want ...float64) {
		t.Helper()
		if got := limits(); !slices.Equal(got, want) {
			t.Errorf("limits %v, want %v", got, want)
		}
	}
	expect(9, 4)
	b.Ended(scheduling.Outcome{Failed: true})
	expect(9, 4)
	d.Ended(scheduling.Outcome{Failed: true})
	expect(9, 7)
	a.Ended(scheduling.Outcome{Failed: true})
	expect(9, 9)
}

func TestPredictedLatencyLearns(t *testing.T) {
	began := time.Now()
	at := func(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }
	for name, test := range map[string]struct {
		parameters string
		change     func(c *scheduling.Cycle)
		outcome    scheduling.Outcome
		want       [][2]float64 // TTFT, TPOT
	}{
		"whole answers":         {``, nil, scheduling.Outcome{At: at(110), Output: 11, Streamed: true}, [][2]float64{{110, 0}}},
		"streams":               {`{"streamingMode":true}`, nil, scheduling.Outcome{At: at(110), Output: 11, Streamed: true}, [][2]float64{{10, 0}, {0, 10}}},
		"tokens not told":       {`{"streamingMode":true}`, nil, scheduling.Outcome{At: at(110), Output: -1, Streamed: true}, [][2]float64{{10, 0}}},
		"not a stream":          {`{"streamingMode":true}`, nil, scheduling.Outcome{At: at(110), Output: 11}, nil},
		"failed":                {``, nil, scheduling.Outcome{At: at(110), Failed: true}, nil},
		"too long":              {`{"contextTTL":"100ms"}`, nil, scheduling.Outcome{At: at(110)}, nil},
		"too long, nanoseconds": {`{"contextTTL":100000000}`, nil, scheduling.Outcome{At: at(110)}, nil},
		"served elsewhere":      {``, nil, scheduling.Outcome{At: at(110), Endpoint: &datalayer.Endpoint{Address: "10.9.9.9:1"}}, nil},
		"load not known":        {``, func(c *scheduling.Cycle) { c.Loads[1].Known = 0 }, scheduling.Outcome{At: at(110)}, nil},
		"training only":         {`{"predictInProduce":false}`, nil, scheduling.Outcome{At: at(110)}, [][2]float64{{110, 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			server := newPredictor(t)
			p := predicting(t, test.parameters)
			c := latencyCycle(t, 2)
			if test.change != nil {
				test.change(c)
			}
			p.Produce(c)
			followed := p.Follow(c, []int{1})
			followed.Answering(at(10))
			test.outcome.Began = began
			followed.Ended(test.outcome)
			// What comes last is learnt last: then all before it is there.
			last := p.Follow(latencyCycle(t, 1), []int{0})
			last.Answering(at(1))
			last.Ended(scheduling.Outcome{Began: began, At: at(2), Streamed: true, Output: -1})
			deadline := time.Now().Add(10 * time.Second)
			for len(server.entries()) <= len(test.want) {
				if time.Now().After(deadline) {
					t.Fatalf("learnt %v", server.entries())
				}
				time.Sleep(time.Millisecond)
			}
			entries := server.entries()
			if len(entries) != len(test.want)+1 {
				t.Fatalf("learnt %v, want %v and the last", entries, test.want)
			}
			for i, want := range test.want {
				if got := entries[i]; got["actual_ttft_ms"] != want[0] || got["actual_tpot_ms"] != want[1] || got["num_request_waiting"] != 1.0 {
					t.Errorf("sample %d: %v, want %v", i, got, want)
				}
			}
			p.Produce(latencyCycle(t, 2))
			if asked := len(server.questions()); strings.Contains(test.parameters, "predictInProduce") && asked != 0 {
				t.Errorf("asked %d times in training only", asked)
			}
		})
	}
}

func TestTheTimeToTheFirstTokenIsThatOfThePrefill(t *testing.T) {
	server := newPredictor(t)
	p := predicting(t, `{"streamingMode":true}`)
	c := latencyCycle(t, 3)
	c.AddStage(scheduling.StagePrefill, 2)
	followed := p.Follow(c, []int{1})
	began := time.Now()
	followed.Answering(began.Add(time.Second))
	followed.Ended(scheduling.Outcome{Began: began, At: began.Add(2 * time.Second), Streamed: true, Output: 5})
	deadline := time.Now().Add(10 * time.Second)
	for len(server.entries()) < 2 {
		if time.Now().After(deadline) {
			t.Fatal("nothing is learnt")
		}
		time.Sleep(time.Millisecond)
	}
	if got := server.entries(); got[0]["num_request_waiting"] != 2.0 || got[1]["num_request_waiting"] != 1.0 {
		t.Errorf("learnt %v", got)
	}
}

func TestWithoutAPredictorThereAreNoForecasts(t *testing.T) {
	server := newPredictor(t)
	server.mu.Lock()
	server.broken = true
	server.mu.Unlock()
	p := predicting(t, ``)
	away := func() bool {
		began := time.Now()
		c := latencyCycle(t, 2)
		p.Produce(c)
		if latency.Forecasts(c) != nil {
			t.Fatal("forecasts without an answer")
		}
		return time.Since(began) < 5*time.Millisecond
	}
	deadline := time.Now().Add(10 * time.Second)
	for quick := 0; quick < 3; {
		if away() {
			quick++
		}
		if time.Now().After(deadline) {
			t.Fatal("requests wait for a predictor that is away")
		}
	}
}

func TestPredictedLatencyMetrics(t *testing.T) {
	newPredictor(t)
	p := predicting(t, `{"streamingMode":true}`)
	registry := prometheus.NewPedanticRegistry()
	for _, collector := range p.Collectors() {
		if err := registry.Register(collector); err != nil {
			t.Fatal(err)
		}
	}
	c := latencyCycle(t, 2)
	c.Request.Model, c.TargetModel = "asked-for", "served"
	c.TTFT, c.TPOT = 5*time.Millisecond, time.Second
	produce(t, p, c)
	followed := p.Follow(c, []int{1})
	began := time.Now()
	followed.Answering(began.Add(20 * time.Millisecond))
	followed.Ended(scheduling.Outcome{Began: began, At: began.Add(60 * time.Millisecond), Streamed: true, Output: 5})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			kind, mine := "", false
			for _, l := range metric.GetLabel() {
				if l.GetName() == "type" || l.GetName() == "outcome" {
					kind = l.GetValue()
				}
				mine = mine || l.GetName() == "target_model_name" && l.GetValue() == "served" || l.GetName() == "outcome"
			}
			if mine {
				got[strings.Trim(strings.TrimPrefix(family.GetName(), "llm_d_epp_")+" "+kind, " ")] =
					metric.GetGauge().GetValue() + metric.GetCounter().GetValue() + metric.GetHistogram().GetSampleSum()
			}
		}
	}
	for name, want := range map[string]float64{
		"inference_request_metric ttft": 0.02, "inference_request_metric tpot": 0.01, "inference_request_metric predicted_ttft": 0.01,
		"inference_request_metric predicted_tpot": 0.006, "inference_request_metric ttft_slo_violation": 1,
		"inference_request_metric tpot_slo_violation": 0, "request_predicted_ttft_seconds": 0.01, "request_predicted_tpot_seconds": 0.006,
		"request_slo_violation_total ttft": 1,
	} {
		if value, there := got[name]; !there || value < want*0.999 || value > want*1.001 {
			t.Errorf("%s is %g, %t; want %g", name, value, there, want)
		}
	}
	if _, there := got["request_slo_violation_total tpot"]; there {
		t.Error("a limit that was kept counts as missed")
	}
	for _, name := range []string{"request_ttft_prediction_duration_seconds", "request_tpot_prediction_duration_seconds", "latency_predictions_total ok"} {
		if got[name] <= 0 {
			t.Errorf("%s is %g", name, got[name])
		}
	}
}

func TestPredictedLatencyParameters(t *testing.T) {
	for _, bad := range []string{`{"sloBufferFactor":0}`, `{"contextTTL":"0s"}`, `{"contextTTL":"soon"}`, `{"samplingMean":0}`, `{"x":1}`,
		`{"maxDecodeTokenSamplesForPrediction":-1}`, `{"prefixMatchInfoProducerName":"x"}`, `{"inFlightLoadProducerName":"x"}`} {
		if _, err := producer.NewPredictedLatency([]byte(bad)); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
	if _, err := producer.NewPredictedLatency([]byte(`{"contextTTL":"1m30s","samplingMean":500}`)); err != nil {
		t.Error(err)
	}
	t.Setenv("PREDICTION_SERVER_URL", "nowhere")
	if _, err := producer.NewPredictedLatency(nil); err == nil || !strings.Contains(err.Error(), "PREDICTION_SERVER_URL") {
		t.Errorf("error %v", err)
	}
	if producer.PredictedLatencyType != latency.Producer {
		t.Error("the type and the name that others give it differ")
	}
}

func TestPredictedLatencyLeavesNothingBehind(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	server := newPredictor(t)
	defer server.Close()
	p, err := producer.NewPredictedLatency(nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx, nil) }()
	produce(t, p, latencyCycle(t, 3))
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
