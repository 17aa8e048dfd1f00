package config

import (
	"slices"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// noteWishes asks the plugins in use what they need from a request, so that requests carry nothing for plugins that are
// only declared.
func (c *compiler) noteWishes() {
	note := func(plugin any) {
		if reader, ok := plugin.(scheduling.HeaderReader); ok {
			c.config.RequestHeaders = append(c.config.RequestHeaders, reader.RequestHeaders()...)
		}
		if overrider, ok := plugin.(scheduling.SubsetOverrider); ok {
			c.config.overriders = append(c.config.overriders, overrider)
		}
	}
	for _, p := range c.config.Profiles {
		for _, filter := range p.Filters {
			note(filter)
		}
		for _, weighted := range p.Scorers {
			note(weighted.Scorer)
		}
		note(p.Picker)
	}
	slices.Sort(c.config.RequestHeaders)
	c.config.RequestHeaders = slices.Compact(c.config.RequestHeaders)
}
