package profile

import (
	"fmt"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// SingleType is the type of Single.
const SingleType = "single-profile-handler"

// Handler chooses the endpoints of a request by running profiles.
type Handler interface {
	// Schedule returns the indices of the chosen candidates, best first; errors as Profile.Run.
	Schedule(c *scheduling.Cycle) ([]int, error)
}

// Single runs the only profile there is.
type Single struct {
	profile *Profile
}

// NewSingle takes no parameters and exactly one profile.
func NewSingle(parameters []byte, profiles []*Profile) (*Single, error) {
	if err := scheduling.DecodeParameters(parameters, &struct{}{}); err != nil {
		return nil, err
	}
	if len(profiles) != 1 {
		return nil, fmt.Errorf("runs exactly one scheduling profile, there are %d", len(profiles))
	}
	profiles[0].prepare()
	return &Single{profile: profiles[0]}, nil
}

// Schedule implements Handler.
func (h *Single) Schedule(c *scheduling.Cycle) ([]int, error) {
	return h.profile.Run(c)
}
