package saturation

import (
	"sync"
	"time"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/flowcontrol"
)

// roleLabel is the pod label that names an endpoint's role.
const roleLabel = "llm-d.ai/role"

// View shows an endpoint to a detector.
func View(e *datalayer.Endpoint, now time.Time) flowcontrol.Endpoint {
	metrics := e.Metrics()
	return flowcontrol.Endpoint{
		Role:       e.Labels[roleLabel],
		Fresh:      !metrics.Stale(now),
		At:         metrics.At,
		Every:      metrics.Every,
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

// views are lists of endpoints that nobody uses now, so that a reading allocates nothing.
var views = sync.Pool{New: func() any { return new([]flowcontrol.Endpoint) }}

// Of reads how full a pool is; one that is nil reads as empty. Nothing is kept between two readings: a hundred endpoints cost a few
// microseconds, and each reading has to see what the one before let out.
func Of(detector flowcontrol.Detector, pool *datalayer.Pool, ahead flowcontrol.Load) flowcontrol.Reading {
	now := time.Now()
	if pool == nil {
		return detector.Measure(nil, ahead, now)
	}
	list := views.Get().(*[]flowcontrol.Endpoint)
	defer views.Put(list)
	*list = (*list)[:0]
	for _, e := range pool.Endpoints() {
		*list = append(*list, View(e, now))
	}
	return detector.Measure(*list, ahead, now)
}

// Reader makes the function that flow control asks: a detector over the pools there are. A pool that is gone reads as empty.
func Reader(pools *datalayer.Pools, detector flowcontrol.Detector) func(pool string, ahead flowcontrol.Load) flowcontrol.Reading {
	return func(key string, ahead flowcontrol.Load) flowcontrol.Reading {
		pool, _ := pools.Get(key)
		return Of(detector, pool, ahead)
	}
}
