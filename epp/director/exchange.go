package director

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/flowcontrol"
	"github.com/switchyard/switchyard/epp/metrics"
	"github.com/switchyard/switchyard/epp/rename"
	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/tracing"
	"github.com/switchyard/switchyard/epp/usage"
)

// keptKeys bounds the prefix keys that a request keeps until its end, 4 KiB, so that they can be noted for the endpoint
// that really served it. Of a longer prompt its head is kept, which is a valid prefix too.
const keptKeys = 512

// modelServerError is the error code of a request that a model server did not answer with 200.
const modelServerError = "ModelServerError"

// Exchange is one request from its arrival to its end: all that stays in memory while the model server works. Its methods are
// called by one goroutine at a time, but for End.
type Exchange struct {
	// Usage is what the model server reported.
	Usage usage.Tokens
	// API is that of the request.
	API body.API
	// Failed is set when the model server answered with an error, Streamed when it answers piece by piece, Complete when the whole
	// answer was seen.
	Failed, Streamed, Complete bool
	// Rename restores the model's name in the answer; nil: it was not changed.
	Rename *rename.Writer

	director *Director
	pool     *Pool
	endpoint *datalayer.Endpoint
	// destination is the address that the proxy was told first.
	destination string
	flight      *datalayer.Flight
	stages      []*datalayer.Flight // of the endpoints that only work on the prompt
	ticket      *flowcontrol.Ticket
	series      *metrics.Series
	followed    []scheduling.Followed
	trace       *tracing.Request // nil: not traced
	keys        []uint64
	prompts     []int // where each of several prompts ends in keys
	fairness    string
	priority    int
	size        int64         // of the answer's body, bytes
	worked      time.Duration // on the answer

	began, placed, first, latest time.Time
	ended                        atomic.Bool
}

// Begin starts the account of a request for a pool. End has to be called.
func (d *Director) Begin(pool *Pool, now time.Time) *Exchange {
	return &Exchange{director: d, pool: pool, began: now, Usage: usage.Unknown}
}

// Trace begins to show the request in a trace, unless that was done before or is not asked for.
func (x *Exchange) Trace(asked *Request) {
	if x.trace == nil {
		x.trace = x.director.options.Tracer.Begin(asked.Headers, x.pool.Key(), x.began)
	}
}

// place accounts for a request that goes to the first of the chosen endpoints. prompt is its length in tokens. Where another endpoint
// works on the prompt, it has the work, and the first chosen one has none until it answers.
func (x *Exchange) place(cycle *scheduling.Cycle, chosen []int, prompt int) {
	matched := cycle.Approximate()
	x.keys = slices.Clone(matched.Keys[:min(len(matched.Keys), keptKeys)])
	prompts := cycle.Request.Prompts
	x.prompts = append(x.prompts, prompts[:min(len(prompts), keptKeys)]...)
	x.placed = cycle.Now
	x.fairness, x.priority = cycle.Fairness, cycle.Priority
	load := &x.director.options.Config.InFlight
	tokens := load.Prompt(cycle, chosen[0], prompt)
	for _, stage := range cycle.Stages() {
		endpoint, work := cycle.Candidates[stage.Candidate], int64(0)
		if stage.Name == scheduling.StagePrefill {
			work, tokens = load.Prompt(cycle, stage.Candidate, prompt), 0
			x.pool.Index().Add(endpoint.Server, matched.Keys, prompts...)
		}
		x.stages = append(x.stages, x.begin(endpoint, work, 0))
	}
	x.endpoint = cycle.Candidates[chosen[0]]
	x.destination = cycle.Destination(chosen[0])
	x.flight = x.begin(x.endpoint, tokens, load.Output(cycle.Request, prompt))
	x.pool.Index().Add(x.endpoint.Server, matched.Keys, prompts...)
	x.ticket.Placed()
}

// begin counts the request, with tokens of its prompt and its answer, as in flight at an endpoint.
func (x *Exchange) begin(endpoint *datalayer.Endpoint, prompt, output int64) *datalayer.Flight {
	return x.director.options.Metrics.BeginFlight(endpoint, x.fairness, x.priority, prompt, output)
}

func (x *Exchange) follow(followed scheduling.Followed) {
	if followed != nil {
		x.followed = append(x.followed, followed)
	}
}

// Pool is the pool that the request is for.
func (x *Exchange) Pool() *Pool { return x.pool }

// Endpoint is where the request goes, nil while that is not decided.
func (x *Exchange) Endpoint() *datalayer.Endpoint { return x.endpoint }

// Decided tells whether an endpoint was chosen.
func (x *Exchange) Decided() bool { return x.endpoint != nil }

// Served moves the request to the endpoint at address if that is not the one chosen: what is in flight, and the prefix,
// which the serving endpoint now holds. What the index believes of the endpoint chosen first is left to age: others may
// have put it there.
func (x *Exchange) Served(address string) {
	if !x.Decided() || address == "" || address == x.endpoint.Address || address == x.destination {
		return
	}
	for _, endpoint := range x.pool.Endpoints() {
		if endpoint.Address == address {
			prompt, output := x.flight.Held()
			x.flight.End()
			x.flight = x.begin(endpoint, prompt, output)
			x.endpoint = endpoint
			x.pool.Index().Add(endpoint.Server, x.keys, x.prompts...)
			return
		}
	}
}

// Answering notes that the model server has begun to answer a streamed request: its prompt is worked through.
func (x *Exchange) Answering(now time.Time) {
	if x.flight == nil || !x.first.IsZero() {
		return
	}
	x.first, x.latest = now, now
	x.flight.EndPrefill()
	for _, stage := range x.stages {
		stage.End()
	}
	for _, followed := range x.followed {
		followed.Answering(now)
	}
	x.series.FirstToken(now.Sub(x.began), x.Streamed)
	x.trace.Answering(now)
}

// Piece notes a piece of the answer's body that came after the first.
func (x *Exchange) Piece(size int, now time.Time) {
	x.size += int64(size)
	if x.Streamed && !x.latest.IsZero() && now != x.latest {
		x.series.Gap(now.Sub(x.latest))
		x.latest = now
	}
}

// Worked notes time that was spent on the answer.
func (x *Exchange) Worked(took time.Duration) { x.worked += took }

// Refused counts a refusal.
func (x *Exchange) Refused(no *Refusal) {
	if x.series == nil {
		x.series = x.director.options.Metrics.Series("", "", "", 0)
		x.series.Total.Inc()
		x.series.Running.Inc()
	}
	x.series.Error(no.Code)
	x.trace.Refused(no.Code, no.Status, no.Message)
}

// End releases everything, once, whatever ended the request.
func (x *Exchange) End() {
	if !x.ended.CompareAndSwap(false, true) {
		return
	}
	now := time.Now()
	if x.flight != nil {
		x.flight.End()
	}
	for _, stage := range x.stages {
		stage.End()
	}
	x.ticket.Release(flowcontrol.Usage{Input: x.Usage.Input, Output: x.Usage.Output})
	for _, followed := range x.followed {
		followed.Ended(scheduling.Outcome{Endpoint: x.endpoint, Input: x.Usage.Input, Output: x.Usage.Output, Cached: x.Usage.Cached,
			Failed: x.Failed || !x.Complete, Streamed: x.Streamed, Began: x.placed, At: now})
	}
	if x.series != nil {
		x.measure(now)
	}
	x.trace.End(tracing.Outcome{Endpoint: x.address(), Usage: x.Usage, Failed: x.Failed, Complete: x.Complete}, now)
}

// address is that of the endpoint which serves the request, empty while none does.
func (x *Exchange) address() string {
	if x.endpoint == nil {
		return ""
	}
	return x.endpoint.Address
}

// measure notes in the metrics how the request went.
func (x *Exchange) measure(now time.Time) {
	took := now.Sub(x.began)
	x.series.Running.Dec()
	x.series.Duration.Observe(took.Seconds())
	if x.flight == nil {
		return
	}
	x.series.Tokens(x.Usage.Input, x.Usage.Output, x.Usage.Cached)
	if x.Failed {
		x.series.Error(modelServerError)
		return
	}
	if x.worked > 0 {
		x.director.options.Metrics.ResponseProcessing.Observe(x.worked.Seconds())
	}
	if x.Complete && !x.Streamed {
		x.series.FirstToken(took, false)
	}
	if x.size > 0 {
		x.series.ResponseSize(x.size)
	}
	if x.Usage.Output <= 0 {
		return
	}
	x.series.NormalizedPerToken(took / time.Duration(x.Usage.Output))
	if x.Streamed && !x.first.IsZero() && x.Usage.Output > 1 {
		x.series.PerToken(now.Sub(x.first) / time.Duration(x.Usage.Output-1))
	}
}
