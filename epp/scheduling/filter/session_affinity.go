package filter

import (
	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/session"
)

// SessionAffinityType is the type of SessionAffinity.
const SessionAffinityType = "session-affinity-filter"

// SessionAffinity keeps the endpoint that the request's session is bound to, and all of them when there is no session, or
// when its endpoint is not among them. It never empties the set. With the strategy encoded_endpoint_header the client
// carries the binding: each answer has a header with a token that the client repeats in its next request. With session_id
// the client names its session and this process remembers the endpoint, so only pickers that run alone can use it.
type SessionAffinity struct {
	*session.Affinity
}

// NewSessionAffinity reads `strategy` (encoded_endpoint_header; or session_id), `encodedEndpointHeaderConfig.header`
// (x-session-token), and for session_id `sessionIdConfig`: `sources`, a list of which each names a `header` or an
// `attribute` and the first that a request has counts (the header x-session-id), `evictionTtlSeconds` (300), after which an
// unused session is forgotten, and `evictionSweepSeconds` (10), how often those are removed. `profileName` is for profile
// handlers that run several profiles for one request and has no effect with the others.
func NewSessionAffinity(parameters []byte) (*SessionAffinity, error) {
	affinity, err := session.New(parameters)
	return &SessionAffinity{affinity}, err
}

// Filter implements scheduling.Filter.
func (f *SessionAffinity) Filter(c *scheduling.Cycle, in []int) []int {
	bound, ok := f.Bound(c, in)
	if !ok {
		return in
	}
	in[0] = bound
	return in[:1]
}
