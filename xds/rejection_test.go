package xds

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/resource"
)

// witness records the callbacks; it calls into the server, which must not deadlock.
type witness struct {
	mu       sync.Mutex
	server   *Server
	rejected []string
	cleared  []string
}

func (w *witness) options() Options {
	return Options{
		OnRejection: func(r Rejection) { w.note(&w.rejected, r) },
		OnCleared:   func(r Rejection) { w.note(&w.cleared, r) },
	}
}

func (w *witness) note(list *[]string, r Rejection) {
	w.server.SetView(namedView("default/side-effect"))
	w.server.State("", "")
	w.mu.Lock()
	defer w.mu.Unlock()
	*list = append(*list, r.Resource.Name+"@"+r.Node)
}

func (w *witness) expect(t *testing.T, rejected, cleared []string) {
	t.Helper()
	get := func() (a, b []string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return slices.Clone(w.rejected), slices.Clone(w.cleared)
	}
	eventually(t, "callbacks", func() bool { a, b := get(); return len(a) >= len(rejected) && len(b) >= len(cleared) })
	a, b := get()
	slices.Sort(a)
	if !slices.Equal(a, rejected) || !slices.Equal(b, cleared) {
		t.Errorf("rejected %v, cleared %v; want %v and %v", a, b, rejected, cleared)
	}
}

func newWitnessedBed(t *testing.T) (*bed, *witness) {
	w := &witness{}
	b := newBed(t, w.options())
	w.server = b.Server
	return b, w
}

// rejecting refuses responses that hold any of the versions, with a text.
func rejecting(text string, versions ...string) func(*discovery.DeltaDiscoveryResponse) string {
	return func(msg *discovery.DeltaDiscoveryResponse) string {
		for _, r := range msg.Resources {
			if slices.Contains(versions, r.Version) {
				return text
			}
		}
		return ""
	}
}

func TestRejectedRouteTableIsReportedAndHarmsOnlyItself(t *testing.T) {
	b, w := newWitnessedBed(t)
	start := base([]*resource.Resource{listener("api", "routes=api", 1), routes("api", 1, "a")})
	b.SetView(viewOf(start...))
	p := b.connect("p1")
	p.quiet()
	p.expectAnything()

	bad := routes("api", 2, "a")
	p.setReject(rejecting("route: unknown regex", bad.Version))
	next := replace(start, bad, routes("web", 2, "a"))
	b.SetView(viewOf(next...))
	p.expect("routes +api", "routes +web")
	w.expect(t, []string{"api@p1"}, nil)

	want := Rejection{
		View: testView, Node: "p1", Resource: bad.ID, Version: bad.Version, Error: "route: unknown regex",
		Sources: []source.Ref{{Kind: "HTTPRoute", Namespace: "default", Name: "of-api"}},
	}
	got := b.Rejections()
	if len(got) != 1 || got[0].Resource != want.Resource || got[0].Version != want.Version || got[0].Node != want.Node ||
		got[0].View != want.View || got[0].Error != want.Error || !slices.Equal(got[0].Sources, want.Sources) {
		t.Errorf("rejections %+v, want %+v", got, want)
	}
	if !b.Synced(testView, "p1") {
		t.Error("a rejection must not keep the proxy from being synced")
	}
	if got, want := p.has(resource.RouteType, "api"), routes("api", 1, "a").Version; got != want {
		t.Errorf("the proxy runs %s, want the last good version %s", got, want)
	}
	if st := p.state().Types[routeKind]; st.NACK != "" || st.Rejected != 1 || st.Wanted == st.Acknowledged {
		t.Errorf("state of routes: %+v; want one rejected, hashes that differ, and no text after the later ACK", st)
	} else if st.LastNACK == "" {
		t.Error("the text of the last rejection is not kept")
	}

	// Not sent again with later changes, nor when the view is set again.
	next = replace(next, routes("web", 3, "a"))
	b.SetView(viewOf(next...))
	p.expect("routes +web")
	// A newer version is sent, and clears it. Its age is its own.
	b.clock.advance(time.Hour)
	p.setMute(resource.RouteType)
	b.SetView(viewOf(replace(next, routes("api", 3, "a"))...))
	p.expect("routes +api")
	b.clock.advance(time.Second)
	if age := p.state().Types[routeKind].OldestUnacknowledged; age != 1 {
		t.Errorf("the newer version is unacknowledged for %v s, want 1", age)
	}
	p.unmute(resource.RouteType)
	p.expect()
	w.expect(t, []string{"api@p1"}, []string{"api@p1"})
	if got := b.Rejections(); len(got) != 0 {
		t.Errorf("rejections %+v after a newer version was acknowledged", got)
	}
	checkSettled(t, b, p)
}

func TestGoingBackToTheLastGoodVersionClearsTheRejection(t *testing.T) {
	b, w := newWitnessedBed(t)
	b.SetView(viewOf(base()...))
	p := b.connect("p1")
	p.quiet()
	p.expectAnything()
	bad := routes("web", 2, "a")
	p.setReject(rejecting("no", bad.Version))
	b.SetView(viewOf(replace(base(), bad)...))
	p.expect("routes +web")
	b.SetView(viewOf(base()...))
	p.expect() // it has that one
	w.expect(t, []string{"web@p1"}, []string{"web@p1"})
	checkSettled(t, b, p)
}

func TestEnvoysTextNamesTheClustersThatFailed(t *testing.T) {
	b, w := newWitnessedBed(t)
	b.SetView(viewOf(base()...))
	p := b.connect("p1")
	p.quiet()
	p.expectAnything()

	p.setReject(func(msg *discovery.DeltaDiscoveryResponse) string {
		if strings.HasPrefix(describeMessage(msg), "clusters +bad +good +x-bad") {
			p.applied(msg, "good", "x-bad") // what Envoy does with the others
			return "Error adding/updating cluster(s) bad: x-bad: is not allowed, good"
		}
		return ""
	})
	next := replace(base(backend("bad", 1), backend("good", 1), backend("x-bad", 1)), routes("web", 2, "bad", "good"))
	b.SetView(viewOf(next...))
	// The rejected cluster holds nothing back, and nothing of the response is sent again.
	p.expect("clusters +bad +good +x-bad", "endpoints +good +x-bad", "routes +web")
	w.expect(t, []string{"bad@p1"}, nil)
	if !b.Synced(testView, "p1") {
		t.Error("not synced")
	}
	// An old cluster that the last good route table may need is not an issue here: all was acknowledged but bad.
	b.SetView(viewOf(replace(next, routes("web", 3, "bad"))...))
	p.expect("routes +web")
}

func TestNamedFailures(t *testing.T) {
	rs := []*resource.Resource{cluster("a", 1), cluster("b", 1), cluster("ns/a", 1)}
	for text, want := range map[string][]bool{
		"Error adding/updating cluster(s) a: bad, ns/a: worse":                   {true, false, true},
		"Error adding/updating cluster(s) ns/a: a: b: bad":                       {false, false, true},
		"Error adding/updating listener(s) a: bad address\nb: duplicate\n":       {true, true, false},
		"Error adding/updating cluster(s) b: why, with a comma, a: no":           {true, true, false},
		"Proto constraint validation failed (ClusterValidationError.Name: a: x)": nil,
		"": nil,
	} {
		if got := namedFailures(text, rs); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestTruncatedTextLeavesTheOthersInDoubt(t *testing.T) {
	b, w := newWitnessedBed(t)
	b.SetView(viewOf(base()...))
	p := b.connect("p1")
	p.quiet()
	p.expectAnything()
	p.setReject(func(msg *discovery.DeltaDiscoveryResponse) string {
		switch describeMessage(msg) {
		case "clusters +b +c +d":
			return "Error adding/updating cluster(s) b: long...(truncated)"
		case "clusters +c +d":
			p.applied(msg, "d")
			return "Error adding/updating cluster(s) c: why"
		}
		return ""
	})
	b.SetView(viewOf(base(backend("b", 1), backend("c", 1), backend("d", 1))...))
	p.expect("clusters +b +c +d", "clusters +c +d", "endpoints +d")
	w.expect(t, []string{"b@p1", "c@p1"}, nil)
}

func TestAnonymousRejectionIsTakenApart(t *testing.T) {
	b, w := newWitnessedBed(t)
	list := base()
	for _, name := range []string{"b", "c", "d", "e", "f"} {
		list = append(list, backend(name, 1)...)
	}
	b.SetView(viewOf(list...))
	p := b.newProxy("p1")
	p.setReject(rejecting("Proto constraint validation failed", endpoints("c", 1).Version, cluster("f", 1).Version))
	p.open()
	p.expect(
		"clusters +a +b +c +d +e +f", "listeners +web",
		"clusters +a +b +c", "clusters +d +e +f", "routes +web",
		"endpoints +a +b +c",
		"clusters +d", "clusters +e +f", "endpoints +a", "endpoints +b +c", "endpoints +d",
		"clusters +e", "clusters +f", "endpoints +b", "endpoints +c", "endpoints +e",
	)
	w.expect(t, []string{"c@p1", "f@p1"}, nil)
	if !b.Synced(testView, "p1") {
		t.Error("not synced")
	}
}

func TestRejectedRouteTableKeepsTheClustersOfTheLastGoodOne(t *testing.T) {
	b, _ := newWitnessedBed(t)
	b.SetView(viewOf(base(backend("b", 1))...))
	p := b.connect("p1")
	p.quiet()
	p.expectAnything()

	bad := routes("web", 2, "b")
	p.setReject(rejecting("no", bad.Version))
	next := all(backend("b", 1), []*resource.Resource{listener("web", "routes=web", 1), bad})
	b.SetView(viewOf(next...))
	p.expect("routes +web")
	b.clock.advance(time.Hour)
	p.expect() // the proxy still routes to a
	b.SetView(viewOf(replace(next, routes("web", 3, "b"))...))
	p.expect("routes +web")
	b.clock.advance(DefaultRemovalGrace)
	p.expect("clusters -a")
	checkSettled(t, b, p)
}

func TestRejectionOutlivesAShortAbsence(t *testing.T) {
	b, w := newWitnessedBed(t)
	b.SetView(viewOf(base()...))
	p := b.connect("p1")
	p.quiet()
	p.expectAnything()
	bad := routes("web", 2, "a")
	p.setReject(rejecting("no", bad.Version))
	b.SetView(viewOf(replace(base(), bad)...))
	p.expect("routes +web")
	p.disconnect()
	if n := len(b.Rejections()); n != 1 {
		t.Fatalf("%d rejections while the proxy is away, want 1", n)
	}
	p.open()
	p.expect() // it is not sent the same version again
	p.disconnect()

	b.clock.advance(departedRejection)
	if n := len(b.Rejections()); n != 0 {
		t.Errorf("%d rejections of a proxy that is gone for good, want 0", n)
	}
	w.expect(t, []string{"web@p1"}, []string{"web@p1"})
}

func TestRejectionOfAnAbsentProxyEndsWithTheVersion(t *testing.T) {
	b, w := newWitnessedBed(t)
	b.SetView(viewOf(base()...))
	p := b.connect("p1")
	p.quiet()
	bad := routes("web", 2, "a")
	p.setReject(rejecting("no", bad.Version))
	b.SetView(viewOf(replace(base(), bad)...))
	p.quiet()
	p.disconnect()
	b.SetView(viewOf(replace(base(), bad, endpoints("a", 2))...))
	w.expect(t, []string{"web@p1"}, nil)
	b.SetView(viewOf(replace(base(), routes("web", 3, "a"))...))
	w.expect(t, []string{"web@p1"}, []string{"web@p1"})
}

func TestRejectionsOfARestartedProxyAreForgotten(t *testing.T) {
	b, w := newWitnessedBed(t)
	b.SetView(viewOf(base()...))
	p := b.newProxy("p1")
	bad := routes("web", 1, "a")
	p.setReject(rejecting("no", bad.Version))
	p.open()
	p.quiet()
	w.expect(t, []string{"web@p1"}, nil)
	p.disconnect()

	q := b.connect("p1") // another process, perhaps a newer proxy
	q.expect("clusters +a", "listeners +web", "endpoints +a", "routes +web")
	w.expect(t, []string{"web@p1"}, []string{"web@p1"})
}

// applied makes the proxy run some resources of a response that it rejects. It is called while the proxy replies.
func (p *proxy) applied(msg *discovery.DeltaDiscoveryResponse, names ...string) {
	for _, r := range msg.Resources {
		if slices.Contains(names, r.Name) {
			p.versions[msg.TypeUrl][r.Name] = r.Version
			p.bodies[msg.TypeUrl][r.Name] = r
		}
	}
	p.followLater = true
}
