package producer

import (
	"fmt"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// AgentIdentityType is the type of AgentIdentity.
const AgentIdentityType = "agent-identity"

// AgentIdentity tells requests of one session of a coding agent from those of others, by the header that the agent sends:
// x-claude-code-session-id, x-session-affinity, session-id or session_id, the first that is there. The identity is the
// fairness id of requests that do not name one, and is noted as the attribute agent-identity.
type AgentIdentity struct {
	headers []string
}

// agentHeaders are the headers of known agents.
var agentHeaders = []string{"x-claude-code-session-id", "x-session-affinity", "session-id", "session_id"}

// NewAgentIdentity reads `additionalSessionHeaders`, which are looked at before those of known agents.
func NewAgentIdentity(parameters []byte) (*AgentIdentity, error) {
	given := struct {
		AdditionalSessionHeaders []string `json:"additionalSessionHeaders"`
	}{}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	p := &AgentIdentity{}
	for i, name := range given.AdditionalSessionHeaders {
		header, err := scheduling.HeaderName(fmt.Sprintf("additionalSessionHeaders[%d]", i), name)
		if err != nil {
			return nil, err
		}
		p.headers = append(p.headers, header)
	}
	p.headers = append(p.headers, agentHeaders...)
	return p, nil
}

// RequestHeaders implements scheduling.HeaderReader.
func (p *AgentIdentity) RequestHeaders() []string { return p.headers }

// Identity implements scheduling.Identifier.
func (p *AgentIdentity) Identity(headers scheduling.Headers) string {
	for _, name := range p.headers {
		if value := headers.Get(name); value != "" {
			return value
		}
	}
	return ""
}

// Produce implements scheduling.Producer.
func (p *AgentIdentity) Produce(c *scheduling.Cycle) {
	if identity := p.Identity(c.Headers); identity != "" {
		c.PutAttribute(scheduling.AgentAttribute, identity)
	}
}
