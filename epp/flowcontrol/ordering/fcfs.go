package ordering

import (
	"time"

	"github.com/switchyard/switchyard/epp/flowcontrol"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// FCFSType is the type of FCFS.
const FCFSType = "fcfs-ordering-policy"

// FCFS serves requests in the order of their arrival.
type FCFS struct{}

// NewFCFS takes no parameters.
func NewFCFS(parameters []byte) (FCFS, error) {
	return FCFS{}, scheduling.DecodeParameters(parameters, &struct{}{})
}

// Rank implements flowcontrol.Ordering.
func (FCFS) Rank(*flowcontrol.Request, time.Time) int64 { return 0 }
