package producer

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/latency"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// PredictedLatencyType is the type of PredictedLatency.
const PredictedLatencyType = "predicted-latency-producer"

// PredictedLatency has a prediction server tell how long the request would take at each endpoint, to its first token (TTFT) and
// per further one (TPOT), and tells a training server how long requests took. Plugins that decide by it are latency-scorer,
// slo-headroom-tier-filter, latency-slo-admitter and prefix-cache-affinity-filter.
//
// A prediction is made from the endpoint's KV cache usage, waiting and running requests and prompt tokens in flight, the
// length of the prompt and the share of it that the endpoint holds. The limits of a request are those it asks for with
// x-llm-d-slo-ttft-ms and x-llm-d-slo-tpot-ms; that of the TPOT is the strictest of its own and those of the requests under
// way at the endpoint, for they share its steps.
//
// The servers are those of the environment variables TRAINING_SERVER_URL (http://localhost:8000) and PREDICTION_SERVER_URL
// (http://localhost:8001; several separated by commas). LATENCY_COALESCE_WINDOW_MS (1) is how long requests wait to be asked
// about together, LATENCY_MAX_COALESCED_ROWS (1000) how many endpoints one call asks about, LATENCY_MAX_CONCURRENT_DISPATCHES
// (36) how many calls are under way at once, LATENCY_HTTP_TIMEOUT_SEC (10) bounds a call of the training server, which gets
// LATENCY_MAX_SAMPLE_SIZE (1000) samples every LATENCY_FLUSH_INTERVAL_SEC (1) at most. A request waits 400 ms at most. When
// it gets no answer in that time, or a wrong one, it is scheduled without predictions. A prediction server that failed three
// times in a row is not asked for a while, and requests do not wait then; llm_d_epp_latency_predictions_total tells.
type PredictedLatency struct {
	client     *latency.Client
	metrics    *latency.Metrics
	objectives *strictest

	buffer    float64
	longest   time.Duration
	streaming bool
	roleLabel string
	predict   bool
	encoder   bool
	prefix    string
}

// predictionWait bounds what predictions may cost a request.
const predictionWait = 400 * time.Millisecond

// NewPredictedLatency reads `sloBufferFactor` (1), by which limits of the TPOT are multiplied; `contextTTL` (5m), requests that
// take longer are no samples; `streamingMode` (false): with it the TTFT is the time to the first token and TPOTs are predicted,
// without it the TTFT is the time to the end of the answer and there is no TPOT; `endpointRoleLabel`, the label of an endpoint
// that tells whether it works on prefill or decode; `predictInProduce` (true), false only trains; `useEncoderCacheFeatures`
// (false) has the prediction know the prompt's images and which of them the endpoint has in its encoder's cache, as
// mm-embeddings-cache-producer remembers. `prefixMatchInfoProducerName` and `inFlightLoadProducerName` may name
// the producers there are. `samplingMean` and `maxDecodeTokenSamplesForPrediction` are accepted and have no effect: what is
// learnt is the average of all tokens of a request.
func NewPredictedLatency(parameters []byte) (*PredictedLatency, error) {
	given := struct {
		SLOBufferFactor   float64  `json:"sloBufferFactor"`
		ContextTTL        duration `json:"contextTTL"`
		StreamingMode     bool     `json:"streamingMode"`
		EndpointRoleLabel string   `json:"endpointRoleLabel"`
		PredictInProduce  bool     `json:"predictInProduce"`
		EncoderFeatures   bool     `json:"useEncoderCacheFeatures"`
		PrefixProducer    string   `json:"prefixMatchInfoProducerName"`
		LoadProducer      string   `json:"inFlightLoadProducerName"`
		SamplingMean      float64  `json:"samplingMean"`
		MaxDecodeSamples  int      `json:"maxDecodeTokenSamplesForPrediction"`
	}{SLOBufferFactor: 1, ContextTTL: duration(5 * time.Minute), PredictInProduce: true, SamplingMean: 1000}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	switch {
	case !(given.SLOBufferFactor > 0):
		return nil, fmt.Errorf("parameters: sloBufferFactor: %g is not above 0", given.SLOBufferFactor)
	case given.ContextTTL <= 0:
		return nil, fmt.Errorf("parameters: contextTTL: %s is not above 0", time.Duration(given.ContextTTL))
	case !(given.SamplingMean > 0):
		return nil, fmt.Errorf("parameters: samplingMean: %g is not above 0", given.SamplingMean)
	case given.MaxDecodeSamples < 0:
		return nil, fmt.Errorf("parameters: maxDecodeTokenSamplesForPrediction: %d is below 0", given.MaxDecodeSamples)
	}
	if err := scheduling.OnePrefixProducer("prefixMatchInfoProducerName", given.PrefixProducer); err != nil {
		return nil, err
	}
	if err := scheduling.OneProducer("inFlightLoadProducerName", given.LoadProducer, scheduling.InFlightLoadProducer); err != nil {
		return nil, err
	}
	options, err := latency.FromEnvironment(os.LookupEnv)
	if err != nil {
		return nil, err
	}
	metrics := latency.Shared()
	return &PredictedLatency{
		client: latency.New(options, metrics), metrics: metrics, objectives: newStrictest(),
		buffer: given.SLOBufferFactor, longest: time.Duration(given.ContextTTL), streaming: given.StreamingMode,
		roleLabel: given.EndpointRoleLabel, predict: given.PredictInProduce, encoder: given.EncoderFeatures, prefix: given.PrefixProducer,
	}, nil
}

// Consumes lists the producers that the plugin reads from, behind which it runs.
func (p *PredictedLatency) Consumes() []string {
	if p.encoder {
		return []string{MMEmbeddingsCacheType}
	}
	return nil
}

// Run implements scheduling.Runner.
func (p *PredictedLatency) Run(ctx context.Context, _ *datalayer.Pools) error {
	return p.client.Run(ctx)
}

// Collectors implements scheduling.Measured.
func (p *PredictedLatency) Collectors() []prometheus.Collector { return p.metrics.Collectors() }

// Produce implements scheduling.Producer.
func (p *PredictedLatency) Produce(c *scheduling.Cycle) {
	if !p.predict || len(c.Candidates) == 0 {
		return
	}
	rows := make([]latency.Features, len(c.Candidates))
	for i := range rows {
		rows[i] = p.features(c, i)
	}
	predictions := make([]latency.Prediction, len(rows))
	ctx, cancel := context.WithTimeout(c.Context, predictionWait)
	defer cancel()
	began := time.Now()
	err := p.client.Predict(ctx, rows, predictions)
	p.metrics.CountPrediction(err)
	if err != nil {
		return
	}
	p.metrics.Of(c.Request.Model, c.TargetModel).Predicted(time.Since(began))
	forecasts := make([]latency.Forecast, len(rows))
	for i := range forecasts {
		forecasts[i] = p.forecast(c, i, predictions[i])
	}
	latency.Attach(c, forecasts)
}

// generated is how many tokens there are when a prediction is asked for: the one that is next.
const generated = 1

// features are what is known of the request at a candidate.
func (p *PredictedLatency) features(c *scheduling.Cycle, candidate int) latency.Features {
	load := &c.Loads[candidate]
	f := latency.Features{
		KVUsage: float64(load.KVUsage), InputTokens: c.PromptTokens(), Waiting: int(load.Queue()), Running: int(load.Active()),
		Generated: generated, PrefixShare: float64(c.Prefix(p.prefix).Share(candidate)), PrefillInFlight: load.Tokens,
	}
	if c.Tokens != nil {
		f.InputTokens = len(c.Tokens.IDs)
	}
	if p.roleLabel != "" {
		f.Role = c.Candidates[candidate].Labels[p.roleLabel]
	}
	if p.encoder {
		if match := EncoderMatchOf(c); match != nil {
			f.EncoderParts, f.EncoderHeld = match.Parts(), match.Held(candidate)
		}
	}
	return f
}

// prefillRole is the value of the role label of endpoints that generate no tokens.
const prefillRole = "prefill"

// forecast holds a prediction against what the request may take.
func (p *PredictedLatency) forecast(c *scheduling.Cycle, candidate int, predicted latency.Prediction) latency.Forecast {
	f := latency.Forecast{Prediction: predicted, TTFTLimit: milliseconds(c.TTFT)}
	endpoint := c.Candidates[candidate]
	if !p.streaming || p.roleLabel != "" && endpoint.Labels[p.roleLabel] == prefillRole {
		f.TPOT = 0 // nobody has learnt it
		return f
	}
	if c.TPOT > 0 {
		f.TPOTLimit = milliseconds(c.TPOT)
		if others := p.objectives.of(endpoint.Address); others > 0 {
			f.TPOTLimit = min(f.TPOTLimit, others)
		}
		f.TPOTLimit *= p.buffer
	}
	return f
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
