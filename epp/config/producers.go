package config

import (
	"fmt"
	"slices"

	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/producer"
)

// buildToken makes a token producer, or nothing of one that only estimates: everybody does that by himself.
func buildToken(parameters []byte) (any, error) {
	built, err := producer.NewToken(parameters)
	if err != nil || !built.Tokenizes() {
		return nil, err
	}
	return built, nil
}

// tokenizersFirst has the tokens of a prompt known to all other producers, wherever the file declares who tells them.
func tokenizersFirst(producers []scheduling.Producer) []scheduling.Producer {
	rank := func(p scheduling.Producer) int {
		if _, ok := p.(scheduling.Tokenizer); ok {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(producers, func(a, b scheduling.Producer) int { return rank(a) - rank(b) })
	return producers
}

// checkPrecisePrefix looks at what the precise prefix producer, or the scorer that is one, needs beside itself.
func (c *compiler) checkPrecisePrefix() error {
	var precise *plugin
	tokens := false
	for _, p := range c.order {
		switch p.built.(type) {
		case producer.Precise:
			switch {
			case precise == nil:
				precise = p
			case precise.typ == p.typ:
				return fmt.Errorf("plugins: %q and %q are both of type %s; keep one", precise.name, p.name, p.typ)
			default:
				return fmt.Errorf("plugins: %q and %q both follow the caches of the model servers; keep the one of type %s", precise.name, p.name, producer.PrecisePrefixType)
			}
		case scheduling.Tokenizer:
			tokens = true
		}
	}
	if precise != nil && !tokens {
		c.warn("plugins: %q has no effect on requests that do not bring their tokens themselves; declare a %s with vllm", precise.name, producer.TokenType)
	}
	return nil
}

// followsEndpoints tells whether a reference is that of a producer to the endpoints that it follows. It follows them without
// being told to.
func (c *compiler) followsEndpoints(source *plugin, name string) bool {
	found := c.plugins[name]
	if found == nil || source.typ != EndpointNotificationsType {
		return false
	}
	_, precise := found.built.(producer.Precise)
	return precise
}

// noteInFlight takes up what requests in flight count for. They are counted once, however many plugins there are.
func (c *compiler) noteInFlight(where string, load producer.InFlightLoad) {
	if c.inFlight != "" && load != c.config.InFlight {
		c.warn("%s: parameters: they take the place of those of %s, for requests in flight are counted once; keep one", where, c.inFlight)
	}
	c.config.InFlight, c.inFlight = load, where
	if load.Shared() {
		c.warn("%s: parameters: syncCrossReplicaState: replicas do not share what they have in flight; each counts its own requests", where)
	}
}
