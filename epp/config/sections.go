package config

import "fmt"

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
