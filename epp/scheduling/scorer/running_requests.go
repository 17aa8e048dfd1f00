package scorer

import "github.com/switchyard/switchyard/epp/scheduling"

// RunningRequestsType is the type of RunningRequests.
const RunningRequestsType = "running-requests-size-scorer"

// RunningRequests prefers endpoints where fewer requests run: min-max over scheduling.Load.Active.
type RunningRequests struct{}

// NewRunningRequests takes no parameters.
func NewRunningRequests(parameters []byte) (*RunningRequests, error) {
	return &RunningRequests{}, scheduling.DecodeParameters(parameters, &struct{}{})
}

// Score implements scheduling.Scorer.
func (*RunningRequests) Score(c *scheduling.Cycle, in []int, out []float32) {
	for k, i := range in {
		out[k] = c.Loads[i].Active()
	}
	invertMinMax(out)
}
