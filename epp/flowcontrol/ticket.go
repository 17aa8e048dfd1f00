package flowcontrol

import "time"

// bytesPerToken is the estimate by which body bytes become tokens.
const bytesPerToken = 4

// outputWeight is how much more a generated token costs than one of the prompt.
const outputWeight = 2

// Ticket is a request that was dispatched. All methods may be called on nil, and Release any number of times.
type Ticket struct {
	pool             *pool
	priority         int
	fairness         string
	bytes            int64
	charged          float64 // tokens, at dispatch
	placed, released bool    // under the pool's lock
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
	t.place()
}

func (t *Ticket) place() {
	if !t.placed {
		t.placed = true
		t.pool.ahead.Requests--
		t.pool.ahead.Bytes -= t.bytes
	}
}

// Release tells that the request has ended, after its endpoint's figures no longer show it. What waits may go then.
func (t *Ticket) Release(usage Usage) {
	if t == nil {
		return
	}
	p := t.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.released {
		return
	}
	t.released = true
	t.place()
	p.tickets--
	if b := p.bands[t.priority]; b != nil {
		b.attained(t.fairness, usage.tokens(t.bytes)-t.charged)
	}
	p.proceed(time.Now())
}
