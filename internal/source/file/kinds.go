package file

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
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

// kind is what is known of one API kind.
type kind struct {
	group, name   string
	versions      []string // accepted; the first is the one objects are stored as
	clusterScoped bool
	custom        bool // checked against a CRD schema; otherwise by its Go type
	keepStatus    bool // a manifest's status means something in file mode
	checkName     func(string) []string

	newObject func() object
	settle    func(object)                   // core kinds: defaults; nil when there are none
	check     func(object) []source.Problem  // core kinds: what the Go type cannot say; nil when nothing
	replace   func(*source.Objects, changes) // puts changed objects into their set
}

// changes maps a key to its new object, or to nil when it is gone.
type changes map[source.Key]object

func (k *kind) apiVersion(version string) string {
	if k.group == "" {
		return version
	}
	return k.group + "/" + version
}

const (
	gatewayGroup   = gwv1.GroupName
	inferenceGroup = "inference.networking.k8s.io"
)

var (
	v1AndBeta = []string{"v1", "v1beta1"}
	v1Only    = []string{"v1"}
	alphaOnly = []string{llmd.Version}
)

var kinds = []*kind{
	custom(gatewayGroup, "GatewayClass", v1AndBeta, func(o *source.Objects) *source.Set[*gwv1.GatewayClass] { return &o.GatewayClasses }).cluster(),
	custom(gatewayGroup, "Gateway", v1AndBeta, func(o *source.Objects) *source.Set[*gwv1.Gateway] { return &o.Gateways }),
	custom(gatewayGroup, "HTTPRoute", v1AndBeta, func(o *source.Objects) *source.Set[*gwv1.HTTPRoute] { return &o.HTTPRoutes }),
	custom(gatewayGroup, "ReferenceGrant", v1AndBeta, func(o *source.Objects) *source.Set[*gwv1.ReferenceGrant] { return &o.ReferenceGrants }),
	custom(inferenceGroup, "InferencePool", v1Only, func(o *source.Objects) *source.Set[*infv1.InferencePool] { return &o.InferencePools }),
	custom(llmd.Group, llmd.ObjectiveKind, alphaOnly, func(o *source.Objects) *source.Set[*llmd.InferenceObjective] { return &o.InferenceObjectives }),
	custom(llmd.Group, llmd.RewriteKind, alphaOnly, func(o *source.Objects) *source.Set[*llmd.InferenceModelRewrite] { return &o.InferenceModelRewrites }),
	custom(llmd.OlderGroup, llmd.ObjectiveKind, alphaOnly, func(o *source.Objects) *source.Set[*llmd.OlderInferenceObjective] { return &o.OlderInferenceObjectives }),
	custom(llmd.OlderGroup, llmd.RewriteKind, alphaOnly, func(o *source.Objects) *source.Set[*llmd.OlderInferenceModelRewrite] {
		return &o.OlderInferenceModelRewrites
	}),
	core("", "Service", func(o *source.Objects) *source.Set[*corev1.Service] { return &o.Services }, settleService, checkService).labelNamed(),
	core(discoveryv1.GroupName, "EndpointSlice", func(o *source.Objects) *source.Set[*discoveryv1.EndpointSlice] { return &o.EndpointSlices }, settleEndpointSlice, checkEndpointSlice),
	core("", "Pod", func(o *source.Objects) *source.Set[*corev1.Pod] { return &o.Pods }, settlePod, checkPod).withStatus(),
	core("", "Secret", func(o *source.Objects) *source.Set[*corev1.Secret] { return &o.Secrets }, settleSecret, checkSecret),
	core("", "ConfigMap", func(o *source.Objects) *source.Set[*corev1.ConfigMap] { return &o.ConfigMaps }, nil, checkConfigMap),
	core("", "Namespace", func(o *source.Objects) *source.Set[*corev1.Namespace] { return &o.Namespaces }, settleNamespace, nil).cluster().labelNamed(),
}

// typed is a pointer to a Go type that is an API object.
type typed[T any] interface {
	*T
	object
}

func custom[T any, P typed[T]](group, name string, versions []string, set func(*source.Objects) *source.Set[P]) *kind {
	return &kind{
		group: group, name: name, versions: versions, custom: true,
		checkName: validation.IsDNS1123Subdomain,
		newObject: func() object { return P(new(T)) },
		replace:   replaceIn(set),
	}
}

func core[T any, P typed[T]](group, name string, set func(*source.Objects) *source.Set[P], settle func(P), check func(P) []source.Problem) *kind {
	k := &kind{
		group: group, name: name, versions: v1Only,
		checkName: validation.IsDNS1123Subdomain,
		newObject: func() object { return P(new(T)) },
		replace:   replaceIn(set),
	}
	if settle != nil {
		k.settle = func(o object) { settle(o.(P)) }
	}
	if check != nil {
		k.check = func(o object) []source.Problem { return check(o.(P)) }
	}
	return k
}

func (k *kind) cluster() *kind    { k.clusterScoped = true; return k }
func (k *kind) withStatus() *kind { k.keepStatus = true; return k }
func (k *kind) labelNamed() *kind { k.checkName = validation.IsDNS1123Label; return k }

func replaceIn[P object](set func(*source.Objects) *source.Set[P]) func(*source.Objects, changes) {
	return func(objects *source.Objects, changed changes) {
		next := make(map[source.Key]*P, len(changed))
		for key, o := range changed {
			if o == nil {
				next[key] = nil
				continue
			}
			p := o.(P)
			next[key] = &p
		}
		s := set(objects)
		*s = s.Replace(next)
	}
}

// findKind gives the kind of an apiVersion and kind. version is empty when the kind is known but not in
// that version; found is nil when it is not known.
func findKind(apiVersion, name string) (found *kind, version string) {
	group, v := splitAPIVersion(apiVersion)
	for _, k := range kinds {
		if k.group == group && k.name == name {
			if slices.Contains(k.versions, v) {
				return k, v
			}
			return k, ""
		}
	}
	return nil, ""
}

func splitAPIVersion(apiVersion string) (group, version string) {
	if group, version, ok := strings.Cut(apiVersion, "/"); ok {
		return group, version
	}
	return "", apiVersion
}

// misspeltKind finds the kind of the same group that differs by one letter or by case, or "". A wider net
// would take TCPRoute for HTTPRoute.
func misspeltKind(group, name string) string {
	for _, k := range kinds {
		if k.group == group && editDistance(strings.ToLower(name), strings.ToLower(k.name), 2) < 2 {
			return k.name
		}
	}
	return ""
}

// fixIgnoredKind tells what to do about an object that means nothing here.
func fixIgnoredKind(name string) string {
	for _, k := range kinds {
		if k.name == name {
			return fmt.Sprintf("if it was meant for this control plane, write apiVersion: %s", k.apiVersion(k.versions[0]))
		}
	}
	return ""
}
