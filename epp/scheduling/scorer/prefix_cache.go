package scorer

import (
	"fmt"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// PrefixCacheType is the type of PrefixCache.
const PrefixCacheType = "prefix-cache-scorer"

// PrefixCache prefers endpoints that hold the start of the prompt: matched blocks over all blocks, optionally blended with
// the absolute length of the match.
type PrefixCache struct {
	// lengthWeight is the share of the length term, 0 to 1.
	lengthWeight float32
	// lengthScale is the match, in tokens, at which the length term reaches 1.
	lengthScale float32
	// producer is the source of matches, empty for the best there is.
	producer string
}

// NewPrefixCache reads `matchLengthWeight` (0), `matchLengthScaleTokens` (8192) and `prefixMatchInfoProducerName`, the source of
// matches: precise-prefix-cache-producer where it is declared, else approx-prefix-cache-producer.
func NewPrefixCache(parameters []byte) (*PrefixCache, error) {
	given := struct {
		Producer     string  `json:"prefixMatchInfoProducerName"`
		LengthWeight float32 `json:"matchLengthWeight"`
		LengthScale  float32 `json:"matchLengthScaleTokens"`
	}{LengthScale: 8192}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	if given.LengthWeight < 0 || given.LengthWeight > 1 {
		return nil, fmt.Errorf("parameters: matchLengthWeight: %g is not between 0 and 1", given.LengthWeight)
	}
	if given.LengthScale <= 0 {
		return nil, fmt.Errorf("parameters: matchLengthScaleTokens: %g is not above 0", given.LengthScale)
	}
	if err := scheduling.OnePrefixProducer("prefixMatchInfoProducerName", given.Producer); err != nil {
		return nil, err
	}
	return &PrefixCache{lengthWeight: given.LengthWeight, lengthScale: given.LengthScale, producer: given.Producer}, nil
}

// Score implements scheduling.Scorer.
func (s *PrefixCache) Score(c *scheduling.Cycle, in []int, out []float32) {
	match := c.Prefix(s.producer)
	if len(match.Keys) == 0 {
		clear(out)
		return
	}
	perBlock := 1 / float32(len(match.Keys))
	for k, i := range in {
		blocks := float32(match.Blocks[i])
		score := blocks * perBlock
		if s.lengthWeight > 0 {
			length := min(1, blocks*float32(match.BlockTokens)/s.lengthScale)
			score = (1-s.lengthWeight)*score + s.lengthWeight*length*length
		}
		out[k] = score
	}
}
