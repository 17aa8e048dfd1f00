package kvindex

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	shardCount = 256
	// maxServers bounds ordinals.
	maxServers = 1 << 14
	// tick is how finely the end of assumptions is kept.
	tick = 50 * time.Millisecond
	// maxAssumed bounds the blocks that are taken to be held because requests were sent there.
	maxAssumed = 1 << 20
)

// DefaultCapacity is the number of blocks that servers may hold together: about 2 GiB of memory.
const DefaultCapacity = 16 << 20

// Tier is a kind of memory that blocks are in, and what a block there is worth next to one on the GPU.
type Tier struct {
	Name   string
	Weight float32
}

// DefaultTiers are those of engines that offload to the host.
var DefaultTiers = []Tier{{"gpu", 1}, {"cpu", 0.8}}

// MaxTiers is how many may be told apart.
const MaxTiers = 7

// Options of an Index. Hasher and Metrics are required.
type Options struct {
	Hasher   *Hasher
	Tiers    []Tier // at most MaxTiers, the first being where blocks are that no medium is told of; nil: DefaultTiers
	Capacity int    // pairs of server and block; 0: DefaultCapacity
	// Bytes bounds the memory in place of Capacity, and blocks that are worth less make room for others; 0: it does not.
	Bytes int64
	// Shared keeps the blocks in place of this index; nil: it keeps them itself.
	Shared  Shared
	Metrics *Metrics
}

// Held is how much of a prompt a server holds.
type Held struct {
	// Blocks is how many from the first on.
	Blocks int32
	// Weight is the same with each block weighed by its tier.
	Weight float32
}

// Index of blocks. All methods may be called at once from many goroutines.
type Index struct {
	hasher   *Hasher
	metrics  *Metrics
	capacity int64
	tiers    map[string]uint8 // bit by name in lower case
	first    uint8            // bit of blocks without a medium
	other    uint8            // bit of media that are not configured
	weights  [256]float32     // of the best tier among the bits; of none: an assumption
	began    time.Time

	shards [shardCount]shard
	pairs  atomic.Int64

	budget *budget // of Options.Bytes; nil: there is none
	shared Shared
	tierOf func(medium string) uint8

	servers atomic.Int32 // the length of members

	mu      sync.Mutex // of what follows
	members []*Server  // by ordinal
	assumed []assumption
	waiting int // blocks in assumed

	adapters adapters
}

// assumption is a prompt that a server is taken to hold.
type assumption struct {
	server uint16
	until  uint32
	keys   []uint64
}

// New makes an empty index.
func New(o Options) *Index {
	if o.Tiers == nil {
		o.Tiers = DefaultTiers
	}
	if o.Capacity <= 0 {
		o.Capacity = DefaultCapacity
	}
	x := &Index{hasher: o.Hasher, metrics: o.Metrics, capacity: int64(o.Capacity), shared: o.Shared, tiers: map[string]uint8{},
		began: time.Now()}
	x.tierOf = x.tier
	if o.Bytes > 0 {
		x.limit(o.Bytes)
	}
	least := float32(1)
	bits := make([]float32, 8)
	for i, tier := range o.Tiers[:min(len(o.Tiers), MaxTiers)] {
		x.tiers[strings.ToLower(tier.Name)] = 1 << i
		bits[i] = tier.Weight
		least = min(least, tier.Weight)
	}
	x.first, x.other = 1, 1<<7
	bits[7] = least
	for mask := range x.weights {
		for i, weight := range bits {
			if mask>>i&1 != 0 {
				x.weights[mask] = max(x.weights[mask], weight)
			}
		}
	}
	x.weights[0] = bits[0]
	return x
}

// Hasher makes the keys of this index.
func (x *Index) Hasher() *Hasher { return x.hasher }

func (x *Index) shard(key uint64) *shard { return &x.shards[key>>56] }

// change has f change how a server holds a block.
func (x *Index) change(key uint64, server uint16, f func(*holder)) {
	bytes := x.shard(key).change(key, server, f)
	if x.budget != nil {
		x.budget.used.Add(bytes)
	}
}

// tickAt numbers an instant, from 1 on.
func (x *Index) tickAt(at time.Time) uint32 { return uint32(max(at.Sub(x.began), 0)/tick) + 1 }

// Match finds how much of a prompt each server holds, by ordinal; held is as long as Servers says, or shorter, and zero. It
// tells the most blocks that one of them has.
func (x *Index) Match(keys []uint64, now time.Time, held []Held) (longest int) {
	began := time.Now()
	at := x.tickAt(now)
	if x.shared != nil {
		longest = x.matchShared(keys, at, held)
	} else {
		for _, key := range keys {
			if !x.shard(key).advance(key, int32(longest), at, &x.weights, held) {
				break
			}
			longest++
		}
	}
	x.metrics.looked(longest, time.Since(began))
	return longest
}

// Servers is one more than the highest ordinal given out.
func (x *Index) Servers() int { return int(x.servers.Load()) }

// Assume takes a server to hold a prompt until an instant: a request with it has just been sent there, and what the engine
// stores for it is told a little later. With too many such prompts it does nothing.
func (x *Index) Assume(s *Server, keys []uint64, until time.Time) {
	if len(keys) == 0 {
		return
	}
	a := assumption{server: s.ordinal, until: x.tickAt(until), keys: append([]uint64(nil), keys...)}
	taken, ok := x.budget.promise(len(keys))
	if !ok {
		return
	}
	defer taken()
	x.mu.Lock()
	if x.waiting+len(keys) > maxAssumed || s.gone {
		x.mu.Unlock()
		return
	}
	x.assumed = append(x.assumed, a)
	x.wait(len(keys))
	x.mu.Unlock()
	for _, key := range keys {
		x.change(key, a.server, func(h *holder) { h.assumed = max(h.assumed, a.until) })
	}
	x.mu.Lock()
	gone := s.gone
	x.mu.Unlock()
	if gone { // meanwhile: it had nothing to take back then
		x.unassume(a, ^uint32(0))
	}
}

// Expire gives back the memory of assumptions that are over. Matches do not wait for it.
func (x *Index) Expire(now time.Time) {
	at := x.tickAt(now)
	x.mu.Lock()
	n := 0
	for n < len(x.assumed) && x.assumed[n].until <= at {
		x.wait(-len(x.assumed[n].keys))
		n++
	}
	over := append([]assumption(nil), x.assumed[:n]...)
	x.assumed = append(x.assumed[:0], x.assumed[n:]...)
	clear(x.assumed[len(x.assumed):cap(x.assumed)])
	x.mu.Unlock()
	for _, a := range over {
		x.unassume(a, at)
	}
	if x.budget != nil {
		x.age(now)
	}
}

// unassume drops what an assumption noted, as far as no later one goes on beyond the tick.
func (x *Index) unassume(a assumption, at uint32) {
	for _, key := range a.keys {
		x.change(key, a.server, func(h *holder) {
			if h.assumed <= at {
				h.assumed = 0
			}
		})
	}
}

// Stats is the size of an index.
type Stats struct{ Servers, Blocks, Pairs, Assumed int }

// Stats counts what is held. For pages that people look at.
func (x *Index) Stats() (st Stats) {
	x.mu.Lock()
	for _, member := range x.members {
		if member != nil {
			st.Servers++
		}
	}
	st.Assumed = x.waiting
	x.mu.Unlock()
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.RLock()
		st.Blocks += len(s.blocks)
		s.mu.RUnlock()
	}
	st.Pairs = int(x.pairs.Load())
	return st
}
