package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// engineSpec names the metrics of an engine, each as name or name{label=value}.
type engineSpec struct {
	Name                    string `json:"name"`
	QueuedRequests          string `json:"queuedRequestsSpec"`
	RunningRequests         string `json:"runningRequestsSpec"`
	KVUsage                 string `json:"kvUsageSpec"`
	LoRA                    string `json:"loraSpec"`
	CacheInfo               string `json:"cacheInfoSpec"`
	CacheBlockSizeLabelName string `json:"cacheBlockSizeLabelName"`
	CacheNumBlocksLabelName string `json:"cacheNumBlocksLabelName"`
	CacheBlockSize          string `json:"cacheBlockSizeSpec"`
	CacheNumBlocks          string `json:"cacheNumBlocksSpec"`
	CustomMetrics           []struct {
		AttributeKey string `json:"attributeKey"`
		MetricSpec   string `json:"metricSpec"`
	} `json:"customMetrics"`
}

// CoreMetricsType is the type of CoreMetrics.
const CoreMetricsType = "core-metrics-extractor"

// CoreMetrics reads the page of a metrics-data-source: what is running and waiting, the share of the KV cache in use, the size
// of the cache, LoRA adapters, and custom numbers. Of a page only these metrics are looked at. The engines vllm, sglang,
// trtllm-serve, triton-tensorrt-llm and triton are known; a pod's label says which one it is.
type CoreMetrics struct {
	Engines       []datalayer.Engine
	EngineLabel   string
	DefaultEngine string
}

// NewCoreMetrics reads `engineLabelKey` (llm-d.ai/engine-type; the older inference.networking.k8s.io/engine-type is asked, too),
// `defaultEngine` (vllm), the engine of pods without the label, and `engineConfigs`, a list of engines, each in place of a known
// one of its name: `name` (required), `queuedRequestsSpec`, `runningRequestsSpec`, `kvUsageSpec`, `loraSpec`, `cacheInfoSpec` with
// `cacheBlockSizeLabelName` and `cacheNumBlocksLabelName`, or `cacheBlockSizeSpec` and `cacheNumBlocksSpec`, and `customMetrics`, a list
// of at most 64 `attributeKey` and `metricSpec`: numbers for endpoint-attribute-filter and endpoint-attribute-scorer. A spec is
// name or name{label=value}; several series of a metric add up, and of KV usage the mean counts.
func NewCoreMetrics(parameters []byte) (*CoreMetrics, error) {
	given := struct {
		DefaultEngine  string       `json:"defaultEngine"`
		EngineLabelKey string       `json:"engineLabelKey"`
		EngineConfigs  []engineSpec `json:"engineConfigs"`
	}{}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	m := &CoreMetrics{EngineLabel: given.EngineLabelKey, DefaultEngine: given.DefaultEngine}
	names := knownEngines()
	for i, spec := range given.EngineConfigs {
		engine, err := spec.compile()
		if err != nil {
			return nil, fmt.Errorf("parameters: engineConfigs[%d]: %w", i, err)
		}
		if slices.ContainsFunc(m.Engines, func(e datalayer.Engine) bool { return e.Name == engine.Name }) {
			return nil, fmt.Errorf("parameters: engineConfigs[%d]: name: %q is taken by an earlier engine", i, engine.Name)
		}
		m.Engines = append(m.Engines, engine)
		names = append(names, engine.Name)
	}
	if given.DefaultEngine != "" && !slices.Contains(names, given.DefaultEngine) {
		return nil, fmt.Errorf("parameters: defaultEngine: %q must be one of %s, or be described in engineConfigs",
			given.DefaultEngine, strings.Join(names, ", "))
	}
	return m, nil
}

func (m *CoreMetrics) apply(options *datalayer.Options) {
	if len(m.Engines) > 0 {
		options.Engines = slices.Concat(options.Engines, m.Engines)
	}
	if m.EngineLabel != "" {
		options.EngineLabel = m.EngineLabel
	}
	if m.DefaultEngine != "" {
		options.DefaultEngine = m.DefaultEngine
	}
}

func knownEngines() []string {
	names := make([]string, len(datalayer.Engines))
	for i := range datalayer.Engines {
		names[i] = datalayer.Engines[i].Name
	}
	return names
}

// compile reads the names of an engine's metrics. The labels that list adapters are those of vLLM.
func (s *engineSpec) compile() (datalayer.Engine, error) {
	engine := datalayer.Engine{
		Name:             s.Name,
		BlockSizeLabel:   s.CacheBlockSizeLabelName,
		NumBlocksLabel:   s.CacheNumBlocksLabelName,
		LoRARunningLabel: "running_lora_adapters",
		LoRAWaitingLabel: "waiting_lora_adapters",
		LoRAMaxLabel:     "max_lora",
	}
	if s.Name == "" {
		return engine, fmt.Errorf("name: missing")
	}
	for _, field := range []struct {
		name, text string
		series     *datalayer.Series
	}{
		{"queuedRequestsSpec", s.QueuedRequests, &engine.Waiting},
		{"runningRequestsSpec", s.RunningRequests, &engine.Running},
		{"kvUsageSpec", s.KVUsage, &engine.KVUsage},
		{"loraSpec", s.LoRA, &engine.LoRA},
		{"cacheInfoSpec", s.CacheInfo, &engine.CacheInfo},
		{"cacheBlockSizeSpec", s.CacheBlockSize, &engine.BlockSize},
		{"cacheNumBlocksSpec", s.CacheNumBlocks, &engine.NumBlocks},
	} {
		if field.text == "" {
			continue
		}
		series, err := datalayer.ParseSeries(field.text)
		if err != nil {
			return engine, fmt.Errorf("%s: %w", field.name, err)
		}
		*field.series = series
	}
	return engine, s.compileCustom(&engine)
}

// compileCustom reads the custom numbers of an engine.
func (s *engineSpec) compileCustom(engine *datalayer.Engine) error {
	if len(s.CustomMetrics) > datalayer.MaxCustom {
		return fmt.Errorf("customMetrics: %d are more than the %d that an engine may have", len(s.CustomMetrics), datalayer.MaxCustom)
	}
	for i, custom := range s.CustomMetrics {
		key := custom.AttributeKey
		switch {
		case key == "":
			return fmt.Errorf("customMetrics[%d]: attributeKey: missing", i)
		case scheduling.IsNumber(key):
			return fmt.Errorf("customMetrics[%d]: attributeKey: %q is a number that every endpoint has; choose another name", i, key)
		case slices.ContainsFunc(engine.Custom, func(c datalayer.Custom) bool { return c.Name == key }):
			return fmt.Errorf("customMetrics[%d]: attributeKey: %q is taken by an earlier one", i, key)
		}
		series, err := datalayer.ParseSeries(custom.MetricSpec)
		if err != nil {
			return fmt.Errorf("customMetrics[%d]: metricSpec: %w", i, err)
		}
		engine.Custom = append(engine.Custom, datalayer.Custom{Name: key, Series: series})
	}
	return nil
}
