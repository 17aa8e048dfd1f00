package datalayer

import (
	"os"
	"slices"
	"testing"
)

// TestReadRecordedPages reads pages that real engines showed under load, without their buckets and what Python tells of itself.
func TestReadRecordedPages(t *testing.T) {
	text, err := os.ReadFile("testdata/vllm-0.32.0.txt")
	if err != nil {
		t.Fatal(err)
	}
	got := readPage("vllm", string(text))
	if got.Known != HasWaiting|HasRunning|HasKVUsage|HasCacheInfo|HasLoRA {
		t.Errorf("known are %b", got.Known)
	}
	if got.Waiting != 2 || got.Running != 4 || got.KVUsage < 0.2264 || got.KVUsage > 0.2265 || got.BlockSize != 32 || got.NumBlocks != 160 {
		t.Errorf("read %+v", got)
	}
	// It lists the adapter with requests that run and others that wait under both; it takes up one slot.
	if got.LoRA.Max != 1 || !slices.Equal(got.LoRA.Running, []string{"sql"}) || len(got.LoRA.Waiting) != 0 {
		t.Errorf("adapters are %+v", got.LoRA)
	}
}

func TestAnAdapterThatRunsDoesNotWait(t *testing.T) {
	for lists, want := range map[[2]string][2][]string{
		{"a,b", "a,b"}: {{"a", "b"}, nil},
		{"a,b", "b,c"}: {{"a", "b"}, {"c"}},
		{"", "b,c"}:    {nil, {"b", "c"}},
		{"a", ""}:      {{"a"}, nil},
	} {
		got := readPage("vllm", `vllm:lora_requests_info{max_lora="4",running_lora_adapters="`+lists[0]+`",waiting_lora_adapters="`+lists[1]+`"} 1.7e+09`).LoRA
		if !slices.Equal(got.Running, want[0]) || !slices.Equal(got.Waiting, want[1]) {
			t.Errorf("of %q: %q and %q", lists, got.Running, got.Waiting)
		}
	}
}
