package xds

import (
	"fmt"
	"testing"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/switchyard/switchyard/translate/resource"
)

func TestFirstConnectSendsEverythingInOrder(t *testing.T) {
	b := newBed(t, Options{})
	b.SetView(viewOf(base([]*resource.Resource{
		listener("tls", "routes=tls secret=cert", 1), routes("tls", 1, "a"), secret("cert", 1),
	}, backend("b", 1))...))
	p := b.connect("p1")
	p.expect("clusters +a +b", "listeners +tls +web", "endpoints +a +b", "secrets +cert", "routes +tls +web")
	if !b.Synced(testView, "p1") {
		t.Error("not synced after everything was acknowledged")
	}
}

func TestEmptyViewIsAnsweredSoThatTheProxyBecomesReady(t *testing.T) {
	b := newBed(t, Options{})
	b.SetView(viewOf())
	p := b.connect("p1")
	p.expect("clusters", "listeners")
	b.SetView(viewOf(backend("a", 1)...))
	p.expect("clusters +a", "endpoints +a")
}

func TestOneChangedRouteTableIsSentAlone(t *testing.T) {
	b := newBed(t, Options{})
	start := base([]*resource.Resource{listener("api", "routes=api", 1), routes("api", 1, "a")})
	b.SetView(viewOf(start...))
	p := b.connect("p1")
	p.quiet()
	p.expectAnything()

	b.SetView(viewOf(replace(start, routes("web", 2, "a"))...))
	p.expect("routes +web")
	b.SetView(viewOf(replace(start, routes("web", 2, "a"))...))
	p.expect()
}

func TestEachChangeOfAKindWhoseRejectionNamesNothingGoesAlone(t *testing.T) {
	b := newBed(t, Options{})
	start := base(backend("b", 1), []*resource.Resource{listener("api", "routes=api", 1), routes("api", 1, "a")})
	b.SetView(viewOf(start...))
	p := b.connect("p1")
	p.quiet()
	p.expectAnything()

	b.SetView(viewOf(replace(start, routes("web", 2, "a"), routes("api", 2, "a"), endpoints("a", 2), endpoints("b", 2),
		cluster("a", 2), cluster("b", 2))...))
	p.expect("clusters +a +b", "endpoints +a", "endpoints +b", "routes +api", "routes +web")
}

func TestMakeBeforeBreak(t *testing.T) {
	b := newBed(t, Options{})
	b.SetView(viewOf(base()...))
	p := b.connect("p1")
	p.quiet()
	p.expectAnything()

	p.setMute(resource.ClusterType)
	p.setMute(resource.EndpointType)
	b.SetView(viewOf(replace(base(backend("b", 1)), routes("web", 2, "a", "b"))...))
	p.expect("clusters +b") // nothing points at b before it was acknowledged
	p.unmute(resource.ClusterType)
	p.expect("endpoints +b") // nor before its endpoints were
	b.clock.advance(DefaultGateDeadline - time.Millisecond)
	p.expect()
	p.unmute(resource.EndpointType)
	p.expect("routes +web")
	if n := p.state().GateDeadlinesExpired; n != 0 {
		t.Errorf("%d gates expired, want 0", n)
	}
}

func TestEndpointsFollowAModifiedCluster(t *testing.T) {
	b := newBed(t, Options{})
	b.SetView(viewOf(base()...))
	p := b.connect("p1")
	p.quiet()
	p.expectAnything()

	p.setWarming(resource.ClusterType, true)
	p.setMute(resource.EndpointType)
	b.SetView(viewOf(replace(base(), cluster("a", 2), routes("web", 2, "a"))...))
	// They are unchanged, but the cluster waits for them, and acknowledges nothing until it has them.
	p.expect("clusters +a", "endpoints +a")
	p.unmute(resource.EndpointType)
	p.expect("routes +web")
	p.setWarming(resource.ClusterType, false)
	p.expect()
	checkSettled(t, b, p)

	p.disconnect()
	b.SetView(viewOf(replace(base(), cluster("a", 3), routes("web", 2, "a"))...))
	p.open() // the same when the cluster changed meanwhile
	p.expect("clusters +a", "endpoints +a")
	checkSettled(t, b, p)
}

func TestEndpointsNobodyAskedForAreNotSent(t *testing.T) {
	b := newBed(t, Options{})
	b.SetView(viewOf(base()...))
	p := b.connect("p1")
	p.quiet()
	p.expectAnything()
	p.disconnect()
	b.SetView(viewOf(replace(base(), cluster("a", 2))...))
	p.noFollow["a"] = true
	delete(p.interests, resource.EndpointType)
	p.dial()
	p.mu.Lock()
	p.first(resource.ClusterType) // and nothing more
	p.mu.Unlock()
	p.expect("clusters +a")
	b.clock.advance(time.Hour)
	p.expect()
}

func TestClusterAcknowledgedLateBecauseOfAnother(t *testing.T) {
	b := newBed(t, Options{})
	start := base([]*resource.Resource{listener("api", "routes=api", 1), routes("api", 1, "a")})
	b.SetView(viewOf(start...))
	p := b.connect("p1")
	p.quiet()
	p.expectAnything()

	// Both clusters are in one response, and checked is warming. b is ready when its endpoints are; checked is not.
	p.setWarming(resource.ClusterType, true)
	b.SetView(viewOf(replace(all(start, backend("b", 1), []*resource.Resource{checkedCluster("checked"), endpoints("checked", 1)}),
		routes("web", 2, "b"), routes("api", 2, "checked"))...))
	p.expect("clusters +b +checked", "endpoints +b +checked", "routes +web")
	p.setWarming(resource.ClusterType, false)
	p.expect("routes +api")
}

func TestListenerWaitsForItsOwnClusters(t *testing.T) {
	b := newBed(t, Options{})
	b.SetView(viewOf(base()...))
	p := b.connect("p1")
	p.quiet()
	p.expectAnything()

	p.setMute(resource.ClusterType)
	l := listener("web", "routes=web", 2)
	l.Refs = append(l.Refs, cid("picker"))
	b.SetView(viewOf(replace(base(backend("picker", 1)), l)...))
	p.expect("clusters +picker")
	p.unmute(resource.ClusterType)
	p.expect("endpoints +picker", "listeners +web")
}

func TestGateIsPerReferenceWithADeadline(t *testing.T) {
	b := newBed(t, Options{})
	start := base([]*resource.Resource{listener("api", "routes=api", 1), routes("api", 1, "a")})
	b.SetView(viewOf(start...))
	p := b.newProxy("p1")
	p.noFollow["cold"] = true // its endpoints are never asked for
	p.open()
	p.quiet()
	p.expectAnything()

	next := replace(all(start, backend("cold", 1), backend("b", 1)), routes("web", 2, "cold"), routes("api", 2, "b"))
	b.SetView(viewOf(next...))
	p.expect("clusters +b +cold", "endpoints +b", "routes +api") // cold holds only what refers to it
	if b.Synced(testView, "p1") {
		t.Error("synced while a route table is held")
	}
	b.clock.advance(DefaultGateDeadline - time.Millisecond)
	p.expect()
	b.clock.advance(time.Millisecond)
	p.expect("routes +web")
	if n := p.state().GateDeadlinesExpired; n != 1 {
		t.Errorf("%d gates expired in State, want 1", n)
	}
	if n := valueOf(t, b.metrics.gateExpired); n != 1 {
		t.Errorf("metric says %v gates expired, want 1", n)
	}

	// The one that never comes does not hold the next change, only the new reference does.
	b.SetView(viewOf(replace(all(next, backend("c", 1)), routes("web", 3, "cold", "c"))...))
	p.expect("clusters +c", "endpoints +c", "routes +web")
	if n := p.state().GateDeadlinesExpired; n != 1 {
		t.Errorf("%d gates expired, want 1: the last one ended by an acknowledgement", n)
	}
}

func TestManyResponsesAtOnce(t *testing.T) {
	b := newBed(t, Options{})
	start, end := base(), base()
	var want []string
	for i := range 100 {
		name := fmt.Sprintf("b%02d", i)
		start = append(start, backend(name, 1)...)
		end = append(end, cluster(name, 1), endpoints(name, 2))
		want = append(want, "endpoints +"+name)
	}
	b.SetView(viewOf(start...))
	p := b.connect("p1")
	p.quiet()
	p.expectAnything()
	b.SetView(viewOf(end...))
	p.expect(want...)
	checkSettled(t, b, p)
}

func TestHeldResourceIsSentInItsLatestVersionAtTheDeadline(t *testing.T) {
	b := newBed(t, Options{})
	b.SetView(viewOf(base()...))
	p := b.newProxy("p1")
	p.noFollow["cold"], p.noFollow["colder"] = true, true
	p.open()
	p.quiet()
	p.expectAnything()

	next := replace(base(backend("cold", 1)), routes("web", 2, "cold"))
	b.SetView(viewOf(next...))
	b.clock.advance(DefaultGateDeadline / 2)
	p.expect("clusters +cold")
	last := routes("web", 3, "cold", "colder")
	b.SetView(viewOf(replace(all(next, backend("colder", 1)), last)...))
	p.expect("clusters +colder")
	b.clock.advance(DefaultGateDeadline / 2) // of the first hold: later references do not prolong it
	p.expect("routes +web")
	if got := p.has(resource.RouteType, "web"); got != last.Version {
		t.Errorf("the proxy has version %s of the route table, want the latest, %s", got, last.Version)
	}
}

func TestEndpointsAreSentAtOnceAndHoldNothing(t *testing.T) {
	b := newBed(t, Options{})
	b.SetView(viewOf(base()...))
	p := b.connect("p1")
	p.quiet()
	p.expectAnything()

	b.SetView(viewOf(replace(base(), endpoints("a", 2))...))
	p.expect("endpoints +a")
	p.setMute(resource.EndpointType)
	b.SetView(viewOf(replace(base(), endpoints("a", 3), routes("web", 2, "a"))...))
	p.expect("endpoints +a", "routes +web") // endpoints first, but a known cluster's churn gates nothing
	b.SetView(viewOf(replace(base(), endpoints("a", 4), routes("web", 2, "a"))...))
	b.SetView(viewOf(replace(base(), endpoints("a", 5), routes("web", 2, "a"))...))
	p.expect() // one version at a time is in flight
	p.unmute(resource.EndpointType)
	p.expect("endpoints +a")
	if got, want := p.has(resource.EndpointType, "a"), endpoints("a", 5).Version; got != want {
		t.Errorf("endpoints are at %s, want the last version, %s", got, want)
	}
}

func TestRemovalIsLate(t *testing.T) {
	b := newBed(t, Options{})
	b.SetView(viewOf(base(backend("b", 1))...))
	p := b.connect("p1")
	p.quiet()
	p.expectAnything()

	p.setMute(resource.RouteType)
	after := all(backend("b", 1), []*resource.Resource{listener("web", "routes=web", 1), routes("web", 2, "b")})
	b.SetView(viewOf(after...))
	p.expect("routes +web")
	b.clock.advance(10 * DefaultRemovalGrace)
	p.expect() // the proxy may still route to a
	p.unmute(resource.RouteType)
	p.expect()
	if !b.Synced(testView, "p1") {
		t.Error("a removal in its grace must not keep the proxy from being synced")
	}
	b.clock.advance(DefaultRemovalGrace - time.Millisecond)
	p.expect()
	b.clock.advance(time.Millisecond)
	p.expect("clusters -a") // the proxy gives up a's endpoints itself
	b.clock.advance(10 * DefaultRemovalGrace)
	p.expect()
	checkSettled(t, b, p)
}

func TestRemovalIsCalledOffWhenTheClusterIsWantedAgain(t *testing.T) {
	b := newBed(t, Options{})
	b.SetView(viewOf(base(backend("b", 1))...))
	p := b.connect("p1")
	p.quiet()
	p.expectAnything()
	b.SetView(viewOf(all(backend("b", 1), []*resource.Resource{listener("web", "routes=web", 1), routes("web", 2, "b")})...))
	p.expect("routes +web")
	b.clock.advance(DefaultRemovalGrace / 2)
	b.SetView(viewOf(base(backend("b", 1))...))
	p.expect("routes +web")
	b.clock.advance(10 * DefaultRemovalGrace)
	p.expect()
	checkSettled(t, b, p)
}

func TestListenerGoesBeforeItsRouteTable(t *testing.T) {
	b := newBed(t, Options{})
	start := base(backend("b", 1), []*resource.Resource{listener("api", "routes=api", 1), routes("api", 1, "b")})
	b.SetView(viewOf(start...))
	p := b.connect("p1")
	p.quiet()
	p.expectAnything()

	p.setMute(resource.ListenerType)
	b.SetView(viewOf(base()...))
	p.expect("listeners -api")
	b.clock.advance(10 * DefaultRemovalGrace)
	p.expect() // not acknowledged: its route table and cluster stay
	p.unmute(resource.ListenerType)
	p.expect()
	b.clock.advance(DefaultRemovalGrace)
	p.expect("clusters -b")
}

func TestWhatADrainingProxyStillAsksForIsRemovedLast(t *testing.T) {
	b := newBed(t, Options{})
	b.SetView(viewOf(base(backend("b", 1), []*resource.Resource{listener("api", "routes=api", 1), routes("api", 1, "b")})...))
	p := b.newProxy("p1")
	p.drains = true
	p.open()
	p.quiet()
	p.expectAnything()

	p.setMute(resource.ListenerType)
	b.SetView(viewOf(base()...))
	p.expect("listeners -api")
	b.clock.advance(10 * DefaultRemovalGrace)
	p.expect()
	p.unmute(resource.ListenerType)
	p.expect()
	b.clock.advance(DefaultRemovalGrace)
	p.expect("routes -api") // no listener refers to it any more
	b.clock.advance(DefaultRemovalGrace)
	p.expect("clusters -b") // no route table refers to it
	b.clock.advance(DefaultRemovalGrace)
	p.expect("endpoints -b") // no cluster
	b.clock.advance(10 * DefaultRemovalGrace)
	p.expect()
}

func TestOldListenerStaysUntilItsSuccessorIsSent(t *testing.T) {
	b := newBed(t, Options{})
	b.SetView(viewOf(base()...))
	p := b.connect("p1")
	p.quiet()
	p.expectAnything()

	p.setMute(resource.ClusterType)
	next := listener("web2", "routes=web", 1)
	next.Refs = append(next.Refs, cid("picker"))
	b.SetView(viewOf(all(without(base(), resource.ID{Type: resource.ListenerType, Name: "web"}),
		backend("picker", 1), []*resource.Resource{next})...))
	p.expect("clusters +picker")
	p.unmute(resource.ClusterType)
	p.expect("endpoints +picker", "listeners +web2 -web")
}

func TestViewRemovedKeepsProxiesAsTheyAre(t *testing.T) {
	b := newBed(t, Options{})
	b.SetView(viewOf(base()...))
	p := b.connect("p1")
	p.quiet()
	p.expectAnything()

	b.RemoveView(testView)
	b.clock.advance(time.Minute)
	p.expect()
	if st := p.state(); st.ViewExists || st.Synced {
		t.Errorf("view exists %v, synced %v; want neither", st.ViewExists, st.Synced)
	}
	late := b.connect("p2")
	late.expect() // the view does not come back with a new proxy
	late.disconnect()

	b.SetView(viewOf(replace(base(), routes("web", 2, "a"))...))
	p.expect("routes +web")
	checkSettled(t, b, p)

	b.RemoveView(testView)
	p.disconnect()
	if n := len(b.views); n != 0 {
		t.Errorf("%d views are kept though removed and not asked for", n)
	}
}

func TestUnknownViewWaitsInSilence(t *testing.T) {
	b := newBed(t, Options{})
	p := b.connect("p1")
	b.clock.advance(time.Minute)
	p.expect()
	if b.Synced(testView, "p1") {
		t.Error("synced without a view")
	}
	b.SetView(namedView("default/other", base()...))
	p.expect()
	b.SetView(viewOf(base()...))
	p.expect("clusters +a", "listeners +web", "endpoints +a", "routes +web")
}

func subscribe(typ string, names ...string) *discovery.DeltaDiscoveryRequest {
	return &discovery.DeltaDiscoveryRequest{TypeUrl: typ, ResourceNamesSubscribe: names}
}

// expectAnything drops what was received so far.
func (p *proxy) expectAnything() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log = nil
}

// checkSettled checks that nothing is kept of a proxy that is up to date: no exception, no timer, no unanswered
// response, and that the hashes agree.
func checkSettled(t *testing.T, b *bed, p *proxy) {
	t.Helper()
	p.quiet()
	c := b.listConns()[0]
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, e := range c.entries {
		t.Errorf("entry left of %s %s: %+v", k.kind, k.name, *e)
	}
	for k := range c.warming {
		t.Errorf("%s %s still counts as missing", k.kind, k.name)
	}
	if len(c.unanswered)+len(c.queue)+len(c.handed) > 0 {
		t.Errorf("%d responses unanswered, %d queued", len(c.unanswered), len(c.queue)+len(c.handed))
	}
	if n := b.clock.pending(); n != 0 {
		t.Errorf("%d timers left", n)
	}
	for k, tl := range c.tally() {
		if tl.wantedSum != tl.ackedSum || tl.wanted != tl.acked {
			t.Errorf("%s: wanted %d (%x), acknowledged %d (%x)", kind(k), tl.wanted, tl.wantedSum, tl.acked, tl.ackedSum)
		}
	}
}

// valueOf reads a counter or gauge.
func valueOf(t *testing.T, m prometheus.Metric) float64 {
	t.Helper()
	var out dto.Metric
	if err := m.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.GetCounter().GetValue() + out.GetGauge().GetValue()
}
