package flowcontrol

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// poolIdle is how long a pool without requests is remembered.
const poolIdle = 10 * time.Minute

// Controller holds requests until their pool has room for them. Safe for concurrent use. A nil Controller admits everything.
type Controller struct {
	options atomic.Pointer[Options]
	metrics *series
	// policies show metrics of their own; configuring guards them.
	configuring sync.Mutex
	registerer  prometheus.Registerer
	policies    []prometheus.Collector
	// queued is how many requests wait.
	queued atomic.Int64

	mu      sync.RWMutex // taken before a pool's
	pools   map[string]*pool
	stopped bool

	draining atomic.Bool
	idleMu   sync.Mutex    // taken after a pool's
	idle     chan struct{} // closed when nothing waits; nil: nobody asks
}

// New makes a controller. It starts nothing: a timer runs while requests wait, and only then.
func New(options Options) (*Controller, error) {
	complete, err := options.complete()
	if err != nil {
		return nil, fmt.Errorf("flowControl: %w", err)
	}
	c := &Controller{pools: map[string]*pool{}, registerer: complete.Registerer}
	c.options.Store(&complete)
	if c.metrics, err = newSeries(complete.Registerer, c); err == nil {
		err = c.showPolicies(&complete)
	}
	if err != nil {
		return nil, fmt.Errorf("flowControl: registering metrics: %w", err)
	}
	return c, nil
}

// Admit waits until the request may be scheduled. The error is a *Refusal: the request is not to be scheduled, and there is no
// ticket. Otherwise the ticket's Placed and Release have to be called. When ctx ends the wait does.
func (c *Controller) Admit(ctx context.Context, r Request) (*Ticket, error) {
	if c == nil {
		return nil, nil
	}
	began := time.Now()
	if r.Arrived.IsZero() {
		r.Arrived = began
	}
	r.Fairness = fairnessOf(r.Fairness)
	c.metrics.bound(&r)
	p, ticket, w, refusal := c.enter(ctx, &r, began)
	took := time.Since(began)
	switch {
	case refusal != nil:
		c.metrics.passed(p.label, &r, refusal.Outcome, took)
		return nil, refusal
	case ticket != nil:
		c.metrics.passed(p.label, &r, Dispatched, took)
		return ticket, nil
	}
	if r.Queued != nil {
		r.Queued(c.longest(&r, began))
	}
	select {
	case <-w.done:
	case <-ctx.Done():
		p.abandon(w, context.Cause(ctx))
	}
	if w.refusal != nil {
		c.metrics.entered(p.label, &r, w.refusal.Outcome, took)
		return nil, w.refusal
	}
	c.metrics.entered(p.label, &r, Dispatched, took)
	return w.ticket, nil
}

// maxFairness bounds a fairness id in bytes; clients choose it, and policies remember it.
const maxFairness = 256

func fairnessOf(id string) string {
	switch {
	case id == "":
		return DefaultFairness
	case len(id) > maxFairness:
		return strings.Clone(id[:maxFairness])
	}
	return id
}

// enter brings a request to its pool. One of ticket, waiter and refusal is set.
func (c *Controller) enter(ctx context.Context, r *Request, now time.Time) (*pool, *Ticket, *waiter, *Refusal) {
	for {
		p := c.poolOf(r.Pool, now)
		if r.Bytes < 0 {
			return p, nil, nil, refuseInternal(fmt.Sprintf("a request of %d bytes; give its size or 0", r.Bytes))
		}
		if ctx.Err() != nil {
			return p, nil, nil, refuseGone(context.Cause(ctx))
		}
		if ticket, w, refusal, ok := p.enter(r, now); ok {
			return p, ticket, w, refusal
		}
	}
}

// Changed tells that the saturation of a pool may have fallen: new metrics, another endpoint.
func (c *Controller) Changed(key string) {
	if c == nil || c.queued.Load() == 0 {
		return
	}
	c.mu.RLock()
	p := c.pools[key]
	c.mu.RUnlock()
	if p == nil || p.queued.Load() == 0 {
		return
	}
	p.mu.Lock()
	defer p.unlock()
	p.proceed(time.Now())
}

// Waiting is how many requests wait.
func (c *Controller) Waiting() int64 {
	if c == nil {
		return 0
	}
	return c.queued.Load()
}

// poolOf finds or makes the queues of a pool.
func (c *Controller) poolOf(key string, now time.Time) *pool {
	c.mu.RLock()
	p := c.pools[key]
	c.mu.RUnlock()
	if p != nil {
		return p
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.pools[key]; p != nil {
		return p
	}
	c.forgetIdle(now)
	p = newPool(c, key, c.labelOf(key))
	p.stopped, p.lastUsed = c.stopped, now
	c.pools[key] = p
	return p
}

// labelOf is the pool's name as metrics show it: without its namespace, unless another pool has that label.
func (c *Controller) labelOf(key string) string {
	_, name, namespaced := strings.Cut(key, "/")
	if !namespaced {
		return key
	}
	for _, other := range c.pools {
		if other.label == name {
			return key
		}
	}
	return name
}

// forgetIdle drops pools that nobody has used for long, and their series.
func (c *Controller) forgetIdle(now time.Time) {
	for key, p := range c.pools {
		p.mu.Lock()
		p.gone = p.waiting.Requests == 0 && p.tickets == 0 && now.Sub(p.lastUsed) > poolIdle
		if p.gone {
			delete(c.pools, key)
			c.metrics.forget(p.label)
		}
		p.mu.Unlock()
	}
}

// Drain returns when nothing waits any more, or stops the waiting when ctx ends. What comes is admitted as before until then,
// and refused afterwards.
func (c *Controller) Drain(ctx context.Context) {
	if c == nil {
		return
	}
	idle := c.whenIdle()
	if c.queued.Load() == 0 {
		c.becameIdle()
	}
	select {
	case <-idle:
	case <-ctx.Done():
	}
	c.Stop()
}

// whenIdle is closed once nothing waits.
func (c *Controller) whenIdle() <-chan struct{} {
	c.idleMu.Lock()
	defer c.idleMu.Unlock()
	if c.idle == nil {
		c.idle = make(chan struct{})
	}
	c.draining.Store(true)
	return c.idle
}

// becameIdle tells a draining controller that a pool has nothing waiting.
func (c *Controller) becameIdle() {
	if !c.draining.Load() || c.queued.Load() != 0 {
		return
	}
	c.idleMu.Lock()
	defer c.idleMu.Unlock()
	if c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

// Stop refuses all that waits and all that comes from now on.
func (c *Controller) Stop() {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.stopped = true
	pools := make([]*pool, 0, len(c.pools))
	for _, p := range c.pools {
		pools = append(pools, p)
	}
	c.mu.Unlock()
	for _, p := range pools {
		p.stop()
	}
}
