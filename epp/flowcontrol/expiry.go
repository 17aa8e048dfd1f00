package flowcontrol

import "time"

// expires is when the wait of a request ends in the pool's present state; zero: never.
func (p *pool) expires(r *Request) time.Time {
	ttl := p.options.TTL
	if p.empty {
		ttl = p.options.NoEndpointTTL
	}
	if ttl == 0 {
		return r.Deadline
	}
	end := r.Arrived.Add(ttl)
	if !r.Deadline.IsZero() && r.Deadline.Before(end) {
		return r.Deadline
	}
	return end
}

// longest bounds the wait of a request from now on, whatever becomes of its pool; 0: nothing does.
func (c *Controller) longest(r *Request, now time.Time) time.Duration {
	options := c.options.Load()
	end := r.Arrived.Add(max(options.TTL, options.NoEndpointTTL))
	if options.TTL == 0 || options.NoEndpointTTL == 0 {
		end = r.Deadline
	} else if !r.Deadline.IsZero() && r.Deadline.Before(end) {
		end = r.Deadline
	}
	if end.IsZero() {
		return 0
	}
	return max(end.Sub(now), time.Nanosecond)
}

func expiresBefore(a, b *waiter) bool {
	if a.expires.IsZero() || b.expires.IsZero() {
		return !a.expires.IsZero()
	}
	return a.expires.Before(b.expires)
}

// reconsider gives everything that waits the bound of the pool's new state, after its last endpoint went or its first came.
// This walks the queue, which only such a change does, and only where the two bounds differ.
func (p *pool) reconsider() {
	if p.waiting.Requests == 0 || p.options.TTL == p.options.NoEndpointTTL {
		return
	}
	for _, w := range p.expiry.items {
		w.expires = p.expires(&w.request)
	}
	p.expiry.rebuild()
}

// arm sets the timer for the next thing that happens by itself, while something waits. A timer that is set early enough is
// left alone, and one that is no longer needed runs out once.
func (p *pool) arm(now time.Time) {
	if p.waiting.Requests == 0 {
		if p.timer != nil && p.stopped {
			p.timer.Stop()
		}
		return
	}
	next := now.Add(recheck)
	if first, ok := p.expiry.top(); ok && !first.expires.IsZero() && first.expires.Before(next) {
		next = first.expires
	}
	if !p.wakeAt.IsZero() && !p.wakeAt.After(next) {
		return
	}
	p.setTimer(next, now)
}

// wake is the timer's: it refuses what has waited too long and dispatches what may go.
func (p *pool) wake() {
	p.mu.Lock()
	defer p.unlock()
	now := time.Now()
	p.wakeAt = time.Time{}
	if p.waiting.Requests == 0 {
		return
	}
	p.read()
	p.expire(now)
	p.proceed(now)
}

func (p *pool) expire(now time.Time) {
	for w, ok := p.expiry.top(); ok; w, ok = p.expiry.top() {
		if w.expires.IsZero() || w.expires.After(now) {
			return
		}
		p.refuse(w, refuseExpired(p.empty))
	}
}

// proceed dispatches what may go, makes room for what may not, and sees to it that the rest is looked at again.
func (p *pool) proceed(now time.Time) {
	if p.waiting.Requests == 0 {
		return
	}
	reading, drained := p.dispatch(now)
	p.reclaim(reading, now)
	p.schedule(drained, now)
}

// schedule sets the timer after a dispatch. When that left something over the timer comes at once, behind whoever waits for
// the lock.
func (p *pool) schedule(drained bool, now time.Time) {
	if drained {
		p.arm(now)
		return
	}
	p.setTimer(now, now)
}

func (p *pool) setTimer(at, now time.Time) {
	p.wakeAt = at
	if p.timer == nil {
		p.timer = time.AfterFunc(at.Sub(now), p.wake)
		return
	}
	p.timer.Reset(at.Sub(now))
}
