package gatewayapi

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	infv1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/model"
)

// embeddedGroup and embeddedKind name the embedded picker in a pool's endpointPickerRef. A pool without a
// reference is picked for by the embedded picker, too; the reference is for setting failureMode, which
// stands inside of it. On a cluster a reference to the embedded picker's own Service means the same.
const (
	embeddedGroup = "switchyard.dev"
	embeddedKind  = "EndpointPicker"
)

// failsClosed tells whether requests are refused while there is no pick. The field stands inside the
// reference to a picker, where the API's default is FailClose; a pool without a reference keeps serving.
func failsClosed(object *infv1.InferencePool) bool {
	ref := object.Spec.EndpointPickerRef
	return ref != nil && ref.FailureMode != infv1.EndpointPickerFailOpen
}

// resolvePicker finds the endpoint picker that a pool names, nil when it leaves picking to us.
func (x *index) resolvePicker(object *infv1.InferencePool) (*model.Picker, finding) {
	ref := object.Spec.EndpointPickerRef
	if ref == nil {
		return nil, finding{}
	}
	invalid := string(infv1.InferencePoolReasonInvalidExtensionRef)
	group, kind := valueOr(ref.Group, coreGroup), cmp.Or(ref.Kind, "Service")
	if group == embeddedGroup && kind == embeddedKind {
		return nil, finding{}
	}
	if group != coreGroup || kind != "Service" {
		return nil, find(invalid, "kind %s of group %q is not a picker; refer to a Service, or remove the field for the embedded picker", kind, group)
	}
	key := source.Key{Namespace: object.Namespace, Name: string(ref.Name)}
	if own := x.opts.Picker; own != (ServicePort{}) && key == own.Service {
		if ref.Port != nil && int32(ref.Port.Number) != own.Port {
			return nil, find(invalid, "port %d of Service %s is no picker; use %d, or remove the field", ref.Port.Number, key, own.Port).in("port")
		}
		return nil, finding{}
	}
	if ref.Port == nil {
		return nil, find(invalid, "a reference to Service %s needs a port", key)
	}
	service, port, wrong := x.findServicePort(key, int32(ref.Port.Number))
	if wrong.found() {
		wrong.reason = invalid
		return nil, wrong
	}
	picker := &model.Picker{
		ID:        fmt.Sprintf("epp/%s/%d", key, port.Port),
		Source:    source.Ref{Kind: "Service", Namespace: key.Namespace, Name: key.Name},
		Plaintext: speaksPlaintext(port),
		Endpoints: x.serviceEndpoints(service, port),
	}
	if !x.lenient[key] {
		picker.Ending = x.ending(service, port)
	}
	return picker, finding{}
}

// speaksPlaintext tells whether a picker asks to be spoken to without TLS. The Endpoint Picker Protocol has
// TLS; http2 says nothing about it, and stands on Services of pickers that serve TLS.
func speaksPlaintext(port corev1.ServicePort) bool {
	switch strings.ToLower(valueOr(port.AppProtocol, "")) {
	case "kubernetes.io/h2c", "h2c":
		return true
	}
	return false
}

// embeddedPickers lists the endpoints of the embedded picker's Service: the ready ones, those of older pods first, and those that end. The oldest
// knows most of what model servers hold, and a restart of the others does not move the requests away from it.
func (x *index) embeddedPickers() (ready, ending []netip.AddrPort) {
	if x.opts.Picker == (ServicePort{}) {
		return nil, nil
	}
	service, port, wrong := x.findServicePort(x.opts.Picker.Service, x.opts.Picker.Port)
	if wrong.found() {
		return nil, nil
	}
	ready = x.serviceEndpoints(service, port)
	x.sortByPods(service.Namespace, ready, func(pod *corev1.Pod) int64 { return pod.CreationTimestamp.Unix() })
	return ready, x.ending(service, port)
}

// ending lists the endpoints of a Service whose pods end, those first that end last: the others may be about to stop.
func (x *index) ending(service *corev1.Service, port corev1.ServicePort) []netip.AddrPort {
	out := x.serviceEndpointsThat(service, port, func(is discoveryv1.EndpointConditions) bool {
		return !valueOr(is.Ready, true) && valueOr(is.Terminating, false)
	})
	x.sortByPods(service.Namespace, out, func(pod *corev1.Pod) int64 {
		if pod.DeletionTimestamp == nil {
			return 0
		}
		return -pod.DeletionTimestamp.Unix()
	})
	return out
}

// sortByPods sorts endpoints by a number of their pods, smaller ones first; equal ones stay in order.
func (x *index) sortByPods(namespace string, endpoints []netip.AddrPort, by func(*corev1.Pod) int64) {
	if len(endpoints) < 2 {
		return // as nearly always: no walk over the pods of a namespace
	}
	numbers := map[netip.Addr]int64{}
	for pod := range x.objects.Pods.InNamespace(namespace) {
		if ip, err := netip.ParseAddr(pod.Status.PodIP); err == nil {
			numbers[ip] = by(pod)
		}
	}
	slices.SortStableFunc(endpoints, func(a, b netip.AddrPort) int { return cmp.Compare(numbers[a.Addr()], numbers[b.Addr()]) })
}
