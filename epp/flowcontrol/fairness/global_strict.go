package fairness

import (
	"github.com/switchyard/switchyard/epp/flowcontrol"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// GlobalStrictType is the type of GlobalStrict.
const GlobalStrictType = "global-strict-fairness-policy"

// GlobalStrict serves a band in one order, as if all of it were one flow.
type GlobalStrict struct{}

// NewGlobalStrict takes no parameters.
func NewGlobalStrict(parameters []byte) (GlobalStrict, error) {
	return GlobalStrict{}, scheduling.DecodeParameters(parameters, &struct{}{})
}

// NewTurns implements flowcontrol.Fairness.
func (GlobalStrict) NewTurns() flowcontrol.Turns { return strictTurns{} }

type strictTurns struct{}

func (strictTurns) Joined(*flowcontrol.Flow)                          {}
func (strictTurns) Served(*flowcontrol.Flow)                          {}
func (strictTurns) Attained(_ string, _ float64, _ *flowcontrol.Flow) {}
func (strictTurns) Before(a, b *flowcontrol.Flow) bool                { return a.HeadBefore(b) }
