package gatewayapi

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

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
	return &model.Picker{
		ID:        fmt.Sprintf("epp/%s/%d", key, port.Port),
		Source:    source.Ref{Kind: "Service", Namespace: key.Namespace, Name: key.Name},
		Plaintext: speaksPlaintext(port),
		Endpoints: x.serviceEndpoints(service, port),
	}, finding{}
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

// embeddedPickers lists the endpoints of the embedded picker's Service: the ready ones, those of older pods first, and those that serve while their
// pod ends. The oldest knows most of what model servers hold, and a restart of the others does not move the requests away from it.
func (x *index) embeddedPickers() (ready, ending []netip.AddrPort) {
	if x.opts.Picker == (ServicePort{}) {
		return nil, nil
	}
	service, port, wrong := x.findServicePort(x.opts.Picker.Service, x.opts.Picker.Port)
	if wrong.found() {
		return nil, nil
	}
	born := map[netip.Addr]time.Time{}
	for pod := range x.objects.Pods.InNamespace(service.Namespace) {
		if ip, err := netip.ParseAddr(pod.Status.PodIP); err == nil {
			born[ip] = pod.CreationTimestamp.Time
		}
	}
	older := func(a, b netip.AddrPort) int { return born[a.Addr()].Compare(born[b.Addr()]) }
	ready = x.serviceEndpoints(service, port)
	ending = x.serviceEndpointsThat(service, port, func(is discoveryv1.EndpointConditions) bool {
		return !valueOr(is.Ready, true) && valueOr(is.Serving, false) && valueOr(is.Terminating, false)
	})
	slices.SortStableFunc(ready, older)
	slices.SortStableFunc(ending, older)
	return ready, ending
}
