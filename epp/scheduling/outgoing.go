package scheduling

// SetRequestHeader has the proxy set a header of the request that goes to the model server, in place of whatever the client
// sent. The name is in lower case; of several calls with one name the last counts. Without a
// value the header is removed.
func (c *Cycle) SetRequestHeader(name, value string) {
	for i := range c.outgoing {
		if c.outgoing[i].Name == name {
			c.outgoing[i].Value = value
			return
		}
	}
	c.outgoing = append(c.outgoing, Header{Name: name, Value: value})
}

// OutgoingHeaders are the headers set so far. They belong to the cycle.
func (c *Cycle) OutgoingHeaders() Headers { return c.outgoing }
