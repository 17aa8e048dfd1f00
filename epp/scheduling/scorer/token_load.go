package scorer

import (
	"fmt"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// TokenLoadType is the type of TokenLoad.
const TokenLoadType = "token-load-scorer"

// TokenLoad prefers endpoints with fewer tokens in flight from this process: 1 - min(1, tokens / threshold).
type TokenLoad struct {
	threshold float32
}

// NewTokenLoad reads `queueThresholdTokens` (4194304) and `inFlightLoadProducerName`.
func NewTokenLoad(parameters []byte) (*TokenLoad, error) {
	given := struct {
		Threshold int64  `json:"queueThresholdTokens"`
		Producer  string `json:"inFlightLoadProducerName"`
	}{Threshold: 4 << 20}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	if given.Threshold <= 0 {
		return nil, fmt.Errorf("parameters: queueThresholdTokens: %d is not above 0", given.Threshold)
	}
	if err := scheduling.OneProducer("inFlightLoadProducerName", given.Producer, scheduling.InFlightLoadProducer); err != nil {
		return nil, err
	}
	return &TokenLoad{threshold: float32(given.Threshold)}, nil
}

// Score implements scheduling.Scorer.
func (s *TokenLoad) Score(c *scheduling.Cycle, in []int, out []float32) {
	for k, i := range in {
		out[k] = 1 - min(1, float32(c.Loads[i].Tokens)/s.threshold)
	}
}
