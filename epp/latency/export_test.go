package latency

// Running tells whether the client takes questions.
func (c *Client) Running() bool { return c.running.Load() }

// Waiting is how many samples wait to be sent.
func (c *Client) Waiting() int {
	c.samples.mu.Lock()
	defer c.samples.mu.Unlock()
	return len(c.samples.waiting)
}
