package xds

import (
	"github.com/switchyard/switchyard/translate/resource"
)

// kind is a resource type. The order of the values is the order in which a change is sent: what is referred to
// before what refers to it. Route tables come after listeners because a proxy asks for them by the name that it
// read in a listener.
type kind uint8

const (
	clusterKind kind = iota
	endpointKind
	secretKind
	listenerKind
	routeKind
	kindCount
)

var kindURLs = [kindCount]string{
	clusterKind:  resource.ClusterType,
	endpointKind: resource.EndpointType,
	secretKind:   resource.SecretType,
	listenerKind: resource.ListenerType,
	routeKind:    resource.RouteType,
}

var kindNames = [kindCount]string{"clusters", "endpoints", "secrets", "listeners", "routes"}

func (k kind) String() string { return kindNames[k] }

// kindOf finds the kind of a type URL; ok is false for a type that is not served.
func kindOf(typeURL string) (k kind, ok bool) {
	switch typeURL {
	case resource.ClusterType:
		return clusterKind, true
	case resource.EndpointType:
		return endpointKind, true
	case resource.SecretType:
		return secretKind, true
	case resource.ListenerType:
		return listenerKind, true
	case resource.RouteType:
		return routeKind, true
	}
	return 0, false
}

// namesFailures says whether the proxy's rejection text names each resource that failed and the proxy applied the
// others of the same response. Envoy does so for clusters and listeners. A response of another kind is dropped
// from the first resource that fails on.
func (k kind) namesFailures() bool { return k == clusterKind || k == listenerKind }

// refersTo says whether resources of kind k can hold references to kind other.
func (k kind) refersTo(other kind) bool {
	switch k {
	case clusterKind:
		return other == endpointKind || other == secretKind
	case listenerKind:
		return other == routeKind || other == clusterKind || other == secretKind
	case routeKind:
		return other == clusterKind
	}
	return false
}

// key names a resource within one view: a resource.ID with the type URL as a small number.
type key struct {
	kind kind
	name string
}

func (k key) id() resource.ID { return resource.ID{Type: kindURLs[k.kind], Name: k.name} }

// keyOf is the inverse of key.id; ok is false for a type that is not served.
func keyOf(id resource.ID) (key, bool) {
	k, ok := kindOf(id.Type)
	return key{k, id.Name}, ok
}
