// Package proxyfleet says how a proxy of a fleet is started, wherever it runs: the bootstrap that every
// Envoy gets, and which Envoy binary serves. local/ runs proxies as processes of this machine, kubernetes/ as
// pods of a cluster; drain/ ends one without ending a request. The certificates that proxies and control plane know
// each other by are made by internal/identity. It never decides what a proxy serves: that comes over xDS.
//
//	view name, xDS address -> Bootstrap -> Envoy
package proxyfleet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	healthcheckv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/health_check/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// BootstrapOptions are what tells one proxy from another.
type BootstrapOptions struct {
	// Node is the proxy's own name, unique in its fleet. Empty leaves it out of the file, so that the file can
	// serve a whole fleet: Envoy must then be given --service-node.
	Node string
	// View is the Gateway's namespace/name.
	View string
	// XDS is the address of the control plane. XDSHost in its place is a name, and XDSPort a port, of which every
	// address that DNS gives is tried, so that a replica that died is left for another.
	XDS     netip.AddrPort
	XDSHost string
	XDSPort uint16
	// TLS makes the connection to the control plane mutual TLS; the zero value leaves it plain.
	TLS TLS
	// Admin is where the admin interface listens, always on loopback; port 0 lets the kernel choose.
	Admin netip.AddrPort
	// Ready is where readiness is answered; the zero value leaves it out.
	Ready netip.AddrPort
	// ReadySocket is the path of a Unix socket that answers readiness; empty leaves it out.
	ReadySocket string
}

// Bootstrap gives the JSON that Envoy starts from. All it holds is where the control plane is, the admin
// interface, a readiness listener, and limits that Envoy takes from nowhere else.
//
// The readiness listener is static. Envoy opens static listeners only when everything that it asked for at
// its start has arrived, so that readiness is never answered before the whole configuration is in place; and
// its answer turns to 503 as soon as the proxy is told to drain.
func Bootstrap(o BootstrapOptions) ([]byte, error) {
	if !o.Admin.Addr().IsLoopback() {
		return nil, fmt.Errorf("the admin interface of proxy %s would be at %s, which others may reach; use a loopback address", o.Node, o.Admin)
	}
	b := &bootstrapv3.Bootstrap{
		Node:  &corev3.Node{Id: o.Node, Cluster: o.View},
		Admin: &bootstrapv3.Admin{Address: tcpAddress(o.Admin)},
		DynamicResources: &bootstrapv3.Bootstrap_DynamicResources{
			AdsConfig: &corev3.ApiConfigSource{
				ApiType:                   corev3.ApiConfigSource_DELTA_GRPC,
				TransportApiVersion:       corev3.ApiVersion_V3,
				SetNodeOnFirstMessageOnly: true,
				GrpcServices: []*corev3.GrpcService{{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
					EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: xdsCluster, RetryPolicy: xdsRetries()},
				}}},
			},
			LdsConfig: adsSource(),
			CdsConfig: adsSource(),
		},
		StaticResources: &bootstrapv3.Bootstrap_StaticResources{},
		LayeredRuntime:  runtimeLimits(),
	}
	xds, err := controlPlaneCluster(o)
	if err != nil {
		return nil, err
	}
	b.StaticResources.Clusters = []*clusterv3.Cluster{xds}
	for _, address := range readinessAddresses(o) {
		l, err := readinessListener(address)
		if err != nil {
			return nil, err
		}
		b.StaticResources.Listeners = append(b.StaticResources.Listeners, l)
	}
	out, err := stableJSON(b)
	if err != nil {
		return nil, fmt.Errorf("marshalling the bootstrap of proxy %s: %w", o.Node, err)
	}
	return out, nil
}

// stableJSON gives the same bytes for the same message in every build. Proto's own JSON has spaces in it that
// differ from build to build, and a bootstrap that differs makes a fleet start anew.
func stableJSON(m proto.Message) ([]byte, error) {
	text, err := protojson.Marshal(m)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = json.Compact(&out, text)
	return out.Bytes(), err
}

// A control plane that comes back is found within xdsRetryMost, whatever the time that it was away. Envoy's own limit
// of 30 s would leave proxies with the addresses of pickers that are gone. Envoy spreads the attempts.
const (
	xdsRetryBase = 200 * time.Millisecond
	xdsRetryMost = 3 * time.Second
)

func xdsRetries() *corev3.RetryPolicy {
	return &corev3.RetryPolicy{RetryBackOff: &corev3.BackoffStrategy{
		BaseInterval: durationpb.New(xdsRetryBase), MaxInterval: durationpb.New(xdsRetryMost),
	}}
}

func adsSource() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		ResourceApiVersion:    corev3.ApiVersion_V3,
		// Wait for the control plane rather than serve nothing.
		InitialFetchTimeout: durationpb.New(0),
	}
}

// runtimeLimits bounds what a regular expression may cost; Envoy refuses a route whose expression is larger.
func runtimeLimits() *bootstrapv3.LayeredRuntime {
	return &bootstrapv3.LayeredRuntime{Layers: []*bootstrapv3.RuntimeLayer{{
		Name: "limits",
		LayerSpecifier: &bootstrapv3.RuntimeLayer_StaticLayer{StaticLayer: &structpb.Struct{
			Fields: map[string]*structpb.Value{
				"re2.max_program_size.error_level": structpb.NewNumberValue(maxRegexProgram),
				"re2.max_program_size.warn_level":  structpb.NewNumberValue(maxRegexProgram),
			},
		}},
	}}}
}

// maxRegexProgram is the size of a compiled RE2 program, in instructions.
const maxRegexProgram = 1000

func readinessAddresses(o BootstrapOptions) []*corev3.Address {
	var out []*corev3.Address
	if o.Ready.IsValid() {
		out = append(out, tcpAddress(o.Ready))
	}
	if o.ReadySocket != "" {
		out = append(out, &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: o.ReadySocket}}})
	}
	return out
}

func readinessListener(address *corev3.Address) (*listenerv3.Listener, error) {
	healthCheck, err := filter("envoy.filters.http.health_check", &healthcheckv3.HealthCheck{
		PassThroughMode: wrapperspb.Bool(false),
		Headers: []*routev3.HeaderMatcher{{
			Name:                 ":path",
			HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true},
		}},
	})
	if err != nil {
		return nil, err
	}
	router, err := filter("envoy.filters.http.router", &routerv3.Router{})
	if err != nil {
		return nil, err
	}
	hcm, err := anypb.New(&hcmv3.HttpConnectionManager{
		StatPrefix:  "readiness",
		HttpFilters: []*hcmv3.HttpFilter{healthCheck, router},
		RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{
			RouteConfig: &routev3.RouteConfiguration{Name: "readiness"},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("packing the readiness listener: %w", err)
	}
	return &listenerv3.Listener{
		Name:    "readiness",
		Address: address,
		// The readiness listener answers while the others drain.
		DrainType: listenerv3.Listener_MODIFY_ONLY,
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
			Name:       "envoy.filters.network.http_connection_manager",
			ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: hcm},
		}}}},
	}, nil
}

func filter(name string, config proto.Message) (*hcmv3.HttpFilter, error) {
	packed, err := anypb.New(config)
	if err != nil {
		return nil, fmt.Errorf("packing filter %s: %w", name, err)
	}
	return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed}}, nil
}

func tcpAddress(a netip.AddrPort) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address:       a.Addr().String(),
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(a.Port())},
	}}}
}
