package producer

import (
	"fmt"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// InFlightLoadType is the type of InFlightLoad.
const InFlightLoadType = "inflight-load-producer"

// Bounds of the estimate of an answer's length.
const (
	defaultOutputRatio = 1.5
	maxOutputRatio     = 1000
	maxOutputTokens    = 1 << 40
)

// InFlightLoad says what a request counts for at the endpoint that it was sent to, while it is there: one request, and the tokens
// of its prompt that the endpoint does not hold yet. The tokens are released when a streamed answer begins, or else with the request at
// its end. Estimated tokens of the answer, where they are asked for, stay until the end. Of a request whose prompt another endpoint
// works on, that one has the prompt's tokens, and the one that generates has those of the answer. It counts without being declared;
// declaring it gives it parameters.
type InFlightLoad struct {
	output    bool
	ratio     float64
	maxOutput int64 // 0: no bound
	prefix    string
	shared    bool
}

// NewInFlightLoad reads `addEstimatedOutputTokens` (false), which has the answer counted too: the tokens of the prompt times
// `outputRatio` (1.5, at most 1000), but not more than `maxEstimatedOutputTokens` (0: no bound), nor than the client lets the model
// generate; nothing for requests that generate no text. `prefixMatchInfoProducerName` is the source of matches that says what an
// endpoint holds: precise-prefix-cache-producer where it is declared, else approx-prefix-cache-producer. `syncCrossReplicaState` is
// read and has no effect: each replica counts its own requests.
func NewInFlightLoad(parameters []byte) (InFlightLoad, error) {
	given := struct {
		AddOutput bool    `json:"addEstimatedOutputTokens"`
		Ratio     float64 `json:"outputRatio"`
		MaxOutput int64   `json:"maxEstimatedOutputTokens"`
		Prefix    string  `json:"prefixMatchInfoProducerName"`
		Sync      *bool   `json:"syncCrossReplicaState"`
	}{Ratio: defaultOutputRatio}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return InFlightLoad{}, err
	}
	if given.Ratio < 0 || given.Ratio > maxOutputRatio {
		return InFlightLoad{}, fmt.Errorf("parameters: outputRatio: %g is not between 0 and %d", given.Ratio, maxOutputRatio)
	}
	if given.MaxOutput < 0 {
		return InFlightLoad{}, fmt.Errorf("parameters: maxEstimatedOutputTokens: %d is below 0", given.MaxOutput)
	}
	if err := scheduling.OnePrefixProducer("prefixMatchInfoProducerName", given.Prefix); err != nil {
		return InFlightLoad{}, err
	}
	return InFlightLoad{output: given.AddOutput, ratio: given.Ratio, maxOutput: given.MaxOutput, prefix: given.Prefix,
		shared: given.Sync != nil && *given.Sync}, nil
}

// Shared tells whether replicas are asked for, in so many words, to share what they count.
func (l InFlightLoad) Shared() bool { return l.shared }

// Prompt is how many of a prompt's tokens a candidate has to work through.
func (l InFlightLoad) Prompt(c *scheduling.Cycle, candidate, prompt int) int64 {
	match := c.Prefix(l.prefix)
	return int64(max(0, prompt-match.Blocks[candidate]*match.BlockTokens))
}

// Output is how many tokens the answer to a prompt is expected to have, 0 where that is not asked for.
func (l InFlightLoad) Output(request *body.Request, prompt int) int64 {
	if !l.output {
		return 0
	}
	switch request.API {
	case body.Embeddings, body.GRPCEmbed, body.CountTokens, body.ImagesGenerations:
		return 0
	}
	tokens := int64(min(float64(prompt)*l.ratio, maxOutputTokens))
	for _, bound := range [...]int64{l.maxOutput, request.MaxTokens} {
		if bound > 0 {
			tokens = min(tokens, bound)
		}
	}
	return tokens
}
