package director

import (
	"time"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// Request is what a request brings to the decision. Its slices belong to the caller.
type Request struct {
	// Path is the path of the request as the client sent it. PathSent is false when the proxy told none: the body shows which API
	// it is then.
	Path     string
	PathSent bool
	// Headers are those that plugins read.
	Headers scheduling.Headers
	// Objective names an InferenceObjective, Fairness a tenant; RewriteTo is the model asked for by header; ID is x-request-id.
	// Each is empty when the client sent none.
	Objective, Fairness, RewriteTo, ID string
	// TTFT and TPOT are what the client asked for, to the first token and per further one; 0: it did not.
	TTFT, TPOT time.Duration
	// VideoTokens is what the client's headers make of each video of the body, see body.VideoTokens; 0: they say nothing.
	VideoTokens int
	// IfAvailable is set when the request is to be served only where (a part of) its prompt is in the cache.
	IfAvailable bool
	// ContentLength is the size of the whole body as announced, 0 when it was not.
	ContentLength int
	Body          []byte
	HasBody       bool
	// Complete is false when more body follows that the picker does not get to see.
	Complete bool
	// Restricted is set when the proxy allows only the endpoints of Subset: "ip:port" or "ip", of which the IP counts.
	Restricted bool
	Subset     []string
	// Queued is called once when the request has to wait: longest bounds the wait, 0: nothing does. nil: nobody wants to know.
	Queued func(longest time.Duration)
	// Revoke takes back a request that was placed, when another has to have its room. It must not block. nil: it cannot be.
	Revoke func(*Refusal)
}

// size is that of the body in bytes, as far as it is known.
func (r *Request) size() int { return max(len(r.Body), r.ContentLength) }

// Decision is where a request goes and what of it is changed on the way.
type Decision struct {
	// Addresses are the endpoints ("ip:port"), best first, joined by commas.
	Addresses string
	// Headers are to be set on the request; those without a value are to be removed from it.
	Headers scheduling.Headers
	// Model, when not empty, is a JSON string that takes the place of Body[ModelStart:ModelEnd].
	Model                string
	ModelStart, ModelEnd int
	// Scores are those of the endpoints that were rated, when the options ask for them.
	Scores []Score
}

// Score is what scheduling thought of an endpoint.
type Score struct {
	Address string
	Score   float64
}
