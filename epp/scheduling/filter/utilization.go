package filter

import (
	"fmt"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// UtilizationType is the type of Utilization.
const UtilizationType = "utilization-filter"

// Utilization keeps the endpoints whose load is within limits. All conditions must hold. An endpoint whose metrics are
// missing or old is taken to be as loaded as the average of the others.
type Utilization struct {
	conditions []condition
	fallback   bool
}

type condition struct {
	Metric   string   `json:"metric"`
	MaxValue *float64 `json:"maxValue"`
}

// NewUtilization reads `conditions`, a list of `metric` (active-requests, running-requests, waiting-queue or
// kv-cache-utilization) and `maxValue`, the most that an endpoint may have, and `fallbackOnEmpty` (false): when no endpoint is
// within the limits, true keeps all, false refuses the request. `inFlightLoadProducerName` may name the producer there is.
func NewUtilization(parameters []byte) (*Utilization, error) {
	given := struct {
		Conditions      []condition `json:"conditions"`
		FallbackOnEmpty bool        `json:"fallbackOnEmpty"`
		LoadProducer    string      `json:"inFlightLoadProducerName"`
	}{}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	if len(given.Conditions) == 0 {
		return nil, fmt.Errorf("parameters: conditions: missing; give at least one metric and its maxValue")
	}
	for i, condition := range given.Conditions {
		if err := condition.check(); err != nil {
			return nil, fmt.Errorf("parameters: conditions[%d]: %w", i, err)
		}
	}
	if err := scheduling.OneProducer("inFlightLoadProducerName", given.LoadProducer, scheduling.InFlightLoadProducer); err != nil {
		return nil, err
	}
	return &Utilization{conditions: given.Conditions, fallback: given.FallbackOnEmpty}, nil
}

func (c condition) check() error {
	switch c.Metric {
	case scheduling.NumberRequests, scheduling.NumberRunning, scheduling.NumberWaiting, scheduling.NumberKVUsage:
	default:
		return fmt.Errorf("metric: %q must be %s, %s, %s or %s", c.Metric,
			scheduling.NumberRequests, scheduling.NumberRunning, scheduling.NumberWaiting, scheduling.NumberKVUsage)
	}
	if c.MaxValue == nil {
		return fmt.Errorf("maxValue: missing; give the most that an endpoint may have")
	}
	if *c.MaxValue < 0 {
		return fmt.Errorf("maxValue: %g is below 0", *c.MaxValue)
	}
	if c.Metric == scheduling.NumberKVUsage && *c.MaxValue > 1 {
		return fmt.Errorf("maxValue: %g is above 1, which is all of the cache", *c.MaxValue)
	}
	return nil
}

// Filter implements scheduling.Filter.
func (f *Utilization) Filter(c *scheduling.Cycle, in []int) []int {
	within := func(i int) bool {
		for _, condition := range f.conditions {
			if value, _ := c.Number(i, condition.Metric); value > *condition.MaxValue {
				return false
			}
		}
		return true
	}
	if f.fallback {
		return keepOr(c, in, within)
	}
	return keep(in, within)
}
