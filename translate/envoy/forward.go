package envoy

import (
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	previoushostsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/switchyard/switchyard/translate/model"
)

// unresolvedCluster is where the share of a backend that does not exist is sent: nowhere. A fault on that
// share answers 500 before the name is looked up.
const unresolvedCluster = "unresolved"

// forwardRoute sends a rule's requests to its targets; mode says how pools among them ask their picker.
func (b *builder) forwardRoute(rule *model.Rule, mode pickMode, refs *refs) *routev3.Route {
	f := rule.Action.Forward
	r := b.newRoute(rule)
	action := &routev3.RouteAction{
		Timeout:     duration(requestTimeout(f)),
		RetryPolicy: b.retryPolicy(),
	}
	if limited(f.Timeout) || limited(f.BackendTimeout) {
		action.IdleTimeout = duration(0) // the route's own timeout is the bound
	}
	setRewrite(action, rule)
	if len(f.Targets) == 1 && f.Targets[0].Backend != "" {
		b.setSingleTarget(r, action, &f.Targets[0], mode, refs)
	} else {
		b.setWeightedTargets(action, f.Targets, mode, refs)
	}
	r.Action = &routev3.Route_Route{Route: action}
	return r
}

func (b *builder) setSingleTarget(r *routev3.Route, action *routev3.RouteAction, t *model.Target, mode pickMode, refs *refs) {
	refs.clusters[t.Backend] = true
	action.ClusterSpecifier = &routev3.RouteAction_Cluster{Cluster: t.Backend}
	add, remove := headerEdits(t.Filters.RequestHeaders)
	r.RequestHeadersToAdd = append(r.RequestHeadersToAdd, add...)
	r.RequestHeadersToRemove = append(r.RequestHeadersToRemove, remove...)
	add, remove = headerEdits(t.Filters.ResponseHeaders)
	r.ResponseHeadersToAdd = append(r.ResponseHeadersToAdd, add...)
	r.ResponseHeadersToRemove = append(r.ResponseHeadersToRemove, remove...)
	r.TypedPerFilterConfig = b.pickerFilters(t.Backend, mode, refs)
}

func (b *builder) setWeightedTargets(action *routev3.RouteAction, targets []model.Target, mode pickMode, refs *refs) {
	weighted := &routev3.WeightedCluster{}
	for i := range targets {
		weighted.Clusters = append(weighted.Clusters, b.weightedTarget(&targets[i], mode, refs))
	}
	action.ClusterSpecifier = &routev3.RouteAction_WeightedClusters{WeightedClusters: weighted}
}

func (b *builder) weightedTarget(t *model.Target, mode pickMode, refs *refs) *routev3.WeightedCluster_ClusterWeight {
	out := &routev3.WeightedCluster_ClusterWeight{Name: t.Backend, Weight: wrapperspb.UInt32(t.Weight)}
	if t.Backend == "" {
		out.Name = unresolvedCluster
		out.TypedPerFilterConfig = map[string]*anypb.Any{faultFilter: b.pack(internalServerError())}
		return out
	}
	refs.clusters[t.Backend] = true
	out.RequestHeadersToAdd, out.RequestHeadersToRemove = headerEdits(t.Filters.RequestHeaders)
	out.ResponseHeadersToAdd, out.ResponseHeadersToRemove = headerEdits(t.Filters.ResponseHeaders)
	out.TypedPerFilterConfig = b.pickerFilters(t.Backend, mode, refs)
	return out
}

func internalServerError() *faultv3.HTTPFault {
	return &faultv3.HTTPFault{Abort: &faultv3.FaultAbort{
		ErrorType:  &faultv3.FaultAbort_HttpStatus{HttpStatus: 500},
		Percentage: &typev3.FractionalPercent{Numerator: 100, Denominator: typev3.FractionalPercent_HUNDRED},
	}}
}

func limited(t model.Timeout) bool { return t.Kind == model.LimitedTimeout }

// requestTimeout is the shorter of the two limits, 0 when there is none: a request is tried again only
// before anything of it was sent, so that one attempt is the whole request.
func requestTimeout(f *model.Forward) time.Duration {
	switch {
	case limited(f.Timeout) && limited(f.BackendTimeout):
		return min(f.Timeout.Value, f.BackendTimeout.Value)
	case limited(f.Timeout):
		return f.Timeout.Value
	case limited(f.BackendTimeout):
		return f.BackendTimeout.Value
	}
	return 0
}

// retryPolicy tries again where the request never reached a server: on a further address of the pick, or on
// another endpoint. A server that may have begun to work on it is never asked twice. For it Envoy keeps the body until the
// answer has ended; bodies that are sent in part are beyond the route's limit, and are not tried again
// (docs/decisions/0013-bodies-in-flight.md).
func (b *builder) retryPolicy() *routev3.RetryPolicy {
	return &routev3.RetryPolicy{
		RetryOn:    "connect-failure,refused-stream",
		NumRetries: wrapperspb.UInt32(2),
		RetryHostPredicate: []*routev3.RetryPolicy_RetryHostPredicate{{
			Name: "envoy.retry_host_predicates.previous_hosts",
			ConfigType: &routev3.RetryPolicy_RetryHostPredicate_TypedConfig{
				TypedConfig: b.pack(&previoushostsv3.PreviousHostsPredicate{}),
			},
		}},
		HostSelectionRetryMaxAttempts: 3,
	}
}

func setRewrite(action *routev3.RouteAction, rule *model.Rule) {
	rw := rule.Filters.Rewrite
	if rw.Host != "" {
		action.HostRewriteSpecifier = &routev3.RouteAction_HostRewriteLiteral{HostRewriteLiteral: rw.Host}
	}
	switch rw.Path.Kind {
	case model.ReplaceFullPath:
		action.RegexRewrite = fullRewrite(rw.Path.Value)
	case model.ReplacePrefix:
		action.RegexRewrite = prefixRewrite(rule.Match.Path, rw.Path.Value)
	}
}
