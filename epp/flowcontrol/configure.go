package flowcontrol

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Configure has the controller go on with other options. What waits goes on waiting, from when it came, in the queues that it has by
// them; a queue that holds more than it may now takes in nothing until it does not. Policies that remember begin anew. A nil
// Controller takes no options.
func (c *Controller) Configure(options Options) error {
	if c == nil {
		return nil
	}
	complete, err := options.complete()
	if err != nil {
		return fmt.Errorf("flowControl: %w", err)
	}
	c.configuring.Lock()
	defer c.configuring.Unlock()
	if err := c.showPolicies(&complete); err != nil {
		return fmt.Errorf("flowControl: registering metrics: %w", err)
	}
	c.mu.Lock()
	c.options.Store(&complete)
	pools := make([]*pool, 0, len(c.pools))
	for _, p := range c.pools {
		pools = append(pools, p)
	}
	c.mu.Unlock()
	for _, p := range pools {
		p.configure(&complete)
	}
	return nil
}

// showPolicies registers the metrics of the policies in force, in place of those before. Of two policies with the same series one
// is shown.
func (c *Controller) showPolicies(o *Options) error {
	if c.registerer == nil {
		return nil
	}
	for _, before := range c.policies {
		c.registerer.Unregister(before)
	}
	c.policies = nil
	for _, policy := range o.Policies() {
		shows, ok := policy.(prometheus.Collector)
		if !ok {
			continue
		}
		err := c.registerer.Register(shows)
		if errors.As(err, new(prometheus.AlreadyRegisteredError)) {
			continue
		}
		if err != nil {
			return err
		}
		c.policies = append(c.policies, shows)
	}
	return nil
}

// configure gives the pool its queues anew.
func (p *pool) configure(o *Options) {
	p.mu.Lock()
	defer p.unlock()
	now := time.Now()
	waiting := slices.SortedFunc(slices.Values(p.expiry.items), func(a, b *waiter) int { return cmp.Compare(a.order, b.order) })
	victims := p.victims.items
	p.options = o
	p.bands, p.order, p.expiry.items, p.victims.items = map[int]*band{}, nil, nil, nil
	p.addListed()
	p.read() // an end of a wait depends on whether there are endpoints
	for _, w := range waiting {
		p.put(p.bandOf(w.request.Priority, now), w)
	}
	for _, t := range victims {
		t.tracked = false
		p.track(t)
	}
	if o.Eviction == nil {
		p.revocations, p.target = nil, 0
	}
	p.proceed(now)
}
