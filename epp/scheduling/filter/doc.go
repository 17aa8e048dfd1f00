// Package filter holds the plugins that remove candidates. Most decide by what an endpoint is, and one of these that empties
// the set refuses the request; those that decide by how busy it is say what they do then.
//
//	candidates -> Filter -> candidates that may serve the request
package filter

import "github.com/switchyard/switchyard/epp/scheduling"

// keep returns the members of in that stay says to keep, in their order, in the memory of in.
func keep(in []int, stays func(candidate int) bool) []int {
	kept := in[:0]
	for _, i := range in {
		if stays(i) {
			kept = append(kept, i)
		}
	}
	return kept
}

// keepOr is keep, but for a set that nobody stays in: that one is returned whole.
func keepOr(c *scheduling.Cycle, in []int, stays func(candidate int) bool) []int {
	whole := c.Spare(in)
	if kept := keep(in, stays); len(kept) > 0 {
		return kept
	}
	return append(in[:0], whole...)
}
