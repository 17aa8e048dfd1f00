package scorer

import (
	"slices"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// LoRAAffinityType is the type of LoRAAffinity.
const LoRAAffinityType = "lora-affinity-scorer"

// LoRAAffinity prefers endpoints that have the requested adapter loaded: 1 active, 0.8 a free slot, 0.6 waiting to be
// loaded, 0 neither; 0.5 where metrics are not fresh.
type LoRAAffinity struct{}

// NewLoRAAffinity takes no parameters.
func NewLoRAAffinity(parameters []byte) (*LoRAAffinity, error) {
	return &LoRAAffinity{}, scheduling.DecodeParameters(parameters, &struct{}{})
}

// Score implements scheduling.Scorer.
func (*LoRAAffinity) Score(c *scheduling.Cycle, in []int, out []float32) {
	for k, i := range in {
		lora := c.Loads[i].LoRA
		switch {
		case lora == nil:
			out[k] = 0.5
		case slices.Contains(lora.Running, c.Request.Model):
			out[k] = 1
		case len(lora.Running)+len(lora.Waiting) < lora.Max:
			out[k] = 0.8
		case slices.Contains(lora.Waiting, c.Request.Model):
			out[k] = 0.6
		default:
			out[k] = 0
		}
	}
}
