package decider

import (
	"fmt"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// PrefixBasedType is the type of PrefixBased.
const PrefixBasedType = "prefix-based-pd-decider"

// PrefixBased has the prefill done elsewhere when enough of the prompt is new to the server that decodes: the tokens of the
// prompt, estimated from its length, less those of the blocks which that server holds. A short rest is worked through
// faster than its cache entries travel.
type PrefixBased struct {
	uncached, prompt int
	producer         string
}

// NewPrefixBased reads `nonCachedTokens` (0), the least number of new tokens for a prefill elsewhere; 0: never. And
// `promptTokens` (0), the least length of the whole prompt for that; 0: any. `prefixMatchInfoProducerName` names the
// source of what servers hold; without it, the best there is.
func NewPrefixBased(parameters []byte) (*PrefixBased, error) {
	given := struct {
		NonCachedTokens int    `json:"nonCachedTokens"`
		PromptTokens    int    `json:"promptTokens"`
		Producer        string `json:"prefixMatchInfoProducerName"`
	}{}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	for _, field := range []struct {
		name  string
		value int
	}{{"nonCachedTokens", given.NonCachedTokens}, {"promptTokens", given.PromptTokens}} {
		if field.value < 0 {
			return nil, fmt.Errorf("parameters: %s: %d is below 0", field.name, field.value)
		}
	}
	if err := scheduling.OnePrefixProducer("prefixMatchInfoProducerName", given.Producer); err != nil {
		return nil, err
	}
	return &PrefixBased{uncached: given.NonCachedTokens, prompt: given.PromptTokens, producer: given.Producer}, nil
}

// Disaggregate implements scheduling.Decider.
func (d *PrefixBased) Disaggregate(c *scheduling.Cycle, decode int) bool {
	if d.uncached == 0 || decode < 0 {
		return false
	}
	tokens, held := c.PromptTokens(), c.Prefix(d.producer)
	return tokens >= d.prompt && tokens-held.Blocks[decode]*held.BlockTokens >= d.uncached
}
