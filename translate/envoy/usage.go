package envoy

import (
	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	xdsmatcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	matchingv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/matching/v3"
	actionv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/matcher/action/v3"
	aiv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ai_protocol_manager/v3"
	inputsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	metadatamatchv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/input_matchers/metadata/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
)

const (
	// answerKey holds shownAnswer, in ownNamespace, for a request whose answer the picker wants to see: it reads the usage itself.
	answerKey   = "answer"
	shownAnswer = "shown"
)

// countTokens is the filter that reads the usage of answers and makes the trailers that take it to the picker. It leaves alone what
// the picker is shown: trailers that one filter adds never reach another that holds the body back at that moment, and the answer
// would not end.
func (b *builder) countTokens() *matchingv3.ExtensionWithMatcher {
	return &matchingv3.ExtensionWithMatcher{
		XdsMatcher: &xdsmatcherv3.Matcher{MatcherType: &xdsmatcherv3.Matcher_MatcherList_{
			MatcherList: &xdsmatcherv3.Matcher_MatcherList{Matchers: []*xdsmatcherv3.Matcher_MatcherList_FieldMatcher{{
				Predicate: b.answerIsShown(),
				OnMatch: &xdsmatcherv3.Matcher_OnMatch{OnMatch: &xdsmatcherv3.Matcher_OnMatch_Action{
					Action: b.extension("skip", &actionv3.SkipFilter{}),
				}},
			}}},
		}},
		ExtensionConfig: &corev3.TypedExtensionConfig{
			Name: usageFilter,
			TypedConfig: b.pack(&aiv3.AiProtocolManager{
				ResponseHandling: &aiv3.ResponseHandling{TokenUsage: &aiv3.TokenUsageExtraction{
					UsageSignal: aiv3.TokenUsageExtraction_SYNTHESIZE_TRAILERS,
				}},
			}),
		},
	}
}

// answerIsShown holds when the picker has said that it wants to see the answer.
func (b *builder) answerIsShown() *xdsmatcherv3.Matcher_MatcherList_Predicate {
	input := &inputsv3.DynamicMetadataInput{Filter: ownNamespace, Path: []*inputsv3.DynamicMetadataInput_PathSegment{{
		Segment: &inputsv3.DynamicMetadataInput_PathSegment_Key{Key: answerKey},
	}}}
	value := &metadatamatchv3.Metadata{Value: &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_StringMatch{
		StringMatch: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: shownAnswer}},
	}}}
	return &xdsmatcherv3.Matcher_MatcherList_Predicate{MatchType: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate_{
		SinglePredicate: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate{
			Input: b.extension("envoy.matching.inputs.dynamic_metadata", input),
			Matcher: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate_CustomMatch{
				CustomMatch: b.extension("envoy.matching.matchers.metadata_matcher", value),
			},
		},
	}}
}

func (b *builder) extension(name string, config proto.Message) *xdscorev3.TypedExtensionConfig {
	return &xdscorev3.TypedExtensionConfig{Name: name, TypedConfig: b.pack(config)}
}
