package saturation

import (
	"iter"
	"time"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/flowcontrol"
)

// roleLabel is the pod label that names an endpoint's role.
const roleLabel = "llm-d.ai/role"

// Endpoints shows the endpoints of a pool to a detector.
func Endpoints(endpoints []*datalayer.Endpoint, now time.Time) iter.Seq[flowcontrol.Endpoint] {
	return func(yield func(flowcontrol.Endpoint) bool) {
		for _, e := range endpoints {
			if !yield(view(e, now)) {
				return
			}
		}
	}
}

func view(e *datalayer.Endpoint, now time.Time) flowcontrol.Endpoint {
	metrics := e.Metrics()
	return flowcontrol.Endpoint{
		Role:       e.Labels[roleLabel],
		Fresh:      !metrics.Stale(now),
		At:         metrics.At,
		Waiting:    float64(metrics.Waiting),
		Running:    float64(metrics.Running),
		KVUsage:    metrics.KVUsage,
		HasWaiting: metrics.Known.Has(datalayer.HasWaiting),
		HasRunning: metrics.Known.Has(datalayer.HasRunning),
		HasUsage:   metrics.Known.Has(datalayer.HasKVUsage),
		Requests:   e.Requests(),
		Tokens:     e.Tokens(),
	}
}

// Reader makes the function that flow control asks: a detector over the pools there are. A pool that is gone reads as empty.
func Reader(pools *datalayer.Pools, detector flowcontrol.Detector) func(pool string, ahead flowcontrol.Load) flowcontrol.Reading {
	return func(key string, ahead flowcontrol.Load) flowcontrol.Reading {
		now := time.Now()
		var endpoints []*datalayer.Endpoint
		if pool, ok := pools.Get(key); ok {
			endpoints = pool.Endpoints()
		}
		return detector.Measure(Endpoints(endpoints, now), ahead, now)
	}
}
