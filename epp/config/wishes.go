package config

import (
	"reflect"
	"slices"

	"github.com/switchyard/switchyard/epp/response"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// noteWishes asks the plugins in use what they need from a request, so that requests carry nothing for plugins that are
// only declared.
func (c *compiler) noteWishes() {
	for _, p := range c.config.Profiles {
		for _, filter := range p.Filters {
			c.note(filter)
		}
		for _, weighted := range p.Scorers {
			c.note(weighted.Scorer)
		}
		c.note(p.Picker)
	}
	slices.Sort(c.config.RequestHeaders)
	c.config.RequestHeaders = slices.Compact(c.config.RequestHeaders)
}

// note asks one plugin in use what it needs. A plugin of two profiles is asked twice, and has one say in answers.
func (c *compiler) note(plugin any) {
	if reader, ok := plugin.(scheduling.HeaderReader); ok {
		c.config.RequestHeaders = append(c.config.RequestHeaders, reader.RequestHeaders()...)
	}
	if overrider, ok := plugin.(scheduling.SubsetOverrider); ok {
		c.config.overriders = append(c.config.overriders, overrider)
	}
	if identifier, ok := plugin.(scheduling.Identifier); ok {
		c.config.identifiers = append(c.config.identifiers, identifier)
	}
	if answers, ok := plugin.(response.Plugin); ok && !has(c.config.Responses, plugin) {
		c.config.Responses = append(c.config.Responses, answers)
	}
	if follower, ok := plugin.(scheduling.Follower); ok && !has(c.config.Followers, plugin) {
		c.config.Followers = append(c.config.Followers, follower)
	}
}

// noteResponse takes up a plugin that has a say in answers as soon as it is declared.
func (c *compiler) noteResponse(plugin any) {
	if answers, ok := plugin.(response.Plugin); ok {
		c.config.Responses = append(c.config.Responses, answers)
	}
	if reporter, ok := plugin.(response.Reporter); ok {
		c.config.Reporters = append(c.config.Reporters, reporter)
	}
}

// has tells whether this very plugin is noted already; of types that cannot be compared it does not know.
func has[T any](noted []T, plugin any) bool {
	return reflect.TypeOf(plugin).Comparable() && slices.ContainsFunc(noted, func(known T) bool { return any(known) == plugin })
}
