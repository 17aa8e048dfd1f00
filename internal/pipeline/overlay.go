package pipeline

import (
	"fmt"
	"maps"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/gatewayapi"
	"github.com/switchyard/switchyard/translate/resource"
)

// RejectedByProxy is the reason of the condition of an object that proxies refused.
const RejectedByProxy = "RejectedByProxy"

// acceptedType is the type of the condition that says so, of routes and pools alike.
const acceptedType = string(gwv1.RouteConditionAccepted)

// overlay writes into the statuses what proxies refused. Statuses that it changes are copied.
func (q *quarantine) overlay(s *gatewayapi.Statuses) {
	if len(q.entries) == 0 && len(q.refused) == 0 {
		return
	}
	routes, pools := maps.Clone(s.HTTPRoutes), maps.Clone(s.InferencePools)
	for ref, e := range q.entries {
		key := source.Key{Namespace: ref.Namespace, Name: ref.Name}
		if status, ok := routes[key]; ok && ref.Kind == "HTTPRoute" {
			status = status.DeepCopy()
			for i := range status.Parents {
				setFalse(status.Parents[i].Conditions, acceptedType, RejectedByProxy, e.text())
			}
			routes[key] = status
		}
		if status, ok := pools[key]; ok && ref.Kind == "InferencePool" {
			status = status.DeepCopy()
			for i := range status.Parents {
				setFalse(status.Parents[i].Conditions, acceptedType, RejectedByProxy, e.text())
			}
			pools[key] = status
		}
	}
	s.HTTPRoutes, s.InferencePools = routes, pools
	s.Gateways = q.overlayGateways(s.Gateways)
}

// overlayGateways reports listeners that proxies refuse: a Gateway is never set aside, and without it there is
// nobody else to tell.
func (q *quarantine) overlayGateways(gateways map[source.Key]*gwv1.GatewayStatus) map[source.Key]*gwv1.GatewayStatus {
	out := maps.Clone(gateways)
	for at, r := range q.refused {
		if at.id.Type != resource.ListenerType {
			continue
		}
		for _, ref := range q.current[at].sources {
			key := source.Key{Namespace: ref.Namespace, Name: ref.Name}
			if status, ok := out[key]; ok && ref.Kind == "Gateway" {
				status = status.DeepCopy()
				setFalse(status.Conditions, string(gwv1.GatewayConditionProgrammed), RejectedByProxy,
					fmt.Sprintf("the proxies refuse listener %s and keep what they had; change what they name: %s", at.id.Name, r.message))
				out[key] = status
			}
		}
	}
	return out
}

// text tells the object's owner what happened to it.
func (e *entry) text() string {
	serving := "it is not served"
	if e.good != nil {
		serving = "the version before it goes on being served"
	}
	if !e.sure {
		return fmt.Sprintf("the proxies refuse something that changed together with this version; while it is found out what, %s: %s", serving, e.message)
	}
	return fmt.Sprintf("the proxies refuse this version and %s; change what they name: %s", serving, e.message)
}

func setFalse(conditions []metav1.Condition, kind, reason, message string) {
	for i := range conditions {
		if c := &conditions[i]; c.Type == kind {
			c.Status, c.Reason, c.Message = metav1.ConditionFalse, reason, message
		}
	}
}
