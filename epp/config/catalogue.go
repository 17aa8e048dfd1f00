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
	roleParser    role = "parser"
	roleDetector  role = "saturation detector"
	rolePolicy    role = "flow-control policy"
	roleResponse  role = "response plugin"
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
	// built is the plugin itself, where there is something to make.
	built any
}

type entry struct {
	role role
	// build checks the parameters and makes the plugin, where there is something to make.
	build     func(parameters []byte) (any, error)
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

// buildPlugin makes the plugin of a declaration.
func buildPlugin(spec pluginSpec) (*plugin, error) {
	if spec.Type == "" {
		return nil, fmt.Errorf("type: missing; give one of: %s", knownTypes())
	}
	known, ok := catalogue[spec.Type]
	switch {
	case !ok && slices.Contains(notYet, spec.Type):
		return nil, fmt.Errorf("type: %q is not supported by this version; remove it and what refers to it, or use one of: %s",
			spec.Type, knownTypes())
	case !ok:
		return nil, fmt.Errorf("type: %q is not known; known types: %s", spec.Type, knownTypes())
	}
	built, err := known.build(spec.Parameters)
	if err != nil {
		return nil, err
	}
	name := spec.Name
	if name == "" {
		name = spec.Type
	}
	return &plugin{name: name, typ: spec.Type, role: known.role, parameters: spec.Parameters, built: built}, nil
}

func knownTypes() string {
	var names []string
	for _, t := range Types() {
		names = append(names, t.Name)
	}
	return strings.Join(names, ", ")
}
