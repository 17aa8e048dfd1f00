package prefix

import (
	"math/rand/v2"
	"runtime"
	"testing"
)

const benchServers, benchBlocks = 100, 2000

// filled is an index of 100 servers: each holds a shared beginning of 500 blocks and 14 prompts of its own.
func filled() *Index {
	x := New(Options{})
	for s := range Server(benchServers) {
		for p := range 14 {
			x.Add(s, growing(uint64(s)*100+uint64(p), benchBlocks))
		}
	}
	return x
}

// growing is a prompt whose first 500 blocks are everybody's.
func growing(id uint64, n int) []uint64 {
	branches := make([]uint64, n)
	for i := 500; i < n; i++ {
		branches[i] = id
	}
	return prompt(branches...)
}

// BenchmarkMatchAddSame is a prompt that comes again, two blocks longer each time.
func BenchmarkMatchAddSame(b *testing.B) {
	x := filled()
	out := make([]Hit, 0, benchServers)
	keys := growing(1, benchBlocks+b.N*2)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		k := keys[:benchBlocks+i%500*2]
		out = x.Match(k, out[:0])
		x.Add(0, k)
	}
	if len(out) != benchServers {
		b.Fatalf("%d hits", len(out))
	}
}

// BenchmarkMatchAddNew is a prompt whose first quarter is known and whose rest is new, at servers that are full: each
// new block evicts one.
func BenchmarkMatchAddNew(b *testing.B) {
	x := filled()
	for s := range Server(benchServers) {
		x.SetCapacity(s, 20_000)
	}
	out := make([]Hit, 0, benchServers)
	prompts := make([][]uint64, 64)
	rng := rand.New(rand.NewPCG(1, 2))
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if i%len(prompts) == 0 {
			b.StopTimer()
			for j := range prompts {
				prompts[j] = growing(rng.Uint64(), benchBlocks)
			}
			b.StartTimer()
		}
		k := prompts[i%len(prompts)]
		out = x.Match(k, out[:0])
		x.Add(Server(i%benchServers), k)
	}
}

// BenchmarkMatch looks up a prompt of which each of 100 servers holds another length.
func BenchmarkMatch(b *testing.B) {
	x := New(Options{})
	keys := long(1, benchBlocks)
	for s := range Server(benchServers) {
		x.Add(s, keys[:20*(s+1)])
	}
	out := make([]Hit, 0, benchServers)
	b.ReportAllocs()
	for b.Loop() {
		out = x.Match(keys, out[:0])
	}
}

func BenchmarkMatchAddParallel(b *testing.B) {
	x := filled()
	known := make([][]uint64, 32)
	for i := range known {
		known[i] = growing(uint64(i)*100, benchBlocks)
	}
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		rng := rand.New(rand.NewPCG(rand.Uint64(), 2))
		out := make([]Hit, 0, benchServers)
		for pb.Next() {
			k := known[rng.IntN(len(known))]
			out = x.Match(k, out[:0])
			x.Add(Server(rng.IntN(benchServers)), k)
		}
	})
}

// BenchmarkMemory tells the bytes per (server, block) pair when nothing is shared, the worst case.
func BenchmarkMemory(b *testing.B) {
	for range b.N {
		before := heap()
		x := New(Options{})
		for s := range Server(benchServers) {
			x.Add(s, long(uint64(s), defaultBlocksPerServer))
		}
		after := heap()
		b.ReportMetric(float64(after-before)/float64(x.Len()), "B/pair")
		b.ReportMetric(float64(after-before)/(1<<20), "MiB")
		runtime.KeepAlive(x)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
