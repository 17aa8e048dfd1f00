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

// checkPrecisePrefix looks at what the precise prefix producer needs beside itself.
func (c *compiler) checkPrecisePrefix() error {
	precise, tokens := "", false
	for _, p := range c.order {
		switch p.built.(type) {
		case *producer.PrecisePrefix:
			if precise != "" {
				return fmt.Errorf("plugins: %q and %q are both of type %s; keep one", precise, p.name, producer.PrecisePrefixType)
			}
			precise = p.name
		case scheduling.Tokenizer:
			tokens = true
		}
	}
	if precise != "" && !tokens {
		c.warn("plugins: %q has no effect on requests that do not bring their tokens themselves; declare a %s with vllm", precise, producer.TokenType)
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
	_, precise := found.built.(*producer.PrecisePrefix)
	return precise
}
