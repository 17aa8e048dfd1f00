package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/gatewayapi"
)

// node is one line of the tree with what hangs below it.
type node struct {
	title      string
	conditions []metav1.Condition
	below      []*node
}

// Tree prints classes, Gateways, listeners, routes and pools below each other, then objectives and model rewrites, each with its
// conditions, and tells whether every condition is as it ought to be. What is wrong is spelled out under its line.
func Tree(w io.Writer, objects *source.Objects, s gatewayapi.Statuses) (healthy bool, err error) {
	b := &treeBuilder{objects: objects, statuses: s}
	p := &printer{w: w, healthy: true}
	for _, root := range b.roots() {
		p.print(root, "", "")
	}
	if len(s.GatewayClasses) == 0 {
		p.line("no GatewayClass names controller " + gatewayapi.ControllerName + ": nothing here is ours to serve")
		p.healthy = false
	}
	return p.healthy, p.err
}

type treeBuilder struct {
	objects  *source.Objects
	statuses gatewayapi.Statuses
}

func (b *treeBuilder) roots() []*node {
	var roots []*node
	for _, class := range slices.SortedFunc(maps.Keys(b.statuses.GatewayClasses), source.Key.Compare) {
		root := &node{title: "GatewayClass " + class.Name, conditions: b.statuses.GatewayClasses[class].Conditions}
		for gw := range b.objects.Gateways.All() {
			if string(gw.Spec.GatewayClassName) == class.Name {
				root.below = append(root.below, b.gateway(gw))
			}
		}
		roots = append(roots, root)
	}
	roots = append(roots, b.unattached()...)
	return append(roots, b.rules()...)
}

func (b *treeBuilder) gateway(gw *gwv1.Gateway) *node {
	n := &node{title: "Gateway " + source.KeyOf(gw).String()}
	status := b.statuses.Gateways[source.KeyOf(gw)]
	if status == nil {
		return n
	}
	n.conditions = status.Conditions
	for _, l := range gw.Spec.Listeners {
		ln := &node{title: listenerTitle(&l)}
		for _, ls := range status.Listeners {
			if ls.Name == l.Name {
				ln.title += fmt.Sprintf(", %d routes", ls.AttachedRoutes)
				ln.conditions = ls.Conditions
			}
		}
		n.below = append(n.below, ln)
	}
	for route := range b.objects.HTTPRoutes.All() {
		if parents := b.parentsAt(route, gw); len(parents) > 0 {
			n.below = append(n.below, b.route(route, parents))
		}
	}
	return n
}

func listenerTitle(l *gwv1.Listener) string {
	title := fmt.Sprintf("listener %s, %s port %d", l.Name, l.Protocol, l.Port)
	if l.Hostname != nil && *l.Hostname != "" {
		title += ", " + string(*l.Hostname)
	}
	return title
}

// parentsAt gives the parts of a route's status that speak of one Gateway.
func (b *treeBuilder) parentsAt(route *gwv1.HTTPRoute, gw *gwv1.Gateway) []gwv1.RouteParentStatus {
	status := b.statuses.HTTPRoutes[source.KeyOf(route)]
	if status == nil {
		return nil
	}
	var out []gwv1.RouteParentStatus
	for _, p := range status.Parents {
		namespace := route.Namespace
		if p.ParentRef.Namespace != nil {
			namespace = string(*p.ParentRef.Namespace)
		}
		if namespace == gw.Namespace && string(p.ParentRef.Name) == gw.Name {
			out = append(out, p)
		}
	}
	return out
}

func (b *treeBuilder) route(route *gwv1.HTTPRoute, parents []gwv1.RouteParentStatus) *node {
	n := &node{title: "HTTPRoute " + source.KeyOf(route).String()}
	if len(route.Spec.Hostnames) > 0 {
		names := make([]string, len(route.Spec.Hostnames))
		for i, h := range route.Spec.Hostnames {
			names[i] = string(h)
		}
		n.title += " (" + strings.Join(names, ", ") + ")"
	}
	for _, p := range parents {
		n.conditions = append(n.conditions, p.Conditions...)
	}
	for _, key := range poolsOf(route) {
		n.below = append(n.below, b.pool(key))
	}
	return n
}

// poolsOf lists the pools that a route names, each once.
func poolsOf(route *gwv1.HTTPRoute) []source.Key {
	var out []source.Key
	for _, rule := range route.Spec.Rules {
		for _, ref := range rule.BackendRefs {
			if ref.Kind == nil || *ref.Kind != "InferencePool" {
				continue
			}
			key := source.Key{Namespace: route.Namespace, Name: string(ref.Name)}
			if ref.Namespace != nil {
				key.Namespace = string(*ref.Namespace)
			}
			if !slices.Contains(out, key) {
				out = append(out, key)
			}
		}
	}
	return out
}

func (b *treeBuilder) pool(key source.Key) *node {
	n := &node{title: "InferencePool " + key.String()}
	pool, ok := b.objects.InferencePools.Get(key.Namespace, key.Name)
	if !ok {
		n.title += ", missing"
		return n
	}
	n.title += fmt.Sprintf(", %d endpoints ready", len(b.objects.PoolEndpoints(pool)))
	if status := b.statuses.InferencePools[key]; status != nil {
		for _, p := range status.Parents {
			n.conditions = append(n.conditions, p.Conditions...)
		}
	}
	return n
}

// unattached lists the routes that no Gateway of ours lists.
func (b *treeBuilder) unattached() []*node {
	var out []*node
	for route := range b.objects.HTTPRoutes.All() {
		status := b.statuses.HTTPRoutes[source.KeyOf(route)]
		if status == nil || len(status.Parents) == 0 {
			out = append(out, &node{title: "HTTPRoute " + source.KeyOf(route).String() + ", attached to no Gateway of ours"})
		}
	}
	return out
}

// printer writes nodes; the first error stops it.
type printer struct {
	w       io.Writer
	healthy bool
	err     error
}

func (p *printer) line(text string) {
	if p.err == nil {
		_, p.err = fmt.Fprintln(p.w, text)
	}
}

// print writes a node: first is what stands before its own line, rest before those below it.
func (p *printer) print(n *node, first, rest string) {
	var summary []string
	var wrong []metav1.Condition
	for _, c := range n.conditions {
		mark := "✓"
		if !asItOughtToBe(c) {
			mark = "✗"
			wrong = append(wrong, c)
		}
		if text := c.Type + " " + mark; !slices.Contains(summary, text) {
			summary = append(summary, text)
		}
	}
	text := first + n.title
	if len(summary) > 0 {
		text += "  [" + strings.Join(summary, "  ") + "]"
	}
	p.line(text)
	stem := "   "
	if len(n.below) > 0 {
		stem = "│  "
	}
	for _, c := range wrong {
		p.healthy = false
		p.line(rest + stem + "! " + c.Type + "=" + string(c.Status) + " " + c.Reason + ": " + c.Message)
	}
	for i, child := range n.below {
		if i == len(n.below)-1 {
			p.print(child, rest+"└─ ", rest+"   ")
		} else {
			p.print(child, rest+"├─ ", rest+"│  ")
		}
	}
}

// asItOughtToBe knows the conditions whose good value is False.
func asItOughtToBe(c metav1.Condition) bool {
	switch c.Type {
	case string(gwv1.ListenerConditionConflicted), string(gwv1.RouteConditionPartiallyInvalid):
		return c.Status == metav1.ConditionFalse
	}
	return c.Status == metav1.ConditionTrue
}
