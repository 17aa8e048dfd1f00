package proxyfleet

import (
	"errors"
	"fmt"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	dnscommonv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/common/dns/v3"
	dnsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dns/v3"
	upstreamhttpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
)

// xdsCluster is the name of the cluster that the control plane is.
const xdsCluster = "xds"

// Keepalive of the xDS connection: a control plane that vanished without closing is left after 30 s, in time
// to find another replica.
const (
	xdsKeepaliveInterval = 20 * time.Second
	xdsKeepaliveTimeout  = 10 * time.Second
	xdsConnect           = time.Second
	// xdsConnectTLS leaves time for two round trips more, and for signatures on a busy machine.
	xdsConnectTLS = 5 * time.Second
	// xdsResolve is how often the control plane's name is looked up at most; a shorter TTL is obeyed.
	xdsResolve = 5 * time.Second
)

// controlPlaneCluster is how a proxy reaches its control plane.
func controlPlaneCluster(o BootstrapOptions) (*clusterv3.Cluster, error) {
	address, err := o.controlPlane()
	if err != nil {
		return nil, err
	}
	http2, err := xdsProtocol()
	if err != nil {
		return nil, err
	}
	c := &clusterv3.Cluster{
		Name:                 xdsCluster,
		ConnectTimeout:       durationpb.New(xdsConnect),
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		TypedExtensionProtocolOptions: map[string]*anypb.Any{
			"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2,
		},
		LoadAssignment: &endpointv3.ClusterLoadAssignment{
			ClusterName: xdsCluster,
			Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
				HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: address}},
			}}}},
		},
	}
	if o.XDSHost != "" {
		if c.ClusterDiscoveryType, err = byName(); err != nil {
			return nil, err
		}
	}
	if o.TLS != (TLS{}) {
		c.ConnectTimeout = durationpb.New(xdsConnectTLS)
		if c.TransportSocket, err = o.TLS.transportSocket(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// byName makes a cluster of all addresses that DNS gives for its name: those of IPv4, or those of IPv6 where there
// are none. Envoy's own choice is IPv6 first, which fails where only a name has it.
func byName() (*clusterv3.Cluster_ClusterType, error) {
	packed, err := anypb.New(&dnsv3.DnsCluster{
		DnsRefreshRate: durationpb.New(xdsResolve), RespectDnsTtl: true,
		DnsLookupFamily: dnscommonv3.DnsLookupFamily_V4_PREFERRED,
	})
	if err != nil {
		return nil, fmt.Errorf("packing the discovery of the xDS cluster: %w", err)
	}
	return &clusterv3.Cluster_ClusterType{ClusterType: &clusterv3.Cluster_CustomClusterType{
		Name: "envoy.cluster.dns", TypedConfig: packed,
	}}, nil
}

func (o BootstrapOptions) controlPlane() (*corev3.Address, error) {
	switch {
	case o.XDSHost == "" && o.XDS.IsValid():
		return tcpAddress(o.XDS), nil
	case o.XDSHost != "" && o.XDSPort != 0 && !o.XDS.IsValid():
		return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address: o.XDSHost, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(o.XDSPort)},
		}}}, nil
	}
	return nil, errors.New("give the control plane either by its address or by a host name and a port")
}

func xdsProtocol() (*anypb.Any, error) {
	out, err := anypb.New(&upstreamhttpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
					Http2ProtocolOptions: &corev3.Http2ProtocolOptions{
						ConnectionKeepalive: &corev3.KeepaliveSettings{
							Interval: durationpb.New(xdsKeepaliveInterval),
							Timeout:  durationpb.New(xdsKeepaliveTimeout),
						},
					},
				},
			},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("packing the protocol options of the xDS cluster: %w", err)
	}
	return out, nil
}
