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
	CustomMetrics           []any  `json:"customMetrics"`
}

// readExtractor reads the parameters of the extractor of core metrics into m.
func (m *Metrics) readExtractor(parameters []byte) error {
	given := struct {
		DefaultEngine  string       `json:"defaultEngine"`
		EngineLabelKey string       `json:"engineLabelKey"`
		EngineConfigs  []engineSpec `json:"engineConfigs"`
	}{}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return err
	}
	names := knownEngines()
	m.Engines = nil
	for i, spec := range given.EngineConfigs {
		engine, err := spec.compile()
		if err != nil {
			return fmt.Errorf("parameters: engineConfigs[%d]: %w", i, err)
		}
		m.Engines = append(m.Engines, engine)
		names = append(names, engine.Name)
	}
	if given.DefaultEngine != "" && !slices.Contains(names, given.DefaultEngine) {
		return fmt.Errorf("parameters: defaultEngine: %q must be one of %s, or be described in engineConfigs",
			given.DefaultEngine, strings.Join(names, ", "))
	}
	m.EngineLabel, m.DefaultEngine = given.EngineLabelKey, given.DefaultEngine
	return nil
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
	if len(s.CustomMetrics) > 0 {
		return engine, fmt.Errorf("customMetrics: not supported by this version; remove it")
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
	return engine, nil
}
