package objective

import (
	"math/rand/v2"
	"sort"
)

// choice is what one rule draws from.
type choice struct {
	rewrite string
	models  []string
	// ends are the sums of the weights up to and with each model; nil when all have the same share.
	ends []uint64
}

// newChoice makes a choice, nil when there is nothing to choose from. Targets that can never be drawn are left out.
func newChoice(rewrite string, targets []Target) *choice {
	var total uint64
	for _, t := range targets {
		total += uint64(t.Weight)
	}
	c := &choice{rewrite: rewrite}
	var end uint64
	for _, t := range targets {
		if total > 0 && t.Weight == 0 {
			continue
		}
		c.models = append(c.models, t.Model)
		if total > 0 {
			end += uint64(t.Weight)
			c.ends = append(c.ends, end)
		}
	}
	if len(c.models) == 0 {
		return nil
	}
	return c
}

// shares is the sum of all weights.
func (c *choice) shares() uint64 {
	if c.ends == nil {
		return uint64(len(c.models))
	}
	return c.ends[len(c.ends)-1]
}

// at gives the model of a share, counted from 0 and below shares.
func (c *choice) at(share uint64) string {
	if c.ends == nil {
		return c.models[share]
	}
	return c.models[sort.Search(len(c.ends), func(i int) bool { return share < c.ends[i] })]
}

func (c *choice) draw() string {
	if len(c.models) == 1 {
		return c.models[0]
	}
	return c.at(rand.Uint64N(c.shares()))
}
