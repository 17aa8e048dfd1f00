package scorer

import "github.com/switchyard/switchyard/epp/scheduling"

// KVCacheUtilizationType is the type of KVCacheUtilization.
const KVCacheUtilizationType = "kv-cache-utilization-scorer"

// KVCacheUtilization prefers endpoints with free KV cache: 1 - usage.
type KVCacheUtilization struct{}

// NewKVCacheUtilization takes no parameters.
func NewKVCacheUtilization(parameters []byte) (*KVCacheUtilization, error) {
	return &KVCacheUtilization{}, scheduling.DecodeParameters(parameters, &struct{}{})
}

// Score implements scheduling.Scorer.
func (*KVCacheUtilization) Score(c *scheduling.Cycle, in []int, out []float32) {
	for k, i := range in {
		out[k] = 1 - c.Loads[i].KVUsage
	}
}
