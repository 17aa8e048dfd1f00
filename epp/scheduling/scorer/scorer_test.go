package scorer_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/scorer"
)

// must unwraps a constructor's result.
func must[T any](plugin T, err error) T {
	if err != nil {
		panic(err)
	}
	return plugin
}

func cycleOf(t *testing.T, loads ...scheduling.Load) *scheduling.Cycle {
	t.Helper()
	pools := datalayer.New(datalayer.Options{})
	specs := make([]datalayer.Spec, len(loads))
	for i := range specs {
		specs[i] = datalayer.Spec{Name: fmt.Sprintf("pod-%03d-rank-0", i), Address: fmt.Sprintf("10.0.0.%d:8000", i+1)}
	}
	pools.Set("ns/pool", specs)
	pool, _ := pools.Get("ns/pool")
	c := scheduling.NewCycle(&body.Request{Model: "base"}, pool.Endpoints(), time.Now())
	copy(c.Loads, loads)
	t.Cleanup(c.Release)
	return c
}

func waiting(n float32) scheduling.Load   { return scheduling.Load{Waiting: n} }
func running(n float32) scheduling.Load   { return scheduling.Load{Running: n} }
func inFlight(n int64) scheduling.Load    { return scheduling.Load{Requests: n} }
func tokens(n int64) scheduling.Load      { return scheduling.Load{Tokens: n} }
func kvUsage(use float32) scheduling.Load { return scheduling.Load{KVUsage: use} }

func lora(max int, runningAdapters, waitingAdapters []string) scheduling.Load {
	return scheduling.Load{LoRA: &datalayer.LoRA{Running: runningAdapters, Waiting: waitingAdapters, Max: max}}
}

func TestScores(t *testing.T) {
	for _, test := range []struct {
		name   string
		scorer scheduling.Scorer
		loads  []scheduling.Load
		want   []float32
	}{
		{"queue is min-max", must(scorer.NewQueue(nil)), []scheduling.Load{waiting(0), waiting(5), waiting(20)}, []float32{1, 0.75, 0}},
		{"equal queues are all 1", must(scorer.NewQueue(nil)), []scheduling.Load{waiting(7), waiting(7)}, []float32{1, 1}},
		{"own requests beyond the scrape count as waiting", must(scorer.NewQueue(nil)),
			[]scheduling.Load{{Requests: 9, Running: 4}, {Waiting: 4, Running: 4, Requests: 8}, {Waiting: 0, Running: 9, Requests: 9}},
			[]float32{0, 0, 1}},
		{"one more than the scrape shows is lag, not a queue", must(scorer.NewQueue(nil)),
			[]scheduling.Load{{Requests: 5, Running: 4}, {Requests: 4, Running: 4}}, []float32{1, 1}},
		{"running is min-max", must(scorer.NewRunningRequests(nil)), []scheduling.Load{running(2), running(4), running(6)}, []float32{1, 0.5, 0}},
		{"own requests beyond the scrape count as running", must(scorer.NewRunningRequests(nil)),
			[]scheduling.Load{{Running: 1, Requests: 6, Waiting: 2}, running(4), running(2)}, []float32{0, 0, 1}},
		{"free KV cache", must(scorer.NewKVCacheUtilization(nil)), []scheduling.Load{kvUsage(0), kvUsage(0.25), kvUsage(1)}, []float32{1, 0.75, 0}},
		{"requests in flight", must(scorer.NewActiveRequest(nil)), []scheduling.Load{inFlight(0), inFlight(1), inFlight(4)}, []float32{1, 0.75, 0}},
		{"idle threshold and best busy score", must(scorer.NewActiveRequest([]byte(`{"idleThreshold":1,"maxBusyScore":0.5}`))),
			[]scheduling.Load{inFlight(1), inFlight(2), inFlight(4)}, []float32{1, 0.25, 0}},
		{"tokens in flight", must(scorer.NewTokenLoad([]byte(`{"queueThresholdTokens":1000}`))),
			[]scheduling.Load{tokens(0), tokens(250), tokens(5000)}, []float32{1, 0.75, 0}},
		{"tokens in flight, default threshold", must(scorer.NewTokenLoad(nil)), []scheduling.Load{tokens(1 << 20)}, []float32{0.75}},
		{"absolute queue", must(scorer.NewLoadAware(nil)), []scheduling.Load{waiting(0), waiting(64), waiting(200)}, []float32{0.5, 0.25, 0}},
		{"adapter", must(scorer.NewLoRAAffinity(nil)), []scheduling.Load{
			lora(2, []string{"base"}, nil), lora(2, []string{"x"}, nil), lora(2, []string{"x"}, []string{"base"}), lora(1, []string{"x"}, nil), {},
		}, []float32{1, 0.8, 0.6, 0, 0.5}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := cycleOf(t, test.loads...)
			expectScores(t, test.scorer, c, test.want)
		})
	}
}

func TestPrefixCacheScores(t *testing.T) {
	c := cycleOf(t, make([]scheduling.Load, 3)...)
	c.Keys, c.BlockTokens = make([]uint64, 8), 64
	copy(c.PrefixBlocks, []int{0, 4, 8})
	expectScores(t, must(scorer.NewPrefixCache(nil)), c, []float32{0, 0.5, 1})
	// 4 blocks of 64 tokens are half of 512; half of the ratio and half of a quarter.
	blended := must(scorer.NewPrefixCache([]byte(`{"matchLengthWeight":0.5,"matchLengthScaleTokens":512}`)))
	expectScores(t, blended, c, []float32{0, 0.375, 1})
}

func TestPrefixCacheScoresNothingWithoutPrompt(t *testing.T) {
	c := cycleOf(t, make([]scheduling.Load, 2)...)
	expectScores(t, must(scorer.NewPrefixCache(nil)), c, []float32{0, 0})
}

func expectScores(t *testing.T, s scheduling.Scorer, c *scheduling.Cycle, want []float32) {
	t.Helper()
	got := make([]float32, len(want))
	for i := range got {
		got[i] = 77
	}
	s.Score(c, c.Indices(), got)
	for i := range want {
		if math.Abs(float64(got[i]-want[i])) > 1e-6 {
			t.Fatalf("scores %v, want %v", got, want)
		}
	}
}

func TestScorersScoreASubset(t *testing.T) {
	c := cycleOf(t, waiting(100), waiting(3), waiting(1))
	got := make([]float32, 2)
	must(scorer.NewQueue(nil)).Score(c, []int{1, 2}, got)
	if got[0] != 0 || got[1] != 1 {
		t.Fatalf("scores of candidates 1 and 2 are %v, want [0 1]", got)
	}
}

func TestParametersAreStrict(t *testing.T) {
	for name, build := range map[string]func([]byte) error{
		"queue":   func(raw []byte) error { _, err := scorer.NewQueue(raw); return err },
		"prefix":  func(raw []byte) error { _, err := scorer.NewPrefixCache(raw); return err },
		"tokens":  func(raw []byte) error { _, err := scorer.NewTokenLoad(raw); return err },
		"active":  func(raw []byte) error { _, err := scorer.NewActiveRequest(raw); return err },
		"kv":      func(raw []byte) error { _, err := scorer.NewKVCacheUtilization(raw); return err },
		"running": func(raw []byte) error { _, err := scorer.NewRunningRequests(raw); return err },
		"lora":    func(raw []byte) error { _, err := scorer.NewLoRAAffinity(raw); return err },
		"aware":   func(raw []byte) error { _, err := scorer.NewLoadAware(raw); return err },
	} {
		if err := build([]byte(`{"noSuchField":1}`)); err == nil {
			t.Errorf("%s: an unknown parameter was accepted", name)
		}
		if err := build([]byte(`{}`)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range []func() error{
		func() error { _, err := scorer.NewPrefixCache([]byte(`{"matchLengthWeight":2}`)); return err },
		func() error { _, err := scorer.NewPrefixCache([]byte(`{"matchLengthScaleTokens":0}`)); return err },
		func() error {
			_, err := scorer.NewPrefixCache([]byte(`{"prefixMatchInfoProducerName":"inflight-load-producer"}`))
			return err
		},
		func() error { _, err := scorer.NewTokenLoad([]byte(`{"queueThresholdTokens":0}`)); return err },
		func() error { _, err := scorer.NewActiveRequest([]byte(`{"maxBusyScore":1.5}`)); return err },
		func() error { _, err := scorer.NewActiveRequest([]byte(`{"idleThreshold":-1}`)); return err },
		func() error { _, err := scorer.NewLoadAware([]byte(`{"threshold":0}`)); return err },
	} {
		if bad() == nil {
			t.Error("a parameter out of range was accepted")
		}
	}
}
