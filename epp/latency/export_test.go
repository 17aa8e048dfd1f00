package latency

// Running tells whether the client takes questions.
func (c *Client) Running() bool { return c.running.Load() }
