package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/switchyard/switchyard/epp/response"
	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/filter"
	"github.com/switchyard/switchyard/epp/scheduling/picker"
	"github.com/switchyard/switchyard/epp/scheduling/profile"
	"github.com/switchyard/switchyard/epp/scheduling/scorer"
)

// role says where a plugin may be referred to.
type role string

const (
	roleFilter    role = "filter"
	roleScorer    role = "scorer"
	rolePicker    role = "picker"
	roleHandler   role = "profile handler"
	roleProducer  role = "data producer"
	roleSource    role = "data source"
	roleExtractor role = "extractor"
	roleParser    role = "parser"
	roleDetector  role = "saturation detector"
	rolePolicy    role = "flow-control policy"
	roleResponse  role = "response plugin"
)

// plugin is a declared plugin.
type plugin struct {
	name, typ  string
	role       role
	parameters json.RawMessage
	// built is the plugin itself for filters, scorers, pickers and response plugins.
	built any
}

type entry struct {
	role role
	// build checks the parameters and makes the plugin, where there is something to make.
	build func(parameters []byte) (any, error)
}

// catalogue is every plugin type of this version. Those whose work is done elsewhere (the prefix index, the metrics
// scraper, the body scan) are here so that files which name them load, and so that their parameters are checked.
var catalogue = map[string]entry{
	filter.LabelSelectorType: {roleFilter, construct(filter.NewLabelSelector)},
	filter.DecodeType:        {roleFilter, construct(filter.NewDecode)},
	filter.PrefillType:       {roleFilter, construct(filter.NewPrefill)},
	filter.EncodeType:        {roleFilter, construct(filter.NewEncode)},

	filter.HeaderBasedTestingType: {roleFilter, construct(filter.NewHeaderBasedTesting)},

	scorer.QueueType:              {roleScorer, construct(scorer.NewQueue)},
	scorer.KVCacheUtilizationType: {roleScorer, construct(scorer.NewKVCacheUtilization)},
	scorer.PrefixCacheType:        {roleScorer, construct(scorer.NewPrefixCache)},
	scorer.RunningRequestsType:    {roleScorer, construct(scorer.NewRunningRequests)},
	scorer.ActiveRequestType:      {roleScorer, construct(scorer.NewActiveRequest)},
	scorer.TokenLoadType:          {roleScorer, construct(scorer.NewTokenLoad)},
	scorer.LoadAwareType:          {roleScorer, construct(scorer.NewLoadAware)},
	scorer.LoRAAffinityType:       {roleScorer, construct(scorer.NewLoRAAffinity)},

	picker.MaxScoreType:       {rolePicker, construct(picker.NewMaxScore)},
	picker.RandomType:         {rolePicker, construct(picker.NewRandom)},
	picker.WeightedRandomType: {rolePicker, construct(picker.NewWeightedRandom)},

	profile.SingleType: {roleHandler, withoutParameters},

	response.ServedVerifierType: {roleResponse, construct(response.NewServedVerifier)},

	scorer.ApproximatePrefixProducer: {roleProducer, construct(newPrefix)},
	scorer.InFlightLoadProducer:      {roleProducer, withoutParameters},
	tokenProducer:                    {roleProducer, checkTokenProducer},

	metricsSource:    {roleSource, func(raw []byte) (any, error) { return nil, new(Metrics).readSource(raw) }},
	metricsExtractor: {roleExtractor, func(raw []byte) (any, error) { return nil, new(Metrics).readExtractor(raw) }},

	"openai-parser":     {roleParser, withoutParameters},
	"anthropic-parser":  {roleParser, withoutParameters},
	"vllmhttp-parser":   {roleParser, withoutParameters},
	"sglanghttp-parser": {roleParser, withoutParameters},
	passthroughParser:   {roleParser, withoutParameters},

	"utilization-detector": {roleDetector, checkUtilizationDetector},

	"fcfs-ordering-policy":          {rolePolicy, withoutParameters},
	"global-strict-fairness-policy": {rolePolicy, withoutParameters},
	"static-usage-limit-policy":     {rolePolicy, checkUsageLimit},
}

const (
	tokenProducer    = "token-producer"
	metricsSource    = "metrics-data-source"
	metricsExtractor = "core-metrics-extractor"
)

// notYet are the plugin types that exist elsewhere and are not part of this version.
var notYet = strings.Fields(`
by-label-selector by-label prefix-cache-affinity-filter slo-headroom-tier-filter session-affinity-filter utilization-filter
endpoint-attribute-filter topology-affinity-filter multicluster-session-affinity-filter context-length-aware
concurrency-detector
no-hit-lru-scorer session-affinity-scorer header-label-affinity-scorer endpoint-attribute-scorer topology-affinity-scorer
latency-scorer mm-embeddings-cache-scorer precise-prefix-cache-scorer multicluster-queue-scorer
multicluster-kv-cache-utilization-scorer multicluster-prefix-cache-scorer
disagg-profile-handler header-profile-handler data-parallel-profile-handler pd-profile-handler disagg-headers-handler
prefill-header-handler prefix-based-pd-decider always-disagg-pd-decider always-disagg-multimodal-decider
tokenizer precise-prefix-cache-producer burst-prefix-cache-producer predicted-latency-producer session-id-producer
mm-embeddings-cache-producer p2p-source-producer multicluster-approx-prefix-cache-producer
disaggregatedset-rollout-screener latency-slo-admitter probabilistic-admitter agent-identity request-attribute-reporter
round-robin-fairness-policy program-aware-fairness edf-ordering-policy
slo-deadline-ordering-policy priority-holdback-policy soft-reflective-ceiling-policy eviction-sheddable-filter
eviction-priority-then-time-ordering models-data-source models-data-extractor dcgm-data-source dcgm-extractor
topology-extractor k8s-notification-source endpoint-notification-source file-discovery multicluster-file-discovery
multicluster-metrics-data-source multicluster-metrics-extractor vllmgrpc-parser vertexai-parser`)

// buildPlugin makes the plugin of a declaration.
func buildPlugin(spec pluginSpec) (*plugin, error) {
	if spec.Type == "" {
		return nil, fmt.Errorf("type: missing; give one of: %s", knownTypes())
	}
	known, ok := catalogue[spec.Type]
	if !ok {
		if slices.Contains(notYet, spec.Type) {
			return nil, fmt.Errorf("type: %q is not supported by this version; remove it and what refers to it", spec.Type)
		}
		return nil, fmt.Errorf("type: %q is not known; known types: %s", spec.Type, knownTypes())
	}
	built, err := known.build(spec.Parameters)
	if err != nil {
		return nil, err
	}
	name := spec.Name
	if name == "" {
		name = spec.Type
	}
	return &plugin{name: name, typ: spec.Type, role: known.role, parameters: spec.Parameters, built: built}, nil
}

func knownTypes() string {
	return strings.Join(slices.Sorted(maps.Keys(catalogue)), ", ")
}

func construct[T any](build func([]byte) (T, error)) func([]byte) (any, error) {
	return func(parameters []byte) (any, error) { return build(parameters) }
}

func withoutParameters(parameters []byte) (any, error) {
	return nil, scheduling.DecodeParameters(parameters, &struct{}{})
}

// checkTokenProducer accepts the estimate only: four bytes of prompt are one token.
func checkTokenProducer(parameters []byte) (any, error) {
	given := struct {
		ModelName string `json:"modelName"`
		Estimate  any    `json:"estimate"`
		VLLM      any    `json:"vllm"`
	}{}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	if given.VLLM != nil {
		return nil, fmt.Errorf("parameters: vllm: not supported by this version; remove it to estimate tokens from the prompt's length")
	}
	return nil, nil
}

func checkUtilizationDetector(parameters []byte) (any, error) {
	return nil, scheduling.DecodeParameters(parameters, &struct {
		QueueDepthThreshold       float64 `json:"queueDepthThreshold"`
		KVCacheUtilThreshold      float64 `json:"kvCacheUtilThreshold"`
		MetricsStalenessThreshold any     `json:"metricsStalenessThreshold"`
		Headroom                  float64 `json:"headroom"`
	}{})
}

func checkUsageLimit(parameters []byte) (any, error) {
	return nil, scheduling.DecodeParameters(parameters, &struct {
		Threshold float64 `json:"threshold"`
	}{})
}
