package kubernetes

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/model"
)

// DefaultProxyImage is the Envoy of fleets whose parameters name no other.
const DefaultProxyImage = "docker.io/envoyproxy/envoy:distroless-v1.40.0"

// BuildOptions are what Objects needs to know beside the Gateway.
type BuildOptions struct {
	// UID is the Gateway's. Empty leaves out the reference to the owner.
	UID types.UID
	// Image is the control plane's own, for the drainer. Its entry point must be the controlplane binary.
	Image string
	// ProxyImage is the Envoy of fleets whose parameters name no other; default DefaultProxyImage.
	ProxyImage string
	// XDSHost and XDSPort are the control plane's Service: a DNS name that its certificate carries, and a port.
	XDSHost string
	XDSPort uint16
}

// Labels that every object of every fleet carries.
const (
	nameLabel      = "app.kubernetes.io/name"
	instanceLabel  = "app.kubernetes.io/instance"
	managedByLabel = "app.kubernetes.io/managed-by"

	nameValue      = "switchyard-proxy"
	managedByValue = "switchyard"
)

// FieldManager is the name under which fields are applied.
const FieldManager = "switchyard"

// fleet is one Gateway on its way to objects.
type fleet struct {
	gw   *model.Gateway
	opts BuildOptions
	name string // of every object
}

func newFleet(gw *model.Gateway, opts BuildOptions) fleet {
	if opts.ProxyImage == "" {
		opts.ProxyImage = DefaultProxyImage
	}
	return fleet{gw: gw, opts: opts, name: model.FleetName(gw.Key.Name)}
}

// selector holds the labels by which the pods of a fleet are found, for ever.
func (f fleet) selector() map[string]string {
	return map[string]string{nameLabel: nameValue, instanceLabel: f.name}
}

func (f fleet) labels() map[string]string {
	out := map[string]string{}
	for k, v := range f.gw.Fleet.Labels {
		out[k] = v
	}
	out[nameLabel], out[instanceLabel], out[managedByLabel] = nameValue, f.name, managedByValue
	out[model.GatewayNameLabel] = model.GatewayLabelValue(f.gw.Key.Name)
	return out
}

func (f fleet) annotations(more map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range f.gw.Fleet.Annotations {
		out[k] = v
	}
	for k, v := range more {
		out[k] = v
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// meta is the metadata of every object.
func (f fleet) meta() metav1.ObjectMeta {
	m := metav1.ObjectMeta{
		Namespace: f.gw.Key.Namespace, Name: f.name,
		Labels: f.labels(), Annotations: f.annotations(nil),
	}
	if f.opts.UID != "" {
		m.OwnerReferences = []metav1.OwnerReference{owner(f.gw.Key, f.opts.UID)}
	}
	return m
}

// owner refers to a Gateway. It does not hold the Gateway's deletion up, which would need a permission of its own.
func owner(gateway source.Key, uid types.UID) metav1.OwnerReference {
	controller := true
	return metav1.OwnerReference{
		APIVersion: gwv1.GroupVersion.String(), Kind: "Gateway", Name: gateway.Name, UID: uid, Controller: &controller,
	}
}

func pointer[T any](v T) *T { return &v }
