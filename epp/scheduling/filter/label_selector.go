package filter

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// LabelSelectorType is the type of LabelSelector.
const LabelSelectorType = "label-selector-filter"

// LabelSelector keeps endpoints whose labels match a Kubernetes label selector.
type LabelSelector struct {
	selector labels.Selector
}

// NewLabelSelector reads `matchLabels` and `matchExpressions`, of which at least one must be given: an empty selector
// would keep everything and is more likely a mistake than a wish.
func NewLabelSelector(parameters []byte) (*LabelSelector, error) {
	var given metav1.LabelSelector
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	if len(given.MatchLabels) == 0 && len(given.MatchExpressions) == 0 {
		return nil, fmt.Errorf("parameters: give matchLabels or matchExpressions")
	}
	selector, err := metav1.LabelSelectorAsSelector(&given)
	if err != nil {
		return nil, fmt.Errorf("parameters: %w", err)
	}
	return &LabelSelector{selector: selector}, nil
}

// Filter implements scheduling.Filter.
func (f *LabelSelector) Filter(c *scheduling.Cycle, in []int) []int {
	kept := in[:0]
	for _, i := range in {
		if f.selector.Matches(labels.Set(c.Candidates[i].Labels)) {
			kept = append(kept, i)
		}
	}
	return kept
}
