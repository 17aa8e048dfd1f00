// Package resource is the form in which translated configuration leaves translate and enters xds: named,
// marshalled, hashed pieces. It knows nothing of what the pieces mean.
//
//	translate/envoy -> resource.View -> xds
package resource

import (
	"encoding/hex"

	"github.com/zeebo/xxh3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/switchyard/switchyard/internal/source"
)

// Type URLs of the resources that are served.
const (
	ListenerType = "type.googleapis.com/envoy.config.listener.v3.Listener"
	RouteType    = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
	ClusterType  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	EndpointType = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	SecretType   = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
)

// ID names one resource of a view.
type ID struct {
	Type string
	Name string
}

// Resource is one xDS resource, immutable and shared by all connections.
type Resource struct {
	ID
	// Version is the hexadecimal xxh3-128 of Body: equal bytes have equal versions on every replica.
	Version string
	// Body is the resource packed for the wire; its value was marshalled deterministically.
	Body *anypb.Any
	// Refs are the resources this one cannot work without: a route's clusters, a cluster's endpoints, a
	// listener's route tables and secrets.
	Refs []ID
	// Sources are the API objects it was made from, so that a rejection can be traced to them.
	Sources []source.Ref
}

// New marshals a message into a Resource. refs and sources are kept as they are.
func New(id ID, msg proto.Message, refs []ID, sources []source.Ref) (*Resource, error) {
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(msg)
	if err != nil {
		return nil, err
	}
	sum := xxh3.Hash128(body).Bytes()
	return &Resource{
		ID:      id,
		Version: hex.EncodeToString(sum[:]),
		Body:    &anypb.Any{TypeUrl: id.Type, Value: body},
		Refs:    refs,
		Sources: sources,
	}, nil
}

// View is everything that the proxies of one Gateway are to have.
type View struct {
	// Name is the Gateway's namespace/name; a proxy names it in node.cluster.
	Name      string
	Resources map[ID]*Resource
}

// Of gives the resources of one type by name.
func (v *View) Of(typeURL string) map[string]*Resource {
	out := map[string]*Resource{}
	for id, r := range v.Resources {
		if id.Type == typeURL {
			out[id.Name] = r
		}
	}
	return out
}
