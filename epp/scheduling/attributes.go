package scheduling

// Names of attributes that plugins of this project produce.
const (
	// SessionAttribute is the session of a request.
	SessionAttribute = "SessionID"
	// AgentAttribute is the agent that a request comes from.
	AgentAttribute = "agent-identity"
)

// PutAttribute notes something that a producer found out about the request, in place of what stands there under that name.
func (c *Cycle) PutAttribute(name, value string) {
	for i := range c.attributes {
		if c.attributes[i].Name == name {
			c.attributes[i].Value = value
			return
		}
	}
	c.attributes = append(c.attributes, Header{Name: name, Value: value})
}

// Attribute is what a producer noted under a name, empty when none did.
func (c *Cycle) Attribute(name string) string { return c.attributes.Get(name) }
