package filter

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// algorithmSpec is an algorithm as parameters write it: the block that its type names.
type algorithmSpec struct {
	Type       string      `json:"type"`
	Threshold  *threshold  `json:"threshold"`
	Range      *within     `json:"range"`
	TopK       *topK       `json:"topK"`
	Percentile *percentile `json:"percentile"`
}

func (s algorithmSpec) build() (algorithm, error) {
	blocks := map[string]interface {
		algorithm
		check() error
	}{}
	if s.Threshold != nil {
		blocks["threshold"] = s.Threshold
	}
	if s.Range != nil {
		blocks["range"] = s.Range
	}
	if s.TopK != nil {
		blocks["topK"] = s.TopK
	}
	if s.Percentile != nil {
		blocks["percentile"] = s.Percentile
	}
	if len(blocks) != 1 {
		return nil, fmt.Errorf("give one of threshold, range, topK or percentile, not %d of them", len(blocks))
	}
	name := slices.Collect(maps.Keys(blocks))[0]
	if s.Type != "" && s.Type != name {
		return nil, fmt.Errorf("type: %q does not go with the block %s; give the block %[1]s, or correct the type", s.Type, name)
	}
	if err := blocks[name].check(); err != nil {
		return nil, fmt.Errorf("%s.%w", name, err)
	}
	return blocks[name], nil
}

// threshold compares with a fixed value.
type threshold struct {
	Operator string   `json:"operator"`
	Value    *float64 `json:"value"`
}

var operators = map[string]func(number, value float64) bool{
	"LessThan":           func(number, value float64) bool { return number < value },
	"LessThanOrEqual":    func(number, value float64) bool { return number <= value },
	"GreaterThan":        func(number, value float64) bool { return number > value },
	"GreaterThanOrEqual": func(number, value float64) bool { return number >= value },
	"Equal":              func(number, value float64) bool { return number == value },
	"NotEqual":           func(number, value float64) bool { return number != value },
}

func (t *threshold) check() error {
	if operators[t.Operator] == nil {
		return fmt.Errorf("operator: %q must be one of %s", t.Operator, strings.Join(slices.Sorted(maps.Keys(operators)), ", "))
	}
	if t.Value == nil {
		return errors.New("value: missing")
	}
	return nil
}

func (t *threshold) prepare([]float64) func(float64) bool {
	compare, value := operators[t.Operator], *t.Value
	return func(number float64) bool { return compare(number, value) }
}

// within is a range with both ends included.
type within struct {
	Min *float64 `json:"min"`
	Max *float64 `json:"max"`
}

func (w *within) check() error {
	switch {
	case w.Min == nil:
		return errors.New("min: missing")
	case w.Max == nil:
		return errors.New("max: missing")
	case *w.Min > *w.Max:
		return fmt.Errorf("min: %g is above max, %g", *w.Min, *w.Max)
	}
	return nil
}

func (w *within) prepare([]float64) func(float64) bool {
	return func(number float64) bool { return number >= *w.Min && number <= *w.Max }
}

// topK is the k best.
type topK struct {
	K              int   `json:"k"`
	HigherIsBetter *bool `json:"higherIsBetter"`
}

func (t *topK) check() error {
	if t.K < 1 {
		return fmt.Errorf("k: %d is below 1", t.K)
	}
	return nil
}

func (t *topK) prepare(numbers []float64) func(float64) bool {
	return atLeast(numbers, len(numbers)-t.K, t.K-1, t.HigherIsBetter)
}

// percentile is what reaches the value of the nearest rank.
type percentile struct {
	Percentile     *float64 `json:"percentile"`
	HigherIsBetter *bool    `json:"higherIsBetter"`
}

func (p *percentile) check() error {
	if p.Percentile == nil {
		return errors.New("percentile: missing")
	}
	if !(*p.Percentile >= 0 && *p.Percentile <= 100) {
		return fmt.Errorf("percentile: %g is not between 0 and 100", *p.Percentile)
	}
	return nil
}

func (p *percentile) prepare(numbers []float64) func(float64) bool {
	place := int(math.Ceil(*p.Percentile/100*float64(len(numbers)))) - 1
	return atLeast(numbers, place, place, p.HigherIsBetter)
}

// atLeast tests for being as good as the number at a place of their ascending order: highPlace if high numbers are good (the
// default), lowPlace if low ones are. Places beyond the ends are the ends.
func atLeast(numbers []float64, highPlace, lowPlace int, higherIsBetter *bool) func(float64) bool {
	if len(numbers) == 0 {
		return func(float64) bool { return true }
	}
	slices.Sort(numbers)
	last := len(numbers) - 1
	if higherIsBetter == nil || *higherIsBetter {
		bound := numbers[min(max(highPlace, 0), last)]
		return func(number float64) bool { return number >= bound }
	}
	bound := numbers[min(max(lowPlace, 0), last)]
	return func(number float64) bool { return number <= bound }
}
