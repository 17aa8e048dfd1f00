package flowcontrol

import "time"

// Enqueue brings a request to its pool without waiting for what becomes of it.
func Enqueue(c *Controller, r Request) (queued bool) {
	now := time.Now()
	r.Arrived = now
	r.Fairness = fairnessOf(r.Fairness)
	c.metrics.bound(&r)
	_, w, _, _ := c.poolOf(r.Pool, now).enter(&r, now)
	return w != nil
}
