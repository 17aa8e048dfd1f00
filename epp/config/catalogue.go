package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// role says where a plugin may be referred to.
type role string

// A plugin that is both scorer and filter has the role of a scorer, for its weight; see profile.Profile.
const (
	roleFilter    role = "filter"
	roleScorer    role = "scorer"
	rolePicker    role = "picker"
	roleHandler   role = "profile handler"
	roleProducer  role = "data producer"
	roleAdmitter  role = "admitter"
	roleSource    role = "data source"
	roleExtractor role = "extractor"
	roleDiscovery role = "endpoint discovery"
	roleParser    role = "parser"
	roleDetector  role = "saturation detector"

	roleFairness         role = "fairness policy"
	roleOrdering         role = "ordering policy"
	roleUsageLimit       role = "usage limit policy"
	roleEvictionFilter   role = "eviction filter"
	roleEvictionOrdering role = "eviction ordering"

	roleResponse role = "response plugin"
)

// Stability says what users of a plugin type have to expect.
type Stability string

// Stable types stay as they are. Alpha ones may change, and Options.RefuseExperimental refuses them. Deprecated ones work,
// and there is a better one.
const (
	Stable     Stability = ""
	Alpha      Stability = "alpha"
	Deprecated Stability = "deprecated"
)

// plugin is a declared plugin.
type plugin struct {
	name, typ  string
	role       role
	parameters json.RawMessage
	// refers are the plugins that the parameters name.
	refers []*plugin
	// built is the plugin itself, where there is something to make.
	built any
}

type entry struct {
	role role
	// build checks the parameters and makes the plugin, where there is something to make.
	build func(parameters []byte) (any, error)
	// connect takes the place of build where the parameters name other plugins that are needed.
	connect   func(parameters []byte, refs references) (any, error)
	stability Stability
	// instead is the type to use in place of a deprecated one.
	instead string
}

// catalogue is every plugin type there is: those of this version and those registered. It does not change once a
// configuration is loaded.
var catalogue = builtin()

// Type is a plugin type that configurations may name.
type Type struct {
	Name, Role string
	Stability  Stability
}

// Types lists the plugin types there are, by name.
func Types() []Type {
	var types []Type
	for _, name := range slices.Sorted(maps.Keys(catalogue)) {
		known := catalogue[name]
		types = append(types, Type{Name: name, Role: string(known.role), Stability: known.stability})
	}
	return types
}

// lookUpType finds a type in the catalogue.
func lookUpType(typ string) (entry, error) {
	known, ok := catalogue[typ]
	switch {
	case typ == "":
		return entry{}, fmt.Errorf("type: missing; give one of: %s", knownTypes())
	case !ok && slices.Contains(notYet, typ):
		return entry{}, fmt.Errorf("type: %q is not supported by this version; remove it and what refers to it, or use one of: %s",
			typ, knownTypes())
	case !ok:
		return entry{}, fmt.Errorf("type: %q is not known; known types: %s", typ, knownTypes())
	}
	return known, nil
}

// buildPlugin makes the plugin of a declaration from its parameters and the plugins that these name.
func buildPlugin(spec pluginSpec, parameters []byte, refs references) (*plugin, error) {
	known, err := lookUpType(spec.Type)
	if err != nil {
		return nil, err
	}
	var built any
	if known.connect != nil {
		built, err = known.connect(parameters, refs)
	} else {
		built, err = known.build(parameters)
	}
	if err != nil {
		return nil, err
	}
	return &plugin{name: refs.self, typ: spec.Type, role: known.role, parameters: spec.Parameters, refers: refs.to, built: built}, nil
}

// nameOrType is the name that others refer to a plugin by.
func (s pluginSpec) nameOrType() string {
	if s.Name != "" {
		return s.Name
	}
	return s.Type
}

func knownTypes() string {
	var names []string
	for _, t := range Types() {
		names = append(names, t.Name)
	}
	return strings.Join(names, ", ")
}
