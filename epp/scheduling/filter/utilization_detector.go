package filter

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// UtilizationDetectorType is the type of UtilizationDetector.
const UtilizationDetectorType = "utilization-detector"

// UtilizationDetector, in a scheduling profile, removes endpoints whose queue or KV cache is beyond the limit, and those whose
// metrics are old. When nobody is left all stay: the scorers then choose the least bad.
type UtilizationDetector struct {
	maxQueue, maxKV float32
	maxAge          time.Duration
}

// NewUtilizationDetector reads `queueDepthThreshold` (5), `kvCacheUtilThreshold` (0.8), `headroom` (0), the share by which an
// endpoint may be above both, and `metricsStalenessThreshold`. Without the last one metrics are old when the data layer
// says so: it scrapes idle endpoints less often, so their metrics are no reason to leave them out.
func NewUtilizationDetector(parameters []byte) (*UtilizationDetector, error) {
	given := struct {
		QueueDepthThreshold       float64          `json:"queueDepthThreshold"`
		KVCacheUtilThreshold      float64          `json:"kvCacheUtilThreshold"`
		MetricsStalenessThreshold *metav1.Duration `json:"metricsStalenessThreshold"`
		Headroom                  float64          `json:"headroom"`
	}{QueueDepthThreshold: 5, KVCacheUtilThreshold: 0.8}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	d := &UtilizationDetector{}
	switch {
	case !(given.QueueDepthThreshold > 0):
		return nil, fmt.Errorf("parameters: queueDepthThreshold: %g is not above 0", given.QueueDepthThreshold)
	case !(given.KVCacheUtilThreshold > 0 && given.KVCacheUtilThreshold <= 1):
		return nil, fmt.Errorf("parameters: kvCacheUtilThreshold: %g is not above 0 and at most 1", given.KVCacheUtilThreshold)
	case !(given.Headroom >= 0):
		return nil, fmt.Errorf("parameters: headroom: %g is below 0", given.Headroom)
	case given.MetricsStalenessThreshold != nil:
		if d.maxAge = given.MetricsStalenessThreshold.Duration; d.maxAge <= 0 {
			return nil, fmt.Errorf("parameters: metricsStalenessThreshold: %s is not above 0", d.maxAge)
		}
	}
	d.maxQueue = float32(given.QueueDepthThreshold * (1 + given.Headroom))
	d.maxKV = float32(min(1, given.KVCacheUtilThreshold*(1+given.Headroom)))
	return d, nil
}

// Filter implements scheduling.Filter.
func (d *UtilizationDetector) Filter(c *scheduling.Cycle, in []int) []int {
	return keepOr(c, in, func(i int) bool {
		load := &c.Loads[i]
		if load.Known == 0 || load.Queue() > d.maxQueue || load.KVUsage > d.maxKV {
			return false
		}
		return d.maxAge == 0 || c.Now.Sub(c.Candidates[i].Metrics().At) <= d.maxAge
	})
}
