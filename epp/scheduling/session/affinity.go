package session

import (
	"encoding/base64"
	"fmt"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/response"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// Strategies by which a session is bound.
const (
	encodedEndpointHeader = "encoded_endpoint_header"
	sessionID             = "session_id"
)

// Affinity is what the session-affinity plugins have in common: it implements scheduling.HeaderReader, scheduling.Observer
// and response.Plugin for them.
type Affinity struct {
	// header carries the token; empty with the strategy session_id.
	header string

	sources  []source
	bindings *bindings
}

// source is one place where a session's id may be found: a header or an attribute.
type source struct {
	Header    string `json:"header"`
	Attribute string `json:"attribute"`
}

// New reads the parameters of a session-affinity plugin.
func New(parameters []byte) (*Affinity, error) {
	given := struct {
		Strategy    string `json:"strategy"`
		ProfileName string `json:"profileName"`
		Encoded     struct {
			Header string `json:"header"`
		} `json:"encodedEndpointHeaderConfig"`
		SessionID struct {
			Sources              []source `json:"sources"`
			EvictionTTLSeconds   float64  `json:"evictionTtlSeconds"`
			EvictionSweepSeconds float64  `json:"evictionSweepSeconds"`
		} `json:"sessionIdConfig"`
	}{Strategy: encodedEndpointHeader}
	given.Encoded.Header = "x-session-token"
	given.SessionID.EvictionTTLSeconds, given.SessionID.EvictionSweepSeconds = 300, 10
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	switch given.Strategy {
	case encodedEndpointHeader:
		header, err := scheduling.HeaderName("encodedEndpointHeaderConfig.header", given.Encoded.Header)
		return &Affinity{header: header}, err
	case sessionID:
		sources, err := checkSources(given.SessionID.Sources)
		if err != nil {
			return nil, err
		}
		bindings, err := newBindings(given.SessionID.EvictionTTLSeconds, given.SessionID.EvictionSweepSeconds)
		return &Affinity{sources: sources, bindings: bindings}, err
	}
	return nil, fmt.Errorf("parameters: strategy: %q must be %s or %s", given.Strategy, encodedEndpointHeader, sessionID)
}

func checkSources(sources []source) ([]source, error) {
	if len(sources) == 0 {
		return []source{{Header: "x-session-id"}}, nil
	}
	for i := range sources {
		field := fmt.Sprintf("sessionIdConfig.sources[%d]", i)
		if (sources[i].Header == "") == (sources[i].Attribute == "") {
			return nil, fmt.Errorf("parameters: %s: give either header or attribute", field)
		}
		if sources[i].Header == "" {
			continue
		}
		header, err := scheduling.HeaderName(field+".header", sources[i].Header)
		if err != nil {
			return nil, err
		}
		sources[i].Header = header
	}
	return sources, nil
}

// RequestHeaders implements scheduling.HeaderReader.
func (a *Affinity) RequestHeaders() []string {
	if a.header != "" {
		return []string{a.header}
	}
	var names []string
	for _, s := range a.sources {
		if s.Header != "" {
			names = append(names, s.Header)
		}
	}
	return names
}

// Bound returns the member of in that the request's session is bound to. ok is false for a request without a session, and
// for a session that is bound to nobody or to an endpoint that is not in.
func (a *Affinity) Bound(c *scheduling.Cycle, in []int) (candidate int, ok bool) {
	name := a.boundName(c)
	if name == "" {
		return 0, false
	}
	for _, i := range in {
		if isEndpoint(c.Candidates[i], name) {
			return i, true
		}
	}
	return a.podOf(c, in, name)
}

// podOf finds the first endpoint of a pod of that name: tokens of pickers that name pods stay good.
func (a *Affinity) podOf(c *scheduling.Cycle, in []int, name string) (candidate int, ok bool) {
	for _, i := range in {
		if e := c.Candidates[i]; e.Pod != "" && isNamed(name, e.Namespace, e.Pod) {
			return i, true
		}
	}
	return 0, false
}

// boundName is namespace/name of the endpoint that the session is bound to, empty when there is none.
func (a *Affinity) boundName(c *scheduling.Cycle) string {
	if a.header == "" {
		return a.bindings.get(a.session(c), c.Now)
	}
	token := c.Headers.Get(a.header)
	if token == "" || len(token) > maxToken {
		return ""
	}
	name, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		return ""
	}
	return string(name)
}

// maxToken bounds a token in bytes: a namespace and a name have at most 63 and 253, and a rank.
const maxToken = 512

// session is the id of the request's session, empty when it has none.
func (a *Affinity) session(c *scheduling.Cycle) string {
	for _, s := range a.sources {
		found := ""
		if s.Header != "" {
			found = c.Headers.Get(s.Header)
		} else {
			found = c.Attribute(s.Attribute)
		}
		if found != "" {
			return found
		}
	}
	return ""
}

// Picked implements scheduling.Observer: it binds the session to the first choice.
func (a *Affinity) Picked(c *scheduling.Cycle, chosen []int) {
	if a.header != "" || len(chosen) == 0 {
		return
	}
	if id := a.session(c); id != "" {
		a.bindings.put(id, nameOf(c.Candidates[chosen[0]]), c.Now)
	}
}

// AnswerHeaders implements response.Plugin: with the strategy encoded_endpoint_header it gives the client the token that
// brings its next request to the same endpoint.
func (a *Affinity) AnswerHeaders(answer *response.Answer) {
	if a.header != "" && answer.Endpoint != nil {
		answer.SetHeader(a.header, base64.StdEncoding.EncodeToString([]byte(nameOf(answer.Endpoint))))
	}
}

func nameOf(e *datalayer.Endpoint) string { return e.Namespace + "/" + e.Name }

func isEndpoint(e *datalayer.Endpoint, name string) bool { return isNamed(name, e.Namespace, e.Name) }

func isNamed(name, namespace, own string) bool {
	return len(name) == len(namespace)+1+len(own) && name[:len(namespace)] == namespace && name[len(namespace)] == '/' &&
		name[len(namespace)+1:] == own
}
