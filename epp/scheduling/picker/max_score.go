package picker

import (
	"math/rand/v2"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// MaxScoreType is the type of MaxScore.
const MaxScoreType = "max-score-picker"

// MaxScore takes the best candidates; among equals each has the same chance.
type MaxScore struct {
	count int
}

// NewMaxScore reads `maxNumOfEndpoints` (1).
func NewMaxScore(parameters []byte) (*MaxScore, error) {
	count, err := readCount(parameters)
	return &MaxScore{count: count}, err
}

// Pick implements scheduling.Picker.
func (p *MaxScore) Pick(_ *scheduling.Cycle, in []int, scores []float32) []int {
	count := min(p.count, len(in))
	for place := range count {
		best := place + fairMax(scores[place:])
		in[place], in[best] = in[best], in[place]
		scores[place], scores[best] = scores[best], scores[place]
	}
	return in[:count]
}

// fairMax returns the index of a largest score, drawn uniformly when there are several.
func fairMax(scores []float32) int {
	best, equals := 0, 1
	for i, score := range scores[1:] {
		switch {
		case score > scores[best]:
			best, equals = i+1, 1
		case score == scores[best]:
			equals++
		}
	}
	if equals == 1 {
		return best
	}
	skip := rand.IntN(equals)
	for i := best; ; i++ {
		if scores[i] != scores[best] {
			continue
		}
		if skip == 0 {
			return i
		}
		skip--
	}
}
