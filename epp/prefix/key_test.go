package prefix

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/cespare/xxhash/v2"
)

// TestKeysAreAsSpecified has keys as numbers, made by another implementation of XXH64: all replicas have to agree on them.
func TestKeysAreAsSpecified(t *testing.T) {
	if got := Seed("", ""); got != 0xef46db3751d8e999 {
		t.Errorf("seed of nothing: %x", got)
	}
	if got, want := Seed("model", "salt"), xxhash.Sum64String("modelsalt"); got != want {
		t.Errorf("seed %x, want %x", got, want)
	}
	first, second := xxhash.Sum64String("first prompt"), xxhash.Sum64String("second prompt\x00\x00\x00")
	got := Chain([]uint64{7}, Seed("m", "tenant-1"), []uint64{first, second}, 1)
	if want := []uint64{7, 0x94a1f75e78fd86d2, 0x366f8e68131e5668}; !slices.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	pair := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, 5), 0x94a1f75e78fd86d2)
	got = Chain(nil, Seed("m", "tenant-1"), []uint64{first, 5})
	if want := []uint64{0x94a1f75e78fd86d2, xxhash.Sum64(pair)}; !slices.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	keys := make([]uint64, 0, 16)
	if n := testing.AllocsPerRun(100, func() { keys = Chain(keys[:0], Seed("m", "s"), []uint64{1, 2, 3}, 1, 2) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestPrompt(t *testing.T) {
	for _, tc := range []struct {
		n    int
		ends []int
		want []int
	}{
		{5, nil, []int{5}},
		{5, []int{2, 3, 5}, []int{2, 3, 5}},
		{5, []int{2, 3}, []int{2, 3, 5}},
		{4, []int{2, 3, 9, 12}, []int{2, 3, 4}}, // cut
		{0, []int{2}, nil},
	} {
		var got []int
		for from := 0; from < tc.n; from = got[len(got)-1] {
			got = append(got, Prompt(from, tc.n, tc.ends))
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%d blocks, %d: got %d", tc.n, tc.ends, got)
		}
	}
}

// TestSeveralPrompts checks that a server that was sent several prompts holds each of them.
func TestSeveralPrompts(t *testing.T) {
	x, seed := New(Options{}), Seed("m", "")
	blocks, ends := []uint64{1, 2, 3, 4, 1, 5}, []int{3, 4, 6}
	x.Add(1, Chain(nil, seed, blocks, ends...), ends...)
	for _, tc := range []struct {
		blocks []uint64
		want   int
	}{{[]uint64{1, 2, 3}, 3}, {[]uint64{4}, 1}, {[]uint64{1, 5, 6}, 2}, {[]uint64{1, 2, 3, 4}, 3}, {[]uint64{5}, 0}} {
		if got := held(x, 1, Chain(nil, seed, tc.blocks)); got != tc.want {
			t.Errorf("%d: %d blocks held, want %d", tc.blocks, got, tc.want)
		}
	}
	if n := x.Len(); n != 5 { // the first block is the same twice
		t.Errorf("%d blocks held in all", n)
	}
}
