package flowcontrol

import (
	"math"
	"time"
)

const (
	// maxRevocations bounds what one decision revokes: what a request frees is an estimate.
	maxRevocations = 2
	// confirmWithin is how long a revoked request has for its Release. Later it counts as timed out, and others may be revoked.
	confirmWithin = 10 * time.Second
)

// How a revocation ended, as metrics name it.
const (
	confirmed = "confirmed"
	timedOut  = "timed_out"
)

// revocation is a request that was revoked, until what it used shows as free.
type revocation struct {
	ticket *Ticket
	// debit is what its end is taken to free, in levels of saturation.
	debit  float64
	issued time.Time
	over   time.Time // of its Release or the wait for it; zero: not yet
}

// revokeCall is a callback that is due once the lock is released.
type revokeCall struct {
	revoke func(reason string)
	reason string
}

// unlock releases the lock, and then tells those whose requests were revoked under it: what they do may come back here.
func (p *pool) unlock() {
	due := p.due
	p.due = nil
	p.mu.Unlock()
	for _, call := range due {
		call.revoke(call.reason)
	}
}

// revokedBefore puts the victims in order. Of equals the one dispatched last goes first, whose work so far is the least.
func (p *pool) revokedBefore(a, b *Ticket) bool {
	ordering := p.options.Eviction.Ordering
	if ordering.Before(&a.request, &b.request) {
		return true
	}
	return !ordering.Before(&b.request, &a.request) && a.order > b.order
}

// track makes a placed request one that may be revoked, if it is. Priorities from 0 on never are: that is a promise to clients.
func (p *pool) track(t *Ticket) {
	eviction := p.options.Eviction
	if eviction == nil || t.released || t.revoke == nil || t.request.Priority >= 0 || !eviction.Filter.Evictable(&t.request) {
		return
	}
	t.tracked = true
	p.victims.push(t)
}

func (p *pool) untrack(t *Ticket) {
	if t.tracked {
		t.tracked = false
		p.victims.remove(t.inVictims)
	}
}

// reclaim revokes requests of low priority in flight while one of a higher priority waits only because the pool is full.
//
// Saturation follows what is done with a delay, so nothing is decided twice on the same reading: the next decision is made only when
// each revoked request has ended, or was given up on, and what it freed has had the time to show.
func (p *pool) reclaim(reading Reading, now time.Time) {
	if p.options.Eviction == nil {
		return
	}
	p.settle(now)
	p.target = 0
	victim, ok := p.victims.top()
	if !ok {
		return
	}
	demand := p.demand(reading.Level, victim.request.Priority)
	if demand == nil {
		return
	}
	p.target = reading.Level - demand.ceiling
	// Of a pool of which nothing is known nobody can say that ending requests would help.
	if len(p.revocations) > 0 || reading.Stale >= reading.Endpoints {
		return
	}
	debit := reading.Level / float64(max(p.tickets, 1))
	for range revocationsFor(p.target, debit) {
		victim, ok := p.victims.top()
		if !ok || victim.request.Priority >= demand.priority {
			return
		}
		p.revoke(victim, demand, debit, now)
	}
}

// revocationsFor is how many requests of a mean size make up for the target; one at least, for a pool is full at its ceiling.
func revocationsFor(target, debit float64) int {
	if debit <= 0 {
		return 1
	}
	return int(min(max(math.Ceil(target/debit), 1), maxRevocations))
}

// demand is the highest band above a priority in which a request waits for the pool to be less full. A band whose ceiling is 0 is
// closed, and no end of other requests opens it.
func (p *pool) demand(level float64, above int) *band {
	for _, b := range p.order {
		if b.priority <= above {
			return nil
		}
		if b.waiting.Requests > 0 && b.ceiling > 0 && level >= b.ceiling {
			return b
		}
	}
	return nil
}

func (p *pool) revoke(t *Ticket, demand *band, debit float64, now time.Time) {
	p.untrack(t)
	p.revocations = append(p.revocations, revocation{ticket: t, debit: debit, issued: now})
	reason := ReasonEvictedPriority
	if p.limitMet(demand, 0) != "" {
		reason = ReasonEvictedQueuePressure
	}
	p.due = append(p.due, revokeCall{t.revoke, reason})
	p.controller.metrics.revocationIssued(p.label, demand.priority)
}

// confirm notes the end of a request, if it was revoked.
func (p *pool) confirm(t *Ticket, now time.Time) {
	if len(p.revocations) == 0 {
		return
	}
	p.settle(now)
	for i := range p.revocations {
		if r := &p.revocations[i]; r.ticket == t && r.over.IsZero() {
			r.over = now
			p.controller.metrics.revocationOver(p.label, confirmed)
			p.controller.metrics.confirmedAfter(p.label, now.Sub(r.issued))
		}
	}
}

// settle gives up on revoked requests that do not end, and forgets those whose end must show by now.
func (p *pool) settle(now time.Time) {
	kept := p.revocations[:0]
	for _, r := range p.revocations {
		if r.over.IsZero() && now.Sub(r.issued) >= confirmWithin {
			r.over = r.issued.Add(confirmWithin)
			p.controller.metrics.revocationOver(p.label, timedOut)
		}
		if r.over.IsZero() || now.Sub(r.over) < p.options.Eviction.Lag {
			kept = append(kept, r)
		}
	}
	clear(p.revocations[len(kept):])
	p.revocations = kept
}

// pending is what is about to be free.
func (p *pool) pending() (sum float64) {
	for _, r := range p.revocations {
		sum += r.debit
	}
	return sum
}
