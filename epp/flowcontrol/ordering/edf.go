package ordering

import (
	"math"
	"time"

	"github.com/switchyard/switchyard/epp/flowcontrol"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// EDFType is the type of EDF.
const EDFType = "edf-ordering-policy"

// EDF serves the request whose wait ends first; those that may wait for ever go last.
type EDF struct{}

// NewEDF takes no parameters.
func NewEDF(parameters []byte) (EDF, error) {
	return EDF{}, scheduling.DecodeParameters(parameters, &struct{}{})
}

// Rank implements flowcontrol.Ordering.
func (EDF) Rank(_ *flowcontrol.Request, expires time.Time) int64 {
	if expires.IsZero() {
		return math.MaxInt64
	}
	return expires.UnixNano()
}
