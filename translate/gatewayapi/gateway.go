package gatewayapi

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/model"
)

// gateway is one Gateway of our classes while it is being worked on.
type gateway struct {
	object     *gwv1.Gateway
	ref        source.Ref
	listeners  []*listener
	fleet      model.Fleet
	reach      reach
	refused    finding                      // why the whole Gateway is not accepted
	pools      map[source.Key]*resolvedPool // pools that accepted routes of it refer to
	turnedAway map[source.Key]turnedAway    // pools that refused routes refer to
}

func (g *gateway) key() source.Key { return source.KeyOf(g.object) }

// readGateway checks a Gateway and its listeners.
func (x *index) readGateway(object *gwv1.Gateway, class gatewayClass) *gateway {
	g := &gateway{
		object:     object,
		ref:        source.Ref{Group: gatewayGroup, Kind: "Gateway", Namespace: object.Namespace, Name: object.Name},
		pools:      map[source.Key]*resolvedPool{},
		turnedAway: map[source.Key]turnedAway{},
	}
	for i := range object.Spec.Listeners {
		g.listeners = append(g.listeners, x.readListener(object, i))
	}
	findConflicts(g.listeners)
	fleet, wrong := x.readFleet(object, class)
	g.fleet = fleet
	g.refused = g.findRefusal(class, wrong)
	g.reach = x.findReach(object)
	return g
}

// findRefusal says why the Gateway is not accepted; fleet is what is wrong with the parameters of its fleet.
func (g *gateway) findRefusal(class gatewayClass, fleet finding) finding {
	if class.refused.found() {
		return invalidParameters("GatewayClass %s is not accepted: %s", g.object.Spec.GatewayClassName, class.refused.text())
	}
	if fleet.found() {
		return fleet
	}
	for i, a := range g.object.Spec.Addresses {
		if t := valueOr(a.Type, gwv1.IPAddressType); t != gwv1.IPAddressType {
			return find(string(gwv1.GatewayReasonUnsupportedAddress),
				"%s is not supported; use %s", t, gwv1.IPAddressType).in(at("spec.addresses", i) + ".type")
		}
	}
	for _, l := range g.listeners {
		if !l.refused.found() {
			return finding{}
		}
	}
	return find(string(gwv1.GatewayReasonListenersNotValid), "no listener is valid: %s", g.listenerTrouble())
}

// listenerTrouble says what is wrong with each listener that is not served as asked.
func (g *gateway) listenerTrouble() string {
	var all []finding
	for _, l := range g.listeners {
		for _, f := range []finding{l.refused, l.refs} {
			if f.found() {
				all = append(all, f.about("listener "+l.name()))
			}
		}
	}
	return merge(all).message
}

// status reports on the Gateway and its listeners.
func (g *gateway) status() *gwv1.GatewayStatus {
	c := conditions{generation: g.object.Generation}
	trouble := g.listenerTrouble()
	reason, message := string(gwv1.GatewayReasonAccepted), "every listener is valid"
	if trouble != "" {
		reason, message = string(gwv1.GatewayReasonListenersNotValid), trouble
	}
	c.addUnless(g.refused, string(gwv1.GatewayConditionAccepted), reason, message)
	c.addUnless(g.unprogrammed(trouble), string(gwv1.GatewayConditionProgrammed),
		string(gwv1.GatewayReasonProgrammed), g.servedMessage())
	c.addUnless(g.unresolved(), string(gwv1.GatewayConditionResolvedRefs),
		string(gwv1.GatewayReasonResolvedRefs), "every reference resolves")
	status := &gwv1.GatewayStatus{Addresses: g.reach.addresses, Conditions: c.list, Listeners: []gwv1.ListenerStatus{}}
	for _, l := range g.listeners {
		status.Listeners = append(status.Listeners, g.listenerStatus(l))
	}
	return status
}

// listenerStatus reports on a listener; one that is valid on its own is not programmed when its Gateway is
// refused.
func (g *gateway) listenerStatus(l *listener) gwv1.ListenerStatus {
	status := l.status(g.object.Generation)
	if !g.refused.found() || !l.served() {
		return status
	}
	for i := range status.Conditions {
		if c := &status.Conditions[i]; c.Type == string(gwv1.ListenerConditionProgrammed) {
			c.Status, c.Reason, c.Message = metav1.ConditionFalse, string(gwv1.ListenerReasonInvalid), "the Gateway is not accepted"
		}
	}
	return status
}

func (g *gateway) unprogrammed(trouble string) finding {
	switch {
	case g.refused.found():
		return finding{reason: string(gwv1.GatewayReasonInvalid), message: g.refused.text()}
	case !g.hasServedListener():
		return find(string(gwv1.GatewayReasonInvalid), "no listener can be served: %s", trouble)
	default:
		return g.reach.wrong
	}
}

func (g *gateway) unresolved() finding {
	if t := g.object.Spec.TLS; t != nil && t.Backend != nil && t.Backend.ClientCertificateRef != nil {
		return find(string(gwv1.GatewayReasonInvalidClientCertificateRef),
			"client certificates towards backends are not supported yet; remove the field").in("spec.tls.backend.clientCertificateRef")
	}
	var names []string
	for _, l := range g.listeners {
		if l.refs.found() {
			names = append(names, l.name())
		}
	}
	if len(names) == 0 {
		return finding{}
	}
	return find(string(gwv1.GatewayReasonListenersNotResolved),
		"references of listener %s do not resolve; see the listener's conditions", strings.Join(names, ", "))
}

func (g *gateway) hasServedListener() bool {
	for _, l := range g.listeners {
		if l.served() {
			return true
		}
	}
	return false
}

func (g *gateway) servedMessage() string {
	served := 0
	for _, l := range g.listeners {
		if l.served() {
			served++
		}
	}
	return fmt.Sprintf("%d of %d listeners are part of the proxies' configuration", served, len(g.listeners))
}

// classlessStatus reports on a Gateway whose class does not exist, so that a slip in its name is seen.
func classlessStatus(object *gwv1.Gateway) *gwv1.GatewayStatus {
	c := conditions{generation: object.Generation}
	for _, kind := range []gwv1.GatewayConditionType{gwv1.GatewayConditionAccepted, gwv1.GatewayConditionProgrammed} {
		c.add(string(kind), metav1.ConditionUnknown, string(gwv1.GatewayReasonPending),
			fmt.Sprintf("spec.gatewayClassName: GatewayClass %s does not exist; create it with controllerName %s",
				object.Spec.GatewayClassName, ControllerName))
	}
	return &gwv1.GatewayStatus{Conditions: c.list}
}
