package config

import "fmt"

// readDataLayer reads the sources of metrics. Without a section, or without sources in it, those declared are used.
func (c *compiler) readDataLayer(spec *dataLayerSpec) error {
	sources := c.declaredSources()
	if spec != nil {
		for _, section := range []struct {
			name  string
			given bool
		}{
			{"discovery", spec.Discovery != nil},
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
	for i, source := range sources {
		where := fmt.Sprintf("dataLayer.sources[%d]", i)
		found, err := c.resolve(where, source.PluginRef, roleSource)
		if err != nil {
			return err
		}
		if i > 0 {
			return fmt.Errorf("%s: a second %s is not supported by this version; keep one", where, found.typ)
		}
		if err := c.config.Metrics.readSource(found.parameters); err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		for j, extractor := range source.Extractors {
			found, err := c.resolve(fmt.Sprintf("%s.extractors[%d]", where, j), extractor.PluginRef, roleExtractor)
			if err != nil {
				return err
			}
			if err := c.config.Metrics.readExtractor(found.parameters); err != nil {
				return fmt.Errorf("%s.extractors[%d]: %w", where, j, err)
			}
		}
	}
	return nil
}

func (c *compiler) declaredSources() []sourceSpec {
	var source sourceSpec
	for _, declared := range c.order {
		switch declared.role {
		case roleSource:
			source.PluginRef = declared.name
		case roleExtractor:
			source.Extractors = []reference{{PluginRef: declared.name}}
		}
	}
	if source.PluginRef == "" {
		return nil
	}
	return []sourceSpec{source}
}

// chooseParsers takes the parsers listed, which then have no implicit fallback, or the default ones.
func (c *compiler) chooseParsers(doc *document) error {
	var refs []reference
	where := "requestHandler.parsers[%d]"
	switch {
	case doc.RequestHandler != nil && len(doc.RequestHandler.Parsers) > 0:
		refs = doc.RequestHandler.Parsers
	case doc.Parser != nil:
		refs, where = []reference{*doc.Parser}, "parser"
		c.warn("parser: is an older field; use requestHandler.parsers")
	}
	if len(refs) == 0 {
		c.config.Parsers = newParsers(defaultParsers)
		return nil
	}
	types := make([]string, len(refs))
	for i, ref := range refs {
		place := where
		if where != "parser" {
			place = fmt.Sprintf(where, i)
		}
		found, err := c.resolve(place, ref.PluginRef, roleParser)
		if err != nil {
			return err
		}
		types[i] = found.typ
	}
	c.config.Parsers = newParsers(types)
	return nil
}

// checkFlowControl checks the references of a section that has no effect yet, and says so.
func (c *compiler) checkFlowControl(doc *document) error {
	detector, where := doc.SaturationDetector, "saturationDetector"
	if doc.FlowControl != nil {
		c.warn("flowControl: has no effect: flow control is not part of this version")
		if doc.FlowControl.SaturationDetector != nil {
			detector, where = doc.FlowControl.SaturationDetector, "flowControl.saturationDetector"
		}
	}
	if detector == nil {
		return nil
	}
	_, err := c.resolve(where, detector.PluginRef, roleDetector)
	return err
}
