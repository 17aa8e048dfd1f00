package profile

import (
	"fmt"
	"strconv"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// DataParallelType is the type of DataParallel.
const DataParallelType = "data-parallel-profile-handler"

const dataParallelHeader = "x-data-parallel-host-port"

// DataParallel runs the only profile there is, for proxies that cannot reach the port of every rank of a pod: the request
// goes to one port of the pod chosen, and the header `x-data-parallel-host-port` tells the program that listens there which
// rank is meant. A proxy that can reach them all needs no more than single-profile-handler.
type DataParallel struct {
	profile *Profile
	port    string
}

// NewDataParallel reads `primaryPort` (8000), the port that requests go to, and takes exactly one profile.
func NewDataParallel(parameters []byte, profiles []*Profile) (*DataParallel, error) {
	given := struct {
		PrimaryPort int `json:"primaryPort"`
	}{PrimaryPort: 8000}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	port, err := readPort("primaryPort", given.PrimaryPort)
	if err != nil {
		return nil, err
	}
	if len(profiles) != 1 {
		return nil, fmt.Errorf("runs exactly one scheduling profile, there are %d", len(profiles))
	}
	profiles[0].prepare()
	return &DataParallel{profile: profiles[0], port: port}, nil
}

// Schedule implements Handler.
func (h *DataParallel) Schedule(c *scheduling.Cycle) ([]int, error) {
	chosen, err := h.profile.Run(c)
	if err == nil && len(chosen) > 0 {
		toPrimaryPort(c, chosen[0], h.port)
	}
	return chosen, err
}

// toPrimaryPort sends the request to one port of the hosts chosen, with the address of the best candidate in a header.
func toPrimaryPort(c *scheduling.Cycle, best int, port string) {
	c.SetRequestHeader(dataParallelHeader, c.Candidates[best].Address)
	c.SendToPort(port)
}

func readPort(field string, port int) (string, error) {
	if port < 1 || port > 65535 {
		return "", fmt.Errorf("parameters: %s: %d is not between 1 and 65535", field, port)
	}
	return strconv.Itoa(port), nil
}
