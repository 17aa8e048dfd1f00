package scorer

import (
	"encoding/json"
	"fmt"

	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/producer"
)

// PrecisePrefixCacheType is the type of PrecisePrefixCache.
const PrecisePrefixCacheType = "precise-prefix-cache-scorer"

// PrecisePrefixCache is a precise-prefix-cache-producer and a prefix-cache-scorer in one, from before there were two. It prefers
// endpoints that hold the start of the prompt, as the model servers themselves tell. Others that read prefix matches read those that it
// finds, as they do with the producer; there is one of the two. It finds them wherever it is declared, and scores where a profile
// refers to it.
type PrecisePrefixCache struct {
	*producer.PrecisePrefix
	*PrefixCache
}

// NewPrecisePrefixCache reads the parameters of precise-prefix-cache-producer and those of prefix-cache-scorer.
func NewPrecisePrefixCache(parameters []byte) (*PrecisePrefixCache, error) {
	finding := map[string]json.RawMessage{}
	if err := scheduling.DecodeParameters(parameters, &finding); err != nil {
		return nil, err
	}
	scoring := map[string]json.RawMessage{}
	for _, field := range []string{"prefixMatchInfoProducerName", "matchLengthWeight", "matchLengthScaleTokens"} {
		if value, ok := finding[field]; ok {
			scoring[field] = value
			delete(finding, field)
		}
	}
	forScorer, err := json.Marshal(scoring)
	if err != nil {
		return nil, fmt.Errorf("parameters: %w", err)
	}
	forProducer, err := json.Marshal(finding)
	if err != nil {
		return nil, fmt.Errorf("parameters: %w", err)
	}
	scores, err := NewPrefixCache(forScorer)
	if err != nil {
		return nil, err
	}
	finds, err := producer.NewPrecisePrefix(forProducer)
	if err != nil {
		return nil, err
	}
	return &PrecisePrefixCache{PrecisePrefix: finds, PrefixCache: scores}, nil
}
