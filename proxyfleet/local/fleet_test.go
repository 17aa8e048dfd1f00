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
	"os/exec"
	"path/filepath"
	"strconv"
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
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/switchyard/switchyard/proxyfleet"
)

const view = "default/gw"

// asControlPlane makes the test binary a program that starts a fleet and waits to be killed.
const asControlPlane = "FLEET_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(asControlPlane); dir != "" {
		runUntilKilled(dir)
	}
	goleak.VerifyTestMain(m)
}

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

func TestKilledProxyIsStartedAgain(t *testing.T) {
	b := newBed(t, 2, time.Second)
	victim, other := b.fleet.Proxies()[0], b.fleet.Proxies()[1]
	for round := range 2 {
		pid, otherPID := victim.PID(), other.PID()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, 10*time.Second, "the proxy is started again", func() bool {
			return victim.Restarts() == round+1 && victim.PID() != 0 && victim.PID() != pid
		})
		b.waitReady()
		if !gone(pid) {
			t.Errorf("process %d is still there", pid)
		}
		if other.PID() != otherPID || other.Restarts() != 0 {
			t.Error("the other proxy was started again, too")
		}
	}
	// It serves again: requests over new connections reach both.
	b.mu.Lock()
	clear(b.lines)
	b.mu.Unlock()
	eventually(t, 10*time.Second, "both proxies have answered", func() bool {
		if !b.works() {
			t.Error("a request failed")
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.lines[victim.Name] > 0 && b.lines[other.Name] > 0
	})
}

// stream is an answer that stays open until it is told to end.
type stream struct {
	end  func()
	done chan string // the whole body, or what went wrong
}

// open sends a request and returns when its answer has begun.
func (b *bed) open(t *testing.T) *stream {
	t.Helper()
	end := make(chan struct{})
	s := &stream{end: sync.OnceFunc(func() { close(end) }), done: make(chan string, 1)}
	t.Cleanup(s.end)
	b.answer(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "first,")
		_ = http.NewResponseController(w).Flush() // a client that left shows below
		select {
		case <-end:
			fmt.Fprint(w, "last")
		case <-r.Context().Done():
		}
	})
	resp, err := b.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, len("first,"))
	if _, err := io.ReadFull(resp.Body, first); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer resp.Body.Close()
		rest, err := io.ReadAll(resp.Body)
		if err != nil {
			s.done <- err.Error()
			return
		}
		s.done <- string(first) + string(rest)
	}()
	b.answer(nil)
	return s
}

func TestStopLetsRequestsEnd(t *testing.T) {
	b := newBed(t, 1, time.Minute)
	p := b.fleet.Proxies()[0]
	pid := p.PID()
	s := b.open(t)
	stopped := make(chan struct{})
	go func() { b.fleet.Stop(); close(stopped) }()
	eventually(t, 5*time.Second, "the proxy is not ready any more", func() bool { return !p.Ready(t.Context()) })
	if requests, connections, err := p.openWork(t.Context()); err != nil || requests != 1 || connections != 1 {
		t.Errorf("%d requests are open on %d connections (%v), want one", requests, connections, err)
	}
	eventually(t, 5*time.Second, "nobody can connect any more", func() bool {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", b.port))
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	select {
	case <-stopped:
		t.Fatal("the fleet stopped before its request had ended")
	case got := <-s.done:
		t.Fatalf("the request ended with: %s", got)
	default:
	}
	if _, err := b.fleet.Add(); !errors.Is(err, ErrClosed) {
		t.Errorf("a proxy was added to a fleet that stops: %v", err)
	}
	s.end()
	if got := <-s.done; got != "first,last" {
		t.Errorf("the client got %q", got)
	}
	select {
	case <-stopped:
	case <-time.After(10 * time.Second):
		t.Fatal("the fleet has not stopped 10 s after its last request")
	}
	if !gone(pid) {
		t.Errorf("process %d is still there", pid)
	}
}

// A request that never ends holds the end up for DrainTimeout, and not longer.
func TestStopIsBounded(t *testing.T) {
	const drain = 500 * time.Millisecond
	b := newBed(t, 1, drain)
	pid := b.fleet.Proxies()[0].PID()
	s := b.open(t)
	began := time.Now()
	b.fleet.Stop()
	if took := time.Since(began); took < drain || took > drain+5*time.Second {
		t.Errorf("stopping took %s, want %s and a little", took, drain)
	}
	if got := <-s.done; got == "first,last" {
		t.Error("the request came to its end")
	}
	if !gone(pid) {
		t.Errorf("process %d is still there", pid)
	}
}

// While one proxy goes, the others take over: requests on connections that are kept do not fail.
func TestRemoveUnderLoad(t *testing.T) {
	b := newBed(t, 2, 5*time.Second)
	var mu sync.Mutex
	answered, failures := 0, []string(nil)
	done := make(chan struct{})
	var wg sync.WaitGroup
	stop := sync.OnceFunc(func() { close(done); wg.Wait() })
	defer stop()
	for range 8 {
		transport := &http.Transport{MaxConnsPerHost: 1}
		client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
		wg.Go(func() {
			defer transport.CloseIdleConnections()
			for {
				select {
				case <-done:
					return
				default:
				}
				// A POST is not tried again by the client itself.
				resp, err := client.Post(fmt.Sprintf("http://127.0.0.1:%d/", b.port), "text/plain", strings.NewReader("x"))
				if err == nil {
					_, _ = io.Copy(io.Discard, resp.Body) // an answer without a body
					resp.Body.Close()
				}
				mu.Lock()
				answered++
				if err != nil || resp.StatusCode != http.StatusOK {
					failures = append(failures, fmt.Sprintf("%v", err))
				}
				mu.Unlock()
			}
		})
	}
	count := func() int { mu.Lock(); defer mu.Unlock(); return answered }
	for _, p := range b.fleet.Proxies() {
		before := count()
		eventually(t, 10*time.Second, "load flows", func() bool { return count() > before+200 })
		b.fleet.Remove(p)
		if _, err := b.fleet.Add(); err != nil {
			t.Fatal(err)
		}
		b.waitReady()
	}
	stop()
	if len(failures) > 0 {
		t.Errorf("%d of %d requests failed: %q", len(failures), answered, failures[:min(3, len(failures))])
	}
}

func TestRemoveTakesOneProxyAway(t *testing.T) {
	b := newBed(t, 2, time.Second)
	first, second := b.fleet.Proxies()[0], b.fleet.Proxies()[1]
	pid := first.PID()
	b.fleet.Remove(first)
	if !gone(pid) {
		t.Errorf("process %d is still there", pid)
	}
	if left := b.fleet.Proxies(); len(left) != 1 || left[0] != second {
		t.Errorf("left are %v", left)
	}
	for range 10 {
		if !b.works() {
			t.Error("a request failed")
		}
	}
	third, err := b.fleet.Add()
	if err != nil {
		t.Fatal(err)
	}
	if third.Name == first.Name || third.Name == second.Name {
		t.Errorf("a new proxy has the name %s of another one", third.Name)
	}
}

// A binary that ends at once is tried again, at growing intervals, and what it said is told.
func TestProxyThatCannotStartIsExplained(t *testing.T) {
	b := &bed{t: t, lines: map[string]int{}}
	path := filepath.Join(t.TempDir(), "envoy")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho 'cannot open the moon' >&2\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	b.fleet = b.newFleet(path, netip.MustParseAddrPort("127.0.0.1:1"), time.Second)
	p, err := b.fleet.Add()
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "it is tried again", func() bool { return p.Restarts() >= 2 })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := b.fleet.WaitReady(ctx); err == nil || !strings.Contains(err.Error(), "cannot open the moon") {
		t.Errorf("the reason is not told: %v", err)
	}
	if n := p.Restarts(); n > 6 {
		t.Errorf("it was started %d times already", n)
	}
}

// No proxy outlives a control plane that was killed.
func TestProxiesEndWithTheirControlPlane(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), asControlPlane+"="+dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := sync.OnceFunc(func() {
		_ = cmd.Process.Kill() // an error means that it has ended
		_ = cmd.Wait()         // it is killed, which is an error to Wait
	})
	defer ended()
	pid := 0
	eventually(t, 10*time.Second, "the proxy runs", func() bool {
		text, err := os.ReadFile(filepath.Join(dir, "pid"))
		if err == nil {
			pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
		}
		return err == nil
	})
	if gone(pid) {
		t.Fatal("the proxy does not run")
	}
	ended()
	eventually(t, 5*time.Second, "the proxy ends with its control plane", func() bool { return gone(pid) })
}

// runUntilKilled starts a proxy that only tells its process id.
func runUntilKilled(dir string) {
	path := filepath.Join(dir, "envoy")
	script := fmt.Sprintf("#!/bin/sh\necho $$ > %[1]s/pid.tmp && mv %[1]s/pid.tmp %[1]s/pid\nexec sleep 600\n", dir)
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		panic(err)
	}
	fleet, err := New(Options{Envoy: path, View: view, XDS: netip.MustParseAddrPort("127.0.0.1:1"), Dir: filepath.Join(dir, "fleet")})
	if err != nil {
		panic(err)
	}
	if _, err := fleet.Add(); err != nil {
		panic(err)
	}
	select {}
}
