package datalayer

import (
	"container/heap"
	"time"
)

// maxBackoff bounds the wait for a server that does not answer, in idle intervals.
const maxBackoff = 4

// target is an endpoint as the scraper sees it; only the scraper's goroutine touches it.
type target struct {
	live     *live
	pool     *Pool
	due      time.Time
	place    int // in the heap; -1: not waiting
	failures int // scrapes in a row that gave nothing
	proven   bool
	gone     bool // out of its pool while its scrape was under way
	suspect  bool // its scrape under way counts as that of a suspect
	wire     wire
}

// interval is the time to the next scrape: short with traffic, of this process (in flight, or lately) or of another
// (the server has requests); long without; growing while the server does not answer.
func (t *target) interval(o *Options, now time.Time) time.Duration {
	if t.failures > 0 {
		return o.IdleInterval * time.Duration(min(1<<min(t.failures-1, 8), maxBackoff))
	}
	l := t.live
	m := l.metrics.Load()
	if l.requests.Load() > 0 || m.Running > 0 || m.Waiting > 0 || now.UnixNano()-l.lastBegin.Load() < int64(activeFor) {
		return o.Interval
	}
	return o.IdleInterval
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
