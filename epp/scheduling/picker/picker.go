package picker

import (
	"fmt"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// maxEndpoints bounds maxNumOfEndpoints: a proxy tries them one after the other, and the list travels in a header.
const maxEndpoints = 64

// readCount reads `maxNumOfEndpoints` (default 1), the only parameter that pickers have.
func readCount(parameters []byte) (int, error) {
	given := struct {
		MaxNumOfEndpoints int `json:"maxNumOfEndpoints"`
	}{MaxNumOfEndpoints: 1}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return 0, err
	}
	if given.MaxNumOfEndpoints < 1 || given.MaxNumOfEndpoints > maxEndpoints {
		return 0, fmt.Errorf("parameters: maxNumOfEndpoints: %d is not between 1 and %d", given.MaxNumOfEndpoints, maxEndpoints)
	}
	return given.MaxNumOfEndpoints, nil
}
