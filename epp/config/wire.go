package config

import (
	"fmt"

	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/profile"
)

// buildHandler makes the handler that is declared, nil for the one in force without, and has the producers and admitters
// declared run before it.
func (c *compiler) buildHandler(declared *plugin) (profile.Handler, error) {
	typ, build := profile.SingleType, handlerBuilder(func(profiles []*profile.Profile) (profile.Handler, error) {
		return profile.NewSingle(nil, profiles)
	})
	if declared != nil {
		typ, build = declared.typ, declared.built.(handlerBuilder)
	}
	built, err := build(c.config.Profiles)
	if err != nil {
		return nil, fmt.Errorf("plugins: %s: %w", typ, err)
	}
	c.note(built)
	var producers []scheduling.Producer
	var admitters []scheduling.Admitter
	for _, plugin := range c.order {
		switch plugin.role {
		case roleProducer:
			if producer, ok := plugin.built.(scheduling.Producer); ok {
				producers = append(producers, producer)
				c.note(producer)
			}
		case roleAdmitter:
			admitters = append(admitters, plugin.built.(scheduling.Admitter))
			c.note(plugin.built)
		}
	}
	return profile.Before(built, producers, admitters), nil
}

// Identity is whom a request with these headers belongs to, for requests that name no fairness id; empty: not known.
func (c *Config) Identity(headers scheduling.Headers) string {
	for _, identifier := range c.identifiers {
		if identity := identifier.Identity(headers); identity != "" {
			return identity
		}
	}
	return ""
}
