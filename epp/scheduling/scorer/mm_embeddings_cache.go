package scorer

import (
	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/producer"
)

// MMEmbeddingsCacheType is the type of MMEmbeddingsCache.
const MMEmbeddingsCacheType = "mm-embeddings-cache-scorer"

// MMEmbeddingsCache prefers endpoints that are likely to have the images, sounds and videos of the prompt in their encoder's
// cache: the score is the share of them that the endpoint got before, as far as mm-embeddings-cache-producer remembers. It is
// 0 for all when the prompt has none.
type MMEmbeddingsCache struct{}

// NewMMEmbeddingsCache takes no parameters.
func NewMMEmbeddingsCache(parameters []byte) (*MMEmbeddingsCache, error) {
	return &MMEmbeddingsCache{}, scheduling.DecodeParameters(parameters, &struct{}{})
}

// Consumes lists the producers that the plugin reads from.
func (*MMEmbeddingsCache) Consumes() []string { return []string{producer.MMEmbeddingsCacheType} }

// Score implements scheduling.Scorer.
func (*MMEmbeddingsCache) Score(c *scheduling.Cycle, in []int, out []float32) {
	match := producer.EncoderMatchOf(c)
	if match == nil {
		clear(out)
		return
	}
	each := 1 / float32(match.Parts())
	for k, i := range in {
		out[k] = float32(match.Held(i)) * each
	}
}
