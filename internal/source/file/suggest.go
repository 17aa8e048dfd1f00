package file

import (
	"fmt"
	"slices"
	"strings"
)

// nearest finds the known name that the unknown one was probably meant to be, or "".
func nearest(unknown string, known []string) string {
	best, bestDistance := "", max(1, len(unknown)/3)+1
	for _, k := range slices.Sorted(slices.Values(known)) {
		d := editDistance(strings.ToLower(unknown), strings.ToLower(k), bestDistance)
		if d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// editDistance counts inserted, deleted, replaced and swapped letters; it may stop at limit.
func editDistance(a, b string, limit int) int {
	if diff := len(a) - len(b); diff >= limit || -diff >= limit {
		return limit
	}
	before, previous := make([]int, len(b)+1), make([]int, len(b)+1)
	current := make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		current[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			current[j] = min(previous[j]+1, current[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				current[j] = min(current[j], before[j-2]+1)
			}
		}
		before, previous, current = previous, current, before
	}
	return previous[len(b)]
}

// fixUnknownField tells what to do about a field that the schema does not have.
func fixUnknownField(name string, known []string) string {
	if s := nearest(name, known); s != "" {
		return fmt.Sprintf("did you mean %q?", s)
	}
	const shown = 12 // enough to find the right one by eye
	switch known = slices.Sorted(slices.Values(known)); {
	case len(known) == 0:
		return "remove it"
	case len(known) > shown:
		return "remove it; the fields here are " + strings.Join(known[:shown], ", ") + "..."
	}
	return "remove it; the fields here are " + strings.Join(known, ", ")
}
