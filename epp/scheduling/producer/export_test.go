package producer

import (
	"os"
	"time"

	"github.com/switchyard/switchyard/epp/latency"
)

// MediaOf gives the modality of each part of media that a body has.
func MediaOf(body []byte) (modalities []string, hashes []uint64) {
	for _, part := range mediaOf(body, nil) {
		modalities = append(modalities, part.modality)
		hashes = append(hashes, part.hash)
	}
	return modalities, hashes
}

// SweepEvery has endpoints that are gone forgotten more often.
func (p *MMEmbeddingsCache) SweepEvery(interval time.Duration) { p.sweep = interval }

// Remembered counts the servers and the media that are remembered.
func (p *MMEmbeddingsCache) Remembered() (servers, media int) {
	p.cache.mu.Lock()
	defer p.cache.mu.Unlock()
	for _, entries := range p.cache.servers {
		media += entries.order.Len()
	}
	return len(p.cache.servers), media
}

// FlushEvery has samples sent more often. Call it before the plugin runs.
func (p *PredictedLatency) FlushEvery(interval time.Duration) {
	options, err := latency.FromEnvironment(os.LookupEnv)
	if err != nil {
		panic(err)
	}
	options.FlushInterval = interval
	p.client = latency.New(options, p.metrics)
}
