package filter

// ByLabelSelectorType is the type of ByLabelSelector.
const ByLabelSelectorType = "by-label-selector"

// NewByLabelSelector makes a label-selector-filter under the older name of its type; the parameters are the same.
func NewByLabelSelector(parameters []byte) (*LabelSelector, error) {
	return NewLabelSelector(parameters)
}
