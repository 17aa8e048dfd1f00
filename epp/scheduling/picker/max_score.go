package picker

import (
	"cmp"
	"math/rand/v2"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// MaxScoreType is the type of MaxScore.
const MaxScoreType = "max-score-picker"

// MaxScore takes the best candidates. Among equals it takes one with the fewest of our own requests in flight, so that a
// burst of new prompts spreads before the next scrape shows it; among those each has the same chance.
type MaxScore struct {
	count int
}

// NewMaxScore reads `maxNumOfEndpoints` (1).
func NewMaxScore(parameters []byte) (*MaxScore, error) {
	count, err := readCount(parameters)
	return &MaxScore{count: count}, err
}

// Pick implements scheduling.Picker.
func (p *MaxScore) Pick(c *scheduling.Cycle, in []int, scores []float32) []int {
	return takeBest(c, in, scores, p.count)
}

// takeBest brings the best candidates to the front, best first, and returns them: count, or all if there are fewer.
func takeBest(c *scheduling.Cycle, in []int, scores []float32, count int) []int {
	count = min(count, len(in))
	for place := range count {
		best := place + fairMax(c, in[place:], scores[place:])
		in[place], in[best] = in[best], in[place]
		scores[place], scores[best] = scores[best], scores[place]
	}
	return in[:count]
}

// fairMax returns the place of a best candidate, drawn uniformly when there are several.
func fairMax(c *scheduling.Cycle, in []int, scores []float32) int {
	best, equals := 0, 1
	for place := 1; place < len(in); place++ {
		switch compare(c, in, scores, place, best) {
		case 1:
			best, equals = place, 1
		case 0:
			// Reservoir sampling: the k-th of the equals takes the place with chance 1/k.
			equals++
			if rand.IntN(equals) == 0 {
				best = place
			}
		}
	}
	return best
}

// compare tells whether the candidate at place a is better (1) or worse (-1) than the one at b, or as good (0).
func compare(c *scheduling.Cycle, in []int, scores []float32, a, b int) int {
	if d := cmp.Compare(scores[a], scores[b]); d != 0 {
		return d
	}
	return cmp.Compare(c.Loads[in[b]].Requests, c.Loads[in[a]].Requests)
}
