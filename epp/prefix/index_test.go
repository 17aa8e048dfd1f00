package prefix

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// prompt makes the keys of a prompt from the branch taken at each block: equal beginnings, equal keys.
func prompt(branches ...uint64) []uint64 {
	blocks := make([]uint64, 0, len(branches))
	h := uint64(1)
	for _, b := range branches {
		h = (h ^ (b + 1)) * 0xd6e8feb86659fd93
		h ^= h >> 29
		blocks = append(blocks, h)
	}
	return Chain(nil, Seed("m", ""), blocks)
}

// long makes a prompt of n blocks that shares nothing with others of another id.
func long(id uint64, n int) []uint64 {
	branches := make([]uint64, n)
	for i := range branches {
		branches[i] = id
	}
	return prompt(branches...)
}

func match(x *Index, keys []uint64) map[Server]int {
	got := map[Server]int{}
	for _, h := range x.Match(keys, nil) {
		got[h.Server] = h.Blocks
	}
	return got
}

func held(x *Index, s Server, keys []uint64) int { return match(x, keys)[s] }

func TestSeedAndChain(t *testing.T) {
	again := Seed("m", "")
	if Seed("m", "") != again || Seed("m", "") == Seed("n", "") || Seed("m", "a") == Seed("m", "b") ||
		Seed("m", "") == Seed("m", "a") {
		t.Error("seeds do not tell models and salts apart")
	}
	blocks := []uint64{1, 2, 0, ^uint64(0)}
	a, b := Chain(nil, Seed("m", ""), blocks), Chain([]uint64{7}, Seed("n", ""), blocks)
	if len(a) != 4 || len(b) != 5 || b[0] != 7 {
		t.Fatalf("lengths %d and %d", len(a), len(b))
	}
	for i, k := range a {
		if slices.Contains(b, k) || slices.Contains(a[:i], k) {
			t.Errorf("key %d is not the prompt's own", i)
		}
	}
}

func TestMatch(t *testing.T) {
	x := New(Options{})
	x.Add(1, prompt(1, 2, 3, 4))
	x.Add(2, prompt(1, 2, 9))
	x.Add(3, prompt(5, 2, 3))
	for _, tc := range []struct {
		keys []uint64
		want map[Server]int
	}{
		{nil, map[Server]int{}},
		{prompt(7), map[Server]int{}},
		{prompt(1), map[Server]int{1: 1, 2: 1}},
		{prompt(1, 2, 3, 4), map[Server]int{1: 4, 2: 2}},
		{prompt(1, 2, 3, 4, 5, 6, 7), map[Server]int{1: 4, 2: 2}},
		{prompt(1, 2, 9, 1), map[Server]int{1: 2, 2: 3}},
		{prompt(5, 2, 3), map[Server]int{3: 3}},
		{prompt(2, 3), map[Server]int{}},
	} {
		if got := match(x, tc.keys); !equalHits(got, tc.want) {
			t.Errorf("got %v, want %v", got, tc.want)
		}
	}
	if hits := x.Match(prompt(5), []Hit{{Server: 9, Blocks: 9}}); len(hits) != 2 || hits[0] != (Hit{9, 9}) || hits[1] != (Hit{3, 1}) {
		t.Errorf("appended hits %v", hits)
	}
}

func equalHits(a, b map[Server]int) bool {
	if len(a) != len(b) {
		return false
	}
	for s, n := range a {
		if b[s] != n {
			return false
		}
	}
	return true
}

func TestZeroKey(t *testing.T) {
	x := New(Options{})
	x.Add(0, []uint64{0})
	if got := held(x, 0, []uint64{0}); got != 1 {
		t.Errorf("%d blocks, want 1", got)
	}
	x.Remove(0)
	checkConsistent(t, x)
}

func TestTailsAreEvictedFirst(t *testing.T) {
	x := New(Options{BlocksPerServer: 10})
	a, b := long(1, 6), long(2, 6)
	x.Add(1, a)
	x.Add(1, b)
	if got := held(x, 1, b); got != 6 {
		t.Errorf("the newer prompt has %d of 6 blocks", got)
	}
	if got := held(x, 1, a); got != 4 {
		t.Errorf("the older prompt has its first %d blocks, want 4", got)
	}
	x.Add(1, a[:2]) // used again: its two first blocks are now newer than all of b
	x.Add(1, long(3, 4))
	if got := held(x, 1, a); got != 2 {
		t.Errorf("the prompt used again has %d blocks, want 2", got)
	}
	if got := held(x, 1, b); got != 4 {
		t.Errorf("the prompt not used again has %d blocks, want 4", got)
	}
	checkConsistent(t, x)
}

func TestPromptLongerThanCapacityKeepsItsHead(t *testing.T) {
	x := New(Options{BlocksPerServer: 10})
	for range 3 {
		x.Add(1, long(1, 25))
		if got := held(x, 1, long(1, 25)); got != 10 || x.Len() != 10 {
			t.Fatalf("%d blocks matched of %d held, want 10", got, x.Len())
		}
	}
	checkConsistent(t, x)
}

func TestSetCapacity(t *testing.T) {
	x := New(Options{BlocksPerServer: 10})
	x.SetCapacity(1, 20)
	x.Add(1, long(1, 25))
	x.Add(2, long(1, 25))
	if a, b := held(x, 1, long(1, 25)), held(x, 2, long(1, 25)); a != 20 || b != 10 {
		t.Errorf("%d and %d blocks, want 20 and 10", a, b)
	}
	x.SetCapacity(1, 5)
	if a := held(x, 1, long(1, 25)); a != 5 {
		t.Errorf("%d blocks, want 5", a)
	}
	x.SetCapacity(1, 0)
	x.Add(1, long(1, 25))
	if a := held(x, 1, long(1, 25)); a != 10 {
		t.Errorf("%d blocks, want the default of 10", a)
	}
	checkConsistent(t, x)
}

func TestRemove(t *testing.T) {
	x := New(Options{BlocksPerServer: 1000})
	x.SetCapacity(3, 7)
	for s := Server(0); s < 200; s++ {
		x.Add(s, long(1, 50))
		x.Add(s, long(uint64(s+2), 50))
	}
	checkConsistent(t, x)
	if got := x.Stats(); got.Servers != 200 || got.Pairs != 199*100+7 || got.Blocks < 199*50+50 {
		t.Errorf("stats %+v", got)
	}
	for s := Server(0); s < 200; s++ {
		x.Remove(s)
		want := 199 - int(s)
		if s < 3 {
			want-- // server 3 has room for its own prompt only
		}
		if got := match(x, long(1, 50)); len(got) != want {
			t.Fatalf("server %d removed: %d servers have the shared prompt, want %d", s, len(got), want)
		}
	}
	x.Remove(5000)
	checkConsistent(t, x)
	if got := x.Stats(); got != (Stats{}) {
		t.Errorf("stats %+v after all were removed", got)
	}
	for i := range x.shards {
		if n := len(x.shards[i].slots); n > minSlots {
			t.Errorf("shard %d keeps %d slots", i, n)
		}
	}
	x.Add(3, long(1, 50)) // its ordinal is used again, with the capacity of a new server
	if got := held(x, 3, long(1, 50)); got != 50 {
		t.Errorf("%d blocks, want 50", got)
	}
}

func TestServerOutOfBounds(t *testing.T) {
	x := New(Options{})
	x.Add(MaxServers, long(1, 5))
	x.SetCapacity(MaxServers, 1)
	x.Remove(MaxServers)
	x.Add(MaxServers-1, long(1, 5))
	if got := match(x, long(1, 5)); !equalHits(got, map[Server]int{MaxServers - 1: 5}) {
		t.Errorf("got %v", got)
	}
}

// model is an index as one would write it down: a list per server.
type model struct {
	capacity map[Server]int
	lists    map[Server][]uint64
}

func (m *model) add(s Server, keys []uint64) {
	keys = keys[:min(len(keys), m.capacity[s])]
	list := slices.Clone(keys)
	for _, k := range m.lists[s] {
		if !slices.Contains(keys, k) {
			list = append(list, k)
		}
	}
	m.lists[s] = list[:min(len(list), m.capacity[s])]
}

func (m *model) match(keys []uint64) map[Server]int {
	hits := map[Server]int{}
	for s, list := range m.lists {
		n := 0
		for n < len(keys) && slices.Contains(list, keys[n]) {
			n++
		}
		if n > 0 {
			hits[s] = n
		}
	}
	return hits
}

// TestAgainstModel runs random prompts, removals and resizes through index and model.
func TestAgainstModel(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 7))
		servers, capacity := 1+rng.IntN(12), 1+rng.IntN(60)
		x := New(Options{BlocksPerServer: capacity})
		m := &model{capacity: map[Server]int{}, lists: map[Server][]uint64{}}
		for s := range servers {
			m.capacity[Server(s)] = capacity
		}
		random := func() []uint64 {
			branches := make([]uint64, rng.IntN(30))
			for i := range branches {
				branches[i] = rng.Uint64N(2) * rng.Uint64N(2)
			}
			return prompt(branches...)
		}
		for step := range 400 {
			s := Server(rng.IntN(servers))
			switch rng.IntN(20) {
			case 0:
				x.Remove(s)
				m.lists[s], m.capacity[s] = nil, capacity
			case 1:
				n := 1 + rng.IntN(60)
				x.SetCapacity(s, n)
				m.capacity[s] = n
				m.lists[s] = m.lists[s][:min(n, len(m.lists[s]))]
			default:
				keys := random()
				x.Add(s, keys)
				m.add(s, keys)
			}
			keys := random()
			if got, want := match(x, keys), m.match(keys); !equalHits(got, want) {
				t.Fatalf("seed %d, step %d: got %v, want %v", seed, step, got, want)
			}
		}
		checkConsistent(t, x)
		for s := range servers {
			if got := order(x, Server(s)); !slices.Equal(got, m.lists[Server(s)]) {
				t.Fatalf("seed %d: server %d holds %v, want %v", seed, s, got, m.lists[Server(s)])
			}
		}
	}
}

// order is the keys of a server, most recent first.
func order(x *Index, s Server) (keys []uint64) {
	list := *x.servers.Load()
	if int(s) >= len(list) || list[s].recent.len == 0 {
		return nil
	}
	r := &list[s].recent
	for n := r.nodes[0].next; n != 0; n = r.nodes[n].next {
		keys = append(keys, r.nodes[n].key)
	}
	return keys
}

// checkConsistent compares the reverse map with the lists of all servers, and each list with its bound and its table.
func checkConsistent(t *testing.T, x *Index) {
	t.Helper()
	type pair struct {
		key    uint64
		server Server
	}
	var fromServers, fromShards []pair
	for i, s := range *x.servers.Load() {
		keys := order(x, Server(i))
		if len(keys) > s.capacity || len(keys) != s.recent.len {
			t.Errorf("server %d lists %d blocks, counts %d, may hold %d", i, len(keys), s.recent.len, s.capacity)
		}
		if n := len(s.recent.nodes); n > 64+2*s.capacity {
			t.Errorf("server %d has %d nodes for %d blocks", i, n, s.capacity)
		}
		for _, k := range keys {
			if n := s.recent.find(k); n == 0 || s.recent.nodes[n].key != k {
				t.Errorf("server %d: a listed key is not in its table", i)
			}
			fromServers = append(fromServers, pair{k, Server(i)})
		}
	}
	for i := range x.shards {
		s, used, bitmaps := &x.shards[i], 0, len(x.shards[i].wide.free)
		for j := range s.slots {
			at := &s.slots[j]
			if at.key == 0 {
				continue
			}
			used++
			if at.servers == (set{}) || s.find(at.key) != j {
				t.Errorf("shard %d: slot %d is empty or cannot be found", i, j)
			}
			if at.servers[0] == wide {
				bitmaps++
			}
			s.wide.each(&at.servers, func(server Server) { fromShards = append(fromShards, pair{at.key, server}) })
		}
		if used != s.used || bitmaps != len(s.wide.words) {
			t.Errorf("shard %d counts %d slots of %d used; %d bitmaps of %d accounted for", i, s.used, used, bitmaps, len(s.wide.words))
		}
	}
	byKey := func(a, b pair) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.server, b.server)) }
	slices.SortFunc(fromServers, byKey)
	slices.SortFunc(fromShards, byKey)
	if !slices.Equal(fromServers, fromShards) {
		t.Errorf("the reverse map has %d pairs, the servers' lists %d, or other ones", len(fromShards), len(fromServers))
	}
}

// TestConcurrent lets everything happen at once. A hit may be out of date, but is never longer than its prompt, and what
// remains is consistent.
func TestConcurrent(t *testing.T) {
	x := New(Options{BlocksPerServer: 150})
	var wg sync.WaitGroup
	for g := range uint64(8) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(g, 9))
			var hits []Hit
			for range 1500 {
				branches := make([]uint64, 1+rng.IntN(40))
				for i := range branches {
					branches[i] = rng.Uint64N(2) * rng.Uint64N(2)
				}
				keys, s := prompt(branches...), Server(rng.IntN(70))
				hits = x.Match(keys, hits[:0])
				for _, h := range hits {
					if h.Blocks < 1 || h.Blocks > len(keys) || h.Server >= 70 {
						t.Errorf("hit %+v for %d keys", h, len(keys))
					}
				}
				switch rng.IntN(50) {
				case 0:
					x.Remove(s)
				case 1:
					x.SetCapacity(s, 1+rng.IntN(300))
				case 2:
					x.Stats()
				default:
					x.Add(s, keys)
				}
			}
		})
	}
	wg.Wait()
	checkConsistent(t, x)
}

func TestMatchDoesNotAllocate(t *testing.T) {
	x := New(Options{})
	keys := long(1, 500)
	for s := range Server(100) {
		x.Add(s, keys[:s+300])
	}
	out := make([]Hit, 0, 100)
	if n := testing.AllocsPerRun(20, func() { out = x.Match(keys, out[:0]) }); n != 0 || len(out) != 100 {
		t.Errorf("%v allocations, %d hits", n, len(out))
	}
	if n := testing.AllocsPerRun(20, func() { x.Add(5, keys) }); n > 1 {
		t.Errorf("%v allocations to add what is held", n)
	}
}
