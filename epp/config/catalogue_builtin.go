package config

import (
	"strings"

	"github.com/switchyard/switchyard/epp/discovery"
	"github.com/switchyard/switchyard/epp/flowcontrol/eviction"
	"github.com/switchyard/switchyard/epp/flowcontrol/fairness"
	"github.com/switchyard/switchyard/epp/flowcontrol/ordering"
	"github.com/switchyard/switchyard/epp/flowcontrol/usagelimit"
	"github.com/switchyard/switchyard/epp/response"
	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/admitter"
	"github.com/switchyard/switchyard/epp/scheduling/decider"
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
		filter.SLOHeadroomTierType:     {role: roleFilter, build: construct(filter.NewSLOHeadroomTier)},
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
		scorer.LatencyType:             {role: roleScorer, build: construct(scorer.NewLatency)},
		scorer.MMEmbeddingsCacheType:   {role: roleScorer, build: construct(scorer.NewMMEmbeddingsCache)},
		scorer.SessionAffinityType:     {role: roleScorer, build: construct(scorer.NewSessionAffinity), stability: Alpha},
		scorer.HeaderLabelAffinityType: {role: roleScorer, build: construct(scorer.NewHeaderLabelAffinity), stability: Alpha},
		scorer.EndpointAttributeType:   {role: roleScorer, build: construct(scorer.NewEndpointAttribute), stability: Alpha},
		scorer.PrecisePrefixCacheType:  {role: roleScorer, build: construct(scorer.NewPrecisePrefixCache), stability: Deprecated, instead: producer.PrecisePrefixType + " and " + scorer.PrefixCacheType},

		picker.MaxScoreType:       {role: rolePicker, build: construct(picker.NewMaxScore)},
		picker.RandomType:         {role: rolePicker, build: construct(picker.NewRandom)},
		picker.WeightedRandomType: {role: rolePicker, build: construct(picker.NewWeightedRandom)},

		profile.SingleType: {role: roleHandler, build: handler(profile.NewSingle)},
		profile.HeaderType: {role: roleHandler, build: handler(profile.NewHeader), stability: Alpha},

		profile.DisaggType:           {role: roleHandler, connect: asking(profile.NewDisagg)},
		profile.PDType:               {role: roleHandler, connect: asking(profile.NewPD), stability: Deprecated, instead: profile.DisaggType},
		profile.DataParallelType:     {role: roleHandler, build: handler(profile.NewDataParallel), stability: Deprecated, instead: profile.SingleType},
		profile.DisaggHeadersType:    {role: roleHeaders, build: construct(profile.NewDisaggHeaders), stability: Deprecated, instead: profile.DisaggType + ", which sets these headers itself"},
		profile.PrefillHeaderType:    {role: roleHeaders, build: construct(profile.NewPrefillHeader), stability: Deprecated, instead: profile.DisaggType + ", which sets these headers itself"},
		decider.PrefixBasedType:      {role: roleDecider, build: construct(decider.NewPrefixBased)},
		decider.AlwaysPDType:         {role: roleDecider, build: construct(decider.NewAlwaysPD)},
		decider.AlwaysMultimodalType: {role: roleDecider, build: construct(decider.NewAlwaysMultimodal)},

		response.ServedVerifierType:           {role: roleResponse, build: construct(response.NewServedVerifier)},
		response.RequestAttributeReporterType: {role: roleResponse, build: construct(response.NewRequestAttributeReporter)},

		scheduling.ApproximatePrefixProducer: {role: roleProducer, build: construct(newPrefix)},
		producer.InFlightLoadType:            {role: roleProducer, build: construct(producer.NewInFlightLoad)},
		producer.TokenType:                   {role: roleProducer, build: buildToken},
		"tokenizer":                          {role: roleProducer, build: buildToken, stability: Deprecated, instead: producer.TokenType},
		producer.PrecisePrefixType:           {role: roleProducer, build: construct(producer.NewPrecisePrefix)},
		producer.SessionIDType:               {role: roleProducer, build: construct(producer.NewSessionID)},
		producer.MMEmbeddingsCacheType:       {role: roleProducer, build: construct(producer.NewMMEmbeddingsCache)},
		producer.PredictedLatencyType:        {role: roleProducer, build: construct(producer.NewPredictedLatency)},
		producer.AgentIdentityType:           {role: roleProducer, build: construct(producer.NewAgentIdentity), stability: Alpha},
		admitter.ProbabilisticType:           {role: roleAdmitter, build: construct(admitter.NewProbabilistic)},
		admitter.LatencySLOType:              {role: roleAdmitter, build: construct(admitter.NewLatencySLO)},

		MetricsSourceType:           {role: roleSource, build: construct(NewMetricsSource)},
		ModelsSourceType:            {role: roleSource, build: construct(NewModelsSource)},
		KubernetesNotificationsType: {role: roleSource, build: construct(NewKubernetesNotifications)},
		EndpointNotificationsType:   {role: roleSource, build: construct(NewEndpointNotifications)},
		CoreMetricsType:             {role: roleExtractor, build: construct(NewCoreMetrics)},
		ModelsExtractorType:         {role: roleExtractor, build: construct(NewModelsExtractor)},
		discovery.FileType:          {role: roleDiscovery, build: construct(discovery.NewFile)},

		"openai-parser":     {role: roleParser, build: withoutParameters},
		"anthropic-parser":  {role: roleParser, build: withoutParameters},
		"vllmhttp-parser":   {role: roleParser, build: withoutParameters},
		"sglanghttp-parser": {role: roleParser, build: withoutParameters},
		"vllmgrpc-parser":   {role: roleParser, build: withoutParameters},
		"vertexai-parser":   {role: roleParser, build: withoutParameters},
		passthroughParser:   {role: roleParser, build: withoutParameters},

		fairness.GlobalStrictType:       {role: roleFairness, build: construct(fairness.NewGlobalStrict)},
		fairness.RoundRobinType:         {role: roleFairness, build: construct(fairness.NewRoundRobin)},
		fairness.ProgramAwareType:       {role: roleFairness, build: construct(fairness.NewProgramAware)},
		ordering.FCFSType:               {role: roleOrdering, build: construct(ordering.NewFCFS)},
		ordering.EDFType:                {role: roleOrdering, build: construct(ordering.NewEDF)},
		ordering.SLODeadlineType:        {role: roleOrdering, build: construct(ordering.NewSLODeadline)},
		usagelimit.StaticType:           {role: roleUsageLimit, build: construct(usagelimit.NewStatic)},
		usagelimit.PriorityHoldbackType: {role: roleUsageLimit, build: construct(usagelimit.NewPriorityHoldback), stability: Alpha},
		eviction.SheddableType:          {role: roleEvictionFilter, build: construct(eviction.NewSheddable), stability: Alpha},
		eviction.PriorityThenTimeType:   {role: roleEvictionOrdering, build: construct(eviction.NewPriorityThenTime), stability: Alpha},
	}
}

// notYet are the plugin types that exist elsewhere and are not part of this version.
var notYet = strings.Fields(`
topology-affinity-filter multicluster-session-affinity-filter
topology-affinity-scorer multicluster-queue-scorer
multicluster-kv-cache-utilization-scorer multicluster-prefix-cache-scorer
burst-prefix-cache-producer
p2p-source-producer multicluster-approx-prefix-cache-producer
disaggregatedset-rollout-screener
soft-reflective-ceiling-policy dcgm-data-source dcgm-extractor
topology-extractor multicluster-file-discovery
multicluster-metrics-data-source multicluster-metrics-extractor`)
