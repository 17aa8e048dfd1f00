package envoy

import (
	"time"

	mutationrulesv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	headermutationv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
)

// Names of the filters that routes enable.
const (
	extProcFilter = "envoy.filters.http.ext_proc"
	usageFilter   = "envoy.filters.http.ai_protocol_manager"
	faultFilter   = "envoy.filters.http.fault"
	routerFilter  = "envoy.filters.http.router"
)

const (
	// lbNamespace is the dynamic metadata namespace of the Endpoint Picker Protocol.
	lbNamespace = "envoy.lb"
	// pickKey holds the picked addresses, servedKey the one that served, in lbNamespace.
	pickKey   = "x-gateway-destination-endpoint"
	servedKey = "x-gateway-destination-endpoint-served"
	// subsetNamespace carries a subset hint toward pickers.
	subsetNamespace = "envoy.lb.subset_hint"
	// usageNamespace holds the typed token usage of an answer.
	usageNamespace = "envoy.ai.token_usage"
)

// internalHeaders belong to the conversation between proxy, picker and model server. What a client sends
// under these names is removed before anything looks at the request.
var internalHeaders = []string{
	pickKey,
	servedKey,
	"x-gateway-destination-endpoint-subset",
	"x-gateway-destination-endpoint-scores",
	"x-prefiller-host-port",
	"x-encoder-hosts-ports",
	"x-data-parallel-host-port",
	"x-kv-cache-source-host-port",
	"x-llm-d-request-dropped-reason",
	"x-went-into-resp-headers",
	"x-switchyard-pool",
	"x-switchyard-protocol",
}

// unforwardedHeaders carry a client's credentials; no picker needs them.
var unforwardedHeaders = []string{"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key"}

// httpFilters is the same for every listener. Disabled filters cost nothing until a route enables them.
func (b *builder) httpFilters() []*hcmv3.HttpFilter {
	return []*hcmv3.HttpFilter{
		b.disabledFilter(faultFilter, &faultv3.HTTPFault{}),
		b.disabledFilter(extProcFilter, b.externalProcessor()),
		b.disabledFilter(usageFilter, b.countTokens()),
		{
			Name: routerFilter,
			ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: b.pack(&routerv3.Router{
				SuppressEnvoyHeaders: true,
			})},
		},
	}
}

func (b *builder) disabledFilter(name string, config proto.Message) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{
		Name:       name,
		Disabled:   true,
		ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: b.pack(config)},
	}
}

// externalProcessor is the filter as it stands in a listener. Its failure mode is always to go on without a
// pick: whether a pool then serves or refuses is decided by the pool's cluster (pool.go), so that a picker
// that dies in the middle of an answer never takes the answer with it, whatever the pool's failure mode.
func (b *builder) externalProcessor() *extprocv3.ExternalProcessor {
	picker := pickerService(embeddedPicker)
	// The picker may ask for an answer: the filter behind this one stays away from it then. Told here and not by routes, so that it is
	// never said of other filters.
	picker.InitialMetadata = []*corev3.HeaderValue{{Key: "x-switchyard-answer", Value: "on-request"}}
	return &extprocv3.ExternalProcessor{
		GrpcService:      picker,
		FailureModeAllow: true,
		// Where Envoy cannot go on (a streamed body was already given to the picker) the client is told
		// to come back.
		StatusOnError:  &typev3.HttpStatus{Code: typev3.StatusCode_ServiceUnavailable},
		ProcessingMode: skipAll(),
		MessageTimeout: duration(b.opts.PickTimeout),
		// A picker that holds a request back says so, and for how long: only that stretches the wait.
		MaxMessageTimeout: duration(maxHold),
		// Where an answer has to be changed, the picker asks to see it, for that request alone.
		AllowModeOverride: true,
		RouteCacheAction:  extprocv3.ExternalProcessor_RETAIN,
		ForwardRules:      &extprocv3.HeaderForwardingRules{DisallowedHeaders: exactly(unforwardedHeaders)},
		MetadataOptions: &extprocv3.MetadataOptions{
			ForwardingNamespaces: &extprocv3.MetadataOptions_MetadataNamespaces{
				Untyped: []string{lbNamespace, subsetNamespace},
				Typed:   []string{usageNamespace},
			},
			ReceivingNamespaces: &extprocv3.MetadataOptions_MetadataNamespaces{Untyped: []string{lbNamespace, ownNamespace}},
		},
	}
}

// maxHold is the longest that a picker may hold a request back.
const maxHold = time.Hour

func skipAll() *extprocv3.ProcessingMode {
	return &extprocv3.ProcessingMode{
		RequestHeaderMode:   extprocv3.ProcessingMode_SKIP,
		ResponseHeaderMode:  extprocv3.ProcessingMode_SKIP,
		RequestTrailerMode:  extprocv3.ProcessingMode_SKIP,
		ResponseTrailerMode: extprocv3.ProcessingMode_SKIP,
	}
}

func pickerService(cluster string) *corev3.GrpcService {
	return &corev3.GrpcService{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
		EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: cluster},
	}}
}

func exactly(names []string) *matcherv3.ListStringMatcher {
	out := &matcherv3.ListStringMatcher{}
	for _, n := range names {
		out.Patterns = append(out.Patterns, &matcherv3.StringMatcher{
			MatchPattern: &matcherv3.StringMatcher_Exact{Exact: n},
			IgnoreCase:   true,
		})
	}
	return out
}

// stripInternalHeaders removes internalHeaders before routing and before any filter.
func (b *builder) stripInternalHeaders() []*corev3.TypedExtensionConfig {
	mutation := &headermutationv3.HeaderMutation{}
	for _, name := range internalHeaders {
		mutation.Mutations = append(mutation.Mutations, &mutationrulesv3.HeaderMutation{
			Action: &mutationrulesv3.HeaderMutation_Remove{Remove: name},
		})
	}
	return []*corev3.TypedExtensionConfig{{
		Name:        "envoy.http.early_header_mutation.header_mutation",
		TypedConfig: b.pack(mutation),
	}}
}
