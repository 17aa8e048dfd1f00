package filter

import (
	"fmt"
	"math/rand/v2"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// PrefixCacheAffinityType is the type of PrefixCacheAffinity.
const PrefixCacheAffinityType = "prefix-cache-affinity-filter"

// PrefixCacheAffinity keeps the endpoints that hold most of the prompt, as long as they are not too busy: the wait for the
// first token is estimated from the prompt tokens in flight, and when the least busy of those that hold the prompt would
// take longer than the least busy of the others by more than the penalty allowed, all stay and scorers decide. All stay,
// too, when nobody holds enough. Do not give a prefix scorer weight after it: that one would pull towards the busy ones
// again.
type PrefixCacheAffinity struct {
	threshold   float32
	exploration float64
	// penalty is the advantage in tokens in flight at which the others are let in; 0: never.
	penalty float64
}

// NewPrefixCacheAffinity reads `affinityThreshold` (0.8), the share of the prompt that an endpoint must hold;
// `explorationProbability` (0), how often the filter stands aside so that others get to hold the prompt; `maxTTFTPenaltyMs`
// (18000), 0 for no limit; `peakPrefillThroughput` (15928), the prompt tokens that a server works through in a second; and
// `ttftSource`, which must be prefillThroughput. `prefixMatchInfoProducerName` and `inFlightLoadProducerName` may name the
// producers there are.
func NewPrefixCacheAffinity(parameters []byte) (*PrefixCacheAffinity, error) {
	given := struct {
		AffinityThreshold      float32 `json:"affinityThreshold"`
		ExplorationProbability float64 `json:"explorationProbability"`
		MaxTTFTPenaltyMs       float64 `json:"maxTTFTPenaltyMs"`
		TTFTSource             string  `json:"ttftSource"`
		PeakPrefillThroughput  float64 `json:"peakPrefillThroughput"`
		PrefixProducer         string  `json:"prefixMatchInfoProducerName"`
		LoadProducer           string  `json:"inFlightLoadProducerName"`
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
	case given.TTFTSource == "latencyPredictor":
		return nil, fmt.Errorf("parameters: ttftSource: %q is not supported by this version; use prefillThroughput", given.TTFTSource)
	case given.TTFTSource != "prefillThroughput":
		return nil, fmt.Errorf("parameters: ttftSource: %q must be prefillThroughput", given.TTFTSource)
	}
	if err := scheduling.OneProducer("prefixMatchInfoProducerName", given.PrefixProducer, scheduling.ApproximatePrefixProducer); err != nil {
		return nil, err
	}
	if err := scheduling.OneProducer("inFlightLoadProducerName", given.LoadProducer, scheduling.InFlightLoadProducer); err != nil {
		return nil, err
	}
	return &PrefixCacheAffinity{
		threshold: given.AffinityThreshold, exploration: given.ExplorationProbability,
		penalty: given.MaxTTFTPenaltyMs / 1000 * given.PeakPrefillThroughput,
	}, nil
}

// Filter implements scheduling.Filter.
func (f *PrefixCacheAffinity) Filter(c *scheduling.Cycle, in []int) []int {
	warm, cold := f.leastBusy(c, in)
	if warm < 0 || cold < 0 {
		return in
	}
	if f.penalty > 0 && float64(warm-cold) > f.penalty {
		return in
	}
	if f.exploration > 0 && rand.Float64() < f.exploration {
		return in
	}
	return keep(in, func(i int) bool { return c.PrefixShare(i) >= f.threshold })
}

// leastBusy returns the fewest tokens in flight at an endpoint that holds the prompt, and at one that does not; -1: there is
// none.
func (f *PrefixCacheAffinity) leastBusy(c *scheduling.Cycle, in []int) (warm, cold int64) {
	warm, cold = -1, -1
	for _, i := range in {
		least := &cold
		if c.PrefixShare(i) >= f.threshold {
			least = &warm
		}
		if tokens := c.Loads[i].Tokens; *least < 0 || tokens < *least {
			*least = max(tokens, 0)
		}
	}
	return warm, cold
}
