package decider

import "github.com/switchyard/switchyard/epp/scheduling"

// Types of the deciders that take no parameters.
const (
	AlwaysPDType         = "always-disagg-pd-decider"
	AlwaysMultimodalType = "always-disagg-multimodal-decider"
)

// AlwaysPD has the prefill of every request done elsewhere.
type AlwaysPD struct{}

// NewAlwaysPD takes no parameters.
func NewAlwaysPD(parameters []byte) (AlwaysPD, error) {
	return AlwaysPD{}, scheduling.DecodeParameters(parameters, &struct{}{})
}

// Disaggregate implements scheduling.Decider.
func (AlwaysPD) Disaggregate(*scheduling.Cycle, int) bool { return true }

// AlwaysMultimodal has the images, video and audio of every request that brings any encoded elsewhere.
type AlwaysMultimodal struct{}

// NewAlwaysMultimodal takes no parameters.
func NewAlwaysMultimodal(parameters []byte) (AlwaysMultimodal, error) {
	return AlwaysMultimodal{}, scheduling.DecodeParameters(parameters, &struct{}{})
}

// Disaggregate implements scheduling.Decider.
func (AlwaysMultimodal) Disaggregate(c *scheduling.Cycle, _ int) bool { return c.Request.Multimodal }
