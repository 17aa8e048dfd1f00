package source

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	infv1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/internal/source/llmd"
)

// Find looks an object up by its reference. Its group counts only where two groups have the kind.
func (o *Objects) Find(r Ref) (metav1.Object, bool) {
	switch r.Kind {
	case "GatewayClass":
		return find(o.GatewayClasses, r)
	case "Gateway":
		return find(o.Gateways, r)
	case "HTTPRoute":
		return find(o.HTTPRoutes, r)
	case "GRPCRoute":
		return find(o.GRPCRoutes, r)
	case "TLSRoute":
		return find(o.TLSRoutes, r)
	case "TCPRoute":
		return find(o.TCPRoutes, r)
	case "UDPRoute":
		return find(o.UDPRoutes, r)
	case "ListenerSet":
		return find(o.ListenerSets, r)
	case "BackendTLSPolicy":
		return find(o.BackendTLSPolicies, r)
	case "ReferenceGrant":
		return find(o.ReferenceGrants, r)
	case "InferencePool":
		return find(o.InferencePools, r)
	case llmd.ObjectiveKind:
		if r.Group == llmd.OlderGroup {
			return find(o.OlderInferenceObjectives, r)
		}
		return find(o.InferenceObjectives, r)
	case llmd.RewriteKind:
		if r.Group == llmd.OlderGroup {
			return find(o.OlderInferenceModelRewrites, r)
		}
		return find(o.InferenceModelRewrites, r)
	case "Service":
		return find(o.Services, r)
	case "EndpointSlice":
		return find(o.EndpointSlices, r)
	case "Pod":
		return find(o.Pods, r)
	case "Secret":
		return find(o.Secrets, r)
	case "ConfigMap":
		return find(o.ConfigMaps, r)
	case "Namespace":
		return find(o.Namespaces, r)
	}
	return nil, false
}

func find[T metav1.Object](s Set[T], r Ref) (metav1.Object, bool) {
	o, ok := s.Get(r.Namespace, r.Name)
	if !ok {
		return nil, false
	}
	return o, true
}

// Put makes object the one that is known by r, in this copy of the view alone; nil removes it. The object
// must be of the kind that r names.
func (o *Objects) Put(r Ref, object metav1.Object) {
	switch r.Kind {
	case "GatewayClass":
		put[*gwv1.GatewayClass](&o.GatewayClasses, r, object)
	case "Gateway":
		put[*gwv1.Gateway](&o.Gateways, r, object)
	case "HTTPRoute":
		put[*gwv1.HTTPRoute](&o.HTTPRoutes, r, object)
	case "GRPCRoute":
		put[*gwv1.GRPCRoute](&o.GRPCRoutes, r, object)
	case "TLSRoute":
		put[*gwv1.TLSRoute](&o.TLSRoutes, r, object)
	case "TCPRoute":
		put[*gwv1.TCPRoute](&o.TCPRoutes, r, object)
	case "UDPRoute":
		put[*gwv1.UDPRoute](&o.UDPRoutes, r, object)
	case "ListenerSet":
		put[*gwv1.ListenerSet](&o.ListenerSets, r, object)
	case "BackendTLSPolicy":
		put[*gwv1.BackendTLSPolicy](&o.BackendTLSPolicies, r, object)
	case "ReferenceGrant":
		put[*gwv1.ReferenceGrant](&o.ReferenceGrants, r, object)
	case "InferencePool":
		put[*infv1.InferencePool](&o.InferencePools, r, object)
	case llmd.ObjectiveKind:
		if r.Group == llmd.OlderGroup {
			put[*llmd.OlderInferenceObjective](&o.OlderInferenceObjectives, r, object)
			return
		}
		put[*llmd.InferenceObjective](&o.InferenceObjectives, r, object)
	case llmd.RewriteKind:
		if r.Group == llmd.OlderGroup {
			put[*llmd.OlderInferenceModelRewrite](&o.OlderInferenceModelRewrites, r, object)
			return
		}
		put[*llmd.InferenceModelRewrite](&o.InferenceModelRewrites, r, object)
	case "Service":
		put[*corev1.Service](&o.Services, r, object)
	case "EndpointSlice":
		put[*discoveryv1.EndpointSlice](&o.EndpointSlices, r, object)
	case "Pod":
		put[*corev1.Pod](&o.Pods, r, object)
	case "Secret":
		put[*corev1.Secret](&o.Secrets, r, object)
	case "ConfigMap":
		put[*corev1.ConfigMap](&o.ConfigMaps, r, object)
	case "Namespace":
		put[*corev1.Namespace](&o.Namespaces, r, object)
	}
}

func put[T metav1.Object](s *Set[T], r Ref, object metav1.Object) {
	if o, ok := object.(T); ok {
		*s = s.With(o)
	} else {
		*s = s.Without(Key{Namespace: r.Namespace, Name: r.Name})
	}
}
