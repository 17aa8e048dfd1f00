package scorer

import (
	"fmt"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// EndpointAttributeType is the type of EndpointAttribute.
const EndpointAttributeType = "endpoint-attribute-scorer"

// EndpointAttribute rates endpoints by one number: active-requests, active-tokens, running-requests, waiting-queue,
// kv-cache-utilization, or a custom metric where the data layer has such. An endpoint whose number is not known, or old,
// scores 0.
type EndpointAttribute struct {
	attribute string
	higher    bool
	// fixed tells that the range is low to high; otherwise it is that of the candidates.
	fixed     bool
	low, high float64
}

// NewEndpointAttribute reads `attributeKey` (required) and `algorithm`: its `type` is linear_lower_is_better or
// linear_higher_is_better, and `normalization` is `adaptiveRange` (the default: the lowest and the highest number of the
// candidates score 0 and 1, all score 1 when these are equal) or `fixedRange` with `min` and `max`, beyond which numbers
// count as the nearer of the two.
func NewEndpointAttribute(parameters []byte) (*EndpointAttribute, error) {
	given := struct {
		AttributeKey string `json:"attributeKey"`
		Algorithm    struct {
			Type          string `json:"type"`
			Normalization struct {
				AdaptiveRange *struct{} `json:"adaptiveRange"`
				FixedRange    *struct {
					Min *float64 `json:"min"`
					Max *float64 `json:"max"`
				} `json:"fixedRange"`
			} `json:"normalization"`
		} `json:"algorithm"`
	}{}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	if given.AttributeKey == "" {
		return nil, fmt.Errorf("parameters: attributeKey: missing; give the name of a number of endpoints")
	}
	s := &EndpointAttribute{attribute: given.AttributeKey}
	switch given.Algorithm.Type {
	case "linear_lower_is_better":
	case "linear_higher_is_better":
		s.higher = true
	default:
		return nil, fmt.Errorf("parameters: algorithm.type: %q must be linear_lower_is_better or linear_higher_is_better", given.Algorithm.Type)
	}
	normalization := given.Algorithm.Normalization
	fixed := normalization.FixedRange
	if fixed == nil {
		return s, nil
	}
	const field = "parameters: algorithm.normalization"
	switch {
	case normalization.AdaptiveRange != nil:
		return nil, fmt.Errorf(field + ": give adaptiveRange or fixedRange, not both")
	case fixed.Min == nil || fixed.Max == nil:
		return nil, fmt.Errorf(field + ".fixedRange: give both min and max")
	case !(*fixed.Min < *fixed.Max):
		return nil, fmt.Errorf(field+".fixedRange: min %g is not below max %g", *fixed.Min, *fixed.Max)
	}
	s.fixed, s.low, s.high = true, *fixed.Min, *fixed.Max
	return s, nil
}

// Score implements scheduling.Scorer.
func (s *EndpointAttribute) Score(c *scheduling.Cycle, in []int, out []float32) {
	low, high := s.low, s.high
	if !s.fixed {
		low, high = s.span(c, in)
	}
	for k, i := range in {
		number, known := c.Number(i, s.attribute)
		switch {
		case !known:
			out[k] = 0
		case low == high:
			out[k] = 1
		case s.higher:
			out[k] = float32((number - low) / (high - low))
		default:
			out[k] = float32((high - number) / (high - low))
		}
	}
}

// span is the lowest and the highest number there is.
func (s *EndpointAttribute) span(c *scheduling.Cycle, in []int) (low, high float64) {
	first := true
	for _, i := range in {
		number, known := c.Number(i, s.attribute)
		if !known {
			continue
		}
		if first {
			low, high, first = number, number, false
		}
		low, high = min(low, number), max(high, number)
	}
	return low, high
}
