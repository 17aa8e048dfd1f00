package filter

import (
	"github.com/switchyard/switchyard/epp/scheduling"
)

// Types of the role filters, which take no parameters.
const (
	DecodeType  = "decode-filter"
	PrefillType = "prefill-filter"
	EncodeType  = "encode-filter"
)

// RoleLabel says which stages of inference a pod does.
const RoleLabel = "llm-d.ai/role"

// Role keeps endpoints by the value of RoleLabel.
type Role struct {
	values    []string
	unlabeled bool
}

// NewDecode keeps endpoints that decode by their label llm-d.ai/role, and those without the label. It takes no parameters.
func NewDecode(parameters []byte) (*Role, error) {
	return newRole(parameters, &Role{
		values:    []string{"decode", "prefill-decode", "both", "encode-prefill-decode"},
		unlabeled: true,
	})
}

// NewPrefill keeps endpoints that do prefill by their label llm-d.ai/role. It takes no parameters.
func NewPrefill(parameters []byte) (*Role, error) {
	return newRole(parameters, &Role{
		values: []string{"prefill", "encode-prefill", "prefill-decode", "both", "encode-prefill-decode"},
	})
}

// NewEncode keeps endpoints that encode by their label llm-d.ai/role. It takes no parameters.
func NewEncode(parameters []byte) (*Role, error) {
	return newRole(parameters, &Role{
		values: []string{"encode", "encode-prefill", "encode-prefill-decode"},
	})
}

func newRole(parameters []byte, role *Role) (*Role, error) {
	return role, scheduling.DecodeParameters(parameters, &struct{}{})
}

// Filter implements scheduling.Filter.
func (f *Role) Filter(c *scheduling.Cycle, in []int) []int {
	kept := in[:0]
	for _, i := range in {
		if f.plays(c.Candidates[i].Labels) {
			kept = append(kept, i)
		}
	}
	return kept
}

func (f *Role) plays(labels map[string]string) bool {
	value, labeled := labels[RoleLabel]
	if !labeled {
		return f.unlabeled
	}
	for _, accepted := range f.values {
		if value == accepted {
			return true
		}
	}
	return false
}
