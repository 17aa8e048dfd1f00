package kube

import (
	"iter"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	infv1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/internal/source/llmd"
)

// object is any of the typed API objects.
type object interface {
	metav1.Object
	runtime.Object
}

// pointer is an object by its Go type.
type pointer[T any] interface {
	*T
	object
}

// changes maps a key to its new object, or to nil when it is gone.
type changes map[source.Key]object

// kind is what is known of one API kind.
type kind struct {
	group, name, resource string
	// versions that can be read, best first. All have the JSON shape of the first, and are decoded as that.
	versions      []string
	clusterScoped bool
	custom        bool // its CRD may be absent
	needed        bool // without it no Gateway is served
	spare         bool // its absence is worth no word, even where it was asked for by name
	older         bool // another group has the kind now

	newObject, newList func() runtime.Object
	trim               func(object) object
	merge              func(*source.Objects, changes) change
	keys               func(*source.Objects) iter.Seq[source.Key]
	count              func(*source.Objects) int
}

func (k *kind) groupVersion(version string) schema.GroupVersion {
	return schema.GroupVersion{Group: k.group, Version: version}
}

// id tells the kinds apart; it is the name, except for one that another group has now.
func (k *kind) id() string {
	if k.older {
		return k.name + "." + k.group
	}
	return k.name
}

// resourceName is how RBAC and messages name the kind, such as gateways.gateway.networking.k8s.io.
func (k *kind) resourceName() string {
	if k.group == "" {
		return k.resource
	}
	return k.resource + "." + k.group
}

const (
	gatewayGroup   = gwv1.GroupName
	inferenceGroup = "inference.networking.k8s.io"
	namespaceKind  = "Namespace"
)

// What the API server of a cluster may serve. The bundles of Gateway API 1.6 serve v1 of every kind; before, the
// younger kinds were alpha with the same fields. BackendTLSPolicy is the exception: its v1alpha2 had other fields.
var (
	v1Only    = []string{"v1"}
	v1OrBeta  = []string{"v1", "v1beta1"}
	v1OrAlpha = []string{"v1", "v1alpha2"}
)

var kinds = []*kind{
	gateway("GatewayClass", v1OrBeta, func(o *source.Objects) *source.Set[*gwv1.GatewayClass] { return &o.GatewayClasses },
		listOf[gwv1.GatewayClassList], func(o *gwv1.GatewayClass) { o.Status = gwv1.GatewayClassStatus{} }).inCluster().need(),
	gateway("Gateway", v1OrBeta, func(o *source.Objects) *source.Set[*gwv1.Gateway] { return &o.Gateways },
		listOf[gwv1.GatewayList], func(o *gwv1.Gateway) { o.Status = gwv1.GatewayStatus{} }).need(),
	gateway("HTTPRoute", v1OrBeta, func(o *source.Objects) *source.Set[*gwv1.HTTPRoute] { return &o.HTTPRoutes },
		listOf[gwv1.HTTPRouteList], func(o *gwv1.HTTPRoute) { o.Status = gwv1.HTTPRouteStatus{} }).need(),
	gateway("GRPCRoute", v1OrAlpha, func(o *source.Objects) *source.Set[*gwv1.GRPCRoute] { return &o.GRPCRoutes },
		listOf[gwv1.GRPCRouteList], func(o *gwv1.GRPCRoute) { o.Status = gwv1.GRPCRouteStatus{} }),
	gateway("TLSRoute", []string{"v1", "v1alpha3", "v1alpha2"}, func(o *source.Objects) *source.Set[*gwv1.TLSRoute] { return &o.TLSRoutes },
		listOf[gwv1.TLSRouteList], func(o *gwv1.TLSRoute) { o.Status = gwv1.TLSRouteStatus{} }),
	gateway("TCPRoute", v1OrAlpha, func(o *source.Objects) *source.Set[*gwv1.TCPRoute] { return &o.TCPRoutes },
		listOf[gwv1.TCPRouteList], func(o *gwv1.TCPRoute) { o.Status = gwv1.TCPRouteStatus{} }),
	gateway("UDPRoute", v1OrAlpha, func(o *source.Objects) *source.Set[*gwv1.UDPRoute] { return &o.UDPRoutes },
		listOf[gwv1.UDPRouteList], func(o *gwv1.UDPRoute) { o.Status = gwv1.UDPRouteStatus{} }),
	gateway("ListenerSet", v1Only, func(o *source.Objects) *source.Set[*gwv1.ListenerSet] { return &o.ListenerSets },
		listOf[gwv1.ListenerSetList], func(o *gwv1.ListenerSet) { o.Status = gwv1.ListenerSetStatus{} }),
	gateway("BackendTLSPolicy", []string{"v1", "v1alpha3"}, func(o *source.Objects) *source.Set[*gwv1.BackendTLSPolicy] { return &o.BackendTLSPolicies },
		listOf[gwv1.BackendTLSPolicyList], func(o *gwv1.BackendTLSPolicy) { o.Status = gwv1.PolicyStatus{} }),
	gateway("ReferenceGrant", v1OrBeta, func(o *source.Objects) *source.Set[*gwv1.ReferenceGrant] { return &o.ReferenceGrants },
		listOf[gwv1.ReferenceGrantList], nil),
	inference("InferencePool", v1Only, func(o *source.Objects) *source.Set[*infv1.InferencePool] { return &o.InferencePools },
		listOf[infv1.InferencePoolList], func(o *infv1.InferencePool) { o.Status = infv1.InferencePoolStatus{} }),
	llmDRouter(llmd.Group, llmd.ObjectiveKind, func(o *source.Objects) *source.Set[*llmd.InferenceObjective] { return &o.InferenceObjectives },
		listOf[llmd.InferenceObjectiveList], func(o *llmd.InferenceObjective) { o.Status = llmd.InferenceObjectiveStatus{} }),
	llmDRouter(llmd.Group, llmd.RewriteKind, func(o *source.Objects) *source.Set[*llmd.InferenceModelRewrite] { return &o.InferenceModelRewrites },
		listOf[llmd.InferenceModelRewriteList], func(o *llmd.InferenceModelRewrite) { o.Status = llmd.InferenceModelRewriteStatus{} }),
	llmDRouter(llmd.OlderGroup, llmd.ObjectiveKind, func(o *source.Objects) *source.Set[*llmd.OlderInferenceObjective] { return &o.OlderInferenceObjectives },
		listOf[llmd.OlderInferenceObjectiveList], func(o *llmd.OlderInferenceObjective) { o.Status = llmd.InferenceObjectiveStatus{} }),
	llmDRouter(llmd.OlderGroup, llmd.RewriteKind, func(o *source.Objects) *source.Set[*llmd.OlderInferenceModelRewrite] {
		return &o.OlderInferenceModelRewrites
	},
		listOf[llmd.OlderInferenceModelRewriteList], func(o *llmd.OlderInferenceModelRewrite) { o.Status = llmd.InferenceModelRewriteStatus{} }),
	core("", "Service", func(o *source.Objects) *source.Set[*corev1.Service] { return &o.Services }, listOf[corev1.ServiceList], trimService),
	core(discoveryv1.GroupName, "EndpointSlice", func(o *source.Objects) *source.Set[*discoveryv1.EndpointSlice] { return &o.EndpointSlices },
		listOf[discoveryv1.EndpointSliceList], trimEndpointSlice),
	core("", "Pod", func(o *source.Objects) *source.Set[*corev1.Pod] { return &o.Pods }, listOf[corev1.PodList], trimPod),
	core("", "Secret", func(o *source.Objects) *source.Set[*corev1.Secret] { return &o.Secrets }, listOf[corev1.SecretList], trimSecret),
	core("", "ConfigMap", func(o *source.Objects) *source.Set[*corev1.ConfigMap] { return &o.ConfigMaps }, listOf[corev1.ConfigMapList], trimConfigMap),
	core("", namespaceKind, func(o *source.Objects) *source.Set[*corev1.Namespace] { return &o.Namespaces }, listOf[corev1.NamespaceList], trimNamespace).inCluster(),
}

func listOf[L any, P interface {
	*L
	runtime.Object
}]() runtime.Object {
	return P(new(L))
}

func gateway[T any, P pointer[T]](name string, versions []string, set func(*source.Objects) *source.Set[P], list func() runtime.Object, clearStatus func(P)) *kind {
	k := define(gatewayGroup, name, versions, set, list, nil, clearStatus)
	k.custom = true
	return k
}

func inference[T any, P pointer[T]](name string, versions []string, set func(*source.Objects) *source.Set[P], list func() runtime.Object, clearStatus func(P)) *kind {
	k := define(inferenceGroup, name, versions, set, list, nil, clearStatus)
	k.custom = true
	return k
}

// llmDRouter is a kind of the llm-d Router, of which most clusters have none, or in one of the two groups alone.
func llmDRouter[T any, P pointer[T]](group, name string, set func(*source.Objects) *source.Set[P], list func() runtime.Object, clearStatus func(P)) *kind {
	withoutAnnotations := func(o P) P {
		dropAnnotations(o)
		return o
	}
	k := define(group, name, []string{llmd.Version}, set, list, withoutAnnotations, clearStatus)
	k.custom, k.spare, k.older = true, true, group == llmd.OlderGroup
	return k
}

func core[T any, P pointer[T]](group, name string, set func(*source.Objects) *source.Set[P], list func() runtime.Object, trim func(P) P) *kind {
	return define(group, name, v1Only, set, list, trim, nil)
}

// define ties a kind to its Go type and to its place in source.Objects. clearStatus empties the status that nothing but a
// status writer reads; nil when the status means something to the translation, or there is none.
func define[T any, P pointer[T]](group, name string, versions []string, set func(*source.Objects) *source.Set[P],
	list func() runtime.Object, trim func(P) P, clearStatus func(P)) *kind {
	return &kind{
		group: group, name: name, resource: plural(name), versions: versions,
		newObject: func() runtime.Object { return P(new(T)) },
		newList:   list,
		trim: func(o object) object {
			if p, ok := o.(P); ok && trim != nil {
				return trim(p)
			}
			return o
		},
		merge: func(o *source.Objects, c changes) change { return mergeInto(set(o), c, clearStatus) },
		count: func(o *source.Objects) int { return set(o).Len() },
		keys: func(o *source.Objects) iter.Seq[source.Key] {
			return func(yield func(source.Key) bool) {
				for p := range set(o).All() {
					if !yield(source.KeyOf(p)) {
						return
					}
				}
			}
		},
	}
}

func (k *kind) inCluster() *kind {
	k.clusterScoped = true
	return k
}

func (k *kind) need() *kind {
	k.needed = true
	return k
}

// plural makes the resource's name of the kind's, by the rule that all kinds here follow.
func plural(name string) string {
	name = strings.ToLower(name)
	switch {
	case strings.HasSuffix(name, "policy"):
		return strings.TrimSuffix(name, "y") + "ies"
	case strings.HasSuffix(name, "s"):
		return name + "es"
	}
	return name + "s"
}

func kindNames(of []*kind) []string {
	var out []string
	for _, k := range of {
		if !slices.Contains(out, k.name) {
			out = append(out, k.name)
		}
	}
	return out
}

// newScheme knows each kind in every version that can be read, as one Go type: the fields are the same, so the decoder
// does the conversion.
func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	for _, k := range kinds {
		for _, version := range k.versions {
			gv := k.groupVersion(version)
			scheme.AddKnownTypeWithName(gv.WithKind(k.name), k.newObject())
			scheme.AddKnownTypeWithName(gv.WithKind(k.name+"List"), k.newList())
			metav1.AddToGroupVersion(scheme, gv)
		}
	}
	return scheme
}

// newMapper knows the resource of each kind, so that no discovery is needed to watch one.
func newMapper() meta.RESTMapper {
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, k := range kinds {
		scope := meta.RESTScopeNamespace
		if k.clusterScoped {
			scope = meta.RESTScopeRoot
		}
		for _, version := range k.versions {
			gv := k.groupVersion(version)
			mapper.AddSpecific(gv.WithKind(k.name), gv.WithResource(k.resource), gv.WithResource(strings.ToLower(k.name)), scope)
		}
	}
	return mapper
}
