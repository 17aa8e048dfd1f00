package gatewayapi

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	infv1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/internal/source/llmd"
)

// loaded holds decoded manifests before they become Sets, so that a test can shuffle them.
type loaded struct {
	classes    []*gwv1.GatewayClass
	gateways   []*gwv1.Gateway
	routes     []*gwv1.HTTPRoute
	grants     []*gwv1.ReferenceGrant
	pools      []*infv1.InferencePool
	services   []*corev1.Service
	slices     []*discoveryv1.EndpointSlice
	pods       []*corev1.Pod
	secrets    []*corev1.Secret
	namespaces []*corev1.Namespace
	configMaps []*corev1.ConfigMap

	objectives      []*llmd.InferenceObjective
	olderObjectives []*llmd.OlderInferenceObjective
	rewrites        []*llmd.InferenceModelRewrite
	olderRewrites   []*llmd.OlderInferenceModelRewrite
}

func (l *loaded) objects() *source.Objects {
	return &source.Objects{
		GatewayClasses:  source.NewSet(l.classes...),
		Gateways:        source.NewSet(l.gateways...),
		HTTPRoutes:      source.NewSet(l.routes...),
		ReferenceGrants: source.NewSet(l.grants...),
		InferencePools:  source.NewSet(l.pools...),
		Services:        source.NewSet(l.services...),
		EndpointSlices:  source.NewSet(l.slices...),
		Pods:            source.NewSet(l.pods...),
		Secrets:         source.NewSet(l.secrets...),
		Namespaces:      source.NewSet(l.namespaces...),
		ConfigMaps:      source.NewSet(l.configMaps...),

		InferenceObjectives:         source.NewSet(l.objectives...),
		OlderInferenceObjectives:    source.NewSet(l.olderObjectives...),
		InferenceModelRewrites:      source.NewSet(l.rewrites...),
		OlderInferenceModelRewrites: source.NewSet(l.olderRewrites...),
	}
}

// load decodes a multi-document YAML text; unknown kinds and unknown fields are errors.
func load(text string) (*loaded, error) {
	l := &loaded{}
	for i, doc := range strings.Split("\n"+text, "\n---\n") {
		if strings.TrimSpace(doc) == "" {
			continue
		}
		if err := l.decode([]byte(doc)); err != nil {
			return nil, fmt.Errorf("document %d: %w", i+1, err)
		}
	}
	return l, nil
}

func (l *loaded) decode(doc []byte) error {
	var head metav1.TypeMeta
	if err := yaml.Unmarshal(doc, &head); err != nil {
		return err
	}
	switch kind := head.APIVersion + " " + head.Kind; kind {
	case "gateway.networking.k8s.io/v1 GatewayClass":
		return decodeInto(doc, &l.classes)
	case "gateway.networking.k8s.io/v1 Gateway":
		return decodeInto(doc, &l.gateways)
	case "gateway.networking.k8s.io/v1 HTTPRoute":
		return decodeInto(doc, &l.routes)
	case "gateway.networking.k8s.io/v1 ReferenceGrant":
		return decodeInto(doc, &l.grants)
	case "inference.networking.k8s.io/v1 InferencePool":
		return decodeInto(doc, &l.pools)
	case "llm-d.ai/v1alpha2 InferenceObjective":
		return decodeInto(doc, &l.objectives)
	case "llm-d.ai/v1alpha2 InferenceModelRewrite":
		return decodeInto(doc, &l.rewrites)
	case "inference.networking.x-k8s.io/v1alpha2 InferenceObjective":
		return decodeInto(doc, &l.olderObjectives)
	case "inference.networking.x-k8s.io/v1alpha2 InferenceModelRewrite":
		return decodeInto(doc, &l.olderRewrites)
	case "v1 Service":
		return decodeInto(doc, &l.services)
	case "discovery.k8s.io/v1 EndpointSlice":
		return decodeInto(doc, &l.slices)
	case "v1 Pod":
		return decodeInto(doc, &l.pods)
	case "v1 Secret":
		return decodeInto(doc, &l.secrets)
	case "v1 ConfigMap":
		return decodeInto(doc, &l.configMaps)
	case "v1 Namespace":
		return decodeInto(doc, &l.namespaces)
	default:
		return fmt.Errorf("kind %q is not known here", kind)
	}
}

func decodeInto[T any](doc []byte, list *[]*T) error {
	object := new(T)
	if err := yaml.UnmarshalStrict(doc, object); err != nil {
		return err
	}
	*list = append(*list, object)
	return nil
}
