package scorer

import "github.com/switchyard/switchyard/epp/scheduling"

// QueueType is the type of Queue.
const QueueType = "queue-scorer"

// Queue prefers endpoints where fewer requests wait: min-max over scheduling.Load.Queue.
type Queue struct{}

// NewQueue takes no parameters.
func NewQueue(parameters []byte) (*Queue, error) {
	return &Queue{}, scheduling.DecodeParameters(parameters, &struct{}{})
}

// Score implements scheduling.Scorer.
func (*Queue) Score(c *scheduling.Cycle, in []int, out []float32) {
	for k, i := range in {
		out[k] = c.Loads[i].Queue()
	}
	invertMinMax(out)
}
