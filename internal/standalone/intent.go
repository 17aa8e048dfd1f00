package standalone

import (
	"net/netip"

	"k8s.io/apimachinery/pkg/labels"
	infv1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate"
	"github.com/switchyard/switchyard/translate/gatewayapi"
)

// Intent is what the proxies are to be. It must be the same on every replica.
type Intent struct {
	// View is the namespace and name of the Gateway, which proxies name as their node's cluster.
	View source.Key
	// Listen is where proxies listen, for HTTP.
	Listen netip.AddrPort
	// FailOpen lets requests through to any endpoint while no picker answers; else they are refused.
	FailOpen bool
	// Pool is where every request goes: an InferencePool that is followed or, with Made, one that is made under this name.
	Pool source.Key
	// Made is nil for a pool that is followed.
	Made *MadePool
	// Pickers are asked by proxies, in this order, unless there are PickerPods.
	Pickers []netip.AddrPort
	// PickerPods, when not nil, are asked instead.
	PickerPods *PickerPods
	// SpreadPickers has proxies ask all pickers that are ready, by least request, instead of the first or oldest alone.
	SpreadPickers bool
	// PickerTLS is whether pickers speak TLS, with whatever certificate.
	PickerTLS bool
}

// MadePool is a pool without an InferencePool.
type MadePool struct {
	// Pods are those with these labels in the pool's namespace; nil when FollowEndpoints tells of endpoints.
	Pods labels.Selector
	// Ports of each of these pods.
	Ports []int
	// AppProtocol is what all endpoints speak; empty: HTTP/1.1.
	AppProtocol infv1.AppProtocol
}

// PickerPods are the pods of one namespace that have these labels. Proxies ask the oldest that is ready, unless they spread.
type PickerPods struct {
	Namespace string
	Labels    labels.Selector
	Port      int
}

// translation is how the objects are translated.
func (i *Intent) translation() translate.Options {
	var out translate.Options
	out.Envoy.BindAddress = i.Listen.Addr().String()
	out.Envoy.Pickers, out.Envoy.SpreadPickers, out.Envoy.PickerTLS = i.Pickers, i.SpreadPickers, i.PickerTLS
	if i.PickerPods != nil {
		out.Objects.Picker = gatewayapi.ServicePort{Service: i.PickerPods.service(), Port: int32(i.PickerPods.Port)}
	}
	return out
}
