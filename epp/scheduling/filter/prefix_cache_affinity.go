package filter

import (
	"fmt"
	"math/rand/v2"

	"github.com/switchyard/switchyard/epp/latency"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// PrefixCacheAffinityType is the type of PrefixCacheAffinity.
const PrefixCacheAffinityType = "prefix-cache-affinity-filter"

// PrefixCacheAffinity keeps the endpoints that hold most of the prompt, as long as they are not too busy: the wait for the
// first token is estimated from the prompt tokens in flight, or is the one that predicted-latency-producer predicts, and when
// the fastest of those that hold the prompt would take longer than the fastest of the others by more than the penalty
// allowed, all stay and scorers decide. All stay, too, when nobody holds enough, or when there are no predictions where the
// wait is to come from them. Do not give a prefix scorer weight after it: that one would pull towards the busy ones
// again.
type PrefixCacheAffinity struct {
	threshold   float32
	exploration float64
	// penalty is the advantage in milliseconds at which the others are let in; 0: never.
	penalty float64
	// predicted has the wait for the first token be that of a predictor, not of the tokens in flight at so many a millisecond.
	predicted      bool
	perMillisecond float64
	// producer is the source of matches, empty for the best there is.
	producer string
}

// NewPrefixCacheAffinity reads `affinityThreshold` (0.8), the share of the prompt that an endpoint must hold;
// `explorationProbability` (0), how often the filter stands aside so that others get to hold the prompt; `maxTTFTPenaltyMs`
// (18000), 0 for no limit; `peakPrefillThroughput` (15928), the prompt tokens that a server works through in a second; and
// `ttftSource`, prefillThroughput (the default) or latencyPredictor. `prefixMatchInfoProducerName`, `inFlightLoadProducerName` and
// `latencyPredictionInfoProducerName` may name the producers there are.
func NewPrefixCacheAffinity(parameters []byte) (*PrefixCacheAffinity, error) {
	given := struct {
		AffinityThreshold      float32 `json:"affinityThreshold"`
		ExplorationProbability float64 `json:"explorationProbability"`
		MaxTTFTPenaltyMs       float64 `json:"maxTTFTPenaltyMs"`
		TTFTSource             string  `json:"ttftSource"`
		PeakPrefillThroughput  float64 `json:"peakPrefillThroughput"`
		PrefixProducer         string  `json:"prefixMatchInfoProducerName"`
		LoadProducer           string  `json:"inFlightLoadProducerName"`
		LatencyProducer        string  `json:"latencyPredictionInfoProducerName"`
	}{AffinityThreshold: 0.8, MaxTTFTPenaltyMs: 18000, TTFTSource: "prefillThroughput", PeakPrefillThroughput: 15928}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	switch {
	case !(given.AffinityThreshold > 0 && given.AffinityThreshold <= 1):
		return nil, fmt.Errorf("parameters: affinityThreshold: %g is not above 0 and at most 1", given.AffinityThreshold)
	case !(given.ExplorationProbability >= 0 && given.ExplorationProbability <= 1):
		return nil, fmt.Errorf("parameters: explorationProbability: %g is not between 0 and 1", given.ExplorationProbability)
	case !(given.MaxTTFTPenaltyMs >= 0):
		return nil, fmt.Errorf("parameters: maxTTFTPenaltyMs: %g is below 0", given.MaxTTFTPenaltyMs)
	case !(given.PeakPrefillThroughput > 0):
		return nil, fmt.Errorf("parameters: peakPrefillThroughput: %g is not above 0", given.PeakPrefillThroughput)
	case given.TTFTSource != "prefillThroughput" && given.TTFTSource != "latencyPredictor":
		return nil, fmt.Errorf("parameters: ttftSource: %q must be prefillThroughput or latencyPredictor", given.TTFTSource)
	}
	if err := scheduling.OnePrefixProducer("prefixMatchInfoProducerName", given.PrefixProducer); err != nil {
		return nil, err
	}
	if err := scheduling.OneProducer("inFlightLoadProducerName", given.LoadProducer, scheduling.InFlightLoadProducer); err != nil {
		return nil, err
	}
	if err := scheduling.OneProducer("latencyPredictionInfoProducerName", given.LatencyProducer, latency.Producer); err != nil {
		return nil, err
	}
	return &PrefixCacheAffinity{
		threshold: given.AffinityThreshold, exploration: given.ExplorationProbability,
		penalty: given.MaxTTFTPenaltyMs, perMillisecond: given.PeakPrefillThroughput / 1000, predicted: given.TTFTSource == "latencyPredictor",
		producer: given.PrefixProducer,
	}, nil
}

// Consumes lists the producers that the plugin reads from.
func (f *PrefixCacheAffinity) Consumes() []string {
	if f.predicted && f.penalty > 0 {
		return []string{latency.Producer}
	}
	return nil
}

// Filter implements scheduling.Filter.
func (f *PrefixCacheAffinity) Filter(c *scheduling.Cycle, in []int) []int {
	var forecasts []latency.Forecast
	if f.predicted && f.penalty > 0 {
		if forecasts = latency.Forecasts(c); forecasts == nil {
			return in
		}
	}
	match := c.Prefix(f.producer)
	warm, cold := f.fastest(c, in, match, forecasts)
	if warm < 0 || cold < 0 {
		return in
	}
	if f.penalty > 0 && warm-cold > f.penalty {
		return in
	}
	if f.exploration > 0 && rand.Float64() < f.exploration {
		return in
	}
	return keep(in, func(i int) bool { return match.Share(i) >= f.threshold })
}

// fastest returns the shortest wait, in milliseconds, at an endpoint that holds the prompt, and at one that does not; -1:
// there is none.
func (f *PrefixCacheAffinity) fastest(c *scheduling.Cycle, in []int, match scheduling.PrefixMatch, forecasts []latency.Forecast) (warm, cold float64) {
	warm, cold = -1, -1
	for _, i := range in {
		least := &cold
		if match.Share(i) >= f.threshold {
			least = &warm
		}
		wait := float64(max(c.Loads[i].Tokens, 0)) / f.perMillisecond
		if forecasts != nil {
			wait = forecasts[i].TTFT
		}
		if *least < 0 || wait < *least {
			*least = wait
		}
	}
	return warm, cold
}
