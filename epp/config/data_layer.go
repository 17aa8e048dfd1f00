package config

import (
	"fmt"
	"slices"
	"time"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/discovery"
)

// DataLayer is what endpoints are asked for, and how their answers are read.
type DataLayer struct {
	Metrics MetricsSource
	Core    CoreMetrics
	// Models is nil when endpoints are not asked for them.
	Models *ModelsSource
}

// extractorOf is the type of extractor that reads the answers of a type of source. Sources that are not listed have no answers.
var extractorOf = map[string]string{MetricsSourceType: CoreMetricsType, ModelsSourceType: ModelsExtractorType}

// readDataLayer reads where endpoints come from and what they are asked for. Without a section, or without sources in it, the
// sources declared are used.
func (c *compiler) readDataLayer(spec *dataLayerSpec) error {
	sources := c.declaredSources()
	if spec != nil {
		for _, section := range []struct {
			name  string
			given bool
		}{
			{"peerDiscovery", spec.PeerDiscovery != nil},
			{"crossReplicaSyncerPluginRef", spec.CrossReplicaSyncerRef != ""},
		} {
			if section.given {
				return fmt.Errorf("dataLayer.%s: not supported by this version; remove it", section.name)
			}
		}
		if len(spec.Sources) > 0 {
			sources = spec.Sources
		}
	}
	if err := c.readDiscovery(spec); err != nil {
		return err
	}
	asked := map[string]bool{}
	for i, source := range sources {
		where := fmt.Sprintf("dataLayer.sources[%d]", i)
		found, err := c.resolve(where, source.PluginRef, roleSource)
		if err != nil {
			return err
		}
		if asked[found.typ] && extractorOf[found.typ] != "" {
			return fmt.Errorf("%s: a second %s is not supported by this version; keep one", where, found.typ)
		}
		asked[found.typ] = true
		if err := c.readSource(where, found, source.Extractors); err != nil {
			return err
		}
	}
	if spec != nil && spec.InjectDefaults != nil && !*spec.InjectDefaults && !asked[MetricsSourceType] {
		c.warn("dataLayer.injectDefaults: false has no effect: model servers are asked for their metrics all the same")
	}
	return nil
}

// readSource takes over a source and what reads its answers.
func (c *compiler) readSource(where string, source *plugin, extractors []reference) error {
	read, wanted := false, extractorOf[source.typ]
	for i, ref := range extractors {
		where := fmt.Sprintf("%s.extractors[%d]", where, i)
		if c.followsEndpoints(source, ref.PluginRef) {
			read = true
			continue
		}
		if told, err := c.notifies(source, ref.PluginRef); err != nil {
			return fmt.Errorf("%s: %w", where, err)
		} else if told {
			read = true
			continue
		}
		found, err := c.resolve(where, ref.PluginRef, roleExtractor)
		if err != nil {
			return err
		}
		switch {
		case wanted == "":
			return fmt.Errorf("%s: pluginRef: %q reads nothing that %s gives; remove it", where, ref.PluginRef, source.typ)
		case found.typ != wanted:
			return fmt.Errorf("%s: pluginRef: %q is a %s; wanted here: %s", where, ref.PluginRef, found.typ, wanted)
		}
		read = true
		if core, ok := found.built.(*CoreMetrics); ok {
			c.config.DataLayer.Core = *core
		}
	}
	switch built := source.built.(type) {
	case *MetricsSource:
		c.config.DataLayer.Metrics = *built
		c.warnOf(where, built.warnings)
	case *ModelsSource:
		if !read {
			c.warn("%s: %q has no effect without the extractor %s", where, source.name, ModelsExtractorType)
			return nil
		}
		c.config.DataLayer.Models = built
		c.warnOf(where, built.warnings)
	default:
		if read {
			return nil
		}
		c.warn("%s: %q has no effect without extractors", where, source.name)
	}
	return nil
}

func (c *compiler) warnOf(where string, warnings []string) {
	for _, warning := range warnings {
		c.warn("%s: %s", where, warning)
	}
}

// declaredSources are all sources there are, each with the extractors for it.
func (c *compiler) declaredSources() []sourceSpec {
	var sources []sourceSpec
	for _, declared := range c.order {
		if declared.role != roleSource {
			continue
		}
		source := sourceSpec{PluginRef: declared.name}
		for _, extractor := range c.order {
			if extractor.role == roleExtractor && extractor.typ == extractorOf[declared.typ] {
				source.Extractors = append(source.Extractors, reference{PluginRef: extractor.name})
			}
		}
		source.Extractors = append(source.Extractors, c.extractorsFor(declared)...)
		sources = append(sources, source)
	}
	return sources
}

// readDiscovery reads where endpoints come from when no cluster tells.
func (c *compiler) readDiscovery(spec *dataLayerSpec) error {
	if spec != nil && spec.Discovery != nil {
		found, err := c.resolve("dataLayer.discovery", spec.Discovery.PluginRef, roleDiscovery)
		if err != nil {
			return err
		}
		c.config.Discovery, c.config.DiscoveryName = found.built.(*discovery.File), found.name
		return nil
	}
	if i := slices.IndexFunc(c.order, func(p *plugin) bool { return p.role == roleDiscovery }); i >= 0 {
		c.warn("plugins: %q has no effect: dataLayer.discovery does not refer to it", c.order[i].name)
	}
	return nil
}

// SameDiscovery tells whether the two configurations have endpoints come from the same place.
func (c *Config) SameDiscovery(other *Config) bool {
	if c.Discovery == nil || other.Discovery == nil {
		return c.Discovery == other.Discovery
	}
	return *c.Discovery == *other.Discovery && c.DiscoveryName == other.DiscoveryName
}

// Apply writes what the file says into the options of the data layer, over what stands there. Applied to options that another
// configuration was applied to, it takes that one's place.
func (c *Config) Apply(options *datalayer.Options) {
	base := *options
	if options.Base != nil {
		base = *options.Base
		base.Changed, base.Logger, base.Client = options.Changed, options.Logger, options.Client
	}
	next := base
	next.Base = &base
	next.BlocksPerServer, next.BlockTokens = c.Prefix.BlocksPerServer, 0
	if c.Prefix.AutoTune {
		next.BlockTokens = c.Prefix.BlockTokens
	}
	c.DataLayer.Metrics.apply(&next)
	c.DataLayer.Core.apply(&next)
	if models := c.DataLayer.Models; models != nil {
		next.Models = datalayer.Models{Interval: models.Interval, Scheme: models.Scheme, Path: models.Path, Port: models.Port, TLS: models.TLS}
	}
	*options = next
}

func (m *MetricsSource) apply(options *datalayer.Options) {
	if m.Scheme != "" {
		options.Scheme = m.Scheme
	}
	if m.Path != "" {
		options.Path = m.Path
	}
	if m.Port != 0 {
		options.Port = m.Port
	}
	if m.TLS != (datalayer.TLS{}) {
		options.TLS = m.TLS
	}
	if m.Interval != 0 {
		tick := options.Interval
		if tick <= 0 {
			tick = baseTick
		}
		options.Interval = max(tick, m.Interval.Round(tick))
	}
}

// baseTick is the interval whose multiple an interval of the file is, when no flag says another.
const baseTick = 50 * time.Millisecond
