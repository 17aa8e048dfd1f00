package producer

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/zeebo/xxh3"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// MMEmbeddingsCacheType is the type of MMEmbeddingsCache.
const MMEmbeddingsCacheType = "mm-embeddings-cache-producer"

// MMEmbeddingsCache finds out which endpoints are likely to have the images, sounds and videos of a prompt in their encoder's
// cache, because they got the same ones before: an encoder works through each only once. It hashes the URL or the data of
// each part of the prompt, and remembers for each endpoint the latest that went there. Plugins that decide by it are
// mm-embeddings-cache-scorer and, with useEncoderCacheFeatures, predicted-latency-producer. Of a body that the picker sees the beginning of, the parts in that beginning count. Requests without media cost
// nothing.
type MMEmbeddingsCache struct {
	cache   *encoderCache
	sweep   time.Duration
	metrics *encoderMetrics
}

// Sizes of encoder caches.
const (
	mebibytesPerEntry = 2
	maxCacheMebibytes = 1 << 20
)

// NewMMEmbeddingsCache reads `cacheSizeInMBPerServer` (4096), the size of the encoder's cache of one server in MiB, of which
// each image, sound or video is taken to need 2: at most 1048576; 0 and less are the default.
func NewMMEmbeddingsCache(parameters []byte) (*MMEmbeddingsCache, error) {
	given := struct {
		CacheSizeInMBPerServer int `json:"cacheSizeInMBPerServer"`
	}{}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	if given.CacheSizeInMBPerServer <= 0 {
		given.CacheSizeInMBPerServer = 4096
	}
	if given.CacheSizeInMBPerServer > maxCacheMebibytes {
		return nil, fmt.Errorf("parameters: cacheSizeInMBPerServer: %d is above %d", given.CacheSizeInMBPerServer, maxCacheMebibytes)
	}
	return &MMEmbeddingsCache{
		cache: newEncoderCache(max(1, given.CacheSizeInMBPerServer/mebibytesPerEntry)), sweep: 2 * time.Minute, metrics: sharedEncoderMetrics(),
	}, nil
}

// EncoderMatch tells how much of a prompt's media each candidate has in its encoder's cache.
type EncoderMatch struct {
	parts []mediaPart
	held  []int
	owner *MMEmbeddingsCache
}

// Parts is the number of different images, sounds and videos of the prompt.
func (m *EncoderMatch) Parts() int { return len(m.parts) }

// Held is how many of them a candidate has.
func (m *EncoderMatch) Held(candidate int) int { return m.held[candidate] }

type encoderMatchKey struct{}

// EncoderMatchOf is what a MMEmbeddingsCache found out for this cycle; nil: the prompt has no media, or there is no such
// plugin.
func EncoderMatchOf(c *scheduling.Cycle) *EncoderMatch {
	match, _ := c.Context.Value(encoderMatchKey{}).(*EncoderMatch)
	if match == nil || len(match.held) != len(c.Candidates) {
		return nil
	}
	return match
}

// Produce implements scheduling.Producer.
func (p *MMEmbeddingsCache) Produce(c *scheduling.Cycle) {
	if !c.Request.Multimodal || len(c.Candidates) == 0 {
		return
	}
	parts := partsOf(c)
	if len(parts) == 0 {
		return
	}
	for _, part := range parts {
		p.metrics.queries.WithLabelValues(MMEmbeddingsCacheType, MMEmbeddingsCacheType, part.modality).Inc()
	}
	match := &EncoderMatch{parts: parts, held: make([]int, len(c.Candidates)), owner: p}
	ratio := p.metrics.ratio.WithLabelValues(MMEmbeddingsCacheType, MMEmbeddingsCacheType)
	for i, endpoint := range c.Candidates {
		match.held[i] = p.cache.held(endpoint.Address, parts, func(part mediaPart) {
			p.metrics.hits.WithLabelValues(MMEmbeddingsCacheType, MMEmbeddingsCacheType, part.modality, endpoint.Pod).Inc()
		})
		ratio.Observe(float64(match.held[i]) / float64(len(parts)))
	}
	c.Context = context.WithValue(c.Context, encoderMatchKey{}, match)
}

// partsOf are the media of the prompt: as a tokenizer tells them, else as the body has them.
func partsOf(c *scheduling.Cycle) []mediaPart {
	if c.Tokens == nil || len(c.Tokens.Features) == 0 {
		return mediaOf(c.Body, nil)
	}
	var parts []mediaPart
	for _, feature := range c.Tokens.Features {
		if feature.Hash != "" {
			parts = addPart(parts, mediaPart{hash: xxh3.HashString(feature.Hash), modality: feature.Modality})
		}
	}
	return parts
}

// Follow implements scheduling.Follower: whoever encodes the media is going to have them.
func (p *MMEmbeddingsCache) Follow(c *scheduling.Cycle, chosen []int) scheduling.Followed {
	match := EncoderMatchOf(c)
	if match == nil || match.owner != p || len(chosen) == 0 {
		return nil
	}
	if !p.addStage(c, scheduling.StageEncode, match) && !p.addStage(c, scheduling.StagePrefill, match) {
		p.cache.add(c.Candidates[chosen[0]], match.parts)
	}
	return nil
}

// addStage adds to the candidates that work on a stage, if there are any.
func (p *MMEmbeddingsCache) addStage(c *scheduling.Cycle, name string, match *EncoderMatch) bool {
	added := false
	for _, stage := range c.Stages() {
		if stage.Name == name {
			p.cache.add(c.Candidates[stage.Candidate], match.parts)
			added = true
		}
	}
	return added
}

// Run implements scheduling.Runner: it forgets endpoints that are gone.
func (p *MMEmbeddingsCache) Run(ctx context.Context, pools *datalayer.Pools) error {
	tick := time.NewTicker(p.sweep)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			p.forgetAllBut(pools)
		}
	}
}

func (p *MMEmbeddingsCache) forgetAllBut(pools *datalayer.Pools) {
	there := map[string]bool{}
	for _, pool := range pools.List() {
		for _, endpoint := range pool.Endpoints() {
			there[endpoint.Address] = true
		}
	}
	for _, pod := range p.cache.keep(func(address string) bool { return there[address] }) {
		p.metrics.hits.DeletePartialMatch(prometheus.Labels{"pod": pod})
	}
}

// Collectors are the plugin's metrics.
func (p *MMEmbeddingsCache) Collectors() []prometheus.Collector { return p.metrics.collectors() }
