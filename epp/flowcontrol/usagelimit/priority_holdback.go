package usagelimit

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// PriorityHoldbackType is the type of PriorityHoldback. It is experimental.
const PriorityHoldbackType = "priority-holdback-policy"

// The ways from a priority to its place between the two ceilings.
const (
	byRank   = "rank"
	byValue  = "value"
	explicit = "explicit"
)

// PriorityHoldback stops lower bands earlier, so that there is room when a higher one needs it.
type PriorityHoldback struct {
	domain   string
	min, max float64
	ceilings map[int]float64
}

// NewPriorityHoldback reads `domain`: rank (the default: bands in equal steps), value (in proportion to the priorities' numbers) or
// explicit. The first two take `minCeiling` (required, at least 0 and below 1), the lowest band's; `maxCeiling` (1, above 0 and at most
// 1, not below minCeiling), the highest's and that of a band alone; and `shape` (linear, the only one). explicit takes `ceilings`, by
// priority, 0 to 1, none above that of a higher priority; a priority not listed is never dispatched.
func NewPriorityHoldback(parameters []byte) (*PriorityHoldback, error) {
	given := struct {
		Shape    *string            `json:"shape"`
		Domain   string             `json:"domain"`
		Min      *float64           `json:"minCeiling"`
		Max      *float64           `json:"maxCeiling"`
		Ceilings map[string]float64 `json:"ceilings"`
	}{Domain: byRank}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	switch given.Domain {
	case explicit:
		if given.Shape != nil || given.Min != nil || given.Max != nil {
			return nil, fmt.Errorf("parameters: shape, minCeiling and maxCeiling have no place with domain explicit; remove them")
		}
		ceilings, err := readCeilings(given.Ceilings)
		return &PriorityHoldback{domain: explicit, ceilings: ceilings}, err
	case byRank, byValue:
	default:
		return nil, fmt.Errorf("parameters: domain: %q must be rank, value or explicit", given.Domain)
	}
	if given.Ceilings != nil {
		return nil, fmt.Errorf("parameters: ceilings: has a place with domain explicit only; remove it")
	}
	if given.Shape != nil && *given.Shape != "linear" {
		return nil, fmt.Errorf("parameters: shape: %q is not known; give linear", *given.Shape)
	}
	if given.Min == nil {
		return nil, fmt.Errorf("parameters: minCeiling: missing; give the share of the pool that the lowest priority may fill")
	}
	p := &PriorityHoldback{domain: given.Domain, min: *given.Min, max: 1}
	if given.Max != nil {
		p.max = *given.Max
	}
	switch {
	case p.min < 0 || p.min >= 1:
		return nil, fmt.Errorf("parameters: minCeiling: %g is not at least 0 and below 1", p.min)
	case p.max <= 0 || p.max > 1:
		return nil, fmt.Errorf("parameters: maxCeiling: %g is not above 0 and at most 1", p.max)
	case p.max < p.min:
		return nil, fmt.Errorf("parameters: maxCeiling: %g is below minCeiling %g", p.max, p.min)
	}
	return p, nil
}

func readCeilings(given map[string]float64) (map[int]float64, error) {
	if len(given) == 0 {
		return nil, fmt.Errorf("parameters: ceilings: missing; give one for each priority")
	}
	ceilings := make(map[int]float64, len(given))
	for text, ceiling := range given {
		priority, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("parameters: ceilings: %q is not a priority, which is a whole number", text)
		}
		if ceiling < 0 || ceiling > 1 {
			return nil, fmt.Errorf("parameters: ceilings: %g of priority %d is not between 0 and 1", ceiling, priority)
		}
		ceilings[priority] = ceiling
	}
	falling := slices.SortedFunc(maps.Keys(ceilings), func(a, b int) int { return cmp.Compare(b, a) })
	for i, priority := range falling[1:] {
		if higher := falling[i]; ceilings[priority] > ceilings[higher] {
			return nil, fmt.Errorf("parameters: ceilings: %g of priority %d is above %g of priority %d; a lower priority stops first",
				ceilings[priority], priority, ceilings[higher], higher)
		}
	}
	return ceilings, nil
}

// Ceilings implements flowcontrol.UsageLimit.
func (p *PriorityHoldback) Ceilings(priorities []int, out []float64) {
	for i := range out {
		if p.domain == explicit {
			out[i] = p.ceilings[priorities[i]]
		} else {
			out[i] = p.max - p.distance(priorities, i)*(p.max-p.min)
		}
	}
}

// distance is how far a priority is from the highest, 0 to 1.
func (p *PriorityHoldback) distance(priorities []int, i int) float64 {
	last := len(priorities) - 1
	if last == 0 {
		return 0
	}
	if p.domain == byRank {
		return float64(i) / float64(last)
	}
	highest, lowest := float64(priorities[0]), float64(priorities[last])
	return (highest - float64(priorities[i])) / (highest - lowest)
}
