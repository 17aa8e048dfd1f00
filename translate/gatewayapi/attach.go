package gatewayapi

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	infv1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/internal/source"
)

// parents finds the Gateways that routes name.
type parents struct {
	gateways map[source.Key]*gateway
	// alone is true in file mode when every GatewayClass is ours: then a Gateway that does not exist can only
	// be meant for us, and its routes are told so. On a cluster somebody else's may come any moment.
	alone bool
	known func(source.Key) bool // tells whether the Gateway exists, ours or not
}

// attach joins a route to the listeners that its parentRefs select and reports to each parent of ours. A
// route that names none of ours is not translated at all.
func (p *parents) attach(object *gwv1.HTTPRoute, x *index) *gwv1.HTTPRouteStatus {
	status := &gwv1.HTTPRouteStatus{RouteStatus: gwv1.RouteStatus{Parents: []gwv1.RouteParentStatus{}}}
	var r *route
	for i := range object.Spec.ParentRefs {
		ref := &object.Spec.ParentRefs[i]
		g, key, ours := p.find(object, ref)
		if !ours {
			continue
		}
		if r == nil {
			r = x.translateHTTPRoute(object)
		}
		if g == nil {
			wrong := find(string(gwv1.RouteReasonNoMatchingParent), "Gateway %s does not exist", key).in(at("spec.parentRefs", i))
			status.Parents = append(status.Parents, r.parentStatus(*ref, nil, nil, wrong))
			continue
		}
		listeners, wrong := selectListeners(r, g, ref)
		g.join(r, listeners)
		status.Parents = append(status.Parents, r.parentStatus(*ref, g, listeners, wrong))
	}
	return status
}

// find gives the Gateway that a parentRef names, nil for one that does not exist, and whether it is ours to
// report on.
func (p *parents) find(route *gwv1.HTTPRoute, ref *gwv1.ParentReference) (*gateway, source.Key, bool) {
	if valueOr(ref.Group, gatewayGroup) != gatewayGroup || valueOr(ref.Kind, "Gateway") != "Gateway" {
		return nil, source.Key{}, false
	}
	key := source.Key{Namespace: string(valueOr(ref.Namespace, gwv1.Namespace(route.Namespace))), Name: string(ref.Name)}
	if g, ok := p.gateways[key]; ok {
		return g, key, true
	}
	return nil, key, p.alone && !p.known(key)
}

// selectListeners gives the listeners that a parentRef selects and that take the route, or why there is none.
func selectListeners(r *route, g *gateway, ref *gwv1.ParentReference) ([]*listener, finding) {
	var named, allowed, taken []*listener
	for _, l := range g.listeners {
		if (ref.SectionName == nil || *ref.SectionName == "" || *ref.SectionName == l.spec.Name) &&
			(ref.Port == nil || *ref.Port == l.spec.Port) {
			named = append(named, l)
		}
	}
	if len(named) == 0 {
		return nil, find(string(gwv1.RouteReasonNoMatchingParent), "Gateway %s has no listener %s; its listeners are %s",
			g.key(), describeSection(ref), describeListeners(g.listeners))
	}
	for _, l := range named {
		if l.allows(r.key.Namespace) {
			allowed = append(allowed, l)
		}
	}
	if len(allowed) == 0 {
		return nil, find(string(gwv1.RouteReasonNotAllowedByListeners),
			"allowedRoutes of listener %s of Gateway %s do not admit an HTTPRoute of namespace %s; change namespaces or kinds there",
			listenerNames(named), g.key(), r.key.Namespace)
	}
	for _, l := range allowed {
		if r.meets(l.hostname) {
			taken = append(taken, l)
		}
	}
	if len(taken) == 0 {
		return nil, find(string(gwv1.RouteReasonNoMatchingListenerHostname),
			"%s: no host in common with listener %s; change one of them", joinHostnames(r.hostnames), describeHostnames(allowed)).in("spec.hostnames")
	}
	return taken, finding{}
}

// meets tells whether the route has a host in common with a listener.
func (r *route) meets(listener hostname) bool {
	for _, h := range r.hostnames {
		if _, ok := intersect(h, listener); ok {
			return true
		}
	}
	return len(r.hostnames) == 0
}

// join attaches the route to listeners of the Gateway. A route of which no rule is left answers 500 there
// but does not count as accepted.
func (g *gateway) join(r *route, listeners []*listener) {
	for _, l := range listeners {
		if n := len(l.attached); n > 0 && l.attached[n-1] == r {
			continue // by an earlier parentRef of the same route
		}
		l.attached = append(l.attached, r)
		if !r.brokenAll {
			l.accepted++
		}
	}
	if len(listeners) > 0 && !r.brokenAll {
		for _, pool := range r.pools {
			g.pools[source.KeyOf(pool.object)] = pool
		}
		return
	}
	for _, pool := range r.pools {
		if key := source.KeyOf(pool.object); g.turnedAway[key].pool == nil {
			g.turnedAway[key] = turnedAway{pool: pool, wrong: find(string(infv1.InferencePoolReasonHTTPRouteNotAccepted),
				"HTTPRoute %s is not accepted by the Gateway; see its status", r.key)}
		}
	}
}

// parentStatus reports to one parent; wrong says why the route is not attached there.
func (r *route) parentStatus(ref gwv1.ParentReference, g *gateway, listeners []*listener, wrong finding) gwv1.RouteParentStatus {
	c := conditions{generation: r.object.Generation}
	if !wrong.found() && r.brokenAll {
		wrong = merge(r.broken)
		wrong.message += "; no rule is left, what still matches is answered 500"
	}
	c.addUnless(wrong, string(gwv1.RouteConditionAccepted), string(gwv1.RouteReasonAccepted), acceptedMessage(g, listeners))
	if !wrong.found() && len(r.broken) > 0 {
		f := merge(r.broken)
		c.add(string(gwv1.RouteConditionPartiallyInvalid), metav1.ConditionTrue, f.reason,
			"Dropped Rule, what still matches it is answered 500: "+f.text())
	}
	c.addUnless(merge(r.unsolved), string(gwv1.RouteConditionResolvedRefs),
		string(gwv1.RouteReasonResolvedRefs), "every reference resolves")
	return gwv1.RouteParentStatus{ParentRef: ref, ControllerName: ControllerName, Conditions: c.list}
}

func acceptedMessage(g *gateway, listeners []*listener) string {
	message := "attached to listener " + listenerNames(listeners)
	if g != nil && g.refused.found() {
		return message + "; not served now: the Gateway is not accepted, see its status"
	}
	unserved := slices.DeleteFunc(slices.Clone(listeners), (*listener).served)
	if len(unserved) > 0 {
		message += "; not served now: listener " + listenerNames(unserved) + ", see the Gateway's status"
	}
	return message
}

func listenerNames(listeners []*listener) string {
	names := make([]string, len(listeners))
	for i, l := range listeners {
		names[i] = l.name()
	}
	return strings.Join(names, ", ")
}

func describeSection(ref *gwv1.ParentReference) string {
	var parts []string
	if ref.SectionName != nil && *ref.SectionName != "" {
		parts = append(parts, "named "+string(*ref.SectionName))
	}
	if ref.Port != nil {
		parts = append(parts, fmt.Sprintf("on port %d", *ref.Port))
	}
	if len(parts) == 0 {
		return "at all"
	}
	return strings.Join(parts, " ")
}

func describeListeners(listeners []*listener) string {
	parts := make([]string, len(listeners))
	for i, l := range listeners {
		parts[i] = fmt.Sprintf("%s (port %d)", l.name(), l.spec.Port)
	}
	return strings.Join(parts, ", ")
}

func describeHostnames(listeners []*listener) string {
	parts := make([]string, len(listeners))
	for i, l := range listeners {
		parts[i] = fmt.Sprintf("%s (%s)", l.name(), l.hostname)
	}
	return strings.Join(parts, ", ")
}

func joinHostnames(names []hostname) string {
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = n.String()
	}
	return strings.Join(parts, ", ")
}
