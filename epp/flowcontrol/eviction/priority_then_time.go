package eviction

import (
	"github.com/switchyard/switchyard/epp/flowcontrol"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// PriorityThenTimeType is the type of PriorityThenTime. It is experimental.
const PriorityThenTimeType = "eviction-priority-then-time-ordering"

// PriorityThenTime revokes requests of the lowest priority first, and of one priority the one dispatched last, for which the least
// work was done. It is in force when flowControl.enableEviction is set, declared or not.
type PriorityThenTime struct{}

// NewPriorityThenTime takes no parameters.
func NewPriorityThenTime(parameters []byte) (PriorityThenTime, error) {
	return PriorityThenTime{}, scheduling.DecodeParameters(parameters, &struct{}{})
}

// Before implements flowcontrol.EvictionOrdering.
func (PriorityThenTime) Before(a, b *flowcontrol.InFlight) bool {
	if a.Priority != b.Priority {
		return a.Priority < b.Priority
	}
	return a.Dispatched.After(b.Dispatched)
}
