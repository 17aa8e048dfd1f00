package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	streamlogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	deltav3 "github.com/envoyproxy/go-control-plane/pkg/server/delta/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/switchyard/switchyard/proxyfleet"
)

// bed is a backend, a control plane that sends every request to it, and a fleet between them.
type bed struct {
	t       *testing.T
	fleet   *Fleet
	port    int // of the fleet's listener
	backend *httptest.Server
	serve   http.HandlerFunc // answers of the backend
	mu      sync.Mutex
	lines   map[string]int // access log lines by proxy
}

func newBed(t *testing.T, proxies int, drain time.Duration) *bed {
	t.Helper()
	b := &bed{t: t, lines: map[string]int{}}
	b.backend = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		serve := b.serve
		b.mu.Unlock()
		if serve != nil {
			serve(w, r)
		}
	}))
	t.Cleanup(b.backend.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	b.fleet = b.newFleet(envoy(t), b.startControlPlane(), drain)
	for range proxies {
		if _, err := b.fleet.Add(); err != nil {
			t.Fatal(err)
		}
	}
	b.waitReady()
	return b
}

func envoy(t *testing.T) string {
	t.Helper()
	path, err := proxyfleet.FindEnvoy(context.Background(), os.Getenv("ENVOY"))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func (b *bed) newFleet(envoy string, xds netip.AddrPort, drain time.Duration) *Fleet {
	b.t.Helper()
	dir, err := os.MkdirTemp("", "fleet-") // a short path: Unix sockets live there
	if err != nil {
		b.t.Fatal(err)
	}
	fleet, err := New(Options{
		Envoy: envoy, View: view, XDS: xds, Dir: dir, DrainTimeout: drain, Log: slog.New(slog.DiscardHandler),
		AccessLog: func(proxy string, line []byte) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if strings.HasPrefix(string(line), "served ") {
				b.lines[proxy]++
			}
		},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		fleet.Stop()
		if err := os.RemoveAll(dir); err != nil {
			b.t.Error(err)
		}
	})
	return fleet
}

// startControlPlane serves one listener, one route and one cluster: the backend.
func (b *bed) startControlPlane() netip.AddrPort {
	b.t.Helper()
	backend := netip.MustParseAddrPort(b.backend.Listener.Addr().String())
	snapshot, err := cachev3.NewSnapshot("1", map[resourcev3.Type][]types.Resource{
		resourcev3.ClusterType: {&clusterv3.Cluster{
			Name: "backend", ConnectTimeout: durationpb.New(time.Second),
			LoadAssignment: &endpointv3.ClusterLoadAssignment{ClusterName: "backend", Endpoints: []*endpointv3.LocalityLbEndpoints{{
				LbEndpoints: []*endpointv3.LbEndpoint{{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{
					Endpoint: &endpointv3.Endpoint{Address: socket(backend)}}}}}}},
		}},
		resourcev3.ListenerType: {&listenerv3.Listener{
			Name: "http", Address: socket(netip.AddrPortFrom(backend.Addr(), uint16(b.port))),
			TrafficDirection: corev3.TrafficDirection_INBOUND,
			FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
				Name: "hcm", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: pack(b.t, b.connectionManager())}}}}},
		}},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	cache := cachev3.NewSnapshotCache(true, byCluster{}, nil)
	if err := cache.SetSnapshot(b.t.Context(), view, snapshot); err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	server := grpc.NewServer()
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(server, controlPlane{delta: deltav3.NewServer(ctx, cache, nil)})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	b.t.Cleanup(func() {
		cancel()
		server.Stop()
		if err := <-served; err != nil {
			b.t.Error(err)
		}
	})
	return netip.MustParseAddrPort(l.Addr().String())
}

// controlPlane serves delta ADS.
type controlPlane struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	delta deltav3.Server
}

func (c controlPlane) DeltaAggregatedResources(s discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return c.delta.DeltaStreamHandler(s, resourcev3.AnyType)
}

// byCluster finds a proxy's snapshot by its view.
type byCluster struct{}

func (byCluster) ID(n *corev3.Node) string { return n.GetCluster() }

func (b *bed) connectionManager() *hcmv3.HttpConnectionManager {
	return &hcmv3.HttpConnectionManager{
		StatPrefix: "http/test",
		HttpFilters: []*hcmv3.HttpFilter{{Name: "router", ConfigType: &hcmv3.HttpFilter_TypedConfig{
			TypedConfig: pack(b.t, &routerv3.Router{})}}},
		RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: &routev3.RouteConfiguration{
			VirtualHosts: []*routev3.VirtualHost{{Name: "all", Domains: []string{"*"}, Routes: []*routev3.Route{{
				Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
				Action: &routev3.Route_Route{Route: &routev3.RouteAction{
					ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: "backend"}, Timeout: durationpb.New(0)}},
			}}}},
		}},
		AccessLog: b.accessLog(),
	}
}

func (b *bed) accessLog() []*accesslogv3.AccessLog {
	return []*accesslogv3.AccessLog{{Name: "stdout", ConfigType: &accesslogv3.AccessLog_TypedConfig{
		TypedConfig: pack(b.t, &streamlogv3.StdoutAccessLog{AccessLogFormat: &streamlogv3.StdoutAccessLog_LogFormat{
			LogFormat: &corev3.SubstitutionFormatString{Format: &corev3.SubstitutionFormatString_TextFormatSource{
				TextFormatSource: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: "served %RESPONSE_CODE%\n"}}}}}}),
	}}}
}

func socket(a netip.AddrPort) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: a.Addr().String(), PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(a.Port())}}}}
}

func pack(t *testing.T, msg proto.Message) *anypb.Any {
	t.Helper()
	out, err := anypb.New(msg)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (b *bed) waitReady() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := b.fleet.WaitReady(ctx); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bed) answer(serve http.HandlerFunc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.serve = serve
}

// get sends a request over a new connection, to any proxy; the caller closes the body.
func (b *bed) get(ctx context.Context) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", b.port), nil)
	if err != nil {
		return nil, err
	}
	req.Close = true
	return (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
}

// works tells whether a request is answered well.
func (b *bed) works() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	resp, err := b.get(ctx)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err == nil && resp.StatusCode == http.StatusOK
}

func eventually(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", within, what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// gone tells whether no process has the id, not even one that has ended and was not waited for.
func gone(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }
