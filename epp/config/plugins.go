package config

import (
	"fmt"
	"reflect"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// Options of LoadWith. The zero value is that of Load.
type Options struct {
	// RefuseExperimental makes plugins that are experimental an error.
	RefuseExperimental bool
	// IgnoreSubset has every request choose among the whole pool, whatever subset the proxy allows.
	IgnoreSubset bool
}

// Declared is a plugin as the file declares it.
type Declared struct {
	Name, Type string
	// Plugin is nil where the picker does the plugin's work itself.
	Plugin any
}

// experimental are the plugin types that may change or go in any version.
var experimental = map[string]bool{
	"session-affinity-filter": true, "utilization-filter": true, "endpoint-attribute-filter": true,
	"topology-affinity-filter": true, "multicluster-session-affinity-filter": true,
	"session-affinity-scorer": true, "header-label-affinity-scorer": true, "endpoint-attribute-scorer": true,
	"topology-affinity-scorer": true, "multicluster-queue-scorer": true,
	"multicluster-kv-cache-utilization-scorer": true, "multicluster-prefix-cache-scorer": true,
	"header-profile-handler": true, "burst-prefix-cache-producer": true, "p2p-source-producer": true,
	"multicluster-approx-prefix-cache-producer": true, "disaggregatedset-rollout-screener": true, "agent-identity": true,
	"priority-holdback-policy": true, "soft-reflective-ceiling-policy": true, "eviction-sheddable-filter": true,
	"eviction-priority-then-time-ordering": true, "dcgm-data-source": true, "dcgm-extractor": true,
	"topology-extractor": true, "multicluster-file-discovery": true, "multicluster-metrics-data-source": true,
	"multicluster-metrics-extractor": true,
}

// refuseExperimental checks what was declared against the options.
func (o Options) refuseExperimental(declared []Declared) error {
	if !o.RefuseExperimental {
		return nil
	}
	for i, p := range declared {
		if experimental[p.Type] {
			return fmt.Errorf("plugins[%d] %q: type: %q is experimental; start with --allow-experimental-plugins to use it", i, p.Name, p.Type)
		}
	}
	return nil
}

// everyRequest is a SubsetOverrider for all of them.
type everyRequest struct{}

// OverridesSubset implements scheduling.SubsetOverrider.
func (everyRequest) OverridesSubset(scheduling.Headers) bool { return true }

// SameDataLayer tells whether the two configurations have model servers asked and remembered alike: what Apply writes.
func (c *Config) SameDataLayer(other *Config) bool {
	var a, b datalayer.Options
	c.Apply(&a)
	other.Apply(&b)
	return reflect.DeepEqual(a, b)
}
