package config

import (
	"fmt"
	"slices"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// consumer is a plugin that reads what data producers find out.
type consumer interface {
	// Consumes lists the types of these producers. Those that nobody declared are added, with their defaults.
	Consumes() []string
}

// addProducers adds the producers that plugins read from and nobody declared, and has producers that read from others run
// behind those, wherever the file declares them.
func (c *compiler) addProducers() error {
	for i := 0; i < len(c.order); i++ { // it grows
		reader, ok := c.order[i].built.(consumer)
		if !ok {
			continue
		}
		for _, typ := range reader.Consumes() {
			if err := c.addProducer(typ, c.order[i].name); err != nil {
				return err
			}
		}
	}
	slices.SortStableFunc(c.ordered, func(a, b *plugin) int { return readsProducers(a) - readsProducers(b) })
	return nil
}

// addProducer adds a producer of a type if there is none.
func (c *compiler) addProducer(typ, reader string) error {
	if slices.ContainsFunc(c.order, func(p *plugin) bool { return p.typ == typ }) {
		return nil
	}
	if taken, ok := c.plugins[typ]; ok {
		return fmt.Errorf("plugins: %q needs a plugin of type %s, and that name is taken by one of type %s; declare one under another name, or rename that one",
			reader, typ, taken.typ)
	}
	built, err := buildPlugin(pluginSpec{Type: typ}, nil, references{self: typ})
	if err != nil {
		return fmt.Errorf("plugins: %q needs a plugin of type %s: %w", reader, typ, err)
	}
	c.plugins[typ] = built
	c.order, c.ordered = append(c.order, built), append(c.ordered, built)
	c.config.Plugins = append(c.config.Plugins, Declared{Name: built.name, Type: built.typ, Plugin: built.built})
	return nil
}

// readsProducers is 1 for a producer that reads from others.
func readsProducers(p *plugin) int {
	_, reads := p.built.(consumer)
	if _, produces := p.built.(scheduling.Producer); reads && produces {
		return 1
	}
	return 0
}
