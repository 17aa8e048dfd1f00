package xds

import (
	"maps"
	"testing"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/switchyard/switchyard/translate/resource"
)

func withTLS() []*resource.Resource {
	return base([]*resource.Resource{listener("tls", "routes=web secret=cert", 1), secret("cert", 1)})
}

func TestReconnectUnchangedIsSentNothing(t *testing.T) {
	b := newBed(t, Options{})
	b.SetView(viewOf(withTLS()...))
	p := b.connect("p1")
	p.quiet()
	p.expectAnything()
	p.disconnect()

	p.open()
	b.clock.advance(time.Minute)
	p.expect()
	if !b.Synced(testView, "p1") {
		t.Error("not synced")
	}
	checkSettled(t, b, p)
}

func TestReconnectToAnotherReplicaIsSentNothing(t *testing.T) {
	b := newBed(t, Options{})
	b.SetView(viewOf(withTLS()...))
	p := b.connect("p1")
	p.quiet()
	p.expectAnything()
	p.disconnect()

	other := newBed(t, Options{})
	other.SetView(viewOf(withTLS()...))
	p.b = other
	p.open()
	other.clock.advance(time.Minute)
	p.expect()
	checkSettled(t, other, p)
}

func TestReconnectAfterChangesGetsThemInOrder(t *testing.T) {
	b := newBed(t, Options{})
	b.SetView(viewOf(base(backend("old", 1))...))
	p := b.connect("p1")
	p.quiet()
	p.expectAnything()
	p.disconnect()

	// All versions that the proxy has were produced here, so nothing is held.
	b.SetView(viewOf(replace(base(backend("b", 1)), routes("web", 2, "b"))...))
	p.open()
	p.expect("clusters +b", "endpoints +b", "routes +web")
	b.clock.advance(DefaultRemovalGrace)
	p.expect("clusters -old")
	checkSettled(t, b, p)
}

func TestReconnectToALaggingReplica(t *testing.T) {
	newer := replace(base(backend("b", 1)), routes("web", 2, "b"))
	ahead := newBed(t, Options{})
	ahead.SetView(viewOf(newer...))
	p := ahead.connect("p1")
	p.quiet()
	p.disconnect()

	t.Run("that catches up", func(t *testing.T) {
		lagging := newBed(t, Options{})
		lagging.SetView(viewOf(base()...))
		p := p.moveTo(t, lagging)
		p.open()
		p.expect()
		lagging.clock.advance(DefaultLagHold - time.Millisecond)
		p.expect() // the newer route table and cluster are left alone
		lagging.SetView(viewOf(newer...))
		lagging.clock.advance(time.Minute)
		p.expect()
		checkSettled(t, lagging, p)
	})
	t.Run("whose own view moves on", func(t *testing.T) {
		lagging := newBed(t, Options{})
		lagging.SetView(viewOf(base()...))
		p := p.moveTo(t, lagging)
		p.open()
		p.expect()
		lagging.SetView(viewOf(replace(newer, routes("web", 3, "b"))...))
		p.expect("routes +web")
	})
	t.Run("that stays as it is", func(t *testing.T) {
		lagging := newBed(t, Options{})
		lagging.SetView(viewOf(base()...))
		p := p.moveTo(t, lagging)
		p.open()
		p.expect()
		lagging.clock.advance(DefaultLagHold - time.Millisecond)
		p.expect()
		lagging.clock.advance(time.Millisecond)
		p.expect("routes +web") // after the hold this replica's word counts
		lagging.clock.advance(DefaultRemovalGrace)
		p.expect("clusters -b")
	})
	t.Run("whose view appears later", func(t *testing.T) {
		lagging := newBed(t, Options{})
		p := p.moveTo(t, lagging)
		p.open()
		p.expect()
		lagging.SetView(viewOf(base()...))
		lagging.clock.advance(DefaultLagHold - time.Millisecond)
		p.expect()
		lagging.clock.advance(time.Millisecond)
		p.expect("routes +web")
	})
}

func TestLagHoldsOnlyWhatIsAhead(t *testing.T) {
	ahead := newBed(t, Options{})
	ahead.SetView(viewOf(replace(base(), routes("web", 2, "a"))...))
	p := ahead.connect("p1")
	p.quiet()
	p.expectAnything()
	p.disconnect()

	b := newBed(t, Options{})
	b.SetView(viewOf(base()...))
	p.b = b
	p.open()
	p.expect()
	b.SetView(viewOf(replace(base(), endpoints("a", 2))...))
	p.expect("endpoints +a") // another resource goes on while the route table is held
}

func TestClusterThatIsAheadHoldsNothingBack(t *testing.T) {
	ahead := newBed(t, Options{})
	ahead.SetView(viewOf(replace(base(), cluster("a", 2))...))
	p := ahead.connect("p1")
	p.quiet()
	p.expectAnything()
	p.disconnect()

	b := newBed(t, Options{})
	b.SetView(viewOf(base()...))
	p.b = b
	p.open()
	p.expect()
	b.SetView(viewOf(replace(base(), routes("web", 2, "a"))...))
	p.expect("routes +web")
	b.clock.advance(DefaultLagHold)
	p.expect("clusters +a", "endpoints +a")
	checkSettled(t, b, p)
}

// After a rejection, Envoy does not report the versions of the clusters in the same response that it did apply.
func TestReturningProxyThatForgotAVersionIsNotGated(t *testing.T) {
	b := newBed(t, Options{})
	b.SetView(viewOf(base(backend("b", 1))...))
	p := b.connect("p1")
	p.quiet()
	p.expectAnything()
	p.disconnect()
	delete(p.versions[resource.ClusterType], "b")

	p.open()
	p.expect("clusters +b")
	b.SetView(viewOf(replace(base(backend("b", 1)), routes("web", 2, "b"))...))
	p.expect("routes +web") // b's endpoints are there
	checkSettled(t, b, p)
}

func TestAskingAgainIsAnsweredWithTheBody(t *testing.T) {
	b := newBed(t, Options{})
	b.SetView(viewOf(withTLS()...))
	p := b.connect("p1")
	p.quiet()
	p.expectAnything()

	p.ask(subscribe(resource.EndpointType, "a"))
	p.expect("endpoints +a")
	p.ask(subscribe(resource.SecretType, "cert"))
	p.expect("secrets +cert")
	p.ask(&discovery.DeltaDiscoveryRequest{
		TypeUrl: resource.EndpointType, ResourceNamesSubscribe: []string{"a"}, ResourceNamesUnsubscribe: []string{"nobody"},
	})
	p.expect("endpoints +a")
	checkSettled(t, b, p)

	p.disconnect()
	p.open()
	p.expect()
	p.ask(subscribe(resource.EndpointType, "a")) // after a reconnection, too
	p.expect("endpoints +a")
}

func TestUnsubscribeForgetsAndSubscribeSendsAnew(t *testing.T) {
	b := newBed(t, Options{})
	b.SetView(viewOf(base()...))
	p := b.connect("p1")
	p.quiet()
	p.expectAnything()

	p.ask(&discovery.DeltaDiscoveryRequest{TypeUrl: resource.EndpointType, ResourceNamesUnsubscribe: []string{"a"}})
	p.expect()
	b.SetView(viewOf(replace(base(), endpoints("a", 2))...))
	p.expect()
	p.ask(subscribe(resource.EndpointType, "a"))
	p.expect("endpoints +a")
	checkSettled(t, b, p)
}

func TestNameThatDoesNotExistYetIsSentWhenItDoes(t *testing.T) {
	b := newBed(t, Options{})
	b.SetView(viewOf(without(base(), resource.ID{Type: resource.EndpointType, Name: "a"})...))
	p := b.connect("p1")
	p.expect("clusters +a", "listeners +web", "routes +web")
	b.SetView(viewOf(base()...))
	p.expect("endpoints +a")
	checkSettled(t, b, p)
}

// moveTo makes the proxy anew with all that it has, to be connected to another replica.
func (p *proxy) moveTo(t *testing.T, b *bed) *proxy {
	q := b.newProxy(p.node)
	q.t = t
	p.mu.Lock()
	defer p.mu.Unlock()
	for typ := range p.versions {
		q.versions[typ] = maps.Clone(p.versions[typ])
		q.bodies[typ] = maps.Clone(p.bodies[typ])
		q.interests[typ] = maps.Clone(p.interests[typ])
	}
	return q
}
