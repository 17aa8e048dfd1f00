package flowcontrol

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// pass bounds what one hold of the lock dispatches, so that others get their turn at it.
const pass = 256

// bandIdle is how long a band that is not listed is remembered after its last request: while it is, it has a rank.
const bandIdle = 10 * time.Minute

// pool is the queues of one pool. Its lock guards all of it and is held for a logarithm of what waits, never while waiting.
type pool struct {
	controller *Controller
	key, label string

	mu      sync.Mutex
	options *Options
	stopped bool
	gone    bool // forgotten: a newer one has its place
	bands   map[int]*band
	order   []*band // by falling priority
	expiry  heap[*waiter]
	waiting Load
	// ahead was dispatched and is not at its endpoint yet; tickets counts what was dispatched and not released.
	ahead    Load
	tickets  int
	arrivals uint64
	empty    bool // no endpoints, as last read
	timer    *time.Timer
	wakeAt   time.Time // zero: the timer is not set
	lastUsed time.Time
	// queued is waiting.Requests, to be read without the lock.
	queued atomic.Int64

	// Eviction: what may be revoked, what was, and whom to tell once the lock is released; target is by how much the pool is
	// too full for the band that wants the room.
	victims     heap[*Ticket]
	revocations []revocation
	due         []revokeCall
	target      float64
	dispatches  uint64
}

func newPool(c *Controller, key, label string) *pool {
	p := &pool{controller: c, key: key, label: label, options: c.options.Load(), bands: map[int]*band{}}
	p.expiry = newHeap(expiresBefore, func(w *waiter) *int { return &w.inExpiry })
	p.victims = newHeap(p.revokedBefore, func(t *Ticket) *int { return &t.inVictims })
	p.addListed()
	return p
}

// addListed makes the bands that stay when nobody uses them.
func (p *pool) addListed() {
	for priority, settings := range p.options.Bands {
		p.addBand(newBand(settings, priority, true))
	}
	p.rank()
}

func (p *pool) addBand(b *band) {
	p.bands[b.priority] = b
	at, _ := slices.BinarySearchFunc(p.order, b, func(x, y *band) int { return cmp.Compare(y.priority, x.priority) })
	p.order = slices.Insert(p.order, at, b)
}

// rank asks for the ceilings of the bands there are. A lower band's is cut to that of the one above, so that a level which
// stops a band stops all below it.
func (p *pool) rank() {
	priorities, ceilings := make([]int, len(p.order)), make([]float64, len(p.order))
	for i, b := range p.order {
		priorities[i] = b.priority
	}
	p.options.UsageLimit.Ceilings(priorities, ceilings)
	for i, b := range p.order {
		b.ceiling = ceilings[i]
		if i > 0 {
			b.ceiling = min(b.ceiling, p.order[i-1].ceiling)
		}
	}
}

// bandOf finds or makes the band of a priority.
func (p *pool) bandOf(priority int, now time.Time) *band {
	b := p.bands[priority]
	if b == nil {
		p.dropIdleBands(now)
		settings, listed := p.options.bandOf(priority)
		b = newBand(settings, priority, listed)
		p.addBand(b)
		p.rank()
	}
	b.lastUsed = now
	return b
}

func (p *pool) dropIdleBands(now time.Time) {
	p.order = slices.DeleteFunc(p.order, func(b *band) bool {
		idle := !b.listed && b.waiting.Requests == 0 && now.Sub(b.lastUsed) > bandIdle
		if idle {
			delete(p.bands, b.priority)
		}
		return idle
	})
}

// enter dispatches a request at once, queues it, or refuses it. Exactly one of the results is set; ok is false when the pool
// was forgotten meanwhile.
func (p *pool) enter(r *Request, now time.Time) (ticket *Ticket, w *waiter, refusal *Refusal, ok bool) {
	p.mu.Lock()
	defer p.unlock()
	if p.gone {
		return nil, nil, nil, false
	}
	if p.stopped {
		return nil, nil, refuseStopped(RejectedOther), true
	}
	p.lastUsed = now
	b := p.bandOf(r.Priority, now)
	reading, drained := p.dispatch(now)
	if drained && reading.Level < b.ceiling {
		// What waits has a ceiling that stops it, and whatever goes before this request has a higher one: nothing does.
		return p.send(b, r, 0), nil, nil, true
	}
	if what := p.limitMet(b, r.Bytes); what != "" {
		refusal = refuseFull(p.empty, what)
	} else {
		w = p.queue(b, r, now)
	}
	p.reclaim(reading, now)
	p.schedule(drained, now)
	return nil, w, refusal, true
}

func (p *pool) limitMet(b *band, bytes int64) string {
	options := p.options
	switch {
	case options.MaxRequests > 0 && p.waiting.Requests >= int64(options.MaxRequests):
		return "the queue of the pool holds as many requests as it may"
	case options.MaxBytes > 0 && bytes > options.MaxBytes-p.waiting.Bytes:
		return "the queue of the pool holds as many bytes as it may"
	}
	return b.limitMet(bytes)
}

func (p *pool) queue(b *band, r *Request, now time.Time) *waiter {
	p.arrivals++
	w := &waiter{request: *r, order: p.arrivals, queued: now, done: make(chan struct{})}
	p.put(b, w)
	p.count(w, 1)
	return w
}

// put gives a waiter its place in the queues.
func (p *pool) put(b *band, w *waiter) {
	w.expires = p.expires(&w.request)
	w.rank = b.Ordering.Rank(&w.request, w.expires)
	b.put(w)
	p.expiry.push(w)
}

func (p *pool) count(w *waiter, sign int64) {
	p.waiting.Requests += sign
	p.waiting.Bytes += sign * w.request.Bytes
	p.queued.Store(p.waiting.Requests)
	p.controller.queued.Add(sign)
	if sign < 0 && p.waiting.Requests == 0 {
		p.controller.becameIdle()
	}
}

// read asks how full the pool is.
func (p *pool) read() Reading {
	reading := p.options.Saturation(p.key, p.ahead)
	if math.IsNaN(reading.Level) {
		reading.Level = 1
	}
	if empty := reading.Endpoints == 0; empty != p.empty {
		p.empty = empty
		p.reconsider()
	}
	return reading
}

// dispatch sends off what may go, band by band. drained is false when there was more than one pass takes.
func (p *pool) dispatch(now time.Time) (reading Reading, drained bool) {
	reading = p.read()
	if p.waiting.Requests == 0 {
		return reading, true
	}
	defer func(began time.Time) { p.controller.metrics.cycle(time.Since(began)) }(time.Now())
	left := pass
	for _, b := range p.order {
		for w := b.next(); w != nil; w = b.next() {
			if reading.Level >= b.ceiling {
				return reading, true
			}
			if left == 0 {
				return reading, false
			}
			left--
			p.take(w, true)
			w.ticket = p.send(b, &w.request, now.Sub(w.queued))
			p.finish(w, Dispatched)
			reading = p.read()
		}
	}
	return reading, true
}

// send accounts for a request that is dispatched after a wait. Its flow is charged with the prompt at once: were it charged at the
// end only, a flow could send all it has before the first of it counts.
func (p *pool) send(b *band, r *Request, waited time.Duration) *Ticket {
	p.ahead.Requests++
	p.ahead.Bytes += r.Bytes
	p.tickets++
	p.dispatches++
	t := &Ticket{pool: p, request: InFlight{Priority: r.Priority, Fairness: r.Fairness, Bytes: r.Bytes}, order: p.dispatches,
		charged: unknownUsage.tokens(r.Bytes), revoke: r.Revoke}
	if p.options.Eviction != nil {
		t.request.Dispatched = time.Now()
	}
	if b.waits != nil {
		b.waits.Waited(r.Fairness, waited)
	}
	b.attained(r.Fairness, t.charged)
	return t
}

// take removes a waiter from the queues.
func (p *pool) take(w *waiter, served bool) {
	w.band.remove(w, served)
	p.expiry.remove(w.inExpiry)
	p.count(w, -1)
}

// finish wakes the goroutine that waits. The waiter is that goroutine's from here on.
func (p *pool) finish(w *waiter, outcome Outcome) {
	p.controller.metrics.waited(p.label, &w.request, outcome, time.Since(w.queued))
	close(w.done)
}

// refuse ends the wait of a waiter with an error.
func (p *pool) refuse(w *waiter, refusal *Refusal) {
	p.take(w, false)
	w.refusal = refusal
	p.finish(w, refusal.Outcome)
}

// abandon ends the wait of a request whose client is gone, unless it has ended otherwise.
func (p *pool) abandon(w *waiter, cause error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-w.done:
	default:
		p.refuse(w, refuseGone(cause))
	}
}

// stop refuses all that waits and all that comes.
func (p *pool) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	for w, ok := p.expiry.top(); ok; w, ok = p.expiry.top() {
		p.refuse(w, refuseStopped(EvictedOther))
	}
	p.arm(time.Now())
}
