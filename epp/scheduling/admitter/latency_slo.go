package admitter

import (
	"fmt"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/latency"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// LatencySLOType is the type of LatencySLO.
const LatencySLOType = "latency-slo-admitter"

// LatencySLO refuses requests whose priority is below 0 when no endpoint is predicted to keep the limits they ask for
// (x-llm-d-slo-ttft-ms, x-llm-d-slo-tpot-ms). They are admitted all the same while an endpoint is idle, or uses less than 2 % of
// its KV cache, of which predictions are not to be trusted yet; and when there are no predictions (of
// predicted-latency-producer).
type LatencySLO struct{}

// coldKVUsage is the use of the KV cache below which an endpoint has hardly begun to work.
const coldKVUsage = 0.02

// NewLatencySLO reads `latencyPredictionInfoProducerName`, which may name the producer there is.
func NewLatencySLO(parameters []byte) (*LatencySLO, error) {
	given := struct {
		Producer string `json:"latencyPredictionInfoProducerName"`
	}{}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	return &LatencySLO{}, scheduling.OneProducer("latencyPredictionInfoProducerName", given.Producer, latency.Producer)
}

// Consumes lists the producers that the plugin reads from.
func (*LatencySLO) Consumes() []string { return []string{latency.Producer} }

// Admit implements scheduling.Admitter.
func (*LatencySLO) Admit(c *scheduling.Cycle) error {
	if c.Priority >= 0 || c.TTFT <= 0 && c.TPOT <= 0 {
		return nil
	}
	forecasts := latency.Forecasts(c)
	if len(forecasts) == 0 {
		return nil
	}
	for i := range forecasts {
		if !forecasts[i].MissesTTFT() && !forecasts[i].MissesTPOT() || unproven(&c.Loads[i]) {
			return nil
		}
	}
	return fmt.Errorf("%w: no valid endpoint available to serve the request", scheduling.ErrNotAdmitted)
}

// unproven tells whether an endpoint is idle or cold. One whose numbers are not known is neither.
func unproven(load *scheduling.Load) bool {
	return load.Known.Has(datalayer.HasRunning) && load.Active() == 0 || load.Known.Has(datalayer.HasKVUsage) && load.KVUsage < coldKVUsage
}
