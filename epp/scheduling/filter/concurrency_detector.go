package filter

import (
	"fmt"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// ConcurrencyDetectorType is the type of ConcurrencyDetector.
const ConcurrencyDetectorType = "concurrency-detector"

// ConcurrencyDetector, in a scheduling profile, removes endpoints that have as much in flight from this process as they may.
// When nobody is left the request is refused. It knows nothing of what other pickers send.
type ConcurrencyDetector struct {
	// maxRequests and maxTokens are the limits in force; 0: not limited.
	maxRequests, maxTokens float64
}

// NewConcurrencyDetector reads `concurrencyMode` (requests; or tokens, or hybrid for both), `maxConcurrency` (100 requests),
// `maxTokenConcurrency` (1000000 tokens) and `headroom` (0), the share by which an endpoint may be above them.
func NewConcurrencyDetector(parameters []byte) (*ConcurrencyDetector, error) {
	given := struct {
		ConcurrencyMode     string  `json:"concurrencyMode"`
		MaxConcurrency      int64   `json:"maxConcurrency"`
		MaxTokenConcurrency int64   `json:"maxTokenConcurrency"`
		Headroom            float64 `json:"headroom"`
		LoadProducer        string  `json:"inFlightLoadProducerName"`
	}{ConcurrencyMode: "requests", MaxConcurrency: 100, MaxTokenConcurrency: 1_000_000}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	switch {
	case given.MaxConcurrency <= 0:
		return nil, fmt.Errorf("parameters: maxConcurrency: %d is not above 0", given.MaxConcurrency)
	case given.MaxTokenConcurrency <= 0:
		return nil, fmt.Errorf("parameters: maxTokenConcurrency: %d is not above 0", given.MaxTokenConcurrency)
	case !(given.Headroom >= 0):
		return nil, fmt.Errorf("parameters: headroom: %g is below 0", given.Headroom)
	}
	if err := scheduling.OneProducer("inFlightLoadProducerName", given.LoadProducer, scheduling.InFlightLoadProducer); err != nil {
		return nil, err
	}
	requests, tokens := float64(given.MaxConcurrency)*(1+given.Headroom), float64(given.MaxTokenConcurrency)*(1+given.Headroom)
	switch given.ConcurrencyMode {
	case "requests":
		return &ConcurrencyDetector{maxRequests: requests}, nil
	case "tokens":
		return &ConcurrencyDetector{maxTokens: tokens}, nil
	case "hybrid":
		return &ConcurrencyDetector{maxRequests: requests, maxTokens: tokens}, nil
	}
	return nil, fmt.Errorf("parameters: concurrencyMode: %q must be requests, tokens or hybrid", given.ConcurrencyMode)
}

// Filter implements scheduling.Filter.
func (d *ConcurrencyDetector) Filter(c *scheduling.Cycle, in []int) []int {
	return keep(in, func(i int) bool {
		load := &c.Loads[i]
		return (d.maxRequests == 0 || float64(load.Requests) < d.maxRequests) && (d.maxTokens == 0 || float64(load.Tokens) < d.maxTokens)
	})
}
