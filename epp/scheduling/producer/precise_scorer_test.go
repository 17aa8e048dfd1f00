package producer_test

import (
	"strings"
	"testing"

	"github.com/switchyard/switchyard/epp/kvevents/kveventstest"
	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/scorer"
)

func newPreciseScorer(t *testing.T, port, more string) *scorer.PrecisePrefixCache {
	t.Helper()
	s, err := scorer.NewPrecisePrefixCache([]byte(`{"tokenProcessorConfig":{"blockSizeTokens":4},"kvEventsConfig":{"podDiscoveryConfig":{"socketPort":` + port + `}}` + more + `}`))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestThePreciseScorerScoresWhatServersTell(t *testing.T) {
	pools, engines, port := fleet(t, false)
	plain := newPreciseScorer(t, port, "")
	stop := runPlugin(t, plain, pools)
	engines[1].AwaitSubscribers(1)
	engines[1].Publish(kveventstest.Stored([]uint64{1, 2, 3, 4}, nil, prompt(4), 4))
	awaitBlocks(t, pools, plain.PrecisePrefix, 0, 4)
	stop()
	score := func(s *scorer.PrecisePrefixCache, n int) (out [2]float32) {
		decide(t, pools, s.PrecisePrefix, n, func(c *scheduling.Cycle) { s.Score(c, c.Indices(), out[:]) })
		return out
	}
	if got := score(plain, 8); got != [2]float32{0, 0.5} {
		t.Errorf("scores %v", got)
	}
	// Nobody told the tokens: it reads the approximate index.
	if got := score(plain, 0); !near(got, [2]float32{5.0 / 6, 0}) {
		t.Errorf("scores %v without tokens", got)
	}
	// Half of the prompt, and half of the scale, which counts in square.
	blended := newPreciseScorer(t, port, `,"matchLengthWeight":0.5,"matchLengthScaleTokens":32`)
	blended.TakeOver(plain)
	if got := score(blended, 8); !near(got, [2]float32{0, 0.375}) {
		t.Errorf("scores %v of the length, too", got)
	}
	approximate := newPreciseScorer(t, port, `,"prefixMatchInfoProducerName":"approx-prefix-cache-producer"`)
	approximate.TakeOver(plain)
	if got := score(approximate, 8); !near(got, [2]float32{5.0 / 6, 0}) {
		t.Errorf("scores %v of the approximate index", got)
	}
	// The two that take its place go on with what it has learnt.
	two := newPrecise(t, port, "")
	two.TakeOver(plain)
	if got := blocks(t, pools, two, 8); got[1] != 4 {
		t.Errorf("the producer in its place knows of %v", got)
	}
}

func TestThePreciseScorerReadsBothParameters(t *testing.T) {
	for parameters, want := range map[string]string{
		`{"matchLengthWeight":2}`:                       "matchLengthWeight: 2",
		`{"matchLengthScaleTokens":0}`:                  "matchLengthScaleTokens",
		`{"prefixMatchInfoProducerName":"x"}`:           "prefixMatchInfoProducerName",
		`{"speculativeTTL":"never"}`:                    "speculativeTTL",
		`{"indexerConfig":{"tokenizersPoolConfig":{}}}`: "declare a token-producer with vllm",
		`{"weight":1}`:                                  "weight",
		`{"matchLengthWeight":0,"matchLengthWeight":1}`: "matchLengthWeight",
		`[]`: "parameters",
	} {
		if _, err := scorer.NewPrecisePrefixCache([]byte(parameters)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one about %s", parameters, err, want)
		}
	}
	if _, err := scorer.NewPrecisePrefixCache(nil); err != nil {
		t.Error(err)
	}
}
