package picker

import (
	"math"
	"math/rand/v2"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// WeightedRandomType is the type of WeightedRandom.
const WeightedRandomType = "weighted-random-picker"

// WeightedRandom draws candidates with chances in proportion to their scores, without replacement (A-Res: each candidate
// draws u^(1/score) and the largest win). A score of zero is drawn only after all others; if all are zero the draw is
// uniform.
type WeightedRandom struct {
	count int
}

// NewWeightedRandom reads `maxNumOfEndpoints` (1).
func NewWeightedRandom(parameters []byte) (*WeightedRandom, error) {
	count, err := readCount(parameters)
	return &WeightedRandom{count: count}, err
}

// Pick implements scheduling.Picker.
func (p *WeightedRandom) Pick(c *scheduling.Cycle, in []int, scores []float32) []int {
	for i, score := range scores {
		// ln(u)/score orders as u^(1/score) does, without underflow at small scores.
		if score > 0 {
			scores[i] = float32(-rand.ExpFloat64() / float64(score))
		} else {
			scores[i] = float32(math.Inf(-1))
		}
	}
	return takeBest(c, in, scores, p.count)
}
