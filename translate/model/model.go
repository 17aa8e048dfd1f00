// Package model says what a Gateway means, free of both sides: no Kubernetes reference is left to resolve
// and no Envoy message is in it. gatewayapi makes it, envoy (and later other data planes) reads it.
//
// The unit of the route table is the hostname of a listener (Host): a change of one route touches the
// Hosts that it is attached to and no other.
//
//	gatewayapi -> model.Gateway -> envoy
package model

import (
	"net/netip"
	"time"

	"github.com/switchyard/switchyard/internal/source"
)

// Gateway is one fleet's configuration.
type Gateway struct {
	Key      source.Key
	Source   source.Ref
	Ports    []Port             // ordered by Number
	Backends map[string]Backend // by Backend.ID; exactly those that a rule refers to
	Secrets  map[string]Secret  // by Secret.ID; exactly those that a chain refers to
	Fleet    Fleet
}

// Protocol is what a port speaks with its clients.
type Protocol int

const (
	HTTP  Protocol = iota // plain HTTP/1.1 and h2c
	HTTPS                 // HTTP/1.1 and HTTP/2 behind TLS that ends here
)

// Port is one listening port: all listeners of the Gateway that share it.
type Port struct {
	Number   uint16
	Protocol Protocol
	// Chains has exactly one element with an empty SNI for HTTP. For HTTPS there is one per listener
	// hostname, ordered most specific first, the one without hostname last.
	Chains  []Chain
	Sources []source.Ref
}

// Chain is one route table, chosen on HTTPS ports by the server name that the client asked for.
type Chain struct {
	SNI     string   // exact name, *.suffix, or empty for any
	Secrets []string // Secret.IDs, in the order of certificateRefs; empty for HTTP
	Hosts   []Host   // ordered by Name: exact names, then wildcards longest first, then "*"
}

// Host is the route table of one hostname of a listener.
type Host struct {
	Name  string // exact name, *.suffix, or "*"
	Rules []Rule // in the order in which they are to be tried
}

// Rule is one match with what is to be done for it. A Gateway API rule with n matches becomes n Rules.
type Rule struct {
	// Name is stable and readable: HTTPRoute/<namespace>/<name>/rule/<i>/match/<j>.
	Name    string
	Source  source.Ref
	Match   Match
	Filters Filters
	Action  Action
}

// MatchKind is how a value is compared.
type MatchKind int

const (
	Exact      MatchKind = iota
	PathPrefix           // segment-wise: /v2 matches /v2 and /v2/x, not /v2x
	Regex                // RE2, full match
)

// Match holds when every part of it holds. The zero Match matches every request.
type Match struct {
	Path    ValueMatch // zero Value means any path
	Method  string     // empty means any
	Headers []NamedMatch
	Query   []NamedMatch
}

// ValueMatch compares one string.
type ValueMatch struct {
	Kind  MatchKind
	Value string
}

// NamedMatch compares a header (name lower case) or a query parameter.
type NamedMatch struct {
	Name string
	ValueMatch
}

// Filters change a request or its answer on the way.
type Filters struct {
	RequestHeaders  HeaderEdits
	ResponseHeaders HeaderEdits
	Rewrite         Rewrite
}

// HeaderEdits are applied in the order remove, set, add.
type HeaderEdits struct {
	Set    []Header
	Add    []Header
	Remove []string
}

// Header is one header line.
type Header struct{ Name, Value string }

// Rewrite replaces the host and the path of a request. Empty parts leave things as they are.
type Rewrite struct {
	Host string
	Path PathEdit
}

// PathEditKind says what a PathEdit replaces.
type PathEditKind int

const (
	KeepPath PathEditKind = iota
	ReplaceFullPath
	ReplacePrefix // replaces what the rule's path prefix matched
)

// PathEdit replaces a path or the matched prefix of it by Value.
type PathEdit struct {
	Kind  PathEditKind
	Value string
}

// Action is exactly one of Forward, Redirect and Reply.
type Action struct {
	Forward  *Forward
	Redirect *Redirect
	Reply    *Reply
}

// Reply answers from the proxy itself, such as 500 for a rule none of whose backends resolves.
type Reply struct {
	Status uint32
	Body   string // a sentence for the client
}

// Redirect answers with a Location. Zero parts are taken from the request, except that Port was computed
// as the specification says.
type Redirect struct {
	Scheme string
	Host   string
	Port   uint32 // 0: none in the Location
	Path   PathEdit
	Status uint32 // 301, 302, 303, 307, 308
}

// Forward sends the request to one of its targets.
type Forward struct {
	// Targets have positive weights. An unresolved backend is a Target with an empty Backend and answers
	// 500 for its share.
	Targets []Target
	Timeout Timeout // of the whole request
	// BackendTimeout bounds one attempt.
	BackendTimeout Timeout
}

// Target is one weighted share of a rule's traffic.
type Target struct {
	Backend string // Backend.ID; empty: unresolved, answer 500
	Weight  uint32
	Filters Filters // of this backendRef alone; Rewrite is not used here
}

// TimeoutKind tells the three states of a timeout apart.
type TimeoutKind int

const (
	DefaultTimeout TimeoutKind = iota // not given: no limit on a stream that makes progress
	NoTimeout                         // 0s was asked for
	LimitedTimeout
)

// Timeout is a duration that may be absent or off.
type Timeout struct {
	Kind  TimeoutKind
	Value time.Duration // for LimitedTimeout
}

// AppProtocol is what a backend speaks.
type AppProtocol int

const (
	HTTP1 AppProtocol = iota
	H2C               // HTTP/2 without TLS
	WebSocket
)

// Backend is something that requests are forwarded to: one port of a Service, or a pool. Its identity does
// not depend on the routes that use it.
type Backend struct {
	// ID is service/<namespace>/<name>/<port> or pool/<namespace>/<name>.
	ID       string
	Source   source.Ref
	Protocol AppProtocol
	// Endpoints are the ready ones, ordered, without repetition.
	Endpoints []netip.AddrPort
	Pool      *Pool // nil for a Service
}

// Pool is what makes an InferencePool more than a Service.
type Pool struct {
	Key       source.Key
	FailClose bool    // without a pick: answer 503 instead of falling back to any endpoint
	Picker    *Picker // somebody else's EPP; nil: the embedded one
	// Rewritten is set when rules rewrite the models of its requests: long bodies are sent whole, since the model may be named at their end.
	Rewritten bool
}

// Picker is an EPP that is not ours, reached through a Service.
type Picker struct {
	// ID is epp/<namespace>/<name>/<port>.
	ID     string
	Source source.Ref
	// Plaintext speaks HTTP/2 without TLS; otherwise TLS, as the protocol has it.
	Plaintext bool
	Endpoints []netip.AddrPort
	// Ending are asked while none of Endpoints is healthy: their pods end, and may serve for a while. There are none where a pool serves without a
	// pick: what such a picker has taken when it stops is refused, so that not to ask it is better there.
	Ending []netip.AddrPort
}

// Secret is a certificate chain with its key, both PEM, already checked to belong together.
type Secret struct {
	ID     string // <namespace>/<name>
	Source source.Ref
	Cert   []byte
	Key    []byte
}
