package filter

import (
	"fmt"
	"slices"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// ByLabelType is the type of ByLabel.
const ByLabelType = "by-label"

// ByLabel keeps endpoints by the value of one label. It is an older form of label-selector-filter, which says the same with
// `matchExpressions`.
type ByLabel struct {
	label     string
	values    []string
	unlabeled bool
}

// NewByLabel reads `label` (required), `validValues`, the values that an endpoint may have, and `allowsNoLabel` (false), which
// keeps endpoints without the label too. With no valid values `allowsNoLabel` must be set.
func NewByLabel(parameters []byte) (*ByLabel, error) {
	given := struct {
		Label         string   `json:"label"`
		ValidValues   []string `json:"validValues"`
		AllowsNoLabel bool     `json:"allowsNoLabel"`
	}{}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	if given.Label == "" {
		return nil, fmt.Errorf("parameters: label: missing; give the label to look at")
	}
	if len(given.ValidValues) == 0 && !given.AllowsNoLabel {
		return nil, fmt.Errorf("parameters: validValues: missing; without any, and without allowsNoLabel, no endpoint would stay")
	}
	return &ByLabel{label: given.Label, values: given.ValidValues, unlabeled: given.AllowsNoLabel}, nil
}

// Filter implements scheduling.Filter.
func (f *ByLabel) Filter(c *scheduling.Cycle, in []int) []int {
	return keep(in, func(i int) bool {
		value, labeled := c.Candidates[i].Labels[f.label]
		if !labeled {
			return f.unlabeled
		}
		return slices.Contains(f.values, value)
	})
}
