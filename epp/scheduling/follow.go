package scheduling

import (
	"time"

	"github.com/switchyard/switchyard/epp/datalayer"
)

// Follower is a plugin that wants to know how requests went on after they were placed.
type Follower interface {
	// Follow is called once for a request, after the endpoints were chosen and before the proxy knows: it must not
	// block. chosen is candidates, best first, and belongs to the cycle, like everything in it: what the plugin needs
	// later it copies. nil: it does not want to know of this request.
	Follow(c *Cycle, chosen []int) Followed
}

// Followed is told about one request. Its methods are called by one goroutine at a time and must not block.
type Followed interface {
	// Answering is called once, when the model server has begun to answer: its first byte, or the headers of a streamed
	// answer where the proxy shows no bodies.
	Answering(at time.Time)
	// Ended is called exactly once, however the request ended.
	Ended(outcome Outcome)
}

// Outcome is how a request ended.
type Outcome struct {
	// Endpoint is where it was served, as far as is known; a retry may have moved it from the one chosen.
	Endpoint *datalayer.Endpoint
	// Input, Output and Cached are tokens as the model server reported them; below 0: it did not.
	Input, Output, Cached int64
	// Failed is set when the model server answered with an error, or the request ended before its answer did.
	Failed bool
	// Streamed tells whether the answer came piece by piece.
	Streamed bool
	// Began is when the request was placed, At when it ended.
	Began, At time.Time
}
