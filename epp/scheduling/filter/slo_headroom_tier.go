package filter

import (
	"fmt"
	"math/rand/v2"

	"github.com/switchyard/switchyard/epp/latency"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// SLOHeadroomTierType is the type of SLOHeadroomTier.
const SLOHeadroomTierType = "slo-headroom-tier-filter"

// SLOHeadroomTier keeps the endpoints that are predicted to keep the limits of the request, or now and then those that are not,
// so that what is believed of them does not grow old. All stay when nobody keeps the limits or everybody does, when the request
// names none, and when there are no predictions (of predicted-latency-producer).
type SLOHeadroomTier struct {
	explore float64
}

// NewSLOHeadroomTier reads `epsilonExploreNeg` (0.01), the chance of keeping those that do not keep the limits.
// `latencyPredictionInfoProducerName` may name the producer there is.
func NewSLOHeadroomTier(parameters []byte) (*SLOHeadroomTier, error) {
	given := struct {
		EpsilonExploreNeg float64 `json:"epsilonExploreNeg"`
		Producer          string  `json:"latencyPredictionInfoProducerName"`
	}{EpsilonExploreNeg: 0.01}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	if !(given.EpsilonExploreNeg >= 0 && given.EpsilonExploreNeg <= 1) {
		return nil, fmt.Errorf("parameters: epsilonExploreNeg: %g is not between 0 and 1", given.EpsilonExploreNeg)
	}
	if err := scheduling.OneProducer("latencyPredictionInfoProducerName", given.Producer, latency.Producer); err != nil {
		return nil, err
	}
	return &SLOHeadroomTier{explore: given.EpsilonExploreNeg}, nil
}

// Consumes lists the producers that the plugin reads from.
func (*SLOHeadroomTier) Consumes() []string { return []string{latency.Producer} }

// Filter implements scheduling.Filter.
func (f *SLOHeadroomTier) Filter(c *scheduling.Cycle, in []int) []int {
	forecasts := latency.Forecasts(c)
	if forecasts == nil || len(in) < 2 {
		return in
	}
	keeping := 0
	for _, i := range in {
		if forecasts[i].Meets() {
			keeping++
		}
	}
	if keeping == 0 || keeping == len(in) {
		return in
	}
	wanted := f.explore == 0 || rand.Float64() >= f.explore
	return keep(in, func(i int) bool { return forecasts[i].Meets() == wanted })
}
