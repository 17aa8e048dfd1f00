package profile

import "github.com/switchyard/switchyard/epp/scheduling"

// Weighted is a scorer and what its score is multiplied by.
type Weighted struct {
	Scorer scheduling.Scorer
	Weight float32
}

// Profile is immutable and safe for concurrent use.
type Profile struct {
	Name    string
	Filters []scheduling.Filter
	Scorers []Weighted
	Picker  scheduling.Picker
}

// Run returns the indices of the chosen candidates, best first, in a slice that the cycle owns. The error is
// scheduling.ErrFiltered when no candidate is left to choose from.
func (p *Profile) Run(c *scheduling.Cycle) ([]int, error) {
	in := c.Indices()
	for _, filter := range p.Filters {
		if len(in) == 0 {
			break
		}
		in = filter.Filter(c, in)
	}
	if len(in) == 0 {
		return nil, scheduling.ErrFiltered
	}
	total, score := c.Scratch(len(in))
	for _, weighted := range p.Scorers {
		weighted.Scorer.Score(c, in, score)
		for i, s := range score {
			total[i] += weighted.Weight * clamp(s)
		}
	}
	return p.Picker.Pick(c, in, total), nil
}

// clamp bounds a score to [0,1]; what is not a number counts as 0.
func clamp(score float32) float32 {
	if !(score > 0) {
		return 0
	}
	return min(score, 1)
}
