package scorer

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// ContextLengthAwareType is the type of ContextLengthAware.
const ContextLengthAwareType = "context-length-aware"

// ContextLengthAware prefers endpoints made for prompts of the request's length. A label of the endpoint gives the range, as
// "min-max" in tokens, both included. Within its range an endpoint scores above 0.3, more the narrower the range is and the
// more room is left; out of it below 0.3, more the nearer it is. Without the label it scores 0.5; with one that is no range
// 0. With filtering on it is a filter too, which runs before the filters of the profile and keeps endpoints whose range has
// the length and those without the label.
type ContextLengthAware struct {
	label  string
	filter bool
}

// NewContextLengthAware reads `label` (llm-d.ai/context-length-range) and `enableFiltering` (false).
func NewContextLengthAware(parameters []byte) (*ContextLengthAware, error) {
	given := struct {
		Label           string `json:"label"`
		EnableFiltering bool   `json:"enableFiltering"`
	}{Label: "llm-d.ai/context-length-range"}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	if given.Label == "" {
		return nil, fmt.Errorf("parameters: label: empty; give the label that has the range, or leave it out")
	}
	return &ContextLengthAware{label: given.Label, filter: given.EnableFiltering}, nil
}

// Score implements scheduling.Scorer.
func (s *ContextLengthAware) Score(c *scheduling.Cycle, in []int, out []float32) {
	tokens := c.PromptTokens()
	for k, i := range in {
		value, labeled := c.Candidates[i].Labels[s.label]
		if !labeled {
			out[k] = 0.5
			continue
		}
		low, high, ok := parseRange(value)
		if !ok {
			out[k] = 0
			continue
		}
		out[k] = fit(tokens, low, high)
	}
}

// Filter implements scheduling.Filter.
func (s *ContextLengthAware) Filter(c *scheduling.Cycle, in []int) []int {
	if !s.filter {
		return in
	}
	tokens := c.PromptTokens()
	kept := in[:0]
	for _, i := range in {
		value, labeled := c.Candidates[i].Labels[s.label]
		low, high, ok := parseRange(value)
		if !labeled || ok && low <= tokens && tokens <= high {
			kept = append(kept, i)
		}
	}
	return kept
}

// Scores of an endpoint by its range.
const (
	// leastFit divides endpoints whose range has the length (above) from the others (below).
	leastFit = 0.3
	// widthShare is what the width of the range counts, against the room left above the prompt.
	widthShare = 0.7
	// halfWidth is the width, in tokens, at which half of that is left.
	halfWidth = 10_000
	// halfDistance is the distance from the range, in tokens, at which the score of one outside is half of what it may be.
	halfDistance = 1000
)

// fit scores a range for a prompt of so many tokens.
func fit(tokens, low, high int) float32 {
	switch {
	case tokens < low:
		return leastFit / (1 + float32(low-tokens)/halfDistance)
	case tokens > high:
		return leastFit / (1 + float32(tokens-high)/halfDistance)
	case low == high:
		return 1
	}
	width := float32(high - low)
	narrow := 1 / (1 + width/halfWidth)
	room := float32(high-tokens) / width
	return leastFit + (1-leastFit)*(widthShare*narrow+(1-widthShare)*room)
}

// parseRange reads "min-max".
func parseRange(value string) (low, high int, ok bool) {
	first, second, _ := strings.Cut(value, "-")
	low, errLow := strconv.Atoi(strings.TrimSpace(first))
	high, errHigh := strconv.Atoi(strings.TrimSpace(second))
	return low, high, errLow == nil && errHigh == nil && low >= 0 && low <= high
}
