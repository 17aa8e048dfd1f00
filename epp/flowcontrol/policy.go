package flowcontrol

import "time"

// DefaultFairness is the fairness id of a request that names none.
const DefaultFairness = "default-flow"

// Request is what flow control knows of a request.
type Request struct {
	// Pool is the pool that the request is for, "namespace/name".
	Pool string
	// Priority chooses the band; higher goes first.
	Priority int
	// Fairness is the id of the tenant or program; empty: DefaultFairness.
	Fairness string
	// Bytes is the size of the body.
	Bytes int64
	// Model and TargetModel are labels of the metrics.
	Model, TargetModel string
	// tenant is Fairness as a label.
	tenant string
	// Arrived is when the request came, from which it may wait; zero: now.
	Arrived time.Time
	// Deadline ends the wait earlier than the options do; zero: it does not.
	Deadline time.Time
	// TTFT is the time to the first token that the client asked for; 0: it did not.
	TTFT time.Duration
	// Queued is called once if the request has to wait, by the caller's own goroutine before it does: longest bounds the wait, 0:
	// nothing does. nil: nobody wants to know.
	Queued func(longest time.Duration)
	// Revoke is called at most once, with the reason, when what the request uses is needed for one of a higher priority: it is
	// then to be ended at once with the answer Evicted(reason). It may be called from any goroutine, between Placed and a moment
	// after Release, and must not block. nil: the request is never revoked.
	Revoke func(reason string)
}

// Load is an amount of work.
type Load struct {
	Requests, Bytes int64
}

// Reading is how full a pool is.
type Reading struct {
	// Level is 0 for an idle pool and 1 for a full one; it may be more.
	Level float64
	// Endpoints is how many endpoints there are, Stale how many of them have no believable metrics.
	Endpoints, Stale int
	// Prefill and Decode are the stages of a disaggregated pool; Level is the higher one.
	Prefill, Decode Stage
}

// Stage is the part of a pool that does one stage of the work.
type Stage struct {
	Endpoints int
	Level     float64
}

// Ordering orders the requests of a flow. Implementations are safe for concurrent use.
type Ordering interface {
	// Rank is asked once, when the request begins to wait until expires (zero: without end). Lower goes first; equals go
	// in the order of their arrival.
	Rank(r *Request, expires time.Time) int64
}

// Fairness orders the flows of a band. Implementations are safe for concurrent use.
type Fairness interface {
	// NewTurns makes the state of one band. What it returns is called by one goroutine at a time.
	NewTurns() Turns
}

// Turns is whose turn it is in one band. A call costs at most the logarithm of the number of flows: it never walks them.
type Turns interface {
	// Joined tells of a flow that has begun to wait.
	Joined(f *Flow)
	// Served tells that the head of a flow was dispatched while more of it waits.
	Served(f *Flow)
	// Before tells whether a goes before b. Both have a head. Between two calls of the other methods it may change only
	// for a flow whose head changed.
	Before(a, b *Flow) bool
	// Attained tells of work (tokens) done for the flow with this id: an estimate when a request of it is dispatched, and at
	// the request's end by how much it was more (or, below 0, less). waiting is the flow if it waits now, else nil; its place
	// may change.
	Attained(id string, tokens float64, waiting *Flow)
}

// WaitObserver is a Turns that wants to know how long requests waited.
type WaitObserver interface {
	// Waited tells of a request of the flow with this id that is dispatched, 0 if it did not have to wait.
	Waited(id string, waited time.Duration)
}

// UsageLimit says how full a pool may be for each band. Implementations are safe for concurrent use.
type UsageLimit interface {
	// Ceilings sets out[i] to the level at which priorities[i] is no longer dispatched; priorities fall. It is asked when
	// the set of bands changes. A band's ceiling is in effect never above that of a higher band.
	Ceilings(priorities []int, out []float64)
}

// InFlight is a dispatched request that has not ended, as eviction policies see it.
type InFlight struct {
	Priority   int
	Fairness   string
	Bytes      int64
	Dispatched time.Time
}

// EvictionFilter says which requests in flight may be revoked; those of priority 0 and above never are, whatever it says.
// Implementations are safe for concurrent use.
type EvictionFilter interface {
	// Evictable is asked once, when the request is placed.
	Evictable(r *InFlight) bool
}

// EvictionOrdering says which of two requests is revoked first. Implementations are safe for concurrent use.
type EvictionOrdering interface {
	// Before is a strict order that does not change with time; of equals the one that was dispatched last goes first.
	Before(a, b *InFlight) bool
}

// Endpoint is what a detector sees of a model server.
type Endpoint struct {
	// Role is the value of the label llm-d.ai/role.
	Role string
	// Fresh is false when the data layer no longer believes the numbers; At is when they were read, zero: never. Every is the
	// time in which they were to be read again, 0: not told.
	Fresh bool
	At    time.Time
	Every time.Duration
	// Numbers of the model server, each with whether it is known. KVUsage is 0 to 1.
	Waiting, Running                 float64
	KVUsage                          float64
	HasWaiting, HasRunning, HasUsage bool
	// Requests and Tokens are what this process has in flight there.
	Requests, Tokens int64
}

// Detector tells how full a pool is. Implementations are pure and safe for concurrent use.
type Detector interface {
	// Measure reads the endpoints of a pool at a time. ahead has been dispatched and is in flight at no endpoint yet. It keeps
	// nothing of endpoints.
	Measure(endpoints []Endpoint, ahead Load, now time.Time) Reading
	// Keeps tells whether the scheduler may still choose the endpoint, where the detector is used as a filter.
	Keeps(e Endpoint, now time.Time) bool
	// FailsOpen tells whether a filter that keeps nobody is to keep everybody.
	FailsOpen() bool
	// Lag is how long after the end of a request Measure may still count it.
	Lag() time.Duration
}
