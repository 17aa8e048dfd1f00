package scorer

import (
	"fmt"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// ActiveRequestType is the type of ActiveRequest.
const ActiveRequestType = "active-request-scorer"

// ActiveRequest prefers endpoints with fewer requests in flight from this process.
type ActiveRequest struct {
	idle int64
	busy float32
}

// NewActiveRequest reads `idleThreshold` (0): up to so many requests an endpoint is idle and scores 1; and `maxBusyScore`
// (1): the best score of one that is not.
func NewActiveRequest(parameters []byte) (*ActiveRequest, error) {
	given := struct {
		IdleThreshold int64   `json:"idleThreshold"`
		MaxBusyScore  float32 `json:"maxBusyScore"`
	}{MaxBusyScore: 1}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	if given.IdleThreshold < 0 {
		return nil, fmt.Errorf("parameters: idleThreshold: %d is below 0", given.IdleThreshold)
	}
	if given.MaxBusyScore < 0 || given.MaxBusyScore > 1 {
		return nil, fmt.Errorf("parameters: maxBusyScore: %g is not between 0 and 1", given.MaxBusyScore)
	}
	return &ActiveRequest{idle: given.IdleThreshold, busy: given.MaxBusyScore}, nil
}

// Score implements scheduling.Scorer.
func (s *ActiveRequest) Score(c *scheduling.Cycle, in []int, out []float32) {
	most := int64(0)
	for _, i := range in {
		most = max(most, c.Loads[i].Requests)
	}
	for k, i := range in {
		if requests := c.Loads[i].Requests; requests <= s.idle {
			out[k] = 1
		} else {
			out[k] = s.busy * float32(most-requests) / float32(most)
		}
	}
}
