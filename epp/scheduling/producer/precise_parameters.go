package producer

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/switchyard/switchyard/epp/kvevents"
	"github.com/switchyard/switchyard/epp/kvindex"
	"github.com/switchyard/switchyard/epp/scheduling"
)

type tokenProcessor struct {
	BlockSizeTokens int    `json:"blockSizeTokens"`
	BlockSize       int    `json:"blockSize"`
	HashSeed        string `json:"hashSeed"`
	HashAlgorithm   string `json:"hashAlgorithm"`
}

// sharedIndex is a database that several replicas share. Redis and Valkey differ in nothing that matters here.
type sharedIndex struct {
	Address     string `json:"address"`
	BackendType string `json:"backendType"`
	EnableRDMA  bool   `json:"enableRDMA"`
}

type preciseParameters struct {
	TokenProcessor *tokenProcessor `json:"tokenProcessorConfig"`
	Indexer        struct {
		BlockIndex struct {
			InMemory struct {
				Size         int `json:"size"`
				PodCacheSize int `json:"podCacheSize"`
			} `json:"inMemoryConfig"`
			CostAware *struct {
				Size        string `json:"size"`
				NumCounters int64  `json:"numCounters"`
			} `json:"costAwareMemoryConfig"`
			Redis                  *sharedIndex    `json:"redisConfig"`
			Valkey                 *sharedIndex    `json:"valkeyConfig"`
			EnableMetrics          bool            `json:"enableMetrics"`
			MetricsLoggingInterval json.RawMessage `json:"metricsLoggingInterval"`
		} `json:"kvBlockIndexConfig"`
		Backends []struct {
			Name   string   `json:"name"`
			Weight *float32 `json:"weight"`
		} `json:"kvCacheBackendConfigs"`
		TokenProcessor *tokenProcessor `json:"tokenProcessorConfig"`
		Tokenizers     any             `json:"tokenizersPoolConfig"`
		PrefixStore    any             `json:"prefixStoreConfig"`
	} `json:"indexerConfig"`
	Events struct {
		ZMQEndpoint  string `json:"zmqEndpoint"`
		TopicFilter  string `json:"topicFilter"`
		Concurrency  int    `json:"concurrency"`
		EngineType   string `json:"engineType"`
		DiscoverPods bool   `json:"discoverPods"`
		Pods         struct {
			LabelSelector string `json:"podLabelSelector"`
			Namespace     string `json:"podNamespace"`
			SocketPort    int    `json:"socketPort"`
			ReplayPort    int    `json:"replaySocketPort"`
		} `json:"podDiscoveryConfig"`
		Tracing bool `json:"tracing"`
	} `json:"kvEventsConfig"`
	Speculative    bool   `json:"speculativeIndexing"`
	SpeculativeTTL string `json:"speculativeTTL"`
}

// preciseSettings are the parameters checked. Two that are equal mean the same index.
type preciseSettings struct {
	blockTokens     int
	seed, algorithm string
	capacity        int
	bytes           int64  // 0: capacity counts
	shared          string // the address of a database; empty: the index is in memory
	tiers           [kvindex.MaxTiers]kvindex.Tier
	metrics         bool

	endpoint, topic   string
	discover          bool
	selector          string
	namespace         string
	port, replayPort  int
	speculative       bool
	speculativeExpiry time.Duration
}

func readPrecise(raw []byte) (preciseSettings, error) {
	given := preciseParameters{SpeculativeTTL: "2s"}
	given.Events.TopicFilter, given.Events.DiscoverPods = "kv@", true
	given.Events.Pods.SocketPort = 5557
	if err := scheduling.DecodeParameters(raw, &given); err != nil {
		return preciseSettings{}, err
	}
	s := preciseSettings{
		capacity: given.Indexer.BlockIndex.InMemory.Size, metrics: given.Indexer.BlockIndex.EnableMetrics,
		endpoint: given.Events.ZMQEndpoint, topic: given.Events.TopicFilter, discover: given.Events.DiscoverPods,
		selector: given.Events.Pods.LabelSelector, namespace: given.Events.Pods.Namespace,
		port: given.Events.Pods.SocketPort, replayPort: given.Events.Pods.ReplayPort, speculative: given.Speculative,
	}
	for _, check := range []func(*preciseParameters) error{s.refuse, s.readBlocks, s.readIndex, s.readTiers, s.readEvents} {
		if err := check(&given); err != nil {
			return s, fmt.Errorf("parameters: %w", err)
		}
	}
	ttl, err := time.ParseDuration(given.SpeculativeTTL)
	if err != nil || ttl <= 0 || ttl > time.Hour {
		return s, fmt.Errorf("parameters: speculativeTTL: %q is not a duration above 0 and at most 1h, such as 2s", given.SpeculativeTTL)
	}
	s.speculativeExpiry = ttl
	return s, nil
}

const tokenizersInstead = "tokenizers inside the picker or at a Unix socket are deprecated; declare a token-producer with vllm and remove this"

// refuse names what is not built and what to use in its place.
func (*preciseSettings) refuse(given *preciseParameters) error {
	for _, field := range []struct {
		name    string
		given   any
		instead string
	}{
		{"indexerConfig.tokenizersPoolConfig", given.Indexer.Tokenizers, tokenizersInstead},
		{"indexerConfig.prefixStoreConfig", given.Indexer.PrefixStore, tokenizersInstead},
	} {
		if field.given != nil {
			return fmt.Errorf("%s: not supported: %s", field.name, field.instead)
		}
	}
	if raw := given.Indexer.BlockIndex.MetricsLoggingInterval; len(raw) > 0 {
		if err := new(duration).UnmarshalJSON(raw); err != nil {
			return fmt.Errorf("indexerConfig.kvBlockIndexConfig.metricsLoggingInterval: %w", err)
		}
	}
	return nil
}

// readIndex finds out where blocks are kept. Of several kinds the first counts: cost-aware, Valkey, Redis, in memory.
func (s *preciseSettings) readIndex(given *preciseParameters) (err error) {
	const parent = "indexerConfig.kvBlockIndexConfig."
	index := &given.Indexer.BlockIndex
	if at := index.CostAware; at != nil {
		if s.bytes = 2 << 30; at.Size != "" {
			if s.bytes, err = kvindex.ParseSize(at.Size); err != nil {
				return fmt.Errorf(parent+"costAwareMemoryConfig.size: %w", err)
			}
		}
		if s.bytes < kvindex.MinBytes {
			return fmt.Errorf(parent+"costAwareMemoryConfig.size: %q is less than %d MiB", at.Size, kvindex.MinBytes>>20)
		}
		if at.NumCounters < 0 {
			return fmt.Errorf(parent+"costAwareMemoryConfig.numCounters: %d is below 0", at.NumCounters)
		}
		return nil
	}
	field, shared := parent+"valkeyConfig", index.Valkey
	if shared == nil {
		field, shared = parent+"redisConfig", index.Redis
	}
	if shared == nil {
		return nil
	}
	switch {
	case shared.EnableRDMA:
		return fmt.Errorf("%s.enableRDMA: not supported; remove it, the connection is TCP then", field)
	case shared.BackendType != "" && shared.BackendType != "redis" && shared.BackendType != "valkey":
		return fmt.Errorf("%s.backendType: %q must be redis or valkey", field, shared.BackendType)
	}
	if s.shared, err = parseShared(shared.Address); err != nil {
		return fmt.Errorf("%s.address: %w", field, err)
	}
	return nil
}

func (s *preciseSettings) readBlocks(given *preciseParameters) error {
	field, processor := "tokenProcessorConfig", given.TokenProcessor
	if processor == nil {
		field, processor = "indexerConfig.tokenProcessorConfig", given.Indexer.TokenProcessor
	}
	if processor == nil {
		processor = &tokenProcessor{}
	}
	s.blockTokens, s.seed, s.algorithm = processor.BlockSizeTokens, processor.HashSeed, processor.HashAlgorithm
	if s.blockTokens == 0 {
		s.blockTokens = processor.BlockSize
	}
	if s.blockTokens == 0 {
		s.blockTokens = 16
	}
	if s.blockTokens < 1 || s.blockTokens > 1<<16 {
		return fmt.Errorf("%s.blockSizeTokens: %d is not between 1 and %d", field, s.blockTokens, 1<<16)
	}
	if _, err := kvindex.NewHasher(s.blockTokens, s.seed, s.algorithm); err != nil {
		return fmt.Errorf("%s.hashAlgorithm: %w", field, err)
	}
	if s.capacity < 0 {
		return fmt.Errorf("indexerConfig.kvBlockIndexConfig.inMemoryConfig.size: %d is below 0", s.capacity)
	}
	return nil
}

func (s *preciseSettings) readTiers(given *preciseParameters) error {
	copy(s.tiers[:], kvindex.DefaultTiers)
	if len(given.Indexer.Backends) == 0 {
		return nil
	}
	if len(given.Indexer.Backends) > kvindex.MaxTiers {
		return fmt.Errorf("indexerConfig.kvCacheBackendConfigs: %d tiers, at most %d", len(given.Indexer.Backends), kvindex.MaxTiers)
	}
	s.tiers = [kvindex.MaxTiers]kvindex.Tier{}
	for i, tier := range given.Indexer.Backends {
		if tier.Name == "" {
			return fmt.Errorf("indexerConfig.kvCacheBackendConfigs[%d].name: missing", i)
		}
		if tier.Weight == nil || *tier.Weight < 0 || *tier.Weight > 1 {
			return fmt.Errorf("indexerConfig.kvCacheBackendConfigs[%d].weight: give a number from 0 to 1", i)
		}
		s.tiers[i] = kvindex.Tier{Name: tier.Name, Weight: *tier.Weight}
	}
	return nil
}

func (s *preciseSettings) readEvents(given *preciseParameters) error {
	if s.endpoint != "" {
		if _, _, err := kvevents.ParseEndpoint(s.endpoint); err != nil {
			return fmt.Errorf("kvEventsConfig.zmqEndpoint: %w", err)
		}
	}
	switch {
	case s.endpoint == "" && !s.discover:
		return errors.New("kvEventsConfig: discoverPods is off and there is no zmqEndpoint: no events would come; give one of them")
	case given.Events.Concurrency < 0:
		return fmt.Errorf("kvEventsConfig.concurrency: %d is below 0", given.Events.Concurrency)
	case given.Events.EngineType != "" && given.Events.EngineType != "vllm" && given.Events.EngineType != "sglang":
		return fmt.Errorf("kvEventsConfig.engineType: %q must be vllm or sglang", given.Events.EngineType)
	}
	for _, port := range []struct {
		name          string
		number, least int
	}{{"socketPort", s.port, 1}, {"replaySocketPort", s.replayPort, 0}} {
		if port.number < port.least || port.number > 65535 {
			return fmt.Errorf("kvEventsConfig.podDiscoveryConfig.%s: %d is not a port", port.name, port.number)
		}
	}
	if _, err := labels.Parse(s.selector); err != nil {
		return fmt.Errorf("kvEventsConfig.podDiscoveryConfig.podLabelSelector: %w", err)
	}
	return nil
}

// listed are the tiers without the free places.
func (s *preciseSettings) listed() []kvindex.Tier {
	n := 0
	for n < len(s.tiers) && s.tiers[n].Name != "" {
		n++
	}
	return s.tiers[:n]
}
