package prefix

import (
	"sync"
	"sync/atomic"
)

const (
	defaultBlocksPerServer = 31_250
	shardCount             = 256 // by the top bits of the key; the low ones choose the slot
)

// Options of an Index.
type Options struct {
	BlocksPerServer int // capacity of a server until SetCapacity says otherwise; 0: 31250
}

// Hit says how much of a prompt a server holds.
type Hit struct {
	Server Server
	Blocks int // it holds the first Blocks blocks, at least one
}

// Stats is the size of an Index.
type Stats struct {
	Servers int // that hold something
	Blocks  int // distinct ones
	Pairs   int // of server and block
}

// Index of one pool. All methods may be called at once from many goroutines.
type Index struct {
	capacity int
	shards   [shardCount]shard
	servers  atomic.Pointer[[]*server] // by ordinal; grows, under mu, by copies
	mu       sync.Mutex
}

// server is what one server is held to have. Its lock orders the changes to it, those in the shards included.
type server struct {
	mu       sync.Mutex
	capacity int
	recent   recency
}

// New makes an empty index.
func New(opts Options) *Index {
	if opts.BlocksPerServer <= 0 {
		opts.BlocksPerServer = defaultBlocksPerServer
	}
	x := &Index{capacity: opts.BlocksPerServer}
	x.servers.Store(&[]*server{})
	return x
}

// shard gives the shard of a key; usable makes a key one that a shard can hold.
func (x *Index) shard(key uint64) *shard { return &x.shards[key>>56] }

func usable(key uint64) uint64 {
	if key == 0 {
		return 1
	}
	return key
}

// server finds a server, or makes it. Nil: its ordinal is out of bounds.
func (x *Index) server(s Server) *server {
	if list := *x.servers.Load(); int(s) < len(list) {
		return list[s]
	}
	if s >= MaxServers {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	list := *x.servers.Load()
	if int(s) < len(list) {
		return list[s]
	}
	grown := make([]*server, max(int(s)+1, 2*len(list)))
	for i := copy(grown, list); i < len(grown); i++ {
		grown[i] = &server{capacity: x.capacity}
	}
	x.servers.Store(&grown)
	return grown[s]
}

// Match appends to out a hit for each server that holds the first k blocks of a prompt, k being as large as it can be
// and at least one. keys must be chained (see Chain): what lies between two blocks held is not looked at. The order of
// hits is unspecified.
func (x *Index) Match(keys []uint64, out []Hit) []Hit {
	if len(keys) == 0 {
		return out
	}
	first := len(out)
	key := usable(keys[0])
	out = x.shard(key).holders(key, out)
	x.measure(keys, out[first:], 1, len(keys))
	return out
}

// measure finds how much each of the servers holds, all being known to hold the first low blocks, and none more than
// high. The end is tried first: most often a server holds all of a prompt that some server holds.
func (x *Index) measure(keys []uint64, hits []Hit, low, high int) {
	for try := high; len(hits) > 0 && low < high; try = (low + high + 1) / 2 {
		key := usable(keys[try-1])
		n := x.shard(key).keep(key, hits)
		if n == len(hits) {
			low = try
			continue
		}
		if n > 0 {
			x.measure(keys, hits[:n], try, high)
			hits = hits[n:]
		}
		high = try - 1
	}
	for i := range hits {
		hits[i].Blocks = low
	}
}

// Add notes that a server now holds these prompts, each up to its capacity, and has just used them. keys must be chained; see
// Prompt for ends.
func (x *Index) Add(s Server, keys []uint64, ends ...int) {
	at := x.server(s)
	if at == nil {
		return
	}
	at.mu.Lock()
	defer at.mu.Unlock()
	for from := 0; from < len(keys); {
		to := Prompt(from, len(keys), ends)
		x.add(s, at, keys[from:to])
		from = to
	}
}

// add notes one prompt of a server whose lock is held.
func (x *Index) add(s Server, at *server, keys []uint64) {
	r := &at.recent
	keys = keys[:min(len(keys), at.capacity)]
	// Front to back: a block is only ever held while all before it are, and stands behind them in the order of use.
	cursor := uint32(0)
	for _, key := range keys {
		key = usable(key)
		if n := r.find(key); n != 0 {
			r.moveAfter(n, cursor)
			cursor = n
			continue
		}
		if r.len >= at.capacity {
			x.evict(s, at)
		}
		cursor = r.insertAfter(key, cursor)
		x.shard(key).add(key, s)
	}
}

// evict drops the least recently used block of a server whose lock is held.
func (x *Index) evict(s Server, at *server) {
	last := at.recent.last()
	key := at.recent.nodes[last].key
	x.shard(key).remove(key, s)
	at.recent.drop(last)
}

// Remove forgets all that a server holds, and its capacity. Its ordinal may be used again.
func (x *Index) Remove(s Server) {
	list := *x.servers.Load()
	if int(s) >= len(list) {
		return
	}
	at := list[s]
	at.mu.Lock()
	defer at.mu.Unlock()
	r := &at.recent
	if r.len > 0 {
		// Back to front, so that what is held stays closed under prefixes for those who match meanwhile.
		for n := r.last(); n != 0; n = r.nodes[n].prev {
			x.shard(r.nodes[n].key).remove(r.nodes[n].key, s)
		}
	}
	at.recent, at.capacity = recency{}, x.capacity
}

// SetCapacity bounds the blocks of a server; zero or less is the default. What is over the bound is evicted now.
func (x *Index) SetCapacity(s Server, blocks int) {
	at := x.server(s)
	if at == nil {
		return
	}
	if blocks <= 0 {
		blocks = x.capacity
	}
	at.mu.Lock()
	defer at.mu.Unlock()
	at.capacity = blocks
	for at.recent.len > blocks {
		x.evict(s, at)
	}
	if len(at.recent.nodes) > 2*blocks {
		at.recent.compact()
	}
}

// Len is the number of (server, block) pairs held.
func (x *Index) Len() int { return x.Stats().Pairs }

// Stats counts what is held. It visits every shard and server: for metrics, not for requests.
func (x *Index) Stats() (st Stats) {
	for _, s := range *x.servers.Load() {
		s.mu.Lock()
		if s.recent.len > 0 {
			st.Servers++
			st.Pairs += s.recent.len
		}
		s.mu.Unlock()
	}
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.RLock()
		st.Blocks += s.used
		s.mu.RUnlock()
	}
	return st
}
