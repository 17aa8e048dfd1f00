package gatewayapi

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/translate/model"
)

// Domains of keys that the objects of a fleet need for themselves: selectors, owners and rollouts hang on
// them. A Gateway that sets one would take its fleet out of hand, so it is refused instead.
//
// Annotations of Kubernetes are allowed but for two domains: clouds are told about load balancers by keys such
// as service.beta.kubernetes.io/aws-load-balancer-type.
var (
	reservedLabels      = []string{"switchyard.dev", gatewayGroup, "kubernetes.io", "k8s.io"}
	reservedAnnotations = []string{"switchyard.dev", gatewayGroup, "kubectl.kubernetes.io", "deployment.kubernetes.io"}
)

// sharedLabels are those of Kubernetes' domains that are made for users, and on which no object of a fleet
// depends.
var sharedLabels = []string{"app.kubernetes.io/version", "app.kubernetes.io/part-of", "app.kubernetes.io/created-by"}

// ownLabels have no domain and belong to Kubernetes all the same.
var ownLabels = []string{"pod-template-hash", "controller-revision-hash"}

// reservedDomain gives the one of the domains that a key belongs to, itself or by a subdomain; empty for none.
func reservedDomain(key string, domains []string) string {
	prefix, _, ok := strings.Cut(key, "/")
	if !ok {
		return ""
	}
	for _, d := range domains {
		if prefix == d || strings.HasSuffix(prefix, "."+d) {
			return d
		}
	}
	return ""
}

// readFleet says how the proxies of a Gateway are to run.
func (x *index) readFleet(object *gwv1.Gateway, class gatewayClass) (model.Fleet, finding) {
	fleet := model.Fleet{Address: firstAddress(object)}
	if wrong := readInfrastructure(object.Spec.Infrastructure, &fleet); wrong.found() {
		return fleet, wrong.in("spec.infrastructure")
	}
	var wrong finding
	fleet.Parameters, wrong = x.gatewayParameters(object, class.parameters)
	return fleet, wrong
}

// readInfrastructure copies labels and annotations.
func readInfrastructure(spec *gwv1.GatewayInfrastructure, fleet *model.Fleet) finding {
	if spec == nil {
		return finding{}
	}
	var wrong []finding
	for _, key := range slices.Sorted(maps.Keys(spec.Labels)) {
		name := string(key)
		reserved := reservedDomain(name, reservedLabels)
		if slices.Contains(sharedLabels, name) {
			reserved = ""
		}
		if slices.Contains(ownLabels, name) {
			reserved = "Kubernetes"
		}
		if reserved != "" {
			wrong = append(wrong, invalidParameters("%s: labels of %s are set by Switchyard or Kubernetes itself; remove it", name, reserved).in("labels"))
			continue
		}
		if fleet.Labels == nil {
			fleet.Labels = map[string]string{}
		}
		fleet.Labels[name] = string(spec.Labels[key])
	}
	for _, key := range slices.Sorted(maps.Keys(spec.Annotations)) {
		name := string(key)
		if reserved := reservedDomain(name, reservedAnnotations); reserved != "" {
			wrong = append(wrong, invalidParameters("%s: annotations of %s are set by Switchyard or Kubernetes itself; remove it", name, reserved).in("annotations"))
			continue
		}
		if fleet.Annotations == nil {
			fleet.Annotations = map[string]string{}
		}
		fleet.Annotations[name] = string(spec.Annotations[key])
	}
	return merge(wrong)
}

// firstAddress gives the address that is asked for by value; of several the first, since a Service takes one.
func firstAddress(object *gwv1.Gateway) netip.Addr {
	for _, a := range object.Spec.Addresses {
		if ip, err := netip.ParseAddr(a.Value); err == nil {
			return ip
		}
	}
	return netip.Addr{}
}
