package producer

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/kvindex"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// PrecisePrefixType is the type of PrecisePrefix.
const PrecisePrefixType = "precise-prefix-cache-producer"

// PrecisePrefix knows which model server holds how much of a prompt from the servers themselves: it subscribes to the events
// that engines publish about their KV caches over ZeroMQ (vLLM: --kv-events-config), and computes keys from the tokens that
// these carry, and from those of the request. Where it is declared, prefix-cache-scorer and all others that read prefix
// matches read its matches; one whose prefixMatchInfoProducerName is approx-prefix-cache-producer keeps to the approximate
// index. For requests whose tokens are not known, all read the approximate index.
//
// It needs a token-producer with vllm. Each server of the pools is connected to on its own address, or all are heard on one
// endpoint, to which their events come with topics kv@<pod>@<model>, <pod> being the name or the address of the pod. Blocks
// that a server has on the GPU count in full, those elsewhere less. What was lost on the way is asked for again where engines
// have a replay socket; without one, a gap has the server's cache count as empty until it stores more. An engine that starts
// anew is noticed and begins empty. A replaced configuration hands the index on when these parameters are the same.
//
// The index is in memory, bounded by blocks, or with costAwareMemoryConfig by bytes: then blocks that no request asked for
// lately, that one server alone holds, or that are at the end of a prompt make room for others. With redisConfig or
// valkeyConfig it is in a database that replicas share, those of the llm-d Router included when block size, seed and
// algorithm are the same. A pick waits 10 ms for it at most, and while it does not answer in time picks go on without
// matches; changes are written in the background. Requests must call the model what the topics of the events call it, or
// name an adapter. Give the database a maxmemory and the policy allkeys-lru, for nothing expires there; it cannot be a
// cluster. A password in the address is shown nowhere. When more changes wait than may (about 64 MiB), a server's blocks are
// taken out and begin anew.
//
// Blocks that are not of full attention are passed over, as are those of another size than the first that a server tells, and
// blocks of an engine whose block size is no multiple of blockSizeTokens. Best give the engines' own: then images in prompts and cache salts are told apart, too.
type PrecisePrefix struct {
	settings preciseSettings
	metrics  *kvindex.Metrics
	servers  *servers
}

// NewPrecisePrefix reads `tokenProcessorConfig`: `blockSizeTokens` (16), `hashSeed` (empty) and `hashAlgorithm` (cbor-fnv,
// or xxh64, which is cheaper); `indexerConfig.kvBlockIndexConfig`: `inMemoryConfig.size` (16777216), the blocks of all
// servers together, or `costAwareMemoryConfig.size` (2GiB), their memory, at least 16MiB, or `valkeyConfig.address` or
// `redisConfig.address` (redis://127.0.0.1:6379), redis://user:password@host:6379/0, valkey://, with TLS rediss:// or
// valkeys:// (`?skip_verify=true` trusts any certificate), unix:// or host:port, with `backendType` (redis or valkey); of
// several kinds the first of cost-aware, Valkey, Redis and in memory counts; and `enableMetrics` (false);
// `indexerConfig.kvCacheBackendConfigs`, a list of `name` and `weight` from 0 to 1 (gpu 1, cpu 0.8; the first is where
// blocks are whose place is not told); `kvEventsConfig`: `zmqEndpoint` (none), tcp://*:port to listen or tcp://host:port to
// connect, `topicFilter` (kv@), `discoverPods` (true) to connect to each server, with `podDiscoveryConfig`: `socketPort`
// (5557) and `replaySocketPort` (0: none), to which the rank of the endpoint is added, `podLabelSelector` (empty: all of the
// pools) and `podNamespace` (all); `speculativeIndexing` (false), which takes a server to hold a prompt as soon as it was
// sent there, for `speculativeTTL` (2s). `concurrency`, `engineType`, `tracing`, `metricsLoggingInterval`, `podCacheSize`
// and `numCounters` are read and need nothing. `enableRDMA` and tokenizers inside the picker (`tokenizersPoolConfig`,
// `prefixStoreConfig`) are refused.
func NewPrecisePrefix(parameters []byte) (*PrecisePrefix, error) {
	settings, err := readPrecise(parameters)
	if err != nil {
		return nil, err
	}
	p := &PrecisePrefix{settings: settings}
	p.servers, p.metrics, err = newServers(settings)
	return p, err
}

// Run implements scheduling.Runner: it follows the servers of the pools.
func (p *PrecisePrefix) Run(ctx context.Context, pools *datalayer.Pools) error {
	return p.servers.run(ctx, pools)
}

// Precise is a plugin that is a PrecisePrefix, or has one as a part.
type Precise interface {
	// Precise is that one.
	Precise() *PrecisePrefix
}

// Precise implements Precise.
func (p *PrecisePrefix) Precise() *PrecisePrefix { return p }

// TakeOver implements scheduling.Successor.
func (p *PrecisePrefix) TakeOver(before any) {
	if other, ok := before.(Precise); ok {
		if old := other.Precise(); old.settings == p.settings {
			p.servers, p.metrics = old.servers, old.metrics
		}
	}
}

// Collectors implements scheduling.Measured.
func (p *PrecisePrefix) Collectors() []prometheus.Collector {
	if !p.settings.metrics {
		return nil
	}
	if p.servers.shared != nil {
		return append(p.metrics.Collectors(), p.servers.shared.Collectors()...)
	}
	return p.metrics.Collectors()
}

// matches is memory for one match.
var matches = sync.Pool{New: func() any { return new([]kvindex.Held) }}

// maxMatched bounds the blocks of a prompt that are looked up.
const maxMatched = 1 << 16

// Produce implements scheduling.Producer.
func (p *PrecisePrefix) Produce(c *scheduling.Cycle) {
	index := p.servers.index
	hasher := index.Hasher()
	if c.Tokens == nil || len(c.Tokens.IDs) < hasher.BlockTokens {
		return
	}
	c.ReplacePrefix(hasher.BlockTokens)
	c.Keys = hasher.Prompt(c.Keys, maxMatched, index.Adapter(c.TargetModel), c.Request.CacheSalt, c.Tokens.IDs, c.Tokens.Features)
	memory := matches.Get().(*[]kvindex.Held)
	defer matches.Put(memory)
	n := index.Servers()
	if cap(*memory) < n {
		*memory = make([]kvindex.Held, n+n/4)
	}
	held := (*memory)[:n]
	clear(held)
	index.Match(c.Keys, c.Now, held)
	pool := p.servers.pool(c.Pool)
	for i, candidate := range c.Candidates {
		if server := pool.find(candidate); server != nil && server.Ordinal() < n {
			c.PrefixBlocks[i] = int(held[server.Ordinal()].Weight + 0.5)
		}
	}
}

// Follow implements scheduling.Follower: the server that was chosen is taken to hold the prompt for a while.
func (p *PrecisePrefix) Follow(c *scheduling.Cycle, chosen []int) scheduling.Followed {
	if !p.settings.speculative || !c.Replaced() || len(chosen) == 0 {
		return nil
	}
	if server := p.servers.pool(c.Pool).find(c.Candidates[chosen[0]]); server != nil {
		p.servers.index.Assume(server, c.Keys, c.Now.Add(p.settings.speculativeExpiry))
	}
	return nil
}

// DumpState shows how much is known.
func (p *PrecisePrefix) DumpState() (json.RawMessage, error) {
	stats := p.servers.index.Stats()
	var shared any
	if p.servers.shared != nil {
		shared = p.servers.shared.Shown()
	}
	return json.Marshal(struct {
		Servers int `json:"servers"`
		Blocks  int `json:"blocks"`
		Entries int `json:"entries"`
		Assumed int `json:"assumed"`
		Shared  any `json:"shared,omitempty"`
	}{stats.Servers, stats.Blocks, stats.Pairs, stats.Assumed, shared})
}
