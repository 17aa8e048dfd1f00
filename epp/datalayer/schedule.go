package datalayer

import (
	"container/heap"
	"time"
)

// maxBackoff bounds the wait for a server that does not answer, in pauses of its source.
const maxBackoff = 4

// target is an endpoint that a source asks, as the scraper sees it; only the scraper's goroutine touches it, but for what
// belongs to the scrape under way: wire.
type target struct {
	live     *live
	pool     *Pool
	source   source
	due      time.Time
	place    int  // in the heap; -1: not waiting
	failures int  // scrapes in a row that gave nothing
	proven   bool // the latest scrape gave something
	spread   bool // its turn has been moved away from those that began with it
	gone     bool // out of its pool, or replaced, while its scrape was under way
	suspect  bool // its scrape under way counts as that of a suspect
	wire     wire
}

// interval is the time to the next scrape; it grows while the server does not answer.
func (t *target) interval(now time.Time) time.Duration {
	if t.failures > 0 {
		return t.source.pause() * time.Duration(min(1<<min(t.failures-1, 8), maxBackoff))
	}
	return t.source.interval(t.live, now)
}

// next is the time to the next scrape, moved by a random number from 0 to 1. Endpoints that came together are spread over
// the whole interval first.
func (t *target) next(now time.Time, random float64) time.Duration {
	d := t.interval(now)
	if !t.spread {
		t.spread = true
		return time.Duration(float64(d) * (0.1 + 0.9*random))
	}
	return jittered(d, random)
}

// jittered spreads scrapes: between 0.9 and 1.1 of an interval, by a random number from 0 to 1.
func jittered(d time.Duration, random float64) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*random))
}

// queue is targets by the time they are due.
type queue struct{ items []*target }

func (q *queue) Len() int           { return len(q.items) }
func (q *queue) Less(i, j int) bool { return q.items[i].due.Before(q.items[j].due) }
func (q *queue) Swap(i, j int) {
	q.items[i], q.items[j] = q.items[j], q.items[i]
	q.items[i].place, q.items[j].place = i, j
}
func (q *queue) Push(x any) {
	t := x.(*target)
	t.place = len(q.items)
	q.items = append(q.items, t)
}
func (q *queue) Pop() any {
	last := len(q.items) - 1
	t := q.items[last]
	q.items[last] = nil
	q.items = q.items[:last]
	t.place = -1
	return t
}

// put makes a target wait until it is due, or changes for when.
func (q *queue) put(t *target, due time.Time) {
	t.due = due
	if t.place >= 0 {
		heap.Fix(q, t.place)
		return
	}
	heap.Push(q, t)
}

// take gives a target that is due, nil when none is.
func (q *queue) take(now time.Time) *target {
	if len(q.items) == 0 || q.items[0].due.After(now) {
		return nil
	}
	return heap.Pop(q).(*target)
}

// drop takes a target out, wherever it stands.
func (q *queue) drop(t *target) {
	if t.place >= 0 {
		heap.Remove(q, t.place)
	}
}
