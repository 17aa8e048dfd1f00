package scheduling

import (
	"context"
	"sync"
	"time"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/prefix"
	"github.com/switchyard/switchyard/epp/tokens"
)

// Cycle is one decision: the request, the candidates and what is known of each at this instant. Slices that speak of
// candidates are aligned with Candidates; plugins name a candidate by its index. A cycle belongs to one goroutine and is
// reused, so nothing of it may be kept after Release.
type Cycle struct {
	// Context ends with the request; for producers that have to ask somebody, each within its own bound.
	Context context.Context
	// Request is what the scan of the body found, never nil.
	Request *body.Request
	// Body is the request body as far as it is there, nil when there is none. It belongs to the request.
	Body []byte
	// Pool is the pool that the request is for, "namespace/name".
	Pool string
	// TargetModel is the model that the model server is asked for: that of Request, unless it is rewritten.
	TargetModel string
	// Fairness is the fairness id, never empty.
	Fairness string
	// RequestID is the value of x-request-id; empty: the client sent none.
	RequestID string
	// TTFT and TPOT are what the client asked for, to the first token and per further one; 0: it did not.
	TTFT, TPOT time.Duration
	// Headers are the request headers that plugins in use named, as far as the request has them.
	Headers Headers
	// Keys are the prefix keys of the prompt, first block first, at most as many as the match limit allows; those of several
	// prompts (see Request.Prompts) one prompt after the other. Append to it: the memory is the cycle's.
	Keys []uint64
	// BlockTokens is the length of one block in tokens.
	BlockTokens int
	// Candidates is the pool's snapshot, or the part of it that the proxy allows.
	Candidates []*datalayer.Endpoint
	// PrefixBlocks counts the leading blocks of Keys that each candidate holds, of several prompts those of each.
	PrefixBlocks []int
	// Tokens is the prompt as the model reads it, nil when no Tokenizer has told it.
	Tokens *tokens.Prompt
	// Loads is each candidate's load, read once so that all plugins judge the same instant.
	Loads []Load
	// Now is the instant of the decision.
	Now time.Time
	// Priority is that of the request's objective; below 0: the request may be shed.
	Priority int
	// BodyBytes is the size of the whole body as the client announced it, for bodies of which only the beginning is known;
	// 0: not announced.
	BodyBytes int
	// KeepScores has the scores of the candidates kept: see NoteScores.
	KeepScores bool
	// Custom looks up numbers of an endpoint that Load does not have; nil: there are none. See Number.
	Custom func(endpoint *datalayer.Endpoint, name string) (value float64, known bool)

	aside    PrefixMatch // see ReplacePrefix
	replaced bool

	attributes Headers
	outgoing   Headers
	stages     []Stage
	kept       []int
	port       string // see SendToPort
	rated      []int
	ratings    []float32
	tell       func(point string, plugin any, took time.Duration) // see Time
	lap        time.Time

	indices  []int
	spare    []int
	total    []float32
	score    []float32
	hits     []prefix.Hit
	byServer []int32
}

// maxKeptKeys bounds the memory that a released cycle holds on to; that of an unusually long prompt is dropped.
const maxKeptKeys = 1 << 16

var cycles = sync.Pool{New: func() any { return new(Cycle) }}

// NewCycle returns a cycle over candidates as they stand at now. Release it when the decision is made.
func NewCycle(request *body.Request, candidates []*datalayer.Endpoint, now time.Time) *Cycle {
	c := cycles.Get().(*Cycle)
	c.Request = request
	c.Context = context.Background()
	c.Body, c.Pool, c.TargetModel, c.Fairness, c.RequestID = nil, "", request.Model, "", ""
	c.TTFT, c.TPOT = 0, 0
	c.Headers = nil
	c.outgoing = c.outgoing[:0]
	c.stages, c.kept, c.port = c.stages[:0], c.kept[:0], ""
	c.KeepScores, c.rated = false, c.rated[:0]
	c.Now, c.Priority, c.BodyBytes, c.Custom = now, 0, 0, nil
	c.attributes = c.attributes[:0]
	c.Candidates = candidates
	c.Keys = c.Keys[:0]
	c.BlockTokens, c.Tokens, c.replaced = 0, nil, false
	c.PrefixBlocks = resize(c.PrefixBlocks, len(candidates))
	clear(c.PrefixBlocks)
	c.Loads = resize(c.Loads, len(candidates))
	for i, endpoint := range candidates {
		c.Loads[i] = loadOf(endpoint, now)
	}
	estimateUnknown(c.Loads)
	return c
}

// Release gives the cycle back. It must not be used afterwards.
func (c *Cycle) Release() {
	c.Context, c.tell = nil, nil
	c.Request = nil
	c.Body = nil
	c.Tokens = nil
	c.Headers = nil
	c.Candidates = nil
	c.Custom = nil
	clear(c.attributes)
	clear(c.outgoing)
	if max(cap(c.Keys), cap(c.aside.Keys)) <= maxKeptKeys {
		cycles.Put(c)
	}
}

// Match looks Keys up in the index and fills PrefixBlocks.
func (c *Cycle) Match(index *prefix.Index) {
	if len(c.Keys) == 0 {
		return
	}
	c.hits = c.hits[:0]
	for from := 0; from < len(c.Keys); {
		to := prefix.Prompt(from, len(c.Keys), c.Request.Prompts)
		c.hits = index.Match(c.Keys[from:to], c.hits)
		from = to
	}
	for _, hit := range c.hits {
		c.byServer = grow(c.byServer, int(hit.Server)+1)
		c.byServer[hit.Server] += int32(hit.Blocks)
	}
	for i, endpoint := range c.Candidates {
		if server := int(endpoint.Server); server < len(c.byServer) {
			c.PrefixBlocks[i] = int(c.byServer[server])
		}
	}
	for _, hit := range c.hits {
		c.byServer[hit.Server] = 0
	}
}

// Indices returns 0..len(Candidates)-1 in a slice that the cycle owns: the input of the first filter.
func (c *Cycle) Indices() []int {
	c.indices = resize(c.indices, len(c.Candidates))
	for i := range c.indices {
		c.indices[i] = i
	}
	return c.indices
}

// Spare copies indices into a slice that the cycle owns, until the next call: for filters that may have to take back what
// they removed.
func (c *Cycle) Spare(indices []int) []int {
	c.spare = append(c.spare[:0], indices...)
	return c.spare
}

// Scratch returns two slices of n that the cycle owns, for totals (zeroed) and for one scorer's answer.
func (c *Cycle) Scratch(n int) (total, score []float32) {
	c.total = resize(c.total, n)
	c.score = resize(c.score, n)
	clear(c.total)
	return c.total, c.score
}

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, n+n/4)
	}
	return s[:n]
}

// grow lengthens s to at least n, keeping what is in it; the new part is zero.
func grow[T any](s []T, n int) []T {
	if len(s) >= n {
		return s
	}
	if cap(s) >= n {
		old := len(s)
		s = s[:n]
		clear(s[old:])
		return s
	}
	longer := make([]T, n, n+n/2)
	copy(longer, s)
	return longer
}
