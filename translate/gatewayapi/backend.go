package gatewayapi

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/model"
)

// poolGroup is the API group of InferencePool.
const poolGroup = "inference.networking.k8s.io"

// resolveBackend finds what a backendRef of an HTTPRoute refers to. pool is the InferencePool where that is
// what it is, even one that cannot be used: its own status says why.
func (x *index) resolveBackend(namespace string, ref gwv1.BackendObjectReference) (b *resolvedBackend, pool *resolvedPool) {
	to := source.Ref{
		Group:     string(valueOr(ref.Group, coreGroup)),
		Kind:      string(valueOr(ref.Kind, "Service")),
		Namespace: string(valueOr(ref.Namespace, gwv1.Namespace(namespace))),
		Name:      string(ref.Name),
	}
	isService, isPool := to.Group == coreGroup && to.Kind == "Service", to.Group == poolGroup && to.Kind == "InferencePool"
	if !isService && !isPool {
		return &resolvedBackend{finding: find(string(gwv1.RouteReasonInvalidKind),
			"kind %s of group %q is not a backend; use a Service, or an InferencePool of group %s", to.Kind, to.Group, poolGroup)}, nil
	}
	from := referrer{group: gatewayGroup, kind: "HTTPRoute", namespace: namespace}
	if !x.permits(from, to) {
		return &resolvedBackend{finding: notPermitted(from, to)}, nil
	}
	key := source.Key{Namespace: to.Namespace, Name: to.Name}
	if isPool {
		if pool = x.resolvePool(key); pool == nil {
			return &resolvedBackend{finding: find(string(gwv1.RouteReasonBackendNotFound), "InferencePool %s does not exist", key)}, nil
		}
		if pool.finding.found() {
			wrong := pool.finding.about("InferencePool " + key.String())
			wrong.reason = string(gwv1.RouteReasonBackendNotFound) // the pool's own reasons are not a route's
			return &resolvedBackend{finding: wrong}, pool
		}
		return &pool.resolvedBackend, pool
	}
	if ref.Port == nil {
		return &resolvedBackend{finding: find(string(gwv1.RouteReasonBackendNotFound),
			"a reference to Service %s needs a port", key)}, nil
	}
	return x.resolveService(key, *ref.Port), nil
}

// resolveService finds one port of a Service.
func (x *index) resolveService(key source.Key, port int32) *resolvedBackend {
	id := servicePort{service: key, port: port}
	if b, ok := x.services[id]; ok {
		return b
	}
	b := x.readService(key, port)
	x.services[id] = b
	x.backends[b.ID] = &b.Backend
	return b
}

func (x *index) readService(key source.Key, number int32) *resolvedBackend {
	service, port, wrong := x.findServicePort(key, number)
	if wrong.found() {
		return &resolvedBackend{finding: wrong}
	}
	protocol, wrong := readAppProtocol(key, port)
	if wrong.found() {
		return &resolvedBackend{finding: wrong}
	}
	return &resolvedBackend{Backend: model.Backend{
		ID:        fmt.Sprintf("service/%s/%s/%d", key.Namespace, key.Name, number),
		Source:    source.Ref{Kind: "Service", Namespace: key.Namespace, Name: key.Name},
		Protocol:  protocol,
		Endpoints: x.serviceEndpoints(service, port),
	}}
}

// findServicePort finds a port of a Service by its number.
func (x *index) findServicePort(key source.Key, number int32) (*corev1.Service, corev1.ServicePort, finding) {
	notFound := string(gwv1.RouteReasonBackendNotFound)
	service, ok := x.objects.Services.Get(key.Namespace, key.Name)
	if !ok {
		return nil, corev1.ServicePort{}, find(notFound, "Service %s does not exist", key)
	}
	if service.Spec.Type == corev1.ServiceTypeExternalName {
		return nil, corev1.ServicePort{}, find(notFound,
			"Service %s is of type ExternalName, which may point anywhere and is not followed; use a Service with endpoints", key)
	}
	wrong := find(notFound, "Service %s has no port %d; its ports are %s", key, number, describePorts(service.Spec.Ports))
	for _, p := range service.Spec.Ports {
		if p.Port != number {
			continue
		}
		if p.Protocol == "" || p.Protocol == corev1.ProtocolTCP {
			return service, p, finding{}
		}
		wrong = find(string(gwv1.RouteReasonUnsupportedProtocol), "port %d of Service %s is %s; HTTP needs TCP", number, key, p.Protocol)
	}
	return nil, corev1.ServicePort{}, wrong
}

func describePorts(ports []corev1.ServicePort) string {
	if len(ports) == 0 {
		return "none"
	}
	parts := make([]string, len(ports))
	for i, p := range ports {
		parts[i] = describePort(p)
	}
	return strings.Join(parts, ", ")
}

func describePort(p corev1.ServicePort) string {
	if p.Name == "" {
		return fmt.Sprint(p.Port)
	}
	return fmt.Sprintf("%d (%s)", p.Port, p.Name)
}

// readAppProtocol reads what a Service's port says it speaks. Besides the names of Kubernetes it knows the
// older ones that mean HTTP/2 without TLS.
func readAppProtocol(key source.Key, port corev1.ServicePort) (model.AppProtocol, finding) {
	switch p := valueOr(port.AppProtocol, ""); strings.ToLower(p) {
	case "", "http":
		return model.HTTP1, finding{}
	case "kubernetes.io/h2c", "h2c", "http2", "grpc":
		return model.H2C, finding{}
	case "kubernetes.io/ws":
		return model.WebSocket, finding{}
	default:
		return 0, find(string(gwv1.RouteReasonUnsupportedProtocol),
			"appProtocol %s of Service %s port %d is not supported; use http, kubernetes.io/h2c or kubernetes.io/ws", p, key, port.Port)
	}
}

// serviceEndpoints lists the ready endpoints behind one port of a Service, ordered, without repetition. A
// dual-stack Service lists each pod once per family; only its first family that has endpoints counts.
func (x *index) serviceEndpoints(service *corev1.Service, port corev1.ServicePort) []netip.AddrPort {
	return x.serviceEndpointsThat(service, port, func(is discoveryv1.EndpointConditions) bool { return valueOr(is.Ready, true) })
}

// serviceEndpointsThat lists those of which are is true.
func (x *index) serviceEndpointsThat(service *corev1.Service, port corev1.ServicePort, are func(discoveryv1.EndpointConditions) bool) []netip.AddrPort {
	byFamily := map[discoveryv1.AddressType][]netip.AddrPort{}
	for _, slice := range x.slices[source.KeyOf(service)] {
		number, ok := slicePort(slice, port)
		if !ok {
			continue
		}
		for _, e := range slice.Endpoints {
			if !are(e.Conditions) {
				continue
			}
			for _, address := range e.Addresses {
				if ip, err := netip.ParseAddr(address); err == nil {
					byFamily[slice.AddressType] = append(byFamily[slice.AddressType], netip.AddrPortFrom(ip, number))
				}
			}
		}
	}
	var out []netip.AddrPort
	for _, family := range service.Spec.IPFamilies {
		if out = byFamily[discoveryv1.AddressType(family)]; len(out) > 0 {
			return sortAddresses(out)
		}
	}
	for _, addresses := range byFamily {
		out = append(out, addresses...)
	}
	return sortAddresses(out)
}

func sortAddresses(a []netip.AddrPort) []netip.AddrPort {
	slices.SortFunc(a, netip.AddrPort.Compare)
	return slices.Compact(a)
}

// slicePort finds the number on which the endpoints of a slice serve the Service's port. The names tell;
// a slice written by hand that does not use the name is matched by the numeric target port.
func slicePort(slice *discoveryv1.EndpointSlice, port corev1.ServicePort) (uint16, bool) {
	for _, p := range slice.Ports {
		if p.Port != nil && valueOr(p.Name, "") == port.Name {
			return uint16(*p.Port), true
		}
	}
	target := port.Port
	if port.TargetPort.Type == intstr.Int && port.TargetPort.IntVal != 0 {
		target = port.TargetPort.IntVal
	}
	for _, p := range slice.Ports {
		if p.Port != nil && *p.Port == target && port.TargetPort.Type == intstr.Int {
			return uint16(*p.Port), true
		}
	}
	return 0, false
}
