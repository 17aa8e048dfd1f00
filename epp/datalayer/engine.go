package datalayer

import (
	"fmt"
	"strings"
)

// Pod labels that name the engine of a model server. The second is the older name; the first wins.
const (
	EngineLabel       = "llm-d.ai/engine-type"
	LegacyEngineLabel = "inference.networking.k8s.io/engine-type"
)

// DefaultEngine is the engine of pods that do not name one.
const DefaultEngine = "vllm"

// Engine says how an engine names its metrics. A Series without a name is one the engine does not have.
type Engine struct {
	Name      string
	Waiting   Series // requests queued; several series add up
	Running   Series // requests worked on; several series add up
	KVUsage   Series // share of the KV cache in use, 0 to 1; the mean of several series
	BlockSize Series // tokens per KV cache block
	NumBlocks Series // KV cache blocks; several series add up

	CacheInfo      Series // a series whose labels say the two above
	BlockSizeLabel string
	NumBlocksLabel string

	LoRA             Series // a series whose labels list adapters; of several the one with the largest value counts
	LoRARunningLabel string
	LoRAWaitingLabel string
	LoRAMaxLabel     string

	Custom []Custom
}

// Custom is a number that an engine has beyond those that every engine may have; several series add up.
type Custom struct {
	Name   string // by which Endpoint.Custom knows it
	Series Series
}

// MaxCustom bounds the custom numbers of an engine.
const MaxCustom = 64

// Series names the series of a metric that have all of these labels. One without a value stands for series that do not have the
// label, or have it empty.
type Series struct {
	Name   string
	Labels []Label
}

// Label is a name and a value.
type Label struct{ Name, Value string }

// Engines are the engines known from the start.
var Engines = []Engine{
	{
		Name:             "vllm",
		Waiting:          Series{Name: "vllm:num_requests_waiting"},
		Running:          Series{Name: "vllm:num_requests_running"},
		KVUsage:          Series{Name: "vllm:kv_cache_usage_perc"},
		CacheInfo:        Series{Name: "vllm:cache_config_info"},
		BlockSizeLabel:   "block_size",
		NumBlocksLabel:   "num_gpu_blocks",
		LoRA:             Series{Name: "vllm:lora_requests_info"},
		LoRARunningLabel: "running_lora_adapters",
		LoRAWaitingLabel: "waiting_lora_adapters",
		LoRAMaxLabel:     "max_lora",
	},
	{
		Name: "sglang",
		// With priority scheduling, there are series per priority beside that of all.
		Waiting:        Series{"sglang:num_queue_reqs", []Label{{"priority", ""}}},
		Running:        Series{"sglang:num_running_reqs", []Label{{"priority", ""}}},
		KVUsage:        Series{Name: "sglang:token_usage"},
		BlockSize:      Series{Name: "sglang:page_size"}, // in place of the series with labels, since 0.5.23 at the latest
		NumBlocks:      Series{Name: "sglang:num_pages"},
		CacheInfo:      Series{Name: "sglang:cache_config_info"},
		BlockSizeLabel: "page_size",
		NumBlocksLabel: "num_pages",
	},
	{
		Name:      "trtllm-serve",
		Waiting:   Series{Name: "trtllm_num_requests_waiting"},
		Running:   Series{Name: "trtllm_num_requests_running"},
		KVUsage:   Series{Name: "trtllm_kv_cache_utilization"},
		BlockSize: Series{Name: "trtllm_kv_cache_tokens_per_block"},
		NumBlocks: Series{Name: "trtllm_kv_cache_max_blocks"},
	},
	{
		Name:      "triton-tensorrt-llm",
		Waiting:   Series{"nv_trt_llm_request_metrics", []Label{{"request_type", "waiting"}}},
		Running:   Series{"nv_trt_llm_request_metrics", []Label{{"request_type", "scheduled"}}},
		KVUsage:   Series{"nv_trt_llm_kv_cache_block_metrics", []Label{{"kv_cache_block_type", "fraction"}}},
		BlockSize: Series{"nv_trt_llm_kv_cache_block_metrics", []Label{{"kv_cache_block_type", "tokens_per"}}},
		NumBlocks: Series{"nv_trt_llm_kv_cache_block_metrics", []Label{{"kv_cache_block_type", "max"}}},
	},
	{
		Name:    "triton",
		Waiting: Series{Name: "nv_inference_pending_request_count"},
		Running: Series{Name: "nv_inference_exec_count"},
	},
}

// ParseSeries reads a name or name{label=value,label=value}; values may stand in quotes.
func ParseSeries(text string) (Series, error) {
	name, labels, found := strings.Cut(strings.TrimSpace(text), "{")
	s := Series{Name: strings.TrimSpace(name)}
	if s.Name == "" || strings.ContainsAny(s.Name, "}=\", ") {
		return Series{}, fmt.Errorf("metric %q: want name or name{label=value}", text)
	}
	if !found {
		return s, nil
	}
	labels, ok := strings.CutSuffix(labels, "}")
	if !ok {
		return Series{}, fmt.Errorf("metric %q: the labels are not closed by }", text)
	}
	for pair := range strings.SplitSeq(labels, ",") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		k, v, ok := strings.Cut(pair, "=")
		k, v = strings.TrimSpace(k), strings.Trim(strings.TrimSpace(v), `"`)
		if !ok || k == "" {
			return Series{}, fmt.Errorf("metric %q: label %q: want label=value", text, pair)
		}
		s.Labels = append(s.Labels, Label{k, v})
	}
	return s, nil
}

// engines is the page readers by engine name.
type engines struct {
	label   string
	byName  map[string]*reader
	unnamed *reader
}

// newEngines compiles the known engines and those given, which replace known ones of the same name.
func newEngines(more []Engine, label, def string) *engines {
	e := &engines{label: label, byName: map[string]*reader{}}
	for _, list := range [][]Engine{Engines, more} {
		for i := range list {
			e.byName[list[i].Name] = newReader(&list[i])
		}
	}
	if e.unnamed = e.byName[def]; e.unnamed == nil {
		e.unnamed = e.byName[DefaultEngine]
	}
	return e
}

// of gives the reader for an endpoint with these labels. An engine that nobody knows is read as the default one.
func (e *engines) of(labels map[string]string) *reader {
	for _, key := range []string{e.label, EngineLabel, LegacyEngineLabel} {
		if name, ok := labels[key]; ok {
			if r := e.byName[name]; r != nil {
				return r
			}
			break
		}
	}
	return e.unnamed
}
