package stage

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// Headers that the routes' filters set, on the way to the backend and on the way back.
const (
	RequestHeader  = "X-Bench-Request"
	ResponseHeader = "X-Bench-Response"
)

// FlipHost is the host of the route that alternates, and FlipValue what its filter puts into ResponseHeader.
const (
	FlipHost  = "flip.example.com"
	FlipValue = "port-a"
	flipName  = "flip"
)

// absentBackend is a Service that is never made.
const absentBackend = "no-such-backend"

// populationLabel marks the routes that only stand there.
const populationLabel = "bench-population"

// MakePopulation makes the Services of n applications without pods. Their routes come with MakePopulationRoutes, so that only those are
// measured.
func (s *Stage) MakePopulation(ctx context.Context, n int) error {
	return s.each(ctx, n, "Services of the population", func(ctx context.Context, i int) error {
		service := &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: appName(i)},
			Spec: corev1.ServiceSpec{
				Selector: map[string]string{appLabel: appName(i)},
				Ports:    []corev1.ServicePort{{Port: 80}},
			},
		}
		return s.Client.Create(ctx, service)
	})
}

// MakePopulationRoutes returns when the last create has returned.
func (s *Stage) MakePopulationRoutes(ctx context.Context, n int) error {
	return s.each(ctx, n, "HTTPRoutes made", func(ctx context.Context, i int) error {
		route := s.route(appName(i), appName(i)+".example.com", rule("", nil, appName(i), 80))
		route.Labels = map[string]string{populationLabel: "true"}
		return s.Client.Create(ctx, route)
	})
}

// DeletePopulationRoutes deletes them one by one, as their owners would, and returns when the last delete has returned.
func (s *Stage) DeletePopulationRoutes(ctx context.Context, n int) error {
	return s.each(ctx, n, "HTTPRoutes deleted", func(ctx context.Context, i int) error {
		return s.Client.Delete(ctx, s.route(appName(i), ""))
	})
}

func appName(i int) string { return fmt.Sprintf("app-%05d", i) }

// ProbeHost, ProbePath and ProbeValue are what the r-th probed route matches, and what its filters set.
func ProbeHost(r int) string { return fmt.Sprintf("%d-route.example.com", r) }

// ProbePath is matched by the rule with a backend; all other paths of the host go to one that does not exist.
func ProbePath(r int) string { return fmt.Sprintf("/%d", r) }

// ProbeValue is in both headers of an answer that took the right rule.
func ProbeValue(r int) string { return fmt.Sprintf("route-%d", r) }

func probeName(r int) string { return fmt.Sprintf("probe-%05d", r) }

// MakeProbeRoute makes the r-th probed route; it returns when the API server has acknowledged it.
func (s *Stage) MakeProbeRoute(ctx context.Context, r int) error {
	set := func(name gatewayv1.HTTPHeaderName) *gatewayv1.HTTPHeaderFilter {
		return &gatewayv1.HTTPHeaderFilter{Set: []gatewayv1.HTTPHeader{{Name: name, Value: ProbeValue(r)}}}
	}
	filters := []gatewayv1.HTTPRouteFilter{
		{Type: gatewayv1.HTTPRouteFilterRequestHeaderModifier, RequestHeaderModifier: set(RequestHeader)},
		{Type: gatewayv1.HTTPRouteFilterResponseHeaderModifier, ResponseHeaderModifier: set(ResponseHeader)},
	}
	route := s.route(probeName(r), ProbeHost(r), rule(ProbePath(r), filters, BackendName, PortA.Number), rule("/", nil, absentBackend, 80))
	if err := s.Client.Create(ctx, route); err != nil {
		return fmt.Errorf("create HTTPRoute %s: %w", route.Name, err)
	}
	return nil
}

// DeleteProbeRoutes deletes the first n probed routes.
func (s *Stage) DeleteProbeRoutes(ctx context.Context, n int) error {
	return s.each(ctx, n, "probed HTTPRoutes deleted", func(ctx context.Context, r int) error {
		return client.IgnoreNotFound(s.Client.Delete(ctx, s.route(probeName(r), "")))
	})
}

// MakeFlipRoute makes the route that alternates, on its way to port A.
func (s *Stage) MakeFlipRoute(ctx context.Context) error {
	if err := s.Client.Create(ctx, s.route(flipName, FlipHost, flipRule(PortA))); err != nil {
		return fmt.Errorf("create HTTPRoute %s: %w", flipName, err)
	}
	return nil
}

// Flip sends the route to the other port. The filter is there with port A only.
func (s *Stage) Flip(ctx context.Context, to Port) error {
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"rules": []gatewayv1.HTTPRouteRule{flipRule(to)}}})
	if err != nil {
		return fmt.Errorf("encode the rule to %s: %w", to.Name, err)
	}
	// A merge patch replaces the list of rules and does not conflict with the controller's writes of the status.
	if err := s.Client.Patch(ctx, s.route(flipName, ""), client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("flip HTTPRoute %s to %s: %w", flipName, to.Name, err)
	}
	return nil
}

// DeleteFlipRoute deletes the route that alternates.
func (s *Stage) DeleteFlipRoute(ctx context.Context) error {
	return client.IgnoreNotFound(s.Client.Delete(ctx, s.route(flipName, "")))
}

func flipRule(to Port) gatewayv1.HTTPRouteRule {
	var filters []gatewayv1.HTTPRouteFilter
	if to == PortA {
		filters = []gatewayv1.HTTPRouteFilter{{
			Type: gatewayv1.HTTPRouteFilterResponseHeaderModifier,
			ResponseHeaderModifier: &gatewayv1.HTTPHeaderFilter{
				Set: []gatewayv1.HTTPHeader{{Name: ResponseHeader, Value: FlipValue}},
			},
		}}
	}
	return rule("/", filters, BackendName, to.Number)
}

func (s *Stage) route(name, host string, rules ...gatewayv1.HTTPRouteRule) *gatewayv1.HTTPRoute {
	route := &gatewayv1.HTTPRoute{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: name}}
	route.Spec.ParentRefs = []gatewayv1.ParentReference{{Name: GatewayName}}
	if host != "" {
		route.Spec.Hostnames = []gatewayv1.Hostname{gatewayv1.Hostname(host)}
	}
	route.Spec.Rules = rules
	return route
}

// rule without a path matches everything, as the API server's default says.
func rule(path string, filters []gatewayv1.HTTPRouteFilter, backend string, port int32) gatewayv1.HTTPRouteRule {
	r := gatewayv1.HTTPRouteRule{Filters: filters}
	if path != "" {
		prefix := gatewayv1.PathMatchPathPrefix
		r.Matches = []gatewayv1.HTTPRouteMatch{{Path: &gatewayv1.HTTPPathMatch{Type: &prefix, Value: &path}}}
	}
	ref := gatewayv1.HTTPBackendRef{}
	ref.Name, ref.Port = gatewayv1.ObjectName(backend), &port
	r.BackendRefs = []gatewayv1.HTTPBackendRef{ref}
	return r
}
