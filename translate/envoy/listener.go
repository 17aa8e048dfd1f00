package envoy

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/switchyard/switchyard/translate/model"
	"github.com/switchyard/switchyard/translate/resource"
)

const (
	// connectionBuffer is what Envoy buffers per connection and direction, in bytes. Routes to pools raise
	// the limit for the request bodies that a picker has to see.
	connectionBuffer = 32 << 10
	// streamIdle ends a request on which nothing moves in either direction. A model may think for minutes
	// before its first token; an hour of silence is a lost peer.
	streamIdle = time.Hour
	// connectionIdle ends a keep-alive connection without requests.
	connectionIdle = time.Hour
	// requestHeadersWithin bounds how long a client may take to send its headers.
	requestHeadersWithin = 10 * time.Second
)

func (b *builder) addHTTPListener(p *model.Port) {
	table := routeTableName(p, &p.Chains[0])
	l := b.newListener(p)
	l.FilterChains = []*listenerv3.FilterChain{{
		Filters: []*listenerv3.Filter{b.httpConnectionManager(p, table)},
	}}
	b.add(resource.ID{Type: resource.ListenerType, Name: l.Name}, l,
		[]resource.ID{{Type: resource.RouteType, Name: table}}, p.Sources)
}

func (b *builder) addHTTPSListener(p *model.Port) {
	l := b.newListener(p)
	l.ListenerFilters = []*listenerv3.ListenerFilter{{
		Name:       "envoy.filters.listener.tls_inspector",
		ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: b.pack(&tlsinspectorv3.TlsInspector{})},
	}}
	var refs []resource.ID
	for i := range p.Chains {
		c := &p.Chains[i]
		table := routeTableName(p, c)
		chain := &listenerv3.FilterChain{
			Name:    table,
			Filters: []*listenerv3.Filter{b.httpConnectionManager(p, table)},
			TransportSocket: &corev3.TransportSocket{
				Name:       "envoy.transport_sockets.tls",
				ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: b.pack(downstreamTLS(c.Secrets))},
			},
		}
		if c.SNI != "" {
			chain.FilterChainMatch = &listenerv3.FilterChainMatch{ServerNames: []string{c.SNI}}
		}
		l.FilterChains = append(l.FilterChains, chain)
		refs = append(refs, resource.ID{Type: resource.RouteType, Name: table})
		for _, s := range c.Secrets {
			refs = append(refs, resource.ID{Type: resource.SecretType, Name: s})
		}
	}
	b.add(resource.ID{Type: resource.ListenerType, Name: l.Name}, l, refs, p.Sources)
}

// newListener makes what HTTP and HTTPS listeners share. Nothing in it depends on routes or pools.
func (b *builder) newListener(p *model.Port) *listenerv3.Listener {
	return &listenerv3.Listener{
		Name: listenerName(p),
		Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address:       b.opts.BindAddress,
			PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(p.Number)},
			Ipv4Compat:    b.opts.BindAddress == "::",
		}}},
		PerConnectionBufferLimitBytes: wrapperspb.UInt32(connectionBuffer),
		EnableReusePort:               wrapperspb.Bool(true),
		TrafficDirection:              corev3.TrafficDirection_INBOUND,
	}
}

func (b *builder) httpConnectionManager(p *model.Port, table string) *listenerv3.Filter {
	return &listenerv3.Filter{
		Name: "envoy.filters.network.http_connection_manager",
		ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: b.pack(&hcmv3.HttpConnectionManager{
			StatPrefix: listenerName(p),
			RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{
				ConfigSource:    ads(),
				RouteConfigName: table,
			}},
			HttpFilters:                   b.httpFilters(),
			EarlyHeaderMutationExtensions: b.stripInternalHeaders(),
			AccessLog:                     b.accessLog(),
			CommonHttpProtocolOptions:     &corev3.HttpProtocolOptions{IdleTimeout: duration(connectionIdle)},
			Http2ProtocolOptions: &corev3.Http2ProtocolOptions{
				MaxConcurrentStreams:        wrapperspb.UInt32(1000),
				InitialStreamWindowSize:     wrapperspb.UInt32(1 << 20),
				InitialConnectionWindowSize: wrapperspb.UInt32(16 << 20),
			},
			StreamIdleTimeout:            duration(streamIdle),
			RequestHeadersTimeout:        duration(requestHeadersWithin),
			UseRemoteAddress:             wrapperspb.Bool(true),
			NormalizePath:                wrapperspb.Bool(true),
			MergeSlashes:                 true,
			PathWithEscapedSlashesAction: hcmv3.HttpConnectionManager_KEEP_UNCHANGED,
			PreserveExternalRequestId:    true,
			AlwaysSetRequestIdInResponse: true,
			ServerHeaderTransformation:   hcmv3.HttpConnectionManager_PASS_THROUGH,
			UpgradeConfigs:               []*hcmv3.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}},
		})},
	}
}

func downstreamTLS(secrets []string) *tlsv3.DownstreamTlsContext {
	common := &tlsv3.CommonTlsContext{
		AlpnProtocols: []string{"h2", "http/1.1"},
		TlsParams:     &tlsv3.TlsParameters{TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_2},
	}
	for _, s := range secrets {
		common.TlsCertificateSdsSecretConfigs = append(common.TlsCertificateSdsSecretConfigs,
			&tlsv3.SdsSecretConfig{Name: s, SdsConfig: ads()})
	}
	return &tlsv3.DownstreamTlsContext{CommonTlsContext: common}
}

// ads is the one config source of everything. Its bytes never change: Envoy subscribes anew when they do.
func ads() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		ResourceApiVersion:    corev3.ApiVersion_V3,
		// No deadline: a proxy that starts before its control plane waits instead of serving half a view.
		InitialFetchTimeout: duration(0),
	}
}

// addRouteTable makes the RouteConfiguration of one chain. Each Host is a virtual host of its own.
func (b *builder) addRouteTable(name string, c *model.Chain) {
	table := &routev3.RouteConfiguration{Name: name, IgnorePortInHostMatching: true}
	refs := newRefs()
	for i := range c.Hosts {
		table.VirtualHosts = append(table.VirtualHosts, b.virtualHost(&c.Hosts[i], refs))
	}
	b.add(resource.ID{Type: resource.RouteType, Name: name}, table, refs.resources(), refs.sources())
}
