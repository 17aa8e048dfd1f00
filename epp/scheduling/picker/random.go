package picker

import (
	"math/rand/v2"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// RandomType is the type of Random.
const RandomType = "random-picker"

// Random draws candidates uniformly, whatever their scores.
type Random struct {
	count int
}

// NewRandom reads `maxNumOfEndpoints` (1).
func NewRandom(parameters []byte) (*Random, error) {
	count, err := readCount(parameters)
	return &Random{count: count}, err
}

// Pick implements scheduling.Picker.
func (p *Random) Pick(_ *scheduling.Cycle, in []int, _ []float32) []int {
	return draw(in, p.count)
}

// draw moves count uniformly drawn members of in to its front and returns them.
func draw(in []int, count int) []int {
	count = min(count, len(in))
	for place := range count {
		other := place + rand.IntN(len(in)-place)
		in[place], in[other] = in[other], in[place]
	}
	return in[:count]
}
