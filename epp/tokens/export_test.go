package tokens

// Awake ends a rest.
func (c *Client) Awake() { c.restUntil.Store(0) }
