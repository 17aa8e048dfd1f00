package kvevents_test

import (
	"reflect"
	"testing"

	"github.com/switchyard/switchyard/epp/kvevents"
	"github.com/switchyard/switchyard/epp/kvevents/kveventstest"
)

func TestDecode(t *testing.T) {
	pack := kveventstest.Pack
	long := make([]byte, 32)
	copy(long[24:], []byte{1, 2, 3, 4, 5, 6, 7, 8})
	full := kvevents.Event{Kind: kvevents.Stored, Hashes: []uint64{1 << 63, 0xffffffffffffffff}, Parent: 0x0102030405060708, HasParent: true,
		Tokens: []uint32{1, 200, 70000, 5}, BlockSize: 2, Medium: "GPU", LoRA: "ada", Extra: [][]string{nil, {"img", "salt"}}, Group: 3,
		Spec: "full_attention", Window: 128}
	for name, test := range map[string]struct {
		payload []byte
		rank    int
		want    []kvevents.Event
	}{
		"arrays, everything": {pack([]any{1.5, []any{[]any{"BlockStored", []any{uint64(1 << 63), -1}, long, []int{1, 200, 70000, 5}, 2, 7, "GPU", "ada",
			[]any{nil, []any{[]any{"img", 4}, "salt"}}, 3, "full_attention", 128, "more", nil}}, 2}), 2, []kvevents.Event{full}},
		"maps, everything": {pack(kveventstest.Pairs{"ts", 1.5, "events", []any{kveventstest.Pairs{"type", "BlockStored", "block_hashes",
			[]any{uint64(1 << 63), -1}, "parent_block_hash", long, "token_ids", []int{1, 200, 70000, 5}, "block_size", 2, "medium", "GPU", "lora_name", "ada",
			"extra_keys", []any{nil, []any{"img", "salt"}}, "group_idx", 3, "kv_cache_spec_kind", "full_attention", "kv_cache_spec_sliding_window", 128}},
			"data_parallel_rank", 2}), 2, []kvevents.Event{full}},
		"defaults left out": {pack([]any{1, []any{[]any{"BlockRemoved", []uint64{5}}, []any{"AllBlocksCleared"}}}), -1, []kvevents.Event{
			{Kind: kvevents.Removed, Hashes: []uint64{5}, Group: -1}, {Kind: kvevents.Cleared, Group: -1}}},
		"adapter by number": {pack([]any{1, []any{[]any{"BlockStored", []uint64{1}, nil, []int{1}, 1, 4}}}), -1, []kvevents.Event{
			{Kind: kvevents.Stored, Hashes: []uint64{1}, Tokens: []uint32{1}, BlockSize: 1, LoRA: "#4", Group: -1}}},
		"foreign events are passed over": {pack([]any{1, []any{[]any{"BlockTransferred", "x", []int{1}}, []any{"BlockRemoved", []uint64{5}, "CPU", 1}}, nil}), -1,
			[]kvevents.Event{{Kind: kvevents.Removed, Hashes: []uint64{5}, Medium: "CPU", Group: 1}}},
		"a short hash": {pack([]any{1, []any{[]any{"BlockRemoved", []any{[]byte{1, 2}}}}}), -1, []kvevents.Event{{Kind: kvevents.Removed, Hashes: []uint64{0x0102}, Group: -1}}},
	} {
		t.Run(name, func(t *testing.T) {
			var b kvevents.Batch
			for range 2 { // what is left of the first time must not show
				if err := b.Decode(test.payload); err != nil {
					t.Fatal(err)
				}
				for i := range b.Events {
					trim(&b.Events[i])
				}
				if b.Rank != test.rank || b.Unreadable != 0 || !reflect.DeepEqual(b.Events, test.want) {
					t.Errorf("rank %d, unreadable %d, events\n%+v, want rank %d,\n%+v", b.Rank, b.Unreadable, b.Events, test.rank, test.want)
				}
			}
		})
	}
}

// trim makes empty slices nil.
func trim(e *kvevents.Event) {
	if len(e.Hashes) == 0 {
		e.Hashes = nil
	}
	if len(e.Tokens) == 0 {
		e.Tokens = nil
	}
	if len(e.Extra) == 0 {
		e.Extra = nil
	}
}

func TestWhatCannotBeRead(t *testing.T) {
	pack := kveventstest.Pack
	stored := []any{"BlockStored", []uint64{1}, nil, []any{[]int{1, 2}}, 1} // pairs of tokens
	var b kvevents.Batch
	if err := b.Decode(pack([]any{1, []any{stored, []any{"BlockRemoved", []uint64{5}}}})); err != nil || b.Unreadable != 1 || len(b.Events) != 1 ||
		b.Events[0].Kind != kvevents.Removed {
		t.Errorf("an unreadable store: error %v, batch %+v", err, b)
	}
	for name, payload := range map[string][]byte{
		"nothing":              nil,
		"a number":             {1},
		"no events":            pack([]any{1}),
		"cut":                  pack([]any{1, []any{[]any{"BlockRemoved", []uint64{5}}}})[:20],
		"a removal unreadable": pack([]any{1, []any{[]any{"BlockRemoved", "x"}}}),
		"no type":              pack([]any{1, []any{kveventstest.Pairs{"block_hashes", []uint64{1}}}}),
		"a huge array":         {0xdd, 0xff, 0xff, 0xff, 0xff},
		"a huge string":        {0x92, 0xdb, 0xff, 0xff, 0xff, 0xff},
	} {
		if err := b.Decode(payload); err == nil {
			t.Errorf("%s was read: %+v", name, b)
		}
	}
	deep := append([]byte{0x92}, make([]byte, 1<<20)...)
	for i := 1; i < len(deep); i++ {
		deep[i] = 0x91
	}
	if err := b.Decode(deep); err == nil {
		t.Error("an array a million deep was read")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(kveventstest.Batch(kveventstest.Stored([]uint64{1, 2}, nil, []int{1, 2, 3, 4}, 2), kveventstest.Removed(1), kveventstest.Cleared()))
	f.Add(kveventstest.Pack(kveventstest.Pairs{"events", []any{kveventstest.Pairs{"type", "BlockStored"}}}))
	f.Fuzz(func(t *testing.T, payload []byte) {
		var b kvevents.Batch
		if b.Decode(payload) == nil && len(b.Events) > len(payload) {
			t.Errorf("%d events in %d bytes", len(b.Events), len(payload))
		}
	})
}
