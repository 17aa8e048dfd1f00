package ordering

import (
	"math"
	"time"

	"github.com/switchyard/switchyard/epp/flowcontrol"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// SLODeadlineType is the type of SLODeadline.
const SLODeadlineType = "slo-deadline-ordering-policy"

// SLODeadline serves the request whose first token is due first, by the time to first token that its client asked for; those
// that asked for none go last.
type SLODeadline struct{}

// NewSLODeadline takes no parameters.
func NewSLODeadline(parameters []byte) (SLODeadline, error) {
	return SLODeadline{}, scheduling.DecodeParameters(parameters, &struct{}{})
}

// Rank implements flowcontrol.Ordering.
func (SLODeadline) Rank(r *flowcontrol.Request, _ time.Time) int64 {
	if r.TTFT <= 0 {
		return math.MaxInt64
	}
	return r.Arrived.Add(r.TTFT).UnixNano()
}
