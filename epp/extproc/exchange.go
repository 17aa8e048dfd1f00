package extproc

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/metrics"
)

// keptKeys bounds the prefix keys that a request keeps until its end, 4 KiB, so that they can be noted for the endpoint
// that really served it. Of a longer prompt its head is kept, which is a valid prefix too.
const keptKeys = 512

// exchange is one request from its decision to its end: all that stays in memory while the model server works.
type exchange struct {
	pool     *poolState
	endpoint *datalayer.Endpoint
	flight   *datalayer.Flight
	series   *metrics.Series
	keys     []uint64
	tokens   int64
	began    time.Time
	// usage is what the model server reported.
	usage usage
	// failed is set when the model server answered with an error.
	failed bool
	ended  atomic.Bool
}

// begin accounts for a request that goes to endpoint.
func (x *exchange) begin(endpoint *datalayer.Endpoint, keys []uint64, held int, tokens int64) {
	x.endpoint = endpoint
	x.flight = endpoint.Begin(tokens)
	x.tokens = tokens
	x.keys = slices.Clone(keys[:min(len(keys), keptKeys)])
}

// decided tells whether an endpoint was chosen.
func (x *exchange) decided() bool { return x.endpoint != nil }

// served moves the request to the endpoint at address if that is not the one chosen: what is in flight, and the prefix,
// which the serving endpoint now holds. What the index believes of the endpoint chosen first is left to age: others may
// have put it there.
func (x *exchange) served(address string) {
	if !x.decided() || address == "" || address == x.endpoint.Address {
		return
	}
	for _, endpoint := range x.pool.pool.Endpoints() {
		if endpoint.Address == address {
			x.flight.End()
			x.flight = endpoint.Begin(x.tokens)
			x.endpoint = endpoint
			x.pool.pool.Index().Add(endpoint.Server, x.keys)
			return
		}
	}
}

// answering notes that the model server has begun to answer a streamed request: its prompt is worked through.
func (x *exchange) answering() {
	if x.flight != nil {
		x.flight.EndPrefill()
	}
}

// end releases everything, once, whatever ended the request.
func (x *exchange) end() {
	if !x.ended.CompareAndSwap(false, true) {
		return
	}
	if x.flight != nil {
		x.flight.End()
	}
	if x.series == nil {
		return
	}
	x.series.Running.Dec()
	x.series.Duration.Observe(time.Since(x.began).Seconds())
	if x.flight != nil {
		x.series.Tokens(x.usage.input, x.usage.output, x.usage.cached)
	}
	if x.failed {
		x.series.Error(modelServerError)
	}
}

// modelServerError is the error code of a request that a model server did not answer with 200.
const modelServerError = "ModelServerError"
