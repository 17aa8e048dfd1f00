package scheduling

import "fmt"

// Tokenizer is a producer of Cycle.Tokens. It runs before other producers, wherever a file declares it.
type Tokenizer interface {
	Producer
	// Tokenizes tells whether it is set up to: one that only estimates is not.
	Tokenizes() bool
}

// Successor is a Runner that can go on with what one before it has learnt, of a configuration that has been replaced.
type Successor interface {
	Runner
	// TakeOver is called before requests see the plugin, and before Collectors, with the plugin of the same name in the
	// configuration before. That one may still run; Run is called when it does not. What does not fit is ignored.
	TakeOver(before any)
}

// PrefixMatch is what one source knows of who holds how much of the prompt.
type PrefixMatch struct {
	Keys        []uint64
	BlockTokens int
	// Blocks counts the leading blocks that each candidate holds.
	Blocks []int
}

// Share is the share of the prompt that a candidate holds, 0 to 1.
func (m PrefixMatch) Share(candidate int) float32 {
	if len(m.Keys) == 0 {
		return 0
	}
	return float32(m.Blocks[candidate]) / float32(len(m.Keys))
}

// ReplacePrefix sets the match of the approximate index aside, for a source that knows better: Keys and PrefixBlocks are
// empty then, and that source's to fill.
func (c *Cycle) ReplacePrefix(blockTokens int) {
	if c.replaced {
		c.Keys = c.Keys[:0]
	} else {
		c.replaced = true
		now := PrefixMatch{c.Keys, c.BlockTokens, c.PrefixBlocks}
		c.Keys, c.PrefixBlocks = c.aside.Keys[:0], c.aside.Blocks
		c.aside = now
	}
	c.BlockTokens = blockTokens
	c.PrefixBlocks = resize(c.PrefixBlocks, len(c.Candidates))
	clear(c.PrefixBlocks)
}

// Approximate is the match of the approximate index, whatever took its place: its keys are what that index is to learn.
func (c *Cycle) Approximate() PrefixMatch {
	if c.replaced {
		return c.aside
	}
	return PrefixMatch{c.Keys, c.BlockTokens, c.PrefixBlocks}
}

// Prefix is the match that a plugin reads: that of the producer it names (by type), or the best there is. A source that
// could not tell of this request gives way to the approximate index.
func (c *Cycle) Prefix(producer string) PrefixMatch {
	if producer == ApproximatePrefixProducer {
		return c.Approximate()
	}
	return PrefixMatch{c.Keys, c.BlockTokens, c.PrefixBlocks}
}

// OnePrefixProducer checks a parameter that names the source of prefix matches.
func OnePrefixProducer(field, given string) error {
	switch given {
	case "", ApproximatePrefixProducer, PrecisePrefixProducer:
		return nil
	}
	return fmt.Errorf("parameters: %s: %q is no source of prefix matches; leave it out or use %q or %q", field, given,
		ApproximatePrefixProducer, PrecisePrefixProducer)
}

// Replaced tells whether a source that knows better has taken the place of the approximate index.
func (c *Cycle) Replaced() bool { return c.replaced }
