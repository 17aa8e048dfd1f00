package config

import (
	"fmt"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/profile"
)

// buildHandler makes the handler that is declared, nil for the one in force without, and has the producers and admitters
// declared run before it: each behind those that it names.
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
	if declared != nil {
		for _, other := range declared.refers {
			if other.role == roleDecider {
				c.note(other.built)
			}
		}
		c.config.Plugins[slices.Index(c.order, declared)].Plugin = built
	}
	var producers []scheduling.Producer
	var admitters []scheduling.Admitter
	for _, plugin := range c.ordered {
		switch plugin.role {
		case roleProducer, roleScorer: // a scorer may find out itself what it reads
			if producer, ok := plugin.built.(scheduling.Producer); ok {
				producers = append(producers, producer)
				c.note(producer)
			}
		case roleAdmitter:
			admitters = append(admitters, plugin.built.(scheduling.Admitter))
			c.note(plugin.built)
		}
	}
	return profile.Before(built, tokenizersFirst(producers), admitters), nil
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

// asking is handler for one whose parameters name deciders.
func asking[T profile.Handler](build func([]byte, profile.Setting) (T, error)) func([]byte, references) (any, error) {
	return func(parameters []byte, refs references) (any, error) {
		return handlerBuilder(func(profiles []*profile.Profile) (profile.Handler, error) {
			return build(parameters, profile.Setting{Name: refs.self, Profiles: profiles, Deciders: refs.deciders()})
		}), nil
	}
}

// Collectors are the series that plugins have of their own.
func (c *Config) Collectors() []prometheus.Collector {
	var all []prometheus.Collector
	for _, declared := range c.Plugins {
		if measured, ok := declared.Plugin.(scheduling.Measured); ok {
			all = append(all, measured.Collectors()...)
		}
	}
	return all
}
