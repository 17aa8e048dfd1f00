package usagelimit

import (
	"fmt"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// StaticType is the type of Static.
const StaticType = "static-usage-limit-policy"

// Static is the same ceiling for every band.
type Static struct{ threshold float64 }

// NewStatic reads `threshold` (1, above 0).
func NewStatic(parameters []byte) (*Static, error) {
	given := struct {
		Threshold float64 `json:"threshold"`
	}{Threshold: 1}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	if given.Threshold <= 0 {
		return nil, fmt.Errorf("parameters: threshold: %g is not above 0; nothing would ever be dispatched", given.Threshold)
	}
	return &Static{threshold: given.Threshold}, nil
}

// Ceilings implements flowcontrol.UsageLimit.
func (s *Static) Ceilings(_ []int, out []float64) {
	for i := range out {
		out[i] = s.threshold
	}
}
