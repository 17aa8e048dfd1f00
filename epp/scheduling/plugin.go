package scheduling

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// ErrFiltered says that a profile's filters removed every candidate.
var ErrFiltered = errors.New("no endpoints available for the given request")

// ErrNotAdmitted says that an Admitter refused a request. Errors of admitters wrap it; the client is to try again later.
var ErrNotAdmitted = errors.New("request cannot be admitted")

// ErrBadRequest says that a request asks for something that the configuration does not have. Trying again does not help.
var ErrBadRequest = errors.New("invalid request")

// Filter keeps the candidates that may serve the request.
type Filter interface {
	// Filter returns the members of in that stay, in their order. It may write over in and return a part of it.
	Filter(c *Cycle, in []int) []int
}

// Scorer rates candidates.
type Scorer interface {
	// Score sets out[i] to the score of candidate in[i]; len(out) == len(in). The profile clamps what it reads to [0,1].
	Score(c *Cycle, in []int, out []float32)
}

// Picker chooses among rated candidates.
type Picker interface {
	// Pick returns the chosen candidates, best first, at least one when in is not empty. scores[i] belongs to in[i] and
	// is a weighted sum, not bounded by 1. It may write over both and return a part of in.
	Pick(c *Cycle, in []int, scores []float32) []int
}

// HeaderReader is a plugin that decides by headers of the request. Only headers that a plugin in use names reach the
// cycle: the others are not kept while a body is awaited.
type HeaderReader interface {
	// RequestHeaders lists the names, in lower case.
	RequestHeaders() []string
}

// SubsetOverrider is a filter that, for some requests, takes the place of the subset of endpoints that the proxy allows:
// it then chooses among the whole pool.
type SubsetOverrider interface {
	// OverridesSubset tells whether a request with these headers is such a one.
	OverridesSubset(headers Headers) bool
}

// Observer is a filter, scorer or picker that learns from decisions.
type Observer interface {
	// Picked tells which candidates were chosen, best first, once for each decision of a profile that has the plugin and
	// before the proxy has the answer: it must not block. chosen belongs to the cycle.
	Picked(c *Cycle, chosen []int)
}

// Producer finds out something about a request that other plugins decide by. It runs once for each request, before
// admitters, filters and scorers.
type Producer interface {
	// Produce puts what it found into the cycle (Cycle.PutAttribute).
	Produce(c *Cycle)
}

// Admitter may refuse a request before anything is chosen.
type Admitter interface {
	// Admit returns nil or an error that wraps ErrNotAdmitted and tells the client why.
	Admit(c *Cycle) error
}

// Identifier tells whom a request belongs to, for requests that name no fairness id themselves.
type Identifier interface {
	// Identity is empty when the request does not show it.
	Identity(headers Headers) string
}

// Decider tells whether a stage of a request, its prefill or the encoding of its media, goes to a server of its own.
type Decider interface {
	// Disaggregate is asked once for each request. decode is the candidate that generates the answer, below 0 while none is
	// chosen.
	Disaggregate(c *Cycle, decode int) bool
}

// Measured is a plugin with series of its own, shown as long as the configuration that has the plugin is in force.
type Measured interface {
	// Collectors gives the same ones each time.
	Collectors() []prometheus.Collector
}
