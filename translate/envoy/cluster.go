package envoy

import (
	"net/netip"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	upstreamhttpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/model"
	"github.com/switchyard/switchyard/translate/resource"
)

const (
	// ownNamespace is the static metadata namespace of what Switchyard itself writes on a cluster.
	ownNamespace = "switchyard"
	// backendConnect bounds the connection to a model server or Service.
	backendConnect = time.Second
	// manyRequests replaces Envoy's limits of 1024, which a fleet of streams passes soon. Backends bound
	// themselves.
	manyRequests = 100_000
	// pingOwn is how often a connection to a picker of ours is asked for a sign of life.
	pingOwn = 10 * time.Second
	// pingAny is the same for HTTP/2 servers of others: gRPC servers close a connection, with all its
	// requests, that asks more often than every five minutes while they have nothing to say.
	pingAny = 6 * time.Minute
)

func (b *builder) addBackend(backend model.Backend) {
	c := newCluster(backend.ID, backendConnect)
	c.TypedExtensionProtocolOptions = b.upstreamProtocol(backend.Protocol == model.H2C, pingAny)
	c.OutlierDetection = connectionOutliers()
	if backend.Pool != nil {
		c.LoadBalancingPolicy = b.pickedHost(backend.Pool.FailClose)
		c.Metadata = poolMetadata(backend.Pool.Key.String())
		if backend.Pool.Picker != nil {
			b.addForeignPicker(backend.Pool.Picker)
		}
	} else {
		c.LoadBalancingPolicy = b.leastRequest()
	}
	b.addCluster(c, loadAssignment(c.Name, backend.Endpoints), []source.Ref{backend.Source})
}

// addCluster adds a cluster and, as a resource of its own, its endpoints.
func (b *builder) addCluster(c *clusterv3.Cluster, endpoints *endpointv3.ClusterLoadAssignment, sources []source.Ref) {
	b.add(resource.ID{Type: resource.ClusterType, Name: c.Name}, c, clusterRefs(c.Name), sources)
	b.add(resource.ID{Type: resource.EndpointType, Name: c.Name}, endpoints, nil, sources)
}

func newCluster(name string, connect time.Duration) *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name:                 name,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig:     &clusterv3.Cluster_EdsClusterConfig{EdsConfig: ads()},
		ConnectTimeout:       duration(connect),
		CircuitBreakers: &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{
			MaxConnections:     wrapperspb.UInt32(manyRequests),
			MaxPendingRequests: wrapperspb.UInt32(manyRequests),
			MaxRequests:        wrapperspb.UInt32(manyRequests),
			MaxRetries:         wrapperspb.UInt32(manyRequests),
		}}},
		// A server that vanished while a request waits for its first byte.
		UpstreamConnectionOptions: &clusterv3.UpstreamConnectionOptions{TcpKeepalive: &corev3.TcpKeepalive{
			KeepaliveTime:     wrapperspb.UInt32(10), // seconds
			KeepaliveInterval: wrapperspb.UInt32(3),
			KeepaliveProbes:   wrapperspb.UInt32(3),
		}},
		// A pod that is gone from EDS is gone, whatever a health check last said of it.
		IgnoreHealthOnHostRemoval:     true,
		PerConnectionBufferLimitBytes: wrapperspb.UInt32(connectionBuffer),
	}
}

// connectionOutliers ejects an endpoint that cannot be connected to; what a server answers never counts.
func connectionOutliers() *clusterv3.OutlierDetection {
	return &clusterv3.OutlierDetection{
		SplitExternalLocalOriginErrors:     true,
		ConsecutiveLocalOriginFailure:      wrapperspb.UInt32(3),
		EnforcingConsecutive_5Xx:           wrapperspb.UInt32(0),
		EnforcingConsecutiveGatewayFailure: wrapperspb.UInt32(0),
		EnforcingSuccessRate:               wrapperspb.UInt32(0),
		EnforcingLocalOriginSuccessRate:    wrapperspb.UInt32(0),
		Interval:                           duration(time.Second),
		BaseEjectionTime:                   duration(5 * time.Second),
		MaxEjectionTime:                    duration(30 * time.Second),
		MaxEjectionPercent:                 wrapperspb.UInt32(50),
	}
}

func (b *builder) upstreamProtocol(http2 bool, ping time.Duration) map[string]*anypb.Any {
	explicit := &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig{
		ProtocolConfig: &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{
			HttpProtocolOptions: &corev3.Http1ProtocolOptions{},
		},
	}
	if http2 {
		explicit.ProtocolConfig = &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
			Http2ProtocolOptions: &corev3.Http2ProtocolOptions{
				ConnectionKeepalive: &corev3.KeepaliveSettings{
					Interval: duration(ping),
					Timeout:  duration(3 * time.Second),
				},
			},
		}
	}
	return map[string]*anypb.Any{
		"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": b.pack(&upstreamhttpv3.HttpProtocolOptions{
			UpstreamProtocolOptions: &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_{
				ExplicitHttpConfig: explicit,
			},
		}),
	}
}

func poolMetadata(pool string) *corev3.Metadata {
	return &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{
		ownNamespace: {Fields: map[string]*structpb.Value{"pool": structpb.NewStringValue(pool)}},
	}}
}

// loadAssignment lists endpoints in their given order in one locality; none is a valid answer.
func loadAssignment(cluster string, endpoints []netip.AddrPort) *endpointv3.ClusterLoadAssignment {
	out := &endpointv3.ClusterLoadAssignment{ClusterName: cluster}
	if len(endpoints) == 0 {
		return out
	}
	locality := &endpointv3.LocalityLbEndpoints{}
	for _, e := range endpoints {
		locality.LbEndpoints = append(locality.LbEndpoints, &endpointv3.LbEndpoint{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: address(e)}},
		})
	}
	out.Endpoints = []*endpointv3.LocalityLbEndpoints{locality}
	return out
}

func address(a netip.AddrPort) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address:       a.Addr().String(),
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(a.Port())},
	}}}
}
