package gatewayapi

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/model"
)

const (
	coreGroup    = ""
	gatewayGroup = gwv1.GroupName
)

// index is what one Build looks up more than once, each computed on first use or in one pass. It lives as
// long as the Build and is used by one goroutine.
type index struct {
	objects  *source.Objects
	opts     Options
	slices   map[source.Key][]*discoveryv1.EndpointSlice // by Service
	grants   map[string][]*gwv1.ReferenceGrant           // by the namespace that grants
	services map[servicePort]*resolvedBackend
	pools    map[source.Key]*resolvedPool
	rewrites map[source.Key]bool // pools that an InferenceModelRewrite names
	secrets  map[source.Key]*resolvedSecret
	// lenient are the Services that pools which serve without a pick name as their pickers.
	lenient map[source.Key]bool
	// parameters are those of the ConfigMaps that classes and Gateways refer to.
	parameters map[source.Key]*parameters
	backends   map[string]*model.Backend // by ID, of the services and pools that resolve
	regexes    map[string]string         // expression -> what is wrong with it
	labels     map[string]labels.Set
}

type servicePort struct {
	service source.Key
	port    int32
}

// resolvedBackend is a backend that a rule may forward to, or why it may not.
type resolvedBackend struct {
	model.Backend
	finding finding
}

func newIndex(in *source.Objects, opts Options) *index {
	x := &index{
		objects:    in,
		opts:       opts,
		slices:     make(map[source.Key][]*discoveryv1.EndpointSlice, in.EndpointSlices.Len()),
		grants:     map[string][]*gwv1.ReferenceGrant{},
		services:   map[servicePort]*resolvedBackend{},
		pools:      map[source.Key]*resolvedPool{},
		rewrites:   map[source.Key]bool{},
		secrets:    map[source.Key]*resolvedSecret{},
		lenient:    map[source.Key]bool{},
		parameters: map[source.Key]*parameters{},
		backends:   map[string]*model.Backend{},
		regexes:    map[string]string{},
		labels:     map[string]labels.Set{},
	}
	for object := range in.ModelRewrites() {
		x.rewrites[source.Key{Namespace: object.Namespace, Name: object.Spec.PoolRef.Name}] = true
	}
	for object := range in.InferencePools.All() {
		if ref := object.Spec.EndpointPickerRef; ref != nil && !failsClosed(object) {
			x.lenient[source.Key{Namespace: object.Namespace, Name: string(ref.Name)}] = true
		}
	}
	for s := range in.EndpointSlices.All() {
		if name := s.Labels[discoveryv1.LabelServiceName]; name != "" {
			key := source.Key{Namespace: s.Namespace, Name: name}
			x.slices[key] = append(x.slices[key], s)
		}
	}
	for g := range in.ReferenceGrants.All() {
		x.grants[g.Namespace] = append(x.grants[g.Namespace], g)
	}
	return x
}

// referrer is the side of a reference that a ReferenceGrant names in spec.from.
type referrer struct {
	group, kind, namespace string
}

// permits tells whether an object may refer to the target: both are in one namespace, or a ReferenceGrant
// in the target's namespace says so.
func (x *index) permits(from referrer, to source.Ref) bool {
	if from.namespace == to.Namespace {
		return true
	}
	for _, g := range x.grants[to.Namespace] {
		if grantsFrom(g, from) && grantsTo(g, to) {
			return true
		}
	}
	return false
}

func grantsFrom(g *gwv1.ReferenceGrant, from referrer) bool {
	for _, f := range g.Spec.From {
		if string(f.Group) == from.group && string(f.Kind) == from.kind && string(f.Namespace) == from.namespace {
			return true
		}
	}
	return false
}

func grantsTo(g *gwv1.ReferenceGrant, to source.Ref) bool {
	for _, t := range g.Spec.To {
		if string(t.Group) == to.Group && string(t.Kind) == to.Kind &&
			(t.Name == nil || *t.Name == "" || string(*t.Name) == to.Name) {
			return true
		}
	}
	return false
}

// notPermitted says which ReferenceGrant would allow the reference.
func notPermitted(from referrer, to source.Ref) finding {
	return find(string(gwv1.RouteReasonRefNotPermitted),
		"%s %s/%s is in another namespace and no ReferenceGrant there allows it; create one in namespace %s with from %s in %s and to %s %s",
		to.Kind, to.Namespace, to.Name, to.Namespace, from.kind, from.namespace, to.Kind, to.Name)
}

// namespaceLabels gives the labels of a namespace. The label that Kubernetes puts on every namespace is
// there even when the Namespace object is not among the manifests.
func (x *index) namespaceLabels(name string) labels.Set {
	if set, ok := x.labels[name]; ok {
		return set
	}
	set := labels.Set{}
	if ns, ok := x.objects.Namespaces.Get("", name); ok {
		for k, v := range ns.Labels {
			set[k] = v
		}
	}
	set[corev1.LabelMetadataName] = name
	x.labels[name] = set
	return set
}

// valueOr gives what a pointer points to, or the value that the API server would have filled in.
func valueOr[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}
