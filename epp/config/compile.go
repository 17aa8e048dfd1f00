package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/picker"
	"github.com/switchyard/switchyard/epp/scheduling/producer"
	"github.com/switchyard/switchyard/epp/scheduling/profile"
)

// compiler holds the plugins of one document while it is compiled.
type compiler struct {
	plugins map[string]*plugin
	order   []*plugin // as the file lists them
	ordered []*plugin // each behind those that it names
	config  *Config
	// flowControl is set when its feature gate is.
	flowControl bool
	// inFlight is the plugin that says what requests in flight count for.
	inFlight string
}

func compile(doc *document) (*Config, error) {
	c := &compiler{plugins: map[string]*plugin{}, config: &Config{Prefix: defaultPrefix()}}
	if err := c.checkFeatureGates(doc.FeatureGates); err != nil {
		return nil, err
	}
	if err := c.buildPlugins(doc.Plugins); err != nil {
		return nil, err
	}
	if err := c.addProducers(); err != nil {
		return nil, err
	}
	if err := c.checkPrecisePrefix(); err != nil {
		return nil, err
	}
	if err := c.buildProfiles(doc.SchedulingProfiles); err != nil {
		return nil, err
	}
	if err := c.chooseHandler(); err != nil {
		return nil, err
	}
	c.noteWishes()
	if err := c.readDataLayer(doc.DataLayer); err != nil {
		return nil, err
	}
	if err := c.chooseParsers(doc); err != nil {
		return nil, err
	}
	if err := c.readFlowControl(doc); err != nil {
		return nil, err
	}
	return c.config, nil
}

// checkFeatureGates accepts the known gates and refuses those that ask for what is not there.
func (c *compiler) checkFeatureGates(gates []string) error {
	for i, gate := range gates {
		name, value, given := strings.Cut(gate, "=")
		if given && value != "true" && value != "false" {
			return fmt.Errorf("featureGates[%d]: %q must be %s, %s=true or %s=false", i, gate, name, name, name)
		}
		switch name {
		case "flowControl":
			c.flowControl = value != "false"
		case "haPopulateNonLeaderDatastore":
			if value == "false" {
				c.warn("featureGates[%d]: haPopulateNonLeaderDatastore=false has no effect: every replica knows its endpoints", i)
			}
		default:
			return fmt.Errorf("featureGates[%d]: %q is not known; known gates: flowControl, haPopulateNonLeaderDatastore", i, name)
		}
	}
	return nil
}

func (c *compiler) buildPlugins(specs []pluginSpec) error {
	listed, ordered, err := makePlugins(specs)
	if err != nil {
		return err
	}
	c.order, c.ordered = listed, ordered
	for i, spec := range specs {
		built := listed[i]
		c.plugins[built.name] = built
		c.config.Plugins = append(c.config.Plugins, Declared{Name: built.name, Type: built.typ, Plugin: built.built})
		if prefix, ok := built.built.(Prefix); ok {
			c.config.Prefix = prefix
		}
		if load, ok := built.built.(producer.InFlightLoad); ok {
			c.noteInFlight(describePlugin(i, spec), load)
		}
		if known := catalogue[built.typ]; known.stability == Deprecated {
			c.warn("%s: type: %q is deprecated; use %s", describePlugin(i, spec), built.typ, known.instead)
		}
		if built.role == roleResponse {
			c.noteResponse(built.built)
		}
	}
	return nil
}

func describePlugin(i int, spec pluginSpec) string {
	name := spec.Name
	if name == "" {
		name = spec.Type
	}
	return fmt.Sprintf("plugins[%d] %q", i, name)
}

// buildProfiles compiles the profiles listed or, if there is none, one of everything declared.
func (c *compiler) buildProfiles(specs []profileSpec) error {
	if len(specs) == 0 {
		specs = []profileSpec{c.defaultProfile()}
	}
	names := map[string]bool{}
	for i, spec := range specs {
		where := fmt.Sprintf("schedulingProfiles[%d]", i)
		if spec.Name == "" {
			return fmt.Errorf("%s: name: missing", where)
		}
		if names[spec.Name] {
			return fmt.Errorf("%s: name: %q is taken by an earlier profile", where, spec.Name)
		}
		names[spec.Name] = true
		built, err := c.buildProfile(spec)
		if err != nil {
			return fmt.Errorf("%s %q: %w", where, spec.Name, err)
		}
		c.config.Profiles = append(c.config.Profiles, built)
	}
	return nil
}

func (c *compiler) defaultProfile() profileSpec {
	spec := profileSpec{Name: "default"}
	for _, declared := range c.order {
		switch declared.role {
		case roleFilter, roleScorer, rolePicker:
			spec.Plugins = append(spec.Plugins, weightedReference{PluginRef: declared.name})
		}
	}
	return spec
}

func (c *compiler) buildProfile(spec profileSpec) (*profile.Profile, error) {
	built := &profile.Profile{Name: spec.Name}
	for i, ref := range spec.Plugins {
		where := fmt.Sprintf("plugins[%d]", i)
		found, err := c.resolve(where, ref.PluginRef, roleFilter, roleScorer, rolePicker, roleDetector)
		if err != nil {
			return nil, err
		}
		switch found.role {
		case roleFilter, roleDetector:
			built.Filters = append(built.Filters, found.built.(scheduling.Filter))
		case roleScorer:
			weight := 1.0
			if ref.Weight != nil {
				weight = *ref.Weight
			}
			if weight < 0 {
				return nil, fmt.Errorf("%s: weight: %g is below 0", where, weight)
			}
			built.Scorers = append(built.Scorers, profile.Weighted{Scorer: found.built.(scheduling.Scorer), Weight: float32(weight)})
		case rolePicker:
			if built.Picker != nil {
				return nil, fmt.Errorf("%s: pluginRef: %q is a second picker; a profile has one", where, ref.PluginRef)
			}
			built.Picker = found.built.(scheduling.Picker)
		}
	}
	if built.Picker == nil {
		best, err := picker.NewMaxScore(nil)
		if err != nil {
			return nil, err
		}
		built.Picker = best
	}
	return built, nil
}

// resolve finds the plugin that a reference names and checks that it is of one of the roles wanted there.
func (c *compiler) resolve(where, name string, wanted ...role) (*plugin, error) {
	if name == "" {
		return nil, fmt.Errorf("%s: pluginRef: missing", where)
	}
	found, ok := c.plugins[name]
	if !ok {
		return nil, fmt.Errorf("%s: pluginRef: %q is not declared under plugins; declared: %s",
			where, name, strings.Join(slices.Sorted(maps.Keys(c.plugins)), ", "))
	}
	if !slices.Contains(wanted, found.role) {
		return nil, fmt.Errorf("%s: pluginRef: %q is a %s; wanted here: %s", where, name, found.role, joinRoles(wanted))
	}
	return found, nil
}

func joinRoles(roles []role) string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = string(r)
	}
	return strings.Join(names, " or ")
}

// chooseHandler makes the profile handler, which may be left out when there is one profile.
func (c *compiler) chooseHandler() error {
	var declared *plugin
	for _, candidate := range c.order {
		if candidate.role != roleHandler {
			continue
		}
		if declared != nil {
			return fmt.Errorf("plugins: %q and %q are both profile handlers; keep one", declared.name, candidate.name)
		}
		declared = candidate
	}
	if declared == nil && len(c.config.Profiles) > 1 {
		return fmt.Errorf("schedulingProfiles: %d profiles need a profile handler among the plugins; keep one profile", len(c.config.Profiles))
	}
	handler, err := c.buildHandler(declared)
	c.config.Handler = handler
	return err
}

func (c *compiler) warn(format string, args ...any) {
	c.config.Warnings = append(c.config.Warnings, fmt.Sprintf(format, args...))
}
