package gatewayapi

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/model"
)

// maxStatusAddresses is the length that Gateway.status.addresses may have.
const maxStatusAddresses = 16

// reach is where clients find a Gateway, and why they would not be answered there.
type reach struct {
	addresses []gwv1.GatewayStatusAddress
	wrong     finding
}

// findReach reads back from the cluster what has become of a Gateway's fleet. Where somebody else runs the
// proxies nothing is known of addresses, and one that is asked for cannot be had.
func (x *index) findReach(object *gwv1.Gateway) reach {
	if !x.opts.Fleets {
		return reach{wrong: findUnusableAddress(object)}
	}
	key := source.Key{Namespace: object.Namespace, Name: model.FleetName(object.Name)}
	service, ok := x.objects.Services.Get(key.Namespace, key.Name)
	if !ok {
		return reach{wrong: find(string(gwv1.GatewayReasonPending),
			"Service %s, through which the proxies are to be reached, does not exist yet", key)}
	}
	if service.Labels[model.GatewayNameLabel] != model.GatewayLabelValue(object.Name) {
		return reach{wrong: find(string(gwv1.GatewayReasonNoResources),
			"Service %s was not made for this Gateway: its label %s is not %s; delete it, so that its name is free",
			key, model.GatewayNameLabel, model.GatewayLabelValue(object.Name))}
	}
	r := reach{addresses: x.serviceAddresses(object, service)}
	asked := askedAddresses(object)
	wrong := findMissingAddresses(object, service, asked, r.addresses)
	if !x.hasReadyEndpoint(key) {
		wrong = append(wrong, find(string(gwv1.GatewayReasonNoResources), "no proxy of Deployment %s is ready yet; see its pods", key))
	}
	if len(r.addresses) == 0 && len(asked) == 0 {
		wrong = append(wrong, findUnassigned(key, service))
	}
	r.wrong = merge(wrong)
	return r
}

// findUnusableAddress names an address that was asked for by value: none can be assigned here.
func findUnusableAddress(object *gwv1.Gateway) finding {
	for i, a := range object.Spec.Addresses {
		if a.Value != "" {
			return find(string(gwv1.GatewayReasonAddressNotUsable),
				"%s cannot be assigned; leave it empty to take the fleet's own", a.Value).in(at("spec.addresses", i) + ".value")
		}
	}
	return finding{}
}

// serviceAddresses lists where the Service of a fleet is reached, in the order of the Service.
func (x *index) serviceAddresses(object *gwv1.Gateway, service *corev1.Service) []gwv1.GatewayStatusAddress {
	var out []gwv1.GatewayStatusAddress
	add := func(kind gwv1.AddressType, value string) {
		known := slices.ContainsFunc(out, func(a gwv1.GatewayStatusAddress) bool { return a.Value == value })
		if value != "" && value != corev1.ClusterIPNone && !known && len(out) < maxStatusAddresses {
			out = append(out, gwv1.GatewayStatusAddress{Type: &kind, Value: value})
		}
	}
	switch service.Spec.Type {
	case corev1.ServiceTypeLoadBalancer:
		for _, ingress := range service.Status.LoadBalancer.Ingress {
			add(gwv1.IPAddressType, ingress.IP)
			add(gwv1.HostnameAddressType, ingress.Hostname)
		}
	case corev1.ServiceTypeNodePort:
		for _, ip := range x.fleetNodes(object) {
			add(gwv1.IPAddressType, ip.String())
		}
	default:
		add(gwv1.IPAddressType, service.Spec.ClusterIP)
		for _, ip := range service.Spec.ClusterIPs {
			add(gwv1.IPAddressType, ip)
		}
	}
	return out
}

// fleetNodes lists the nodes on which ready proxies of a Gateway run, ordered.
func (x *index) fleetNodes(object *gwv1.Gateway) []netip.Addr {
	var out []netip.Addr
	for pod := range x.objects.Pods.InNamespace(object.Namespace) {
		if pod.Labels[model.GatewayNameLabel] != model.GatewayLabelValue(object.Name) || !source.PodReady(pod) {
			continue
		}
		if ip, err := netip.ParseAddr(pod.Status.HostIP); err == nil {
			out = append(out, ip)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

func (x *index) hasReadyEndpoint(service source.Key) bool {
	for _, slice := range x.slices[service] {
		for _, e := range slice.Endpoints {
			if valueOr(e.Conditions.Ready, true) && len(e.Addresses) > 0 {
				return true
			}
		}
	}
	return false
}

// askedAddresses lists the entries of spec.addresses with a value, each value once. An entry without one
// leaves the choice to the platform.
func askedAddresses(object *gwv1.Gateway) []int {
	var out []int
	seen := map[string]bool{}
	for i, a := range object.Spec.Addresses {
		if a.Value != "" && !seen[a.Value] {
			seen[a.Value] = true
			out = append(out, i)
		}
	}
	return out
}

// findMissingAddresses names the values that were asked for and that the Service does not have.
func findMissingAddresses(object *gwv1.Gateway, service *corev1.Service, asked []int, got []gwv1.GatewayStatusAddress) []finding {
	var wrong []finding
	first := firstAddress(object)
	for _, i := range asked {
		value := object.Spec.Addresses[i].Value
		ip, err := netip.ParseAddr(value)
		if err == nil && hasAddress(got, ip) {
			continue
		}
		message := fmt.Sprintf("Service %s was asked for %s and has %s; ask for an address that the cluster may give it, or leave the value empty",
			source.KeyOf(service), value, describeAddresses(got))
		switch {
		case service.Spec.Type != corev1.ServiceTypeLoadBalancer:
			message = fmt.Sprintf("Service %s is of type %s, which takes no address that is asked for; make service.type LoadBalancer in the parameters, or leave the value empty",
				source.KeyOf(service), cmp.Or(service.Spec.Type, corev1.ServiceTypeClusterIP))
		case err != nil:
			message = fmt.Sprintf("%q is not an IP address", value)
		case ip != first:
			message = fmt.Sprintf("%s cannot be had: one Service takes one address, which is to be %s; remove one of the two", value, first)
		}
		wrong = append(wrong, find(string(gwv1.GatewayReasonAddressNotUsable), "%s", message).in(at("spec.addresses", i)+".value"))
	}
	return wrong
}

func hasAddress(got []gwv1.GatewayStatusAddress, ip netip.Addr) bool {
	return slices.ContainsFunc(got, func(a gwv1.GatewayStatusAddress) bool {
		have, err := netip.ParseAddr(a.Value)
		return err == nil && have == ip
	})
}

func describeAddresses(got []gwv1.GatewayStatusAddress) string {
	if len(got) == 0 {
		return "none yet"
	}
	values := make([]string, len(got))
	for i, a := range got {
		values[i] = a.Value
	}
	return strings.Join(values, ", ")
}

// findUnassigned says who has to give a Service its address.
func findUnassigned(key source.Key, service *corev1.Service) finding {
	unassigned := string(gwv1.GatewayReasonAddressNotAssigned)
	switch service.Spec.Type {
	case corev1.ServiceTypeLoadBalancer:
		return find(unassigned, "waiting for the cluster's load balancer to give Service %s an address; "+
			"where there is none, set service.type to ClusterIP or NodePort in the parameters", key)
	case corev1.ServiceTypeNodePort:
		return find(unassigned, "waiting for a ready proxy of Service %s, whose node is the address", key)
	default:
		return find(unassigned, "waiting for Service %s to get a cluster IP", key)
	}
}
