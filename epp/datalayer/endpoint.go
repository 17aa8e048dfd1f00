package datalayer

import (
	"maps"
	"sync/atomic"
	"time"

	"github.com/switchyard/switchyard/epp/prefix"
)

// Spec says that an endpoint exists.
type Spec struct {
	Name      string // <pod>-rank-<index>
	Namespace string
	Pod       string
	Rank      int    // index of the port in the pool's target ports
	Address   string // ip:port
	Labels    map[string]string
}

// Endpoint is one model server process of a pool. Its fields do not change; a change of labels makes a new
// Endpoint that shares the live numbers of the old one.
type Endpoint struct {
	Name      string
	Namespace string
	Pod       string
	Rank      int
	Address   string
	Labels    map[string]string // not to be changed
	Server    prefix.Server     // its ordinal in the pool's index

	live *live
}

// live is what changes: shared by the Endpoints that describe the same process.
type live struct {
	requests, tokens atomic.Int64
	lastBegin        atomic.Int64 // unix nanoseconds of the latest Begin
	metrics          atomic.Pointer[Metrics]
	models           atomic.Pointer[models]   // nil: never told
	endpoint         atomic.Pointer[Endpoint] // the one that describes it now
	woken            func(*live)              // told of the first Begin after a quiet time; must not block
}

// Requests is the number of requests that this process has in flight there.
func (e *Endpoint) Requests() int64 { return e.live.requests.Load() }

// Tokens is the number of tokens that this process has in flight there: of prompts that are not worked through, and of answers
// where these are estimated.
func (e *Endpoint) Tokens() int64 { return e.live.tokens.Load() }

// Metrics is the latest scrape, never nil.
func (e *Endpoint) Metrics() *Metrics { return e.live.metrics.Load() }

// Custom is a number of the latest scrape that an engine's Custom names. It is known while it is on the page and not stale.
func (e *Endpoint) Custom(name string) (value float64, known bool) {
	m := e.Metrics()
	if value, known = m.Custom(name); !known || m.Stale(time.Now()) {
		return 0, false
	}
	return value, true
}

// Models is what the server said it serves, LoRA adapters among it, in its order; nil: not asked, or not known any more. The
// slice is not to be changed.
func (e *Endpoint) Models() []string {
	m := e.live.models.Load()
	if m == nil || time.Now().After(m.until) {
		return nil
	}
	return m.names
}

// describes tells whether the endpoint is what the spec says, but for its address and name.
func (e *Endpoint) describes(s *Spec) bool {
	return e.Pod == s.Pod && e.Rank == s.Rank && maps.Equal(e.Labels, s.Labels)
}

// activeFor is how long after its latest request an endpoint counts as one with traffic.
const activeFor = 3 * time.Second

// Process is the process that an Endpoint describes: it is the same for all Endpoints that share its numbers, and a new one when the
// endpoint went and came back.
type Process struct{ live *live }

// Process is what the endpoint describes.
func (e *Endpoint) Process() Process { return Process{e.live} }

// Share is a part of what is in flight at an endpoint: that of one tenant, say. The zero value is empty.
type Share struct{ requests, tokens atomic.Int64 }

// Requests is the number of requests in flight.
func (s *Share) Requests() int64 { return s.requests.Load() }

// Tokens is the number of their tokens in flight.
func (s *Share) Tokens() int64 { return s.tokens.Load() }

// Flight is one request on its way at an endpoint. Its methods may be called from any goroutine.
type Flight struct {
	live   *live
	share  *Share       // nil: it belongs to none
	prompt atomic.Int64 // tokens
	output int64        // tokens
	ended  atomic.Bool
}

// Begin counts a request with so many (uncached) prompt tokens as in flight, until End.
func (e *Endpoint) Begin(tokens int64) *Flight { return e.BeginIn(nil, tokens, 0) }

// BeginIn is Begin for a request of a share, whose answer is expected to have so many tokens. Where all of an endpoint's requests belong
// to shares, these add up to what the endpoint counts.
func (e *Endpoint) BeginIn(share *Share, prompt, output int64) *Flight {
	l := e.live
	f := &Flight{live: l, share: share, output: output}
	f.prompt.Store(prompt)
	f.count(1, prompt+output)
	now := time.Now().UnixNano()
	if before := l.lastBegin.Swap(now); now-before > int64(activeFor) && l.woken != nil {
		l.woken(l)
	}
	return f
}

// count adds to what is in flight.
func (f *Flight) count(requests, tokens int64) {
	f.live.requests.Add(requests)
	f.live.tokens.Add(tokens)
	if f.share != nil {
		f.share.requests.Add(requests)
		f.share.tokens.Add(tokens)
	}
}

// Held is what the request still has in flight: of its prompt until EndPrefill, of its answer until End.
func (f *Flight) Held() (prompt, output int64) {
	if f.ended.Load() {
		return 0, 0
	}
	return f.prompt.Load(), f.output
}

// EndPrefill releases the prompt tokens, once: the server has worked through them.
func (f *Flight) EndPrefill() {
	if n := f.prompt.Swap(0); n != 0 {
		f.count(0, -n)
	}
}

// End releases everything, once, however often and from wherever it is called.
func (f *Flight) End() {
	if f.ended.CompareAndSwap(false, true) {
		f.count(-1, -f.prompt.Swap(0)-f.output)
	}
}
