package saturation

import (
	"fmt"
	"time"

	"github.com/switchyard/switchyard/epp/flowcontrol"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// ConcurrencyType is the type of Concurrency.
const ConcurrencyType = "concurrency-detector"

// Concurrency counts what this process has in flight against what the endpoints may have: as flowControl.saturationDetector, or, in
// a scheduling profile, to remove endpoints that have as much as they may; when nobody is left there the request is refused. It
// needs no metrics, and sees nothing of what other pickers send.
type Concurrency struct {
	countRequests, countTokens bool
	requests, tokens           int64
	headroom                   float64
}

// NewConcurrency reads `concurrencyMode` (requests, or tokens, or hybrid: the fuller of both), `maxConcurrency` (100, above 0) requests
// and `maxTokenConcurrency` (1000000, above 0) tokens of a full endpoint, and `headroom` (0, at least 0): how far above that an endpoint
// may go in a scheduling profile, as a share. `inFlightLoadProducerName` may name the producer there is.
func NewConcurrency(parameters []byte) (*Concurrency, error) {
	given := struct {
		Mode     string  `json:"concurrencyMode"`
		Requests int64   `json:"maxConcurrency"`
		Tokens   int64   `json:"maxTokenConcurrency"`
		Headroom float64 `json:"headroom"`
		Producer string  `json:"inFlightLoadProducerName"`
	}{Mode: "requests", Requests: 100, Tokens: 1_000_000}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	switch {
	case given.Mode != "requests" && given.Mode != "tokens" && given.Mode != "hybrid":
		return nil, fmt.Errorf("parameters: concurrencyMode: %q must be requests, tokens or hybrid", given.Mode)
	case given.Requests <= 0:
		return nil, fmt.Errorf("parameters: maxConcurrency: %d is not above 0", given.Requests)
	case given.Tokens <= 0:
		return nil, fmt.Errorf("parameters: maxTokenConcurrency: %d is not above 0", given.Tokens)
	case !(given.Headroom >= 0):
		return nil, fmt.Errorf("parameters: headroom: %g is below 0", given.Headroom)
	}
	if err := scheduling.OneProducer("inFlightLoadProducerName", given.Producer, scheduling.InFlightLoadProducer); err != nil {
		return nil, err
	}
	return &Concurrency{countRequests: given.Mode != "tokens", countTokens: given.Mode != "requests",
		requests: given.Requests, tokens: given.Tokens, headroom: given.Headroom}, nil
}

// bytesPerToken is the estimate by which the bytes ahead become tokens.
const bytesPerToken = 4

// total is what is in flight at the endpoints of a stage.
type total struct {
	endpoints        int
	requests, tokens int64
}

// Measure implements flowcontrol.Detector.
func (c *Concurrency) Measure(endpoints []flowcontrol.Endpoint, ahead flowcontrol.Load, _ time.Time) flowcontrol.Reading {
	reading := flowcontrol.Reading{Endpoints: len(endpoints)}
	var prefill, decode total
	for i := range endpoints {
		e := &endpoints[i]
		inPrefill, inDecode := stages(e.Role)
		if inPrefill {
			prefill.add(e)
		}
		if inDecode {
			decode.add(e)
		}
	}
	reading.Prefill, reading.Decode = c.stage(prefill, ahead), c.stage(decode, ahead)
	return higher(reading)
}

func (t *total) add(e *flowcontrol.Endpoint) {
	t.endpoints++
	t.requests += e.Requests
	t.tokens += e.Tokens
}

func (c *Concurrency) stage(t total, ahead flowcontrol.Load) flowcontrol.Stage {
	if t.endpoints == 0 {
		return flowcontrol.Stage{}
	}
	requests, tokens := t.requests+ahead.Requests, t.tokens+ahead.Bytes/bytesPerToken
	return flowcontrol.Stage{Endpoints: t.endpoints, Level: c.level(requests, tokens, float64(t.endpoints))}
}

// level is how full n endpoints are.
func (c *Concurrency) level(requests, tokens int64, n float64) float64 {
	level := 0.0
	if c.countRequests {
		level = float64(requests) / (float64(c.requests) * n)
	}
	if c.countTokens {
		level = max(level, float64(tokens)/(float64(c.tokens)*n))
	}
	return level
}

// Keeps implements flowcontrol.Detector.
func (c *Concurrency) Keeps(e flowcontrol.Endpoint, _ time.Time) bool {
	return c.level(e.Requests, e.Tokens, 1) < 1+c.headroom
}

// FailsOpen implements flowcontrol.Detector.
func (c *Concurrency) FailsOpen() bool { return false }

// Lag implements flowcontrol.Detector: what is in flight falls with the end of a request, but for what is done on the way.
func (c *Concurrency) Lag() time.Duration { return 10 * time.Millisecond }
