package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/decider"
	"github.com/switchyard/switchyard/epp/scheduling/filter"
	"github.com/switchyard/switchyard/epp/scheduling/producer"
	"github.com/switchyard/switchyard/epp/scheduling/profile"
	"github.com/switchyard/switchyard/epp/scheduling/scorer"
)

const (
	roleDecider role = "decider"
	// roleHeaders are plugins that set headers of requests; profile handlers do that themselves.
	roleHeaders role = "header handler"
)

// link is a parameter that names another plugin.
type link struct {
	// field is its path in the parameters.
	field string
	role  role
	// types are those wanted, of which the first is there without a declaration too; nil: any of the role.
	types []string
	// also are types of other roles that do the work of one of these, and which one's.
	also map[string]string
	// byDefault is the name in force when the field is left out; empty: none.
	byDefault string
}

var (
	prefixLink = link{field: "prefixMatchInfoProducerName", role: roleProducer, types: []string{scheduling.ApproximatePrefixProducer, scheduling.PrecisePrefixProducer},
		also: map[string]string{scorer.PrecisePrefixCacheType: scheduling.PrecisePrefixProducer}}
	loadLink = link{field: "inFlightLoadProducerName", role: roleProducer, types: []string{scheduling.InFlightLoadProducer}}
)

// links are the parameters of each type that name other plugins. Types registered from outside have none.
var links = map[string][]link{
	scorer.PrefixCacheType:         {prefixLink},
	scorer.NoHitLRUType:            {prefixLink},
	scorer.PrecisePrefixCacheType:  {prefixLink},
	producer.InFlightLoadType:      {prefixLink},
	scorer.TokenLoadType:           {loadLink},
	filter.PrefixCacheAffinityType: {prefixLink, loadLink},
	filter.UtilizationType:         {loadLink},
	"concurrency-detector":         {loadLink},
	decider.PrefixBasedType:        {prefixLink},
	profile.DisaggType: {
		{field: "deciders.prefill", role: roleDecider},
		{field: "deciders.encode", role: roleDecider},
	},
	profile.PDType: {prefixLink, {field: "deciderPluginName", role: roleDecider, byDefault: profile.PDDecider}},
}

// typeOf is the type that a plugin is known by to those whose parameter names it.
func (l link) typeOf(p *plugin) string {
	if typ, ok := l.also[p.typ]; ok {
		return typ
	}
	return p.typ
}

// references are the plugins that a plugin's parameters name, and the plugin's own name.
type references struct {
	self string
	to   []*plugin
}

// deciders are those among them, by name.
func (r references) deciders() map[string]scheduling.Decider {
	found := map[string]scheduling.Decider{}
	for _, other := range r.to {
		if d, ok := other.built.(scheduling.Decider); ok {
			found[other.name] = d
		}
	}
	return found
}

// maker makes the plugins of a file, each after those that its parameters name.
type maker struct {
	specs []pluginSpec
	index map[string]int // by name
	made  []*plugin      // as specs; nil: not made yet
	order []*plugin      // as they were made
	path  []int          // those under way
}

// makePlugins returns the plugins as the file lists them, and in an order in which each stands behind those that it names.
func makePlugins(specs []pluginSpec) (listed, ordered []*plugin, err error) {
	m := &maker{specs: specs, index: map[string]int{}, made: make([]*plugin, len(specs))}
	for i, spec := range specs {
		if _, err := lookUpType(spec.Type); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", describePlugin(i, spec), err)
		}
		name := spec.nameOrType()
		if _, taken := m.index[name]; taken {
			return nil, nil, fmt.Errorf("%s: name: %q is taken by an earlier plugin; give each its own name", describePlugin(i, spec), name)
		}
		m.index[name] = i
	}
	for i := range specs {
		if err := m.make(i); err != nil {
			return nil, nil, err
		}
	}
	return m.made, m.order, nil
}

// make makes one plugin and before it those that it names.
func (m *maker) make(i int) error {
	if m.made[i] != nil {
		return nil
	}
	spec := m.specs[i]
	m.path = append(m.path, i)
	defer func() { m.path = m.path[:len(m.path)-1] }()
	refs := references{self: spec.nameOrType()}
	parameters := spec.Parameters
	for _, l := range links[spec.Type] {
		other, err := m.follow(l, parameters)
		if err != nil {
			return fmt.Errorf("%s: parameters: %s: %w", describePlugin(i, spec), l.field, err)
		}
		if other < 0 {
			continue
		}
		if err := m.make(other); err != nil {
			return err
		}
		refs.to = append(refs.to, m.made[other])
		if l.types != nil { // plugins know what they read from by its type
			parameters = withText(parameters, l.field, l.typeOf(m.made[other]))
		}
	}
	built, err := buildPlugin(spec, parameters, refs)
	if err != nil {
		return fmt.Errorf("%s: %w", describePlugin(i, spec), err)
	}
	m.made[i] = built
	m.order = append(m.order, built)
	return nil
}

// follow finds the plugin that a parameter names; below 0: none, or one that needs no declaration.
func (m *maker) follow(l link, parameters []byte) (int, error) {
	name := textAt(parameters, l.field)
	if name == "" {
		name = l.byDefault
	}
	if name == "" {
		return -1, nil
	}
	other, declared := m.index[name]
	if !declared {
		instead := ""
		if l.types != nil {
			if name == l.types[0] {
				return -1, nil
			}
			instead = "; leave the field out for " + l.types[0]
		}
		return 0, fmt.Errorf("%q is not declared under plugins; declared: %s%s", name, strings.Join(slices.Sorted(maps.Keys(m.index)), ", "), instead)
	}
	typ := m.specs[other].Type
	_, also := l.also[typ]
	if got := catalogue[typ].role; got != l.role && !also {
		return 0, fmt.Errorf("%q is a %s; wanted here: %s", name, got, l.role)
	}
	if l.types != nil && !slices.Contains(l.types, typ) && !also {
		return 0, fmt.Errorf("%q is of type %s; wanted here: %s", name, typ, strings.Join(l.types, " or "))
	}
	if at := slices.Index(m.path, other); at >= 0 {
		return 0, fmt.Errorf("plugins refer to each other in a loop: %s; remove one of the references", m.loop(at))
	}
	return other, nil
}

// loop names the plugins under way from one of them on, and that one again.
func (m *maker) loop(from int) string {
	var names []string
	for _, i := range append(m.path[from:len(m.path):len(m.path)], m.path[from]) {
		names = append(names, m.specs[i].nameOrType())
	}
	return strings.Join(names, " -> ")
}

// textAt is the text at a path of JSON objects, empty when there is none: whoever reads the parameters says what is wrong.
func textAt(raw []byte, path string) string {
	for name := range strings.SplitSeq(path, ".") {
		var object map[string]json.RawMessage
		if json.Unmarshal(raw, &object) != nil {
			return ""
		}
		raw = object[name]
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return ""
	}
	return text
}

// withText replaces a field of a JSON object.
func withText(raw []byte, field, text string) []byte {
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) != nil || object[field] == nil {
		return raw
	}
	quoted, err := json.Marshal(text)
	if err != nil {
		return raw
	}
	object[field] = quoted
	changed, err := json.Marshal(object)
	if err != nil {
		return raw
	}
	return changed
}
