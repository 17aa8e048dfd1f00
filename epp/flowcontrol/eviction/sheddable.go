package eviction

import (
	"github.com/switchyard/switchyard/epp/flowcontrol"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// SheddableType is the type of Sheddable. It is experimental.
const SheddableType = "eviction-sheddable-filter"

// Sheddable lets requests of priorities below 0 be revoked while they are in flight: their clients have agreed to that. It is in
// force when flowControl.enableEviction is set, declared or not.
type Sheddable struct{}

// NewSheddable takes no parameters.
func NewSheddable(parameters []byte) (Sheddable, error) {
	return Sheddable{}, scheduling.DecodeParameters(parameters, &struct{}{})
}

// Evictable implements flowcontrol.EvictionFilter.
func (Sheddable) Evictable(r *flowcontrol.InFlight) bool { return r.Priority < 0 }
