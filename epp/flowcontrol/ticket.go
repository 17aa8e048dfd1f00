package flowcontrol

import "time"

// bytesPerToken is the estimate by which body bytes become tokens.
const bytesPerToken = 4

// outputWeight is how much more a generated token costs than one of the prompt.
const outputWeight = 2

// Ticket is a request that was dispatched. All methods may be called on nil, and Release any number of times.
type Ticket struct {
	pool    *pool
	request InFlight
	charged float64 // tokens, at dispatch
	// Of its end by flow control: order of dispatch, callback, and the place among the pool's victims if it is tracked.
	order     uint64
	revoke    func(reason string)
	inVictims int
	// Under the pool's lock.
	placed, released, tracked bool
}

// Usage is what a request turned out to cost, in tokens; negative: not known.
type Usage struct {
	Input, Output int64
}

var unknownUsage = Usage{Input: -1, Output: -1}

// tokens is the work of a request, estimated from the body's size as far as it is not known.
func (u Usage) tokens(bytes int64) float64 {
	input := u.Input
	if input < 0 {
		input = bytes / bytesPerToken
	}
	return float64(input + outputWeight*max(u.Output, 0))
}

// Placed tells that the request is in flight at an endpoint, whose own figures show it from now on.
func (t *Ticket) Placed() {
	if t == nil {
		return
	}
	t.pool.mu.Lock()
	defer t.pool.mu.Unlock()
	if !t.placed {
		t.place()
		t.pool.track(t)
	}
}

func (t *Ticket) place() {
	if !t.placed {
		t.placed = true
		t.pool.ahead.Requests--
		t.pool.ahead.Bytes -= t.request.Bytes
	}
}

// Release tells that the request has ended, after its endpoint's figures no longer show it. What waits may go then.
func (t *Ticket) Release(usage Usage) {
	if t == nil {
		return
	}
	p := t.pool
	p.mu.Lock()
	defer p.unlock()
	if t.released {
		return
	}
	now := time.Now()
	t.released = true
	t.place()
	p.tickets--
	p.untrack(t)
	p.confirm(t, now)
	if b := p.bands[t.request.Priority]; b != nil {
		b.attained(t.request.Fairness, usage.tokens(t.request.Bytes)-t.charged)
	}
	p.proceed(now)
}
