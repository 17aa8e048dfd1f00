// Package source holds the API objects that Switchyard works from, whatever they came from.
//
// A source (file/ or kube/) puts whole views into one Store; everything to the right of it reads immutable
// Objects. It knows no xDS, no Envoy and no picker.
//
//	manifests / API server -> Objects -> Store -> translate, epp
package source

import (
	"cmp"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	infv1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/internal/source/llmd"
)

// Ref names one API object. The zero Namespace means a cluster-scoped object.
type Ref struct {
	Group     string `json:"group,omitempty"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// String gives Kind/namespace/name, the form used in logs and messages.
func (r Ref) String() string {
	if r.Name == "" {
		return r.Kind
	}
	if r.Namespace == "" {
		return r.Kind + "/" + r.Name
	}
	return r.Kind + "/" + r.Namespace + "/" + r.Name
}

// Compare orders refs by group, kind, namespace and name.
func (r Ref) Compare(o Ref) int {
	return cmp.Or(
		strings.Compare(r.Group, o.Group),
		strings.Compare(r.Kind, o.Kind),
		strings.Compare(r.Namespace, o.Namespace),
		strings.Compare(r.Name, o.Name),
	)
}

// Key is a namespaced name. Namespace is empty for cluster-scoped objects.
type Key struct {
	Namespace string
	Name      string
}

// String gives namespace/name.
func (k Key) String() string { return k.Namespace + "/" + k.Name }

// Compare orders keys by namespace, then name.
func (k Key) Compare(o Key) int {
	return cmp.Or(strings.Compare(k.Namespace, o.Namespace), strings.Compare(k.Name, o.Name))
}

// Objects is an immutable view of every object known at one moment. Nobody may change an object reached
// through it. The zero value is an empty view.
type Objects struct {
	GatewayClasses     Set[*gwv1.GatewayClass]
	Gateways           Set[*gwv1.Gateway]
	HTTPRoutes         Set[*gwv1.HTTPRoute]
	GRPCRoutes         Set[*gwv1.GRPCRoute]
	TLSRoutes          Set[*gwv1.TLSRoute]
	TCPRoutes          Set[*gwv1.TCPRoute]
	UDPRoutes          Set[*gwv1.UDPRoute]
	ListenerSets       Set[*gwv1.ListenerSet]
	BackendTLSPolicies Set[*gwv1.BackendTLSPolicy]
	ReferenceGrants    Set[*gwv1.ReferenceGrant]
	InferencePools     Set[*infv1.InferencePool]
	// InferenceObjectives and InferenceModelRewrites are those of the group llm-d.ai, the Older ones those of the group before
	// it. Objectives and ModelRewrites tell which of them count.
	InferenceObjectives         Set[*llmd.InferenceObjective]
	InferenceModelRewrites      Set[*llmd.InferenceModelRewrite]
	OlderInferenceObjectives    Set[*llmd.OlderInferenceObjective]
	OlderInferenceModelRewrites Set[*llmd.OlderInferenceModelRewrite]
	Services                    Set[*corev1.Service]
	EndpointSlices              Set[*discoveryv1.EndpointSlice]
	Pods                        Set[*corev1.Pod]
	Secrets                     Set[*corev1.Secret]
	ConfigMaps                  Set[*corev1.ConfigMap]
	Namespaces                  Set[*corev1.Namespace]
}

// Problem says what is wrong with one piece of input, in words for the person who wrote it.
type Problem struct {
	File     string // path as given, empty for a cluster source
	Document int    // 1-based index of the YAML document in File, 0 when unknown
	Line     int    // 1-based line in File, 0 when unknown
	Object   Ref    // zero when the object could not be read at all
	Field    string // field path such as spec.rules[0].matches[1].path.value
	Message  string // what is wrong
	Fix      string // what to change
}

// Error renders the problem on one line.
func (p Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
		}
		if p.Document > 0 {
			fmt.Fprintf(&b, " (document %d)", p.Document)
		}
		b.WriteString(": ")
	}
	if p.Object != (Ref{}) {
		b.WriteString(p.Object.String() + ": ")
	}
	if p.Field != "" {
		b.WriteString(p.Field + ": ")
	}
	b.WriteString(p.Message)
	if p.Fix != "" {
		b.WriteString("; " + p.Fix)
	}
	return b.String()
}
