package admitter

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// ProbabilisticType is the type of Probabilistic.
const ProbabilisticType = "probabilistic-admitter"

// Probabilistic refuses some of the requests whose priority is below 0, the more of them the busier the pool is: with chance
// saturation^power * k, where saturation is the mean over the endpoints of queue or KV cache against their thresholds,
// whichever is more. Requests of priority 0 and above are always admitted. An endpoint whose metrics are missing or old
// counts as saturated.
type Probabilistic struct {
	queue, kv, power, k float64
}

// NewProbabilistic reads `queueDepthThreshold` (5 requests), `kvCacheUtilThreshold` (0.8), `power` (5) and `k` (300). With these
// defaults 2 of 100 are refused at a saturation of 0.15, and all from 0.32 on.
func NewProbabilistic(parameters []byte) (*Probabilistic, error) {
	given := struct {
		QueueDepthThreshold  float64 `json:"queueDepthThreshold"`
		KVCacheUtilThreshold float64 `json:"kvCacheUtilThreshold"`
		Power                float64 `json:"power"`
		K                    float64 `json:"k"`
	}{QueueDepthThreshold: 5, KVCacheUtilThreshold: 0.8, Power: 5, K: 300}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	for _, field := range []struct {
		name  string
		value float64
	}{
		{"queueDepthThreshold", given.QueueDepthThreshold}, {"kvCacheUtilThreshold", given.KVCacheUtilThreshold},
		{"power", given.Power}, {"k", given.K},
	} {
		if !(field.value > 0) {
			return nil, fmt.Errorf("parameters: %s: %g is not above 0", field.name, field.value)
		}
	}
	if given.KVCacheUtilThreshold > 1 {
		return nil, fmt.Errorf("parameters: kvCacheUtilThreshold: %g is above 1, which is all of the cache", given.KVCacheUtilThreshold)
	}
	return &Probabilistic{
		queue: given.QueueDepthThreshold, kv: given.KVCacheUtilThreshold, power: given.Power, k: given.K,
	}, nil
}

// Admit implements scheduling.Admitter.
func (a *Probabilistic) Admit(c *scheduling.Cycle) error {
	if c.Priority >= 0 || len(c.Loads) == 0 {
		return nil
	}
	if rand.Float64() < a.chance(a.saturation(c)) {
		return fmt.Errorf("%w: system saturated, sheddable request dropped", scheduling.ErrNotAdmitted)
	}
	return nil
}

// chance is that of a refusal.
func (a *Probabilistic) chance(saturation float64) float64 {
	return min(1, math.Pow(saturation, a.power)*a.k)
}

func (a *Probabilistic) saturation(c *scheduling.Cycle) float64 {
	sum := 0.0
	for i := range c.Loads {
		load := &c.Loads[i]
		if load.Known == 0 {
			sum++
			continue
		}
		sum += max(float64(load.Queue())/a.queue, float64(load.KVUsage)/a.kv)
	}
	return sum / float64(len(c.Loads))
}
