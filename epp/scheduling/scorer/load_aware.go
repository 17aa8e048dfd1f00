package scorer

import (
	"fmt"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// LoadAwareType is the type of LoadAware.
const LoadAwareType = "load-aware-scorer"

// LoadAware rates the queue in absolute terms: 0.5 without one, falling to 0 at the threshold.
type LoadAware struct {
	threshold float32
}

// NewLoadAware reads `threshold` (128 requests).
func NewLoadAware(parameters []byte) (*LoadAware, error) {
	given := struct {
		Threshold int `json:"threshold"`
	}{Threshold: 128}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	if given.Threshold <= 0 {
		return nil, fmt.Errorf("parameters: threshold: %d is not above 0", given.Threshold)
	}
	return &LoadAware{threshold: float32(given.Threshold)}, nil
}

// Score implements scheduling.Scorer.
func (s *LoadAware) Score(c *scheduling.Cycle, in []int, out []float32) {
	for k, i := range in {
		out[k] = 0.5 * (1 - min(1, c.Loads[i].Queue()/s.threshold))
	}
}
