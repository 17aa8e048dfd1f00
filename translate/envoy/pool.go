package envoy

import (
	"math"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	aiv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ai_protocol_manager/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/switchyard/switchyard/translate/model"
)

// pickMode is how a route shows a request to the picker.
type pickMode int

const (
	noPicker pickMode = iota
	// wholeBody holds the body, up to Options.MaxRequestBytes, until it has been seen. For requests that are
	// not much longer than Options.MatchBytes, and for those without a content-length: the ones without a
	// body, and chunked ones, whose size has to be counted.
	wholeBody
	// partialBody sends the first Options.MatchBytes of the body; the rest streams past. For long requests
	// that say how long they are.
	partialBody
	// headersOnly sends no body. For upgrades: what follows their headers is a conversation without end.
	headersOnly
)

// partialMargin is how much longer than Options.MatchBytes a body is, in bytes, before only a part of it is
// sent. Envoy notices that it has enough after a whole read from the client, which may be 160 KiB more. If
// that was the last of the body, and its end is announced by itself (as in HTTP/1 always), Envoy 1.40 loses the
// end: the model server waits for it for ever. The margin makes sure that some of the body always follows.
const partialMargin = 256 << 10

// rewriteHeaders name the model that a client wants its request to be answered by. The one in the body takes that name, wherever in it
// that one stands, so that the picker has to have all of it.
var rewriteHeaders = []string{"x-llm-d-model-name-rewrite", "x-gateway-model-name-rewrite"}

func (b *builder) leadsToPool(f *model.Forward) bool {
	for i := range f.Targets {
		if b.gw.Backends[f.Targets[i].Backend].Pool != nil {
			return true
		}
	}
	return false
}

// rewrites tells whether a rule leads to a pool whose models are rewritten: the name of the model may stand at the end of a body, so that
// the picker has to have all of it.
func (b *builder) rewrites(f *model.Forward) bool {
	return slices.ContainsFunc(f.Targets, func(t model.Target) bool {
		pool := b.gw.Backends[t.Backend].Pool
		return pool != nil && pool.Rewritten
	})
}

// poolRoutes splits a rule that leads to a pool: upgrades, and the rest by the request's content-length, which
// is long, too long (413 at once, before the client has sent the body), or short or not given. What is long and names a model by
// header is sent whole, as if it were short.
func (b *builder) poolRoutes(rule *model.Rule, refs *refs) []*routev3.Route {
	upgrade := b.forwardRoute(rule, headersOnly, refs)
	upgrade.Match.Headers = append(upgrade.Match.Headers, asksForWebsocket())
	out := []*routev3.Route{upgrade}
	limit := b.opts.MaxRequestBytes + 1
	if long := b.opts.MatchBytes + partialMargin; long < limit && !b.rewrites(rule.Action.Forward) {
		r := b.forwardRoute(rule, partialBody, refs)
		r.Match.Headers = append(r.Match.Headers, contentLength(long, limit))
		for _, name := range rewriteHeaders {
			r.Match.Headers = append(r.Match.Headers, absent(name))
		}
		r.RequestBodyBufferLimit = wrapperspb.UInt64(b.opts.MatchBytes)
		out = append(out, r)
	}
	tooLong := b.newRoute(rule)
	tooLong.Match.Headers = append(tooLong.Match.Headers, contentLength(limit, math.MaxInt64))
	tooLong.Action = &routev3.Route_DirectResponse{DirectResponse: reply(413, "request body too large")}

	short := b.forwardRoute(rule, wholeBody, refs)
	short.RequestBodyBufferLimit = wrapperspb.UInt64(b.opts.MaxRequestBytes)
	return append(out, tooLong, short)
}

func asksForWebsocket() *routev3.HeaderMatcher {
	return &routev3.HeaderMatcher{
		Name: "upgrade",
		HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
			MatchPattern: &matcherv3.StringMatcher_Exact{Exact: "websocket"},
			IgnoreCase:   true,
		}},
	}
}

func absent(header string) *routev3.HeaderMatcher {
	return &routev3.HeaderMatcher{Name: header, HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: false}}
}

// contentLength matches start <= content-length < end.
func contentLength(start, end uint64) *routev3.HeaderMatcher {
	return &routev3.HeaderMatcher{
		Name: "content-length",
		HeaderMatchSpecifier: &routev3.HeaderMatcher_RangeMatch{
			RangeMatch: &typev3.Int64Range{Start: int64(start), End: int64(end)},
		},
	}
}

// pickerFilters points the ext_proc filter at the picker of a pool; nil for a Service.
func (b *builder) pickerFilters(backend string, mode pickMode, refs *refs) map[string]*anypb.Any {
	pool := b.gw.Backends[backend].Pool
	if pool == nil || mode == noPicker {
		return nil
	}
	if pool.Picker != nil {
		if mode == headersOnly {
			return nil // other pickers wait for the end of the body, which an upgrade does not have
		}
		refs.clusters[pool.Picker.ID] = true
		return map[string]*anypb.Any{extProcFilter: b.pack(foreignPicker(pool.Picker.ID))}
	}
	refs.clusters[embeddedPicker] = true
	return map[string]*anypb.Any{
		extProcFilter: b.pack(leanPicker(pool, mode)),
		usageFilter:   b.pack(&aiv3.AiProtocolManagerPerRoute{Response: &aiv3.ResponsePerRoute{}}),
	}
}

// leanPicker is the protocol toward our own picker: the headers, one message with as much of the body as it
// needs, nothing of the answer, and at the end one trailers message with the usage and the endpoint served. Of a request whose answer
// has to be changed the picker asks for more by itself: the listener's filters tell it that it may (filters.go).
func leanPicker(pool *model.Pool, mode pickMode) *extprocv3.ExtProcPerRoute {
	body := extprocv3.ProcessingMode_BUFFERED_PARTIAL
	switch mode {
	case headersOnly:
		body = extprocv3.ProcessingMode_NONE
	case wholeBody:
		body = extprocv3.ProcessingMode_BUFFERED
	}
	return overrides(&extprocv3.ExtProcOverrides{
		GrpcInitialMetadata: []*corev3.HeaderValue{
			{Key: "x-switchyard-pool", Value: pool.Key.String()},
			{Key: "x-switchyard-protocol", Value: "lean"},
			// What stands in for a mode has to name all of it: see the picker's mode override.
			{Key: "x-switchyard-body", Value: strings.ToLower(body.String())},
		},
		ProcessingMode: &extprocv3.ProcessingMode{
			RequestHeaderMode:   extprocv3.ProcessingMode_SEND,
			RequestBodyMode:     body,
			RequestTrailerMode:  extprocv3.ProcessingMode_SKIP,
			ResponseHeaderMode:  extprocv3.ProcessingMode_SKIP,
			ResponseBodyMode:    extprocv3.ProcessingMode_NONE,
			ResponseTrailerMode: extprocv3.ProcessingMode_SEND,
		},
	})
}

// foreignPicker is the Endpoint Picker Protocol as specified: everything streamed through the picker.
func foreignPicker(cluster string) *extprocv3.ExtProcPerRoute {
	return overrides(&extprocv3.ExtProcOverrides{
		GrpcService: pickerService(cluster),
		ProcessingMode: &extprocv3.ProcessingMode{
			RequestHeaderMode:   extprocv3.ProcessingMode_SEND,
			RequestBodyMode:     extprocv3.ProcessingMode_FULL_DUPLEX_STREAMED,
			RequestTrailerMode:  extprocv3.ProcessingMode_SEND,
			ResponseHeaderMode:  extprocv3.ProcessingMode_SEND,
			ResponseBodyMode:    extprocv3.ProcessingMode_FULL_DUPLEX_STREAMED,
			ResponseTrailerMode: extprocv3.ProcessingMode_SEND,
		},
	})
}

func overrides(o *extprocv3.ExtProcOverrides) *extprocv3.ExtProcPerRoute {
	return &extprocv3.ExtProcPerRoute{Override: &extprocv3.ExtProcPerRoute_Overrides{Overrides: o}}
}
