package filter

import (
	"fmt"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// EndpointAttributeType is the type of EndpointAttribute.
const EndpointAttributeType = "endpoint-attribute-filter"

// EndpointAttribute keeps endpoints by one number: active-requests, active-tokens, running-requests, waiting-queue,
// kv-cache-utilization, or a custom metric where the data layer has such. A number that is not known, or old, is missing.
type EndpointAttribute struct {
	attribute   string
	keepMissing bool
	fallback    bool
	algorithm   algorithm
}

// algorithm tells which of several numbers stay.
type algorithm interface {
	// prepare looks at the numbers there are, which it may change, and returns the test of one.
	prepare(numbers []float64) func(float64) bool
}

// NewEndpointAttribute reads `attribute` (required); `onMissing` (Pass; or Fail): whether endpoints without the number stay;
// `fallbackOnEmpty` (false): when no endpoint is left, true keeps all, false refuses the request; and `algorithm`, whose
// `type` may be left out when it is clear. `threshold` compares with a `value` by an `operator`: LessThan, LessThanOrEqual,
// GreaterThan, GreaterThanOrEqual, Equal or NotEqual. `range` keeps what is between `min` and `max`, both included. `topK`
// keeps the `k` highest, or the lowest with `higherIsBetter` false, and ties with the last of them. `percentile` keeps what
// is at or above the `percentile`, or at or below it with `higherIsBetter` false. `producer` has no effect: names of numbers
// are unique.
func NewEndpointAttribute(parameters []byte) (*EndpointAttribute, error) {
	given := struct {
		Attribute       string        `json:"attribute"`
		Producer        *string       `json:"producer"`
		OnMissing       string        `json:"onMissing"`
		FallbackOnEmpty bool          `json:"fallbackOnEmpty"`
		Algorithm       algorithmSpec `json:"algorithm"`
	}{OnMissing: "Pass"}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	if given.Attribute == "" {
		return nil, fmt.Errorf("parameters: attribute: missing; give the name of a number of endpoints")
	}
	if given.OnMissing != "Pass" && given.OnMissing != "Fail" {
		return nil, fmt.Errorf("parameters: onMissing: %q must be Pass or Fail", given.OnMissing)
	}
	algorithm, err := given.Algorithm.build()
	if err != nil {
		return nil, fmt.Errorf("parameters: algorithm: %w", err)
	}
	return &EndpointAttribute{
		attribute: given.Attribute, keepMissing: given.OnMissing == "Pass", fallback: given.FallbackOnEmpty, algorithm: algorithm,
	}, nil
}

// Filter implements scheduling.Filter.
func (f *EndpointAttribute) Filter(c *scheduling.Cycle, in []int) []int {
	numbers := make([]float64, 0, len(in))
	for _, i := range in {
		if number, known := c.Number(i, f.attribute); known {
			numbers = append(numbers, number)
		}
	}
	passes := f.algorithm.prepare(numbers)
	stays := func(i int) bool {
		number, known := c.Number(i, f.attribute)
		if !known {
			return f.keepMissing
		}
		return passes(number)
	}
	if f.fallback {
		return keepOr(c, in, stays)
	}
	return keep(in, stays)
}
