package filter

import (
	"github.com/switchyard/switchyard/epp/flowcontrol"
	"github.com/switchyard/switchyard/epp/flowcontrol/saturation"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// The types of the saturation detectors, each of which is a filter as well.
const (
	UtilizationDetectorType = saturation.UtilizationType
	ConcurrencyDetectorType = saturation.ConcurrencyType
)

// Detector is a saturation detector in a scheduling profile: it keeps the endpoints that are not full. One declaration serves
// both as detector and as filter, with the same limits.
type Detector struct {
	flowcontrol.Detector
}

// NewUtilizationDetector makes a saturation.Utilization that filters.
func NewUtilizationDetector(parameters []byte) (*Detector, error) {
	detector, err := saturation.NewUtilization(parameters)
	if err != nil {
		return nil, err
	}
	return &Detector{detector}, nil
}

// NewConcurrencyDetector makes a saturation.Concurrency that filters.
func NewConcurrencyDetector(parameters []byte) (*Detector, error) {
	detector, err := saturation.NewConcurrency(parameters)
	if err != nil {
		return nil, err
	}
	return &Detector{detector}, nil
}

// Filter implements scheduling.Filter. What is in flight is what the cycle read, so that all plugins judge one instant.
func (d *Detector) Filter(c *scheduling.Cycle, in []int) []int {
	stays := func(i int) bool {
		e := saturation.View(c.Candidates[i], c.Now)
		e.Requests, e.Tokens = c.Loads[i].Requests, c.Loads[i].Tokens
		return d.Keeps(e, c.Now)
	}
	if d.FailsOpen() {
		return keepOr(c, in, stays)
	}
	return keep(in, stays)
}
