package xds

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/switchyard/switchyard/translate/resource"
)

const testView = "default/gw"

// patience bounds every wait on real time in the tests.
const patience = 10 * time.Second

// bed is a server on loopback with a clock that stands still until it is advanced.
type bed struct {
	*Server
	t     *testing.T
	clock *fakeClock
	addr  string
}

func newBed(t *testing.T, opts Options) *bed {
	t.Helper()
	clock := &fakeClock{now: time.Unix(1_700_000_000, 0)}
	opts.Clock = clock
	if opts.Logger == nil {
		opts.Logger = quietLogger()
	}
	b := &bed{Server: New(opts), t: t, clock: clock}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := GRPCServer()
	b.Register(g)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = g.Serve(lis)
	}()
	b.addr = lis.Addr().String()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := b.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		g.Stop()
		<-done
	})
	return b
}

// proxy behaves as Envoy does: wildcard clusters and listeners, endpoints by the clusters it has, route tables and
// secrets by the listeners it has; it acknowledges or rejects what it gets, and remembers versions for reconnecting.
type proxy struct {
	t      *testing.T
	b      *bed
	node   string
	conn   *grpc.ClientConn
	stream discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	cancel context.CancelFunc
	done   chan struct{}

	mu          sync.Mutex
	log         []string // messages received and not yet expected by the test
	received    int64
	requests    int64
	versions    map[string]map[string]string              // type -> name -> version
	interests   map[string]map[string]struct{}            // type -> names asked for
	bodies      map[string]map[string]*discovery.Resource // type -> what it runs
	mute        map[string]bool                           // types that are not answered
	pending     []*discovery.DeltaDiscoveryResponse       // unanswered because of mute
	reject      func(*discovery.DeltaDiscoveryResponse) string
	noFollow    map[string]bool // clusters whose endpoints are never asked for
	warming     map[string]bool // types that are applied but not acknowledged yet
	acks        []*discovery.DeltaDiscoveryRequest
	followLater bool // a rejected response was applied in part
	drains      bool // keeps its interest in what a removed listener or cluster referred to
}

func (b *bed) connect(node string) *proxy {
	b.t.Helper()
	p := b.newProxy(node)
	p.open()
	return p
}

func (b *bed) newProxy(node string) *proxy {
	return &proxy{
		t: b.t, b: b, node: node,
		versions:  map[string]map[string]string{},
		interests: map[string]map[string]struct{}{},
		bodies:    map[string]map[string]*discovery.Resource{},
		mute:      map[string]bool{},
		noFollow:  map[string]bool{},
		warming:   map[string]bool{},
	}
}

// open connects and asks for what Envoy asks for, with the versions that it has from an earlier stream.
func (p *proxy) open() {
	p.t.Helper()
	p.dial()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, typ := range kindURLs {
		if typ != resource.ClusterType && typ != resource.ListenerType && len(p.interests[typ]) == 0 {
			continue
		}
		p.first(typ)
	}
}

func (p *proxy) dial() {
	p.t.Helper()
	conn, err := grpc.NewClient(p.b.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	p.conn, p.stream, p.cancel = conn, stream, cancel
	p.received, p.requests = 0, 0
	done := make(chan struct{})
	p.done = done
	go func() {
		defer close(done)
		for {
			msg, err := stream.Recv()
			if err != nil {
				return
			}
			p.take(msg)
		}
	}()
	p.t.Cleanup(p.close)
}

// first sends the first request of a type on a stream. The caller holds mu.
func (p *proxy) first(typ string) {
	req := &discovery.DeltaDiscoveryRequest{TypeUrl: typ, InitialResourceVersions: p.versions[typ]}
	for name := range p.interests[typ] {
		req.ResourceNamesSubscribe = append(req.ResourceNamesSubscribe, name)
	}
	p.request(req)
}

func (p *proxy) close() {
	if p.cancel == nil {
		return
	}
	p.cancel()
	<-p.done
	p.conn.Close()
	p.cancel = nil
}

// disconnect closes the stream and waits until the server has noticed.
func (p *proxy) disconnect() {
	p.t.Helper()
	p.quiet() // or the server may not even have seen its beginning
	p.close()
	eventually(p.t, "the server to notice the end of the stream", func() bool {
		return len(p.b.State("", p.node).Proxies) == 0
	})
}

func (p *proxy) request(req *discovery.DeltaDiscoveryRequest) {
	if p.requests == 0 {
		req.Node = &core.Node{Id: p.node, Cluster: testView}
	}
	p.requests++
	_ = p.stream.Send(req) // an ended stream shows in the test's expectations
}

// ask sends a request outside the normal course.
func (p *proxy) ask(req *discovery.DeltaDiscoveryRequest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.request(req)
}

func (p *proxy) take(msg *discovery.DeltaDiscoveryResponse) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.received++
	p.log = append(p.log, describeMessage(msg))
	if p.mute[msg.TypeUrl] {
		p.pending = append(p.pending, msg)
		return
	}
	if p.warming[msg.TypeUrl] {
		p.apply(msg)
		p.acks = append(p.acks, &discovery.DeltaDiscoveryRequest{TypeUrl: msg.TypeUrl, ResponseNonce: msg.Nonce})
		p.follow()
		return
	}
	p.reply(msg)
}

// setWarming makes the proxy work off responses of a type without acknowledging them, until it is turned off: so does
// Envoy with clusters while any of them is warming.
func (p *proxy) setWarming(typ string, on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.warming[typ] = on
	if !on {
		for _, ack := range p.acks {
			p.request(ack)
		}
		p.acks = nil
	}
}

// unmute answers what was left unanswered, and everything from now on.
func (p *proxy) unmute(typ string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.mute, typ)
	rest := p.pending
	p.pending = nil
	for _, msg := range rest {
		p.reply(msg)
	}
}

func (p *proxy) setMute(typ string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mute[typ] = true
}

func (p *proxy) setReject(f func(*discovery.DeltaDiscoveryResponse) string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reject = f
}

func (p *proxy) reply(msg *discovery.DeltaDiscoveryResponse) {
	ack := &discovery.DeltaDiscoveryRequest{TypeUrl: msg.TypeUrl, ResponseNonce: msg.Nonce}
	if p.reject != nil {
		if text := p.reject(msg); text != "" {
			ack.ErrorDetail = &status.Status{Code: int32(codes.InvalidArgument), Message: text}
			p.request(ack)
			if p.followLater {
				p.followLater = false
				p.follow()
			}
			return
		}
	}
	p.apply(msg)
	p.request(ack)
	p.follow()
}

// apply makes the proxy run what a response brought.
func (p *proxy) apply(msg *discovery.DeltaDiscoveryResponse) {
	if p.versions[msg.TypeUrl] == nil {
		p.versions[msg.TypeUrl] = map[string]string{}
		p.bodies[msg.TypeUrl] = map[string]*discovery.Resource{}
	}
	for _, r := range msg.Resources {
		if _, asked := p.interests[msg.TypeUrl][r.Name]; !asked && p.interests[msg.TypeUrl] != nil {
			continue // it was on its way when the proxy gave it up
		}
		p.versions[msg.TypeUrl][r.Name] = r.Version
		p.bodies[msg.TypeUrl][r.Name] = r
	}
	for _, name := range msg.RemovedResources {
		delete(p.versions[msg.TypeUrl], name)
		delete(p.bodies[msg.TypeUrl], name)
	}
}

// follow asks for what the clusters and listeners refer to, and gives up what nothing refers to any more.
func (p *proxy) follow() {
	want := map[string]map[string]struct{}{resource.EndpointType: {}, resource.RouteType: {}, resource.SecretType: {}}
	for name, r := range p.bodies[resource.ClusterType] {
		var c clusterv3.Cluster
		if r.Resource.UnmarshalTo(&c) == nil && c.GetType() == clusterv3.Cluster_EDS && !p.noFollow[name] {
			want[resource.EndpointType][name] = struct{}{}
		}
	}
	for _, r := range p.bodies[resource.ListenerType] {
		var l listenerv3.Listener
		if r.Resource.UnmarshalTo(&l) != nil {
			continue
		}
		for _, ref := range strings.Fields(l.GetStatPrefix()) {
			kind, name, _ := strings.Cut(ref, "=")
			want[map[string]string{"routes": resource.RouteType, "secret": resource.SecretType}[kind]][name] = struct{}{}
		}
	}
	for _, typ := range []string{resource.EndpointType, resource.SecretType, resource.RouteType} {
		req := &discovery.DeltaDiscoveryRequest{TypeUrl: typ}
		if p.interests[typ] == nil {
			p.interests[typ] = map[string]struct{}{}
		}
		for name := range want[typ] {
			if _, ok := p.interests[typ][name]; !ok {
				req.ResourceNamesSubscribe = append(req.ResourceNamesSubscribe, name)
				p.interests[typ][name] = struct{}{}
			}
		}
		for name := range p.interests[typ] {
			if _, ok := want[typ][name]; !ok && !p.drains {
				req.ResourceNamesUnsubscribe = append(req.ResourceNamesUnsubscribe, name)
				delete(p.interests[typ], name)
				delete(p.versions[typ], name)
				delete(p.bodies[typ], name)
			}
		}
		if len(req.ResourceNamesSubscribe)+len(req.ResourceNamesUnsubscribe) > 0 {
			p.request(req)
		}
	}
}

// describeMessage renders a response as "clusters +a +b -c".
func describeMessage(msg *discovery.DeltaDiscoveryResponse) string {
	k, _ := kindOf(msg.TypeUrl)
	parts := []string{k.String()}
	for _, r := range msg.Resources {
		parts = append(parts, "+"+r.Name)
	}
	for _, name := range msg.RemovedResources {
		parts = append(parts, "-"+name)
	}
	return strings.Join(parts, " ")
}

// expect waits until the proxy and the server have nothing to say to each other and compares everything that the proxy
// was sent since the last call with want: in this order, and nothing else.
func (p *proxy) expect(want ...string) {
	p.t.Helper()
	p.quiet()
	p.mu.Lock()
	got := p.log
	p.log = nil
	p.mu.Unlock()
	if !slices.Equal(got, want) {
		p.t.Fatalf("messages sent to %s:\n got %s\nwant %s", p.node, lines(got), lines(want))
	}
}

func lines(list []string) string {
	if len(list) == 0 {
		return "(nothing)"
	}
	return strings.Join(list, "\n     ")
}

// quiet waits until the server has worked off every request, and the proxy has received every response.
func (p *proxy) quiet() {
	p.t.Helper()
	eventually(p.t, "the stream to fall quiet", func() bool {
		st := p.b.State(testView, p.node).Proxies
		if len(st) == 0 {
			return false
		}
		s := st[len(st)-1]
		p.mu.Lock()
		defer p.mu.Unlock()
		return s.Received == p.requests && s.Sent == p.received && s.Queued == 0
	})
}

func (p *proxy) state() ProxyState {
	p.t.Helper()
	st := p.b.State(testView, p.node).Proxies
	if len(st) != 1 {
		p.t.Fatalf("%d streams of %s, want 1", len(st), p.node)
	}
	return st[0]
}

// has gives the version of a resource that the proxy runs.
func (p *proxy) has(typ, name string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.versions[typ][name]
}

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	if cond() {
		return
	}
	deadline := time.After(patience)
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case <-poll.C:
			if cond() {
				return
			}
		case <-deadline:
			t.Fatalf("timed out waiting for %s", what)
		}
	}
}
