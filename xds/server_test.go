package xds

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/switchyard/switchyard/translate/resource"
)

func (b *bed) client(t *testing.T) discovery.AggregatedDiscoveryServiceClient {
	t.Helper()
	conn, err := grpc.NewClient(b.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return discovery.NewAggregatedDiscoveryServiceClient(conn)
}

func TestStateOfTheWorldIsRefused(t *testing.T) {
	b := newBed(t, Options{})
	stream, err := b.client(t).StreamAggregatedResources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "DELTA_GRPC") {
		t.Errorf("got %v, want Unimplemented that names DELTA_GRPC", err)
	}
}

func TestWhoMayConnect(t *testing.T) {
	b := newBed(t, Options{Authorize: func(_ context.Context, node *core.Node) error {
		if node.GetMetadata().GetFields()["let"].GetBoolValue() || node.GetId() == "friend" {
			return nil
		}
		return errors.New("its certificate is for another Gateway")
	}})
	b.SetView(viewOf(base()...))
	for _, tc := range []struct {
		node *core.Node
		code codes.Code
		text string
	}{
		{&core.Node{Id: "stranger", Cluster: testView}, codes.PermissionDenied, "another Gateway"},
		{&core.Node{Id: "friend"}, codes.InvalidArgument, "node.cluster"},
		{&core.Node{Cluster: testView}, codes.InvalidArgument, "node.id"},
		{nil, codes.InvalidArgument, "node.id"},
	} {
		stream, err := b.client(t).DeltaAggregatedResources(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&discovery.DeltaDiscoveryRequest{Node: tc.node, TypeUrl: resource.ClusterType}); err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		if status.Code(err) != tc.code || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("node %v: %v, want %s with %q", tc.node, err, tc.code, tc.text)
		}
	}
	b.connect("friend").expect("clusters +a", "listeners +web", "endpoints +a", "routes +web")
}

func TestProxiesGetTheirOwnView(t *testing.T) {
	b := newBed(t, Options{})
	b.SetView(viewOf(base()...))
	p := b.connect("p1")
	p.quiet()
	p.expectAnything()
	b.SetView(namedView("default/other", base(backend("b", 1))...))
	b.RemoveView("default/other")
	b.RemoveView("default/never-was")
	p.expect()
}

func TestTypeThatIsNotServedDisturbsNothing(t *testing.T) {
	b := newBed(t, Options{})
	b.SetView(viewOf(base()...))
	p := b.connect("p1")
	p.ask(subscribe("type.googleapis.com/envoy.service.runtime.v3.Runtime", "rtds"))
	p.expect("clusters +a", "listeners +web", "endpoints +a", "routes +web")
	b.SetView(viewOf(replace(base(), routes("web", 2, "a"))...))
	p.expect("routes +web")
}

func TestStateShowsWhoHasWhat(t *testing.T) {
	b := newBed(t, Options{})
	b.SetView(viewOf(base()...))
	p, q := b.connect("p1"), b.connect("p2")
	p.quiet()
	q.quiet()
	q.setMute(resource.RouteType)
	b.SetView(viewOf(replace(base(), routes("web", 2, "a"))...))
	p.quiet()
	q.quiet()
	b.clock.advance(1500 * time.Millisecond)

	rec := httptest.NewRecorder()
	b.DebugHandler().ServeHTTP(rec, httptest.NewRequest("GET", "/debug/xds?view="+testView, nil))
	var st State
	if err := json.Unmarshal(rec.Body.Bytes(), &st); err != nil {
		t.Fatal(err)
	}
	if len(st.Proxies) != 2 {
		t.Fatalf("%d proxies, want 2: %s", len(st.Proxies), rec.Body)
	}
	slices.SortFunc(st.Proxies, func(a, b ProxyState) int { return strings.Compare(a.Node, b.Node) })
	done, late := st.Proxies[0], st.Proxies[1]
	if !done.Synced || late.Synced {
		t.Errorf("synced %v and %v, want true and false", done.Synced, late.Synced)
	}
	a, z := done.Types[routeKind], late.Types[routeKind]
	if a.Wanted != z.Wanted || a.Acknowledged != a.Wanted || z.Acknowledged == z.Wanted {
		t.Errorf("hashes of routes: %+v and %+v", a, z)
	}
	if z.Synced || z.Unacknowledged != 1 || z.OldestUnacknowledged != 1.5 || a.OldestUnacknowledged != 0 {
		t.Errorf("routes of the late proxy: %+v, want one unacknowledged for 1.5 s", z)
	}
	if c := late.Types[clusterKind]; !c.Synced || c.WantedCount != 1 || c.Acked != 1 || c.Wanted != done.Types[clusterKind].Wanted {
		t.Errorf("clusters of the late proxy: %+v", c)
	}
	if late.Address == "" || !late.Connected.Equal(time.Unix(1_700_000_000, 0)) || late.View != testView {
		t.Errorf("proxy: %+v", late)
	}
	for filter, want := range map[string]int{"?node=p2": 1, "?view=none": 0, "": 2, "?view=" + testView + "&node=p1": 1} {
		rec := httptest.NewRecorder()
		b.DebugHandler().ServeHTTP(rec, httptest.NewRequest("GET", "/debug/xds"+filter, nil))
		var st State
		if err := json.Unmarshal(rec.Body.Bytes(), &st); err != nil || len(st.Proxies) != want {
			t.Errorf("%q: %d proxies, %v; want %d", filter, len(st.Proxies), err, want)
		}
	}
}

func TestNotSyncedUntilEverythingNeededWasAskedFor(t *testing.T) {
	b := newBed(t, Options{})
	b.SetView(viewOf(base()...))
	p := b.newProxy("p1")
	p.noFollow["a"] = true
	p.open()
	p.expect("clusters +a", "listeners +web", "routes +web")
	if b.Synced(testView, "p1") {
		t.Error("synced although the proxy has not asked for the endpoints of its cluster")
	}
	p.ask(subscribe(resource.EndpointType, "a"))
	p.expect("endpoints +a")
	p.mu.Lock()
	delete(p.noFollow, "a")
	p.mu.Unlock()
	if !b.Synced(testView, "p1") {
		t.Error("not synced")
	}
	// What nothing refers to need not be asked for.
	b.SetView(viewOf(base([]*resource.Resource{routes("orphan", 1), endpoints("orphan", 1)})...))
	p.expect()
	if !b.Synced(testView, "p1") {
		t.Error("not synced because of resources that nothing refers to")
	}
}

func TestWaitSynced(t *testing.T) {
	b := newBed(t, Options{})
	b.SetView(viewOf(base()...))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- b.WaitSynced(ctx, testView, 2) }()
	b.connect("p1").quiet()
	select {
	case err := <-done:
		t.Fatalf("returned %v with one proxy of two", err)
	default:
	}
	b.connect("p2")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	// Waiting is over, too, when a proxy comes back with everything and is sent nothing.
	p3 := b.connect("p3")
	p3.quiet()
	p3.disconnect()
	go func() { done <- b.WaitSynced(ctx, testView, 3) }()
	p3.open()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := b.WaitSynced(stopped, testView, 4); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	b := newBed(t, Options{Registerer: reg})
	b.SetView(viewOf(base()...))
	p := b.connect("p1")
	p.quiet()
	bad := routes("web", 2, "a")
	p.setReject(rejecting("no", bad.Version))
	b.SetView(viewOf(replace(base(), bad)...))
	p.quiet()
	b.SetView(viewOf(replace(base(), bad, endpoints("a", 2))...))
	p.quiet()
	if v := valueOf(t, b.metrics.proxies); v != 1 {
		t.Errorf("%v proxies connected, want 1", v)
	}
	if v := valueOf(t, b.metrics.pushes.WithLabelValues("routes")); v != 2 {
		t.Errorf("%v pushes of routes, want 2", v)
	}
	if v := valueOf(t, b.metrics.nacks.WithLabelValues("routes")); v != 1 {
		t.Errorf("%v rejections of routes, want 1", v)
	}
	p.disconnect()
	if v := valueOf(t, b.metrics.proxies); v != 0 {
		t.Errorf("%v proxies connected after the end, want 0", v)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := 0
	for _, f := range families {
		series += len(f.Metric)
		if f.GetName() == "switchyard_xds_push_latency_seconds" && f.Metric[0].GetHistogram().GetSampleCount() != 1 {
			t.Errorf("%d latencies observed, want 1: only what SetView changed and a proxy acknowledged",
				f.Metric[0].GetHistogram().GetSampleCount())
		}
	}
	if len(families) != 5 || series != 3+2*int(kindCount) {
		t.Errorf("%d metrics with %d series", len(families), series)
	}
}

func TestShutdownEndsStreams(t *testing.T) {
	b := newBed(t, Options{})
	b.SetView(viewOf(base()...))
	p := b.connect("p1")
	p.quiet()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := b.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	<-p.done
	if n := len(b.State("", "").Proxies); n != 0 {
		t.Errorf("%d proxies after Shutdown", n)
	}
	stream, err := b.client(t).DeltaAggregatedResources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("a stream after Shutdown ended with %v, want Unavailable", err)
	}
	if n := b.clock.pending(); n != 0 {
		t.Errorf("%d timers left", n)
	}
}

// go-control-plane closes the channel once it has cancelled the watches, while views still change.
func TestNothingIsHandedOutAfterTheWatchesAreCancelled(t *testing.T) {
	s := New(Options{Logger: quietLogger()})
	s.SetView(viewOf(base()...))
	c := newConn(s, t.Context())
	out := make(chan cache.DeltaResponse, 4)
	for _, typ := range []string{resource.ClusterType, resource.ListenerType, "type.googleapis.com/unknown"} {
		req := &discovery.DeltaDiscoveryRequest{
			TypeUrl: typ, Node: &core.Node{Id: "p1", Cluster: testView},
			InitialResourceVersions: versionsIn(base())[typ],
		}
		if err := c.OnStreamDeltaRequest(1, req); err != nil {
			t.Fatal(err)
		}
		cancel, err := c.CreateDeltaWatch(req, nil, out)
		if err != nil {
			t.Fatal(err)
		}
		defer cancel() // may be called again
		cancel()
	}
	close(out)
	s.SetView(viewOf(replace(base(), cluster("a", 2))...))
	if _, open := <-out; open {
		t.Error("a response was handed out")
	}
	c.close()
	if n := len(s.State("", "").Proxies); n != 0 {
		t.Errorf("%d proxies left", n)
	}
}

// Whatever happens, a proxy that answers ends up with exactly the view, and nothing is kept about it.
func TestRandomChangesConverge(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			b := newBed(t, Options{})
			p := b.newProxy("p1")
			p.drains = rng.IntN(2) == 0
			connected := false
			var want *resource.View
			for range 30 {
				switch rng.IntN(6) {
				case 0, 1, 2:
					want = randomView(rng)
					b.SetView(want)
				case 3:
					b.clock.advance(time.Duration(rng.IntN(2000)) * time.Millisecond)
				case 4:
					typ := kindURLs[rng.IntN(int(kindCount))]
					if n := rng.IntN(3); n == 0 {
						p.setWarming(resource.ClusterType, true)
					} else if n == 1 {
						p.setMute(typ)
					} else if connected {
						p.unmuteAll()
					}
				case 5:
					if connected && rng.IntN(2) == 0 {
						p.disconnect()
						p.forgetPending()
						connected = false
					} else if !connected {
						p.open()
						connected = true
					}
				}
			}
			want = randomView(rng)
			b.SetView(want)
			if !connected {
				p.open()
			}
			p.unmuteAll()
			for range 20 {
				p.quiet()
				b.clock.advance(DefaultRemovalGrace)
			}
			p.quiet()
			p.mu.Lock()
			versions := p.versions
			p.mu.Unlock()
			for typ, have := range versions {
				for name, version := range have {
					if r := want.Resources[resource.ID{Type: typ, Name: name}]; r == nil || r.Version != version {
						t.Errorf("the proxy has %s %s at %s, not as wanted", typ, name, version)
					}
				}
			}
			for id, r := range want.Resources {
				if p.has(id.Type, id.Name) != r.Version {
					t.Errorf("the proxy lacks %s %s", id.Type, id.Name)
				}
			}
			if got, fresh := b.views[testView].last.sum, nextGeneration(emptyGeneration(""), want, time.Time{}).to.sum; got != fresh {
				t.Errorf("hashes are %x after many changes, %x for the same view from the start", got, fresh)
			}
			if !b.Synced(testView, "p1") {
				t.Error("not synced")
			}
			if !p.drains {
				checkSettled(t, b, p)
			}
		})
	}
}

// randomView makes a consistent view: every reference exists, everything is referred to.
func randomView(rng *rand.Rand) *resource.View {
	var list []*resource.Resource
	var clusters []string
	for _, name := range []string{"a", "b", "c", "d"} {
		if rng.IntN(3) > 0 {
			clusters = append(clusters, name)
			list = append(list, cluster(name, 1+rng.IntN(2)), endpoints(name, rng.IntN(4)))
		}
	}
	for _, name := range []string{"web", "api", "tls"} {
		if rng.IntN(4) == 0 {
			continue
		}
		refs := "routes=" + name
		if name == "tls" {
			refs += " secret=cert"
			list = append(list, secret("cert", rng.IntN(3)))
		}
		var to []string
		for _, c := range clusters {
			if rng.IntN(2) == 0 {
				to = append(to, c)
			}
		}
		list = append(list, listener(name, refs, rng.IntN(2)), routes(name, rng.IntN(3), to...))
	}
	return viewOf(list...)
}

func (p *proxy) unmuteAll() {
	p.setWarming(resource.ClusterType, false)
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.mute)
	rest := p.pending
	p.pending = nil
	for _, msg := range rest {
		p.reply(msg)
	}
}

func (p *proxy) forgetPending() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending, p.acks = nil, nil
}
