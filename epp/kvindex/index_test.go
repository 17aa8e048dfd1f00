package kvindex_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard/switchyard/epp/kvevents"
	"github.com/switchyard/switchyard/epp/kvindex"
	"github.com/switchyard/switchyard/epp/tokens"
)

const size = 4 // tokens per block

func newIndex(t testing.TB, o kvindex.Options) *kvindex.Index {
	t.Helper()
	if o.Hasher == nil {
		hasher, err := kvindex.NewHasher(size, "", kvindex.XXH64)
		if err != nil {
			t.Fatal(err)
		}
		o.Hasher = hasher
	}
	if o.Metrics == nil {
		o.Metrics = kvindex.NewMetrics(kvevents.NewMetrics())
	}
	return kvindex.New(o)
}

// ids are the tokens of n blocks of a conversation.
func ids(conversation uint32, n int) []uint32 {
	list := make([]uint32, n*size)
	for i := range list {
		list[i] = conversation*1000 + uint32(i)
	}
	return list
}

// stored is the event of blocks from to to of a conversation, which the engine names 100*conversation+number.
func stored(conversation uint32, from, to int) kvevents.Event {
	e := kvevents.Event{Kind: kvevents.Stored, BlockSize: size, Tokens: ids(conversation, to)[from*size:], Group: -1, Medium: "GPU"}
	for i := from; i < to; i++ {
		e.Hashes = append(e.Hashes, uint64(conversation)*100+uint64(i))
	}
	if from > 0 {
		e.HasParent, e.Parent = true, uint64(conversation)*100+uint64(from-1)
	}
	return e
}

func removed(medium string, hashes ...uint64) kvevents.Event {
	return kvevents.Event{Kind: kvevents.Removed, Hashes: hashes, Medium: medium, Group: -1}
}

func keys(x *kvindex.Index, lora string, list []uint32) []uint64 {
	return x.Hasher().Prompt(nil, 1<<16, lora, "", list, nil)
}

// held is how much each server has of n blocks of a conversation.
func held(x *kvindex.Index, conversation uint32, n int) []kvindex.Held {
	return match(x, keys(x, "", ids(conversation, n)), time.Now())
}

func match(x *kvindex.Index, k []uint64, now time.Time) []kvindex.Held {
	out := make([]kvindex.Held, x.Servers())
	x.Match(k, now, out)
	return out
}

func wantBlocks(t *testing.T, got []kvindex.Held, want ...int32) {
	t.Helper()
	var blocks []int32
	for _, h := range got {
		blocks = append(blocks, h.Blocks)
	}
	if fmt.Sprint(blocks) != fmt.Sprint(want) {
		t.Errorf("blocks %v, want %v", blocks, want)
	}
}

func TestStoreMatchRemove(t *testing.T) {
	x := newIndex(t, kvindex.Options{})
	a, b := x.NewServer(), x.NewServer()
	a.Apply([]kvevents.Event{stored(1, 0, 3), stored(1, 3, 5)})
	b.Apply([]kvevents.Event{stored(1, 0, 2)})
	wantBlocks(t, held(x, 1, 8), 5, 2)
	wantBlocks(t, held(x, 2, 8), 0, 0)

	// A hole ends what is held, though later blocks are there.
	a.Apply([]kvevents.Event{removed("GPU", 101)})
	wantBlocks(t, held(x, 1, 8), 1, 2)
	a.Apply([]kvevents.Event{stored(1, 1, 2)})
	wantBlocks(t, held(x, 1, 8), 5, 2)

	// Who lacks the beginning holds nothing.
	b.Apply([]kvevents.Event{removed("GPU", 100)})
	wantBlocks(t, held(x, 1, 8), 5, 0)

	a.Apply([]kvevents.Event{{Kind: kvevents.Cleared}})
	wantBlocks(t, held(x, 1, 8), 0, 0)
	b.Clear()
	if stats := x.Stats(); stats.Blocks != 0 || stats.Pairs != 0 {
		t.Errorf("left: %+v", stats)
	}
}

func TestPartialBlocksDoNotCount(t *testing.T) {
	x := newIndex(t, kvindex.Options{})
	if got := keys(x, "", ids(1, 3)[:3*size-1]); len(got) != 2 {
		t.Errorf("%d keys of two blocks and a part", len(got))
	}
}

func TestWhatIsPassedOver(t *testing.T) {
	for name, change := range map[string]func(*kvevents.Event){
		"an unknown parent":  func(e *kvevents.Event) { e.HasParent, e.Parent = true, 7 },
		"a sliding window":   func(e *kvevents.Event) { e.Spec, e.Window = "sliding_window", 1024 },
		"a window alone":     func(e *kvevents.Event) { e.Window = 1024 },
		"a state":            func(e *kvevents.Event) { e.Spec = "mamba" },
		"another block size": func(e *kvevents.Event) { e.BlockSize = size + 1 },
		"tokens missing":     func(e *kvevents.Event) { e.Tokens = e.Tokens[1:] },
		"no tokens":          func(e *kvevents.Event) { e.Tokens = nil },
	} {
		x := newIndex(t, kvindex.Options{})
		s := x.NewServer()
		e := stored(1, 0, 2)
		change(&e)
		s.Apply([]kvevents.Event{e})
		if got := x.Stats(); got.Pairs != 0 || held(x, 1, 2)[0].Blocks != 0 {
			t.Errorf("%s was taken in: %+v", name, got)
		}
	}
	// The removals of such a group do not concern the others.
	x := newIndex(t, kvindex.Options{})
	s := x.NewServer()
	full, window := stored(1, 0, 2), stored(1, 0, 2)
	full.Group, full.Spec = 0, "full_attention"
	window.Group, window.Spec, window.Window = 1, "sliding_window", 8
	gone := removed("GPU", 100)
	gone.Group = 1
	s.Apply([]kvevents.Event{full, window, gone})
	wantBlocks(t, held(x, 1, 2), 2)
	gone.Group = 0
	s.Apply([]kvevents.Event{gone})
	wantBlocks(t, held(x, 1, 2), 0)
}

func TestLongerEngineBlocks(t *testing.T) {
	x := newIndex(t, kvindex.Options{})
	s := x.NewServer()
	first := kvevents.Event{Kind: kvevents.Stored, BlockSize: 2 * size, Hashes: []uint64{1, 2}, Tokens: ids(1, 4), Group: -1}
	next := kvevents.Event{Kind: kvevents.Stored, BlockSize: 2 * size, Hashes: []uint64{3}, Tokens: ids(1, 6)[4*size:], HasParent: true, Parent: 2, Group: -1}
	s.Apply([]kvevents.Event{first, next})
	wantBlocks(t, held(x, 1, 6), 6)
	wantBlocks(t, held(x, 1, 5), 5)
	s.Apply([]kvevents.Event{removed("", 2)})
	wantBlocks(t, held(x, 1, 6), 2)
	if got := x.Stats().Pairs; got != 4 {
		t.Errorf("%d blocks left, want 4", got)
	}
}

func TestTiers(t *testing.T) {
	x := newIndex(t, kvindex.Options{Tiers: []kvindex.Tier{{Name: "gpu", Weight: 1}, {Name: "cpu", Weight: 0.5}, {Name: "disk", Weight: 0.25}}})
	s := x.NewServer()
	host := stored(1, 0, 4)
	host.Medium = "CPU"
	s.Apply([]kvevents.Event{stored(1, 0, 2), host})
	want := func(blocks int32, weight float32) {
		t.Helper()
		if got := held(x, 1, 8)[0]; got.Blocks != blocks || got.Weight != weight {
			t.Errorf("held %+v, want %d blocks of weight %g", got, blocks, weight)
		}
	}
	want(4, 3)
	s.Apply([]kvevents.Event{removed("GPU", 100, 101)})
	want(4, 2)
	s.Apply([]kvevents.Event{removed("cpu", 103)})
	want(3, 1.5)
	elsewhere := stored(1, 3, 4)
	elsewhere.Medium = "somewhere"
	s.Apply([]kvevents.Event{elsewhere})
	want(4, 1.75)
	s.Apply([]kvevents.Event{removed("", 100)}) // the first tier, where it is not
	want(4, 1.75)
}

func TestAdaptersSaltsAndImages(t *testing.T) {
	x := newIndex(t, kvindex.Options{})
	s := x.NewServer()
	plain, adapted, salted := stored(1, 0, 2), stored(1, 0, 2), stored(1, 0, 2)
	adapted.LoRA, adapted.Hashes, adapted.Extra = "ada", []uint64{1, 2}, [][]string{{"ada"}, {"ada"}}
	salted.Hashes, salted.Extra = []uint64{3, 4}, [][]string{{"img", "pepper"}, {"img"}}
	if x.Adapter("ada") != "" {
		t.Error("an adapter is known before its blocks")
	}
	s.Apply([]kvevents.Event{adapted})
	if got := x.Adapter("ada"); got != "ada" {
		t.Errorf("the adapter is %q", got)
	}
	image := []tokens.Feature{{Hash: "img", Offset: 1, Length: size}}
	prompt := func(lora, salt string, features []tokens.Feature) int32 {
		return match(x, x.Hasher().Prompt(nil, 9, lora, salt, ids(1, 2), features), time.Now())[0].Blocks
	}
	for _, step := range []struct {
		event                             *kvevents.Event
		base, lora, salt, image, saltOnly int32
	}{{nil, 0, 2, 0, 0, 0}, {&salted, 0, 2, 2, 0, 0}, {&plain, 2, 2, 2, 0, 0}} {
		if step.event != nil {
			s.Apply([]kvevents.Event{*step.event})
		}
		got := []int32{prompt("", "", nil), prompt("ada", "", nil), prompt("", "pepper", image), prompt("", "", image), prompt("", "pepper", nil)}
		if want := []int32{step.base, step.lora, step.salt, step.image, step.saltOnly}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("held %v, want %v", got, want)
		}
	}
}

func TestCapacityIsABound(t *testing.T) {
	x := newIndex(t, kvindex.Options{Capacity: 3})
	s := x.NewServer()
	s.Apply([]kvevents.Event{stored(1, 0, 5)})
	wantBlocks(t, held(x, 1, 5), 3)
	s.Apply([]kvevents.Event{removed("", 102), stored(2, 0, 2)})
	wantBlocks(t, held(x, 2, 2), 1)
	if got := x.Stats().Pairs; got != 3 {
		t.Errorf("%d pairs", got)
	}
}

func TestAssumptions(t *testing.T) {
	x := newIndex(t, kvindex.Options{})
	s := x.NewServer()
	k, now := keys(x, "", ids(1, 3)), time.Now()
	x.Assume(s, k[:2], now.Add(time.Second))
	x.Assume(s, k, now.Add(2*time.Second))
	wantBlocks(t, match(x, k, now), 3)
	wantBlocks(t, match(x, k, now.Add(1500*time.Millisecond)), 3)
	x.Expire(now.Add(1500 * time.Millisecond))
	wantBlocks(t, match(x, k, now.Add(1500*time.Millisecond)), 3)
	wantBlocks(t, match(x, k, now.Add(2500*time.Millisecond)), 0)
	// What the engine says meanwhile stays.
	s.Apply([]kvevents.Event{stored(1, 0, 1)})
	x.Expire(now.Add(2500 * time.Millisecond))
	wantBlocks(t, match(x, k, now.Add(2500*time.Millisecond)), 1)
	if got := x.Stats(); got.Blocks != 1 || got.Assumed != 0 {
		t.Errorf("left %+v", got)
	}
}

func TestARemovedServerLeavesNothing(t *testing.T) {
	x := newIndex(t, kvindex.Options{})
	var all []*kvindex.Server
	for range 10 { // more than fit in place
		s := x.NewServer()
		s.Apply([]kvevents.Event{stored(1, 0, 2)})
		all = append(all, s)
	}
	x.Assume(all[3], keys(x, "", ids(2, 2)), time.Now().Add(time.Hour))
	all[3].Remove()
	all[3].Remove()
	all[3].Apply([]kvevents.Event{stored(1, 0, 2)})
	x.Assume(all[3], keys(x, "", ids(2, 2)), time.Now().Add(time.Hour))
	wantBlocks(t, held(x, 1, 2), 2, 2, 2, 0, 2, 2, 2, 2, 2, 2)
	wantBlocks(t, held(x, 2, 2), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	next := x.NewServer()
	if next.Ordinal() != 3 {
		t.Errorf("the next server is %d", next.Ordinal())
	}
	for _, s := range append(all, next) {
		s.Remove()
	}
	if got := x.Stats(); got != (kvindex.Stats{}) {
		t.Errorf("left %+v", got)
	}
}

func TestHasher(t *testing.T) {
	// FNV-1a over the bytes 83 07 82 01 19 03 e8 f6: [7, [1, 1000], null] in canonical CBOR.
	cbor, err := kvindex.NewHasher(2, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := cbor.Block(7, []uint32{1, 1000}, nil), fnv1a(0x83, 0x07, 0x82, 0x01, 0x19, 0x03, 0xe8, 0xf6); got != want {
		t.Errorf("cbor-fnv: %x, want %x", got, want)
	}
	if got, want := cbor.Block(1<<40, nil, []string{"é"}), fnv1a(0x83, 0x1b, 0, 0, 1, 0, 0, 0, 0, 0, 0x80, 0x81, 0xa1, 0x64, 'H', 'a', 's', 'h', 0x62, 0xc3, 0xa9); got != want {
		t.Errorf("cbor-fnv with extra: %x, want %x", got, want)
	}
	// What stands before the first block: [seed, null, "ab"], the seed being FNV-1a of its text.
	seed := fnv1a()
	root := []byte{0x83, 0x1b}
	root = append(binary.BigEndian.AppendUint64(root, seed), 0xf6, 0x62, 'a', 'b')
	if got, want := cbor.Root("ab"), fnv1a(root...); got != want {
		t.Errorf("root of a model: %x, want %x", got, want)
	}
	// XXH64 with seed 0 of 07 00.. 01 00 00 00, computed by another implementation.
	fast, _ := kvindex.NewHasher(2, "", kvindex.XXH64)
	if fast.Block(7, []uint32{1}, nil) == cbor.Block(7, []uint32{1}, nil) || fast.Block(7, []uint32{1}, []string{"a"}) == fast.Block(7, []uint32{1}, nil) {
		t.Error("xxh64 does not tell things apart")
	}
	seeded, _ := kvindex.NewHasher(2, "42", "")
	if seeded.Root("") == cbor.Root("") || cbor.Root("a") == cbor.Root("") {
		t.Error("seed or adapter do not count")
	}
	if _, err := kvindex.NewHasher(2, "", "sha"); err == nil {
		t.Error("an unknown algorithm was accepted")
	}
}

func fnv1a(bytes ...byte) uint64 {
	sum := uint64(14695981039346656037)
	for _, b := range bytes {
		sum ^= uint64(b)
		sum *= 1099511628211
	}
	return sum
}

func TestMetrics(t *testing.T) {
	m := kvindex.NewMetrics(kvevents.NewMetrics())
	x := newIndex(t, kvindex.Options{Metrics: m})
	s := x.NewServer()
	host := stored(1, 0, 1)
	host.Medium = "CPU"
	orphan := stored(1, 7, 8)
	s.Apply([]kvevents.Event{stored(1, 0, 3), host, orphan, removed("GPU", 100, 102)})
	held(x, 1, 3)
	registry := prometheus.NewRegistry()
	registry.MustRegister(m.Collectors()...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, series := range family.GetMetric() {
			got[family.GetName()] += series.GetCounter().GetValue() + float64(series.GetHistogram().GetSampleCount())
		}
	}
	for name, want := range map[string]float64{
		"llm_d_epp_kv_cache_index_admissions_total": 3, "llm_d_epp_kv_cache_index_evictions_total": 1,
		"llm_d_epp_kv_cache_index_lookup_requests_total": 1, "llm_d_epp_kv_cache_index_lookup_hits_total": 2,
		"llm_d_epp_kv_cache_index_max_pod_hit_count_total": 2, "llm_d_epp_kv_cache_index_lookup_latency_seconds": 1,
		"llm_d_epp_kv_cache_events_dedup_removed_hashes_suppressed_total": 1, "llm_d_epp_kv_cache_events_dedup_removed_hashes_forwarded_total": 1,
		"llm_d_epp_kv_cache_events_stores_skipped_total": 1,
	} {
		if value, ok := got[name]; !ok || value != want {
			t.Errorf("%s is %g (there: %v), want %g", name, value, ok, want)
		}
	}
}

// TestManyAtOnce compares the index with a map after changes from many sides; it is for the race detector, too.
func TestManyAtOnce(t *testing.T) {
	x := newIndex(t, kvindex.Options{})
	const servers, conversations, blocks = 8, 6, 10
	has := [servers][conversations]int32{}
	var all sync.WaitGroup
	for i := range servers {
		s := x.NewServer()
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 1))
			for range 400 {
				c, n := random.IntN(conversations), random.IntN(blocks)
				switch random.IntN(8) {
				case 0:
					s.Clear()
					has[i] = [conversations]int32{}
				case 1, 2:
					if has[i][c] > 0 {
						last := has[i][c] - 1
						s.Apply([]kvevents.Event{removed("GPU", uint64(c)*100+uint64(last))})
						has[i][c] = last
					}
				default:
					s.Apply([]kvevents.Event{stored(uint32(c), 0, n+1)})
					has[i][c] = max(has[i][c], int32(n+1))
				}
				held(x, uint32(c), blocks)
			}
		})
	}
	all.Wait()
	for c := range conversations {
		for i, h := range held(x, uint32(c), blocks) {
			if h.Blocks != has[i][c] {
				t.Errorf("server %d, conversation %d: %d blocks, want %d", i, c, h.Blocks, has[i][c])
			}
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, algorithm := range []string{kvindex.CBORFNV, kvindex.XXH64} {
		b.Run(algorithm, func(b *testing.B) {
			hasher, _ := kvindex.NewHasher(16, "", algorithm)
			x := newIndex(b, kvindex.Options{Hasher: hasher})
			list := make([]uint32, 100_000)
			for i := range list {
				list[i] = uint32(i * 7)
			}
			e := kvevents.Event{Kind: kvevents.Stored, BlockSize: 16, Tokens: list, Group: -1}
			for i := range len(list) / 16 {
				e.Hashes = append(e.Hashes, uint64(i)+1)
			}
			for range 10 {
				x.NewServer().Apply([]kvevents.Event{e})
			}
			var k []uint64
			out := make([]kvindex.Held, x.Servers())
			for b.Loop() {
				k = hasher.Prompt(k[:0], 1<<16, "", "", list, nil)
				clear(out)
				x.Match(k, time.Now(), out)
			}
			b.ReportAllocs()
		})
	}
}
