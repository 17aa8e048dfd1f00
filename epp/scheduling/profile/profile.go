package profile

import (
	"reflect"
	"slices"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// Weighted is a scorer and what its score is multiplied by.
type Weighted struct {
	Scorer scheduling.Scorer
	Weight float32
}

// Profile is immutable and safe for concurrent use, once a handler has it.
type Profile struct {
	Name    string
	Filters []scheduling.Filter
	Scorers []Weighted
	Picker  scheduling.Picker

	observers []scheduling.Observer
}

// prepare completes a profile for a handler: scorers that are filters too filter, before the others, since they judge what
// an endpoint is; and plugins that learn from decisions are told of them. It may be called again.
func (p *Profile) prepare() {
	var first []scheduling.Filter
	for _, weighted := range p.Scorers {
		if filter, ok := weighted.Scorer.(scheduling.Filter); ok && !contains(p.Filters, filter) && !contains(first, filter) {
			first = append(first, filter)
		}
	}
	p.Filters = append(first, p.Filters...)
	p.observers = nil
	for _, filter := range p.Filters {
		p.observe(filter)
	}
	for _, weighted := range p.Scorers {
		p.observe(weighted.Scorer)
	}
	p.observe(p.Picker)
}

func (p *Profile) observe(plugin any) {
	if observer, ok := plugin.(scheduling.Observer); ok && !contains(p.observers, observer) {
		p.observers = append(p.observers, observer)
	}
}

// contains tells whether plugins has this very plugin; of types that cannot be compared it does not know.
func contains[T any](plugins []T, plugin any) bool {
	return reflect.TypeOf(plugin).Comparable() && slices.ContainsFunc(plugins, func(p T) bool { return any(p) == plugin })
}

// Run returns the indices of the chosen candidates, best first, in a slice that the cycle owns. The error is
// scheduling.ErrFiltered when no candidate is left to choose from.
func (p *Profile) Run(c *scheduling.Cycle) ([]int, error) {
	in := c.Indices()
	c.Skip()
	for _, filter := range p.Filters {
		if len(in) == 0 {
			break
		}
		in = filter.Filter(c, in)
		c.Lap(scheduling.PointFilter, filter)
	}
	if len(in) == 0 {
		return nil, scheduling.ErrFiltered
	}
	total, score := c.Scratch(len(in))
	for _, weighted := range p.Scorers {
		weighted.Scorer.Score(c, in, score)
		c.Lap(scheduling.PointScorer, weighted.Scorer)
		for i, s := range score {
			total[i] += weighted.Weight * clamp(s)
		}
	}
	c.NoteScores(in, total)
	chosen := p.Picker.Pick(c, in, total)
	c.Lap(scheduling.PointPicker, p.Picker)
	for _, observer := range p.observers {
		observer.Picked(c, chosen)
	}
	return chosen, nil
}

// clamp bounds a score to [0,1]; what is not a number counts as 0.
func clamp(score float32) float32 {
	if !(score > 0) {
		return 0
	}
	return min(score, 1)
}
