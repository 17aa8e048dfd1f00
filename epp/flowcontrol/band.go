package flowcontrol

import "time"

// waiter is a request in a queue. It belongs to its pool's lock until done is closed.
type waiter struct {
	request Request
	rank    int64
	order   uint64 // of arrival in the pool
	expires time.Time
	queued  time.Time
	flow    *Flow
	band    *band
	// places in the two heaps it is in.
	inFlow, inExpiry int

	done    chan struct{}
	ticket  *Ticket
	refusal *Refusal
}

// Flow is what waits of one fairness id in one band. It is forgotten when nothing of it waits.
type Flow struct {
	// ID is the fairness id.
	ID string
	// Turn is the fairness policy's own number.
	Turn float64

	queue heap[*waiter]
	place int
}

// Head is the request that goes next of this flow.
func (f *Flow) Head() *Request { return &f.queue.items[0].request }

// HeadBefore tells whether the head of f goes before that of other by the band's ordering policy.
func (f *Flow) HeadBefore(other *Flow) bool {
	return ranksBefore(f.queue.items[0], other.queue.items[0])
}

func ranksBefore(a, b *waiter) bool {
	if a.rank != b.rank {
		return a.rank < b.rank
	}
	return a.order < b.order
}

// band is the requests of one priority that wait for one pool.
type band struct {
	Band
	priority int
	listed   bool // stays when nobody uses it
	// ceiling is the level at which nothing of it is dispatched.
	ceiling  float64
	turns    Turns
	waits    WaitObserver // turns, if it is one
	flows    heap[*Flow]
	byID     map[string]*Flow
	tallies  map[queueLabels]*Load
	waiting  Load
	lastUsed time.Time
}

func newBand(settings Band, priority int, listed bool) *band {
	b := &band{Band: settings, priority: priority, listed: listed, turns: settings.Fairness.NewTurns(),
		byID: map[string]*Flow{}, tallies: map[queueLabels]*Load{}}
	b.waits, _ = b.turns.(WaitObserver)
	b.flows = newHeap(b.turns.Before, func(f *Flow) *int { return &f.place })
	return b
}

// put adds a waiter to its flow.
func (b *band) put(w *waiter) {
	f := b.byID[w.request.Fairness]
	if f == nil {
		f = &Flow{ID: w.request.Fairness, queue: newHeap(ranksBefore, func(w *waiter) *int { return &w.inFlow })}
		b.byID[f.ID] = f
	}
	w.flow, w.band = f, b
	f.queue.push(w)
	if f.queue.len() == 1 {
		b.turns.Joined(f)
		b.flows.push(f)
	} else if w.inFlow == 0 {
		b.flows.fix(f.place)
	}
	b.count(w, 1)
}

// next is the waiter that is to be dispatched first.
func (b *band) next() *waiter {
	f, ok := b.flows.top()
	if !ok {
		return nil
	}
	return f.queue.items[0]
}

// remove takes out a waiter; served tells that it was dispatched.
func (b *band) remove(w *waiter, served bool) {
	f := w.flow
	if f.queue.len() == 1 {
		b.flows.remove(f.place)
		delete(b.byID, f.ID)
	} else {
		wasHead := w.inFlow == 0
		f.queue.remove(w.inFlow)
		if served {
			b.turns.Served(f)
		}
		if wasHead {
			b.flows.fix(f.place)
		}
	}
	b.count(w, -1)
}

// count adds a waiter to the figures or, with sign -1, takes it off.
func (b *band) count(w *waiter, sign int64) {
	b.waiting.Requests += sign
	b.waiting.Bytes += sign * w.request.Bytes
	labels := queueLabels{w.request.tenant, modelPair{w.request.Model, w.request.TargetModel}}
	tally := b.tallies[labels]
	if tally == nil {
		tally = &Load{}
		b.tallies[labels] = tally
	}
	tally.Requests += sign
	tally.Bytes += sign * w.request.Bytes
	if tally.Requests == 0 {
		delete(b.tallies, labels)
	}
}

// attained tells the fairness policy of work done for a flow.
func (b *band) attained(id string, tokens float64) {
	f := b.byID[id]
	b.turns.Attained(id, tokens, f)
	if f != nil {
		b.flows.fix(f.place)
	}
}

// limitMet names the limit of the band that another request of this size would break, empty when there is none.
func (b *band) limitMet(bytes int64) string {
	switch {
	case b.waiting.Requests >= int64(b.MaxRequests):
		return "the queue of this priority holds as many requests as it may"
	case bytes > b.MaxBytes-b.waiting.Bytes:
		return "the queue of this priority holds as many bytes as it may"
	}
	return ""
}
