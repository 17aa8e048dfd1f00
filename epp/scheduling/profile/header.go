package profile

import (
	"fmt"
	"strings"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// HeaderType is the type of Header.
const HeaderType = "header-profile-handler"

// Header runs the one profile that a header of the request names. It serves callers that know which stage of inference a
// request is for, so that one picker does for all stages. Without the header the default profile runs; with only one
// profile there is nothing to choose, and that one runs. A header that names a profile which does not exist is the
// client's mistake: the request is refused.
type Header struct {
	name     string
	profiles map[string]*Profile
	// fallback runs when the header is missing; nil: such requests are refused.
	fallback *Profile
	only     bool
}

// NewHeader reads `headerName` (EPP-Profile), in any case, and `defaultProfile` (decode), which must be one of the profiles
// when it is given; when it is left out and there is no profile "decode", requests without the header are refused.
func NewHeader(parameters []byte, profiles []*Profile) (*Header, error) {
	given := struct {
		HeaderName     string  `json:"headerName"`
		DefaultProfile *string `json:"defaultProfile"`
	}{HeaderName: "EPP-Profile"}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	name, err := scheduling.HeaderName("headerName", given.HeaderName)
	if err != nil {
		return nil, err
	}
	if len(profiles) == 0 {
		return nil, fmt.Errorf("has no scheduling profile to choose from; add one under schedulingProfiles")
	}
	h := &Header{name: name, profiles: map[string]*Profile{}, only: len(profiles) == 1}
	for _, p := range profiles {
		p.prepare()
		h.profiles[p.Name] = p
	}
	if h.only {
		h.fallback = profiles[0]
		return h, nil
	}
	fallback := "decode"
	if given.DefaultProfile != nil {
		fallback = *given.DefaultProfile
	}
	h.fallback = h.profiles[fallback]
	if h.fallback == nil && given.DefaultProfile != nil {
		return nil, fmt.Errorf("parameters: defaultProfile: there is no scheduling profile %q; name one of them", fallback)
	}
	return h, nil
}

// RequestHeaders implements scheduling.HeaderReader.
func (h *Header) RequestHeaders() []string { return []string{h.name} }

// Schedule implements Handler.
func (h *Header) Schedule(c *scheduling.Cycle) ([]int, error) {
	if h.only {
		return h.fallback.Run(c)
	}
	wanted := strings.TrimSpace(c.Headers.Get(h.name))
	if wanted == "" {
		if h.fallback == nil {
			return nil, fmt.Errorf("%w: header %s does not name a scheduling profile", scheduling.ErrBadRequest, h.name)
		}
		return h.fallback.Run(c)
	}
	chosen, ok := h.profiles[wanted]
	if !ok {
		return nil, fmt.Errorf("%w: header %s names no scheduling profile of this picker", scheduling.ErrBadRequest, h.name)
	}
	return chosen.Run(c)
}
