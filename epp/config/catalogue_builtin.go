package config

import (
	"strings"

	"github.com/switchyard/switchyard/epp/response"
	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/admitter"
	"github.com/switchyard/switchyard/epp/scheduling/filter"
	"github.com/switchyard/switchyard/epp/scheduling/picker"
	"github.com/switchyard/switchyard/epp/scheduling/producer"
	"github.com/switchyard/switchyard/epp/scheduling/profile"
	"github.com/switchyard/switchyard/epp/scheduling/scorer"
)

// builtin is every plugin type of this version. Those whose work is done elsewhere (the prefix index, the metrics scraper,
// the body scan) are here so that files which name them load, and so that their parameters are checked.
func builtin() map[string]entry {
	return map[string]entry{
		filter.LabelSelectorType:       {role: roleFilter, build: construct(filter.NewLabelSelector)},
		filter.ByLabelSelectorType:     {role: roleFilter, build: construct(filter.NewByLabelSelector), stability: Deprecated, instead: filter.LabelSelectorType},
		filter.ByLabelType:             {role: roleFilter, build: construct(filter.NewByLabel), stability: Deprecated, instead: filter.LabelSelectorType},
		filter.DecodeType:              {role: roleFilter, build: construct(filter.NewDecode)},
		filter.PrefillType:             {role: roleFilter, build: construct(filter.NewPrefill)},
		filter.EncodeType:              {role: roleFilter, build: construct(filter.NewEncode)},
		filter.PrefixCacheAffinityType: {role: roleFilter, build: construct(filter.NewPrefixCacheAffinity)},
		filter.UtilizationType:         {role: roleFilter, build: construct(filter.NewUtilization), stability: Alpha},
		filter.EndpointAttributeType:   {role: roleFilter, build: construct(filter.NewEndpointAttribute), stability: Alpha},
		filter.SessionAffinityType:     {role: roleFilter, build: construct(filter.NewSessionAffinity), stability: Alpha},
		filter.HeaderBasedTestingType:  {role: roleFilter, build: construct(filter.NewHeaderBasedTesting)},
		filter.UtilizationDetectorType: {role: roleDetector, build: construct(filter.NewUtilizationDetector)},
		filter.ConcurrencyDetectorType: {role: roleDetector, build: construct(filter.NewConcurrencyDetector)},

		scorer.QueueType:               {role: roleScorer, build: construct(scorer.NewQueue)},
		scorer.KVCacheUtilizationType:  {role: roleScorer, build: construct(scorer.NewKVCacheUtilization)},
		scorer.PrefixCacheType:         {role: roleScorer, build: construct(scorer.NewPrefixCache)},
		scorer.RunningRequestsType:     {role: roleScorer, build: construct(scorer.NewRunningRequests)},
		scorer.ActiveRequestType:       {role: roleScorer, build: construct(scorer.NewActiveRequest)},
		scorer.TokenLoadType:           {role: roleScorer, build: construct(scorer.NewTokenLoad)},
		scorer.LoadAwareType:           {role: roleScorer, build: construct(scorer.NewLoadAware)},
		scorer.LoRAAffinityType:        {role: roleScorer, build: construct(scorer.NewLoRAAffinity)},
		scorer.NoHitLRUType:            {role: roleScorer, build: construct(scorer.NewNoHitLRU)},
		scorer.ContextLengthAwareType:  {role: roleScorer, build: construct(scorer.NewContextLengthAware)},
		scorer.SessionAffinityType:     {role: roleScorer, build: construct(scorer.NewSessionAffinity), stability: Alpha},
		scorer.HeaderLabelAffinityType: {role: roleScorer, build: construct(scorer.NewHeaderLabelAffinity), stability: Alpha},
		scorer.EndpointAttributeType:   {role: roleScorer, build: construct(scorer.NewEndpointAttribute), stability: Alpha},

		picker.MaxScoreType:       {role: rolePicker, build: construct(picker.NewMaxScore)},
		picker.RandomType:         {role: rolePicker, build: construct(picker.NewRandom)},
		picker.WeightedRandomType: {role: rolePicker, build: construct(picker.NewWeightedRandom)},

		profile.SingleType: {role: roleHandler, build: handler(profile.NewSingle)},
		profile.HeaderType: {role: roleHandler, build: handler(profile.NewHeader), stability: Alpha},

		response.ServedVerifierType: {role: roleResponse, build: construct(response.NewServedVerifier)},

		scheduling.ApproximatePrefixProducer: {role: roleProducer, build: construct(newPrefix)},
		scheduling.InFlightLoadProducer:      {role: roleProducer, build: withoutParameters},
		tokenProducer:                        {role: roleProducer, build: checkTokenProducer},
		producer.SessionIDType:               {role: roleProducer, build: construct(producer.NewSessionID)},
		producer.AgentIdentityType:           {role: roleProducer, build: construct(producer.NewAgentIdentity), stability: Alpha},
		admitter.ProbabilisticType:           {role: roleAdmitter, build: construct(admitter.NewProbabilistic)},

		metricsSource:    {role: roleSource, build: func(raw []byte) (any, error) { return nil, new(Metrics).readSource(raw) }},
		metricsExtractor: {role: roleExtractor, build: func(raw []byte) (any, error) { return nil, new(Metrics).readExtractor(raw) }},

		"openai-parser":     {role: roleParser, build: withoutParameters},
		"anthropic-parser":  {role: roleParser, build: withoutParameters},
		"vllmhttp-parser":   {role: roleParser, build: withoutParameters},
		"sglanghttp-parser": {role: roleParser, build: withoutParameters},
		passthroughParser:   {role: roleParser, build: withoutParameters},

		"fcfs-ordering-policy":          {role: rolePolicy, build: withoutParameters},
		"global-strict-fairness-policy": {role: rolePolicy, build: withoutParameters},
		"static-usage-limit-policy":     {role: rolePolicy, build: checkUsageLimit},
	}
}

const (
	tokenProducer    = "token-producer"
	metricsSource    = "metrics-data-source"
	metricsExtractor = "core-metrics-extractor"
)

// notYet are the plugin types that exist elsewhere and are not part of this version.
var notYet = strings.Fields(`
slo-headroom-tier-filter topology-affinity-filter multicluster-session-affinity-filter
topology-affinity-scorer latency-scorer mm-embeddings-cache-scorer precise-prefix-cache-scorer multicluster-queue-scorer
multicluster-kv-cache-utilization-scorer multicluster-prefix-cache-scorer
disagg-profile-handler data-parallel-profile-handler pd-profile-handler disagg-headers-handler
prefill-header-handler prefix-based-pd-decider always-disagg-pd-decider always-disagg-multimodal-decider
tokenizer precise-prefix-cache-producer burst-prefix-cache-producer predicted-latency-producer
mm-embeddings-cache-producer p2p-source-producer multicluster-approx-prefix-cache-producer
disaggregatedset-rollout-screener latency-slo-admitter request-attribute-reporter
round-robin-fairness-policy program-aware-fairness edf-ordering-policy
slo-deadline-ordering-policy priority-holdback-policy soft-reflective-ceiling-policy eviction-sheddable-filter
eviction-priority-then-time-ordering models-data-source models-data-extractor dcgm-data-source dcgm-extractor
topology-extractor k8s-notification-source endpoint-notification-source file-discovery multicluster-file-discovery
multicluster-metrics-data-source multicluster-metrics-extractor vllmgrpc-parser vertexai-parser`)
