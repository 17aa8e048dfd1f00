package profile

import "github.com/switchyard/switchyard/epp/scheduling"

// Types of DisaggHeaders.
const (
	DisaggHeadersType = "disagg-headers-handler"
	PrefillHeaderType = "prefill-header-handler"
)

// DisaggHeaders does nothing: disagg-profile-handler and pd-profile-handler set the headers of a split request themselves. It is
// there so that files which declare it load.
type DisaggHeaders struct{}

// NewDisaggHeaders accepts `prefillProfile` and `encodeProfile`, which have no effect.
func NewDisaggHeaders(parameters []byte) (DisaggHeaders, error) {
	return DisaggHeaders{}, scheduling.DecodeParameters(parameters, &struct {
		PrefillProfile string `json:"prefillProfile"`
		EncodeProfile  string `json:"encodeProfile"`
	}{})
}

// NewPrefillHeader makes a plugin that does nothing: disagg-profile-handler and pd-profile-handler set the headers of a split
// request themselves. It is there so that files which declare it load. It accepts `prefillProfile` and `encodeProfile`, which
// have no effect.
func NewPrefillHeader(parameters []byte) (DisaggHeaders, error) { return NewDisaggHeaders(parameters) }
