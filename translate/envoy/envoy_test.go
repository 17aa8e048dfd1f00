package envoy

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/model"
	"github.com/switchyard/switchyard/translate/resource"
)

// testGateway has one HTTP port with the rules given and these backends: a Service, a pool of ours, a
// FailClose pool with somebody else's picker.
func testGateway(rules ...model.Rule) *model.Gateway {
	key := func(name string) source.Key { return source.Key{Namespace: "shop", Name: name} }
	backends := []model.Backend{
		{ID: "service/shop/api/80", Source: source.Ref{Kind: "Service", Namespace: "shop", Name: "api"},
			Endpoints: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:8080")}},
		{ID: "pool/shop/ours", Source: source.Ref{Kind: "InferencePool", Namespace: "shop", Name: "ours"},
			Endpoints: []netip.AddrPort{netip.MustParseAddrPort("10.0.1.1:8000")}, Pool: &model.Pool{Key: key("ours")}},
		{ID: "pool/shop/theirs", Source: source.Ref{Kind: "InferencePool", Namespace: "shop", Name: "theirs"},
			Pool: &model.Pool{Key: key("theirs"), FailClose: true, Picker: &model.Picker{
				ID: "epp/shop/theirs/9002", Endpoints: []netip.AddrPort{netip.MustParseAddrPort("10.0.2.1:9002")},
			}}},
	}
	gw := &model.Gateway{
		Key:      key("gw"),
		Source:   source.Ref{Group: "gateway.networking.k8s.io", Kind: "Gateway", Namespace: "shop", Name: "gw"},
		Backends: map[string]model.Backend{},
		Ports:    []model.Port{{Number: 8080, Chains: []model.Chain{{Hosts: []model.Host{{Name: "*", Rules: rules}}}}}},
	}
	for _, r := range rules {
		if r.Action.Forward == nil {
			continue
		}
		for _, t := range r.Action.Forward.Targets {
			for _, b := range backends {
				if b.ID == t.Backend {
					gw.Backends[b.ID] = b
				}
			}
		}
	}
	return gw
}

func forward(name string, targets ...string) model.Rule {
	f := &model.Forward{}
	for _, t := range targets {
		f.Targets = append(f.Targets, model.Target{Backend: t, Weight: 1})
	}
	return model.Rule{
		Name: name, Source: source.Ref{Kind: "HTTPRoute", Namespace: "shop", Name: name},
		Match:  model.Match{Path: model.ValueMatch{Kind: model.PathPrefix, Value: "/" + name}},
		Action: model.Action{Forward: f},
	}
}

func build(t *testing.T, gw *model.Gateway) *resource.View {
	t.Helper()
	view, err := Build(gw, Options{Pickers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9002")}})
	if err != nil {
		t.Fatal(err)
	}
	return view
}

func versions(v *resource.View, typeURL string) map[string]string {
	out := map[string]string{}
	for name, r := range v.Of(typeURL) {
		out[name] = r.Version
	}
	return out
}

func TestListenersDoNotChangeWithRoutesOrPools(t *testing.T) {
	empty := build(t, testGateway())
	full := build(t, testGateway(
		forward("a", "service/shop/api/80"),
		forward("b", "pool/shop/ours"),
		forward("c", "pool/shop/theirs", "service/shop/api/80"),
	))
	before, after := versions(empty, resource.ListenerType), versions(full, resource.ListenerType)
	if len(before) != 1 || !maps.Equal(before, after) {
		t.Errorf("listeners before %v, after %v", before, after)
	}
	if maps.Equal(versions(empty, resource.RouteType), versions(full, resource.RouteType)) {
		t.Error("the route table did not change: the comparison above proves nothing")
	}
}

func TestClustersBelongToBackendsNotRoutes(t *testing.T) {
	one := build(t, testGateway(forward("a", "service/shop/api/80")))
	two := build(t, testGateway(forward("b", "service/shop/api/80"), forward("c", "service/shop/api/80")))
	if a, b := versions(one, resource.ClusterType), versions(two, resource.ClusterType); !maps.Equal(a, b) {
		t.Errorf("clusters differ by route: %v, %v", a, b)
	}
}

func TestEndpointsAreResourcesOfTheirOwn(t *testing.T) {
	gw := testGateway(forward("a", "pool/shop/ours"))
	before := build(t, gw)
	backend := gw.Backends["pool/shop/ours"]
	backend.Endpoints = append(backend.Endpoints, netip.MustParseAddrPort("10.0.1.2:8000"))
	gw.Backends["pool/shop/ours"] = backend
	after := build(t, gw)
	for _, typeURL := range []string{resource.ListenerType, resource.RouteType, resource.ClusterType} {
		if !maps.Equal(versions(before, typeURL), versions(after, typeURL)) {
			t.Errorf("a new endpoint changed a %s", typeURL)
		}
	}
	if maps.Equal(versions(before, resource.EndpointType), versions(after, resource.EndpointType)) {
		t.Error("a new endpoint did not change the endpoints")
	}
}

func TestEveryReferenceIsInTheView(t *testing.T) {
	gw := testGateway(forward("a", "service/shop/api/80"), forward("b", "pool/shop/ours"), forward("c", "pool/shop/theirs"))
	gw.Ports = append(gw.Ports, model.Port{Number: 8443, Protocol: model.HTTPS, Chains: []model.Chain{
		{SNI: "a.example.com", Secrets: []string{"shop/cert"}}, {Secrets: []string{"shop/cert"}},
	}})
	gw.Secrets = map[string]model.Secret{"shop/cert": {ID: "shop/cert"}}
	view := build(t, gw)
	refs := 0
	for id, r := range view.Resources {
		for _, ref := range r.Refs {
			refs++
			if view.Resources[ref] == nil {
				t.Errorf("%s refers to %s, which is not in the view", id.Name, ref.Name)
			}
		}
	}
	if refs < 8 {
		t.Errorf("only %d references were found", refs)
	}
	want := []string{"http/8080", "https/8443/*", "https/8443/a.example.com"}
	if got := slices.Sorted(maps.Keys(view.Of(resource.RouteType))); !slices.Equal(got, want) {
		t.Errorf("route tables %v, want %v", got, want)
	}
}

func TestRejectionsCanBeTracedToObjects(t *testing.T) {
	view := build(t, testGateway(forward("a", "service/shop/api/80"), forward("b", "pool/shop/ours")))
	table := view.Of(resource.RouteType)["http/8080"]
	var names []string
	for _, s := range table.Sources {
		names = append(names, s.String())
	}
	if got := strings.Join(names, " "); got != "HTTPRoute/shop/a HTTPRoute/shop/b" {
		t.Errorf("the table comes from %q", got)
	}
}

func TestPoolRoutesSplitByUpgradeAndContentLength(t *testing.T) {
	view := build(t, testGateway(forward("b", "pool/shop/ours")))
	routes := routesOf(t, view)
	if len(routes) != 4 {
		t.Fatalf("%d routes, want 4: upgrade, long, too long, short or unsized", len(routes))
	}
	if got := routes[0].GetMatch().GetHeaders()[0].GetName(); got != "upgrade" {
		t.Errorf("the first route matches %q, want upgrades", got)
	}
	long := routes[1].GetMatch().GetHeaders()[0].GetRangeMatch()
	if long.GetStart() != DefaultMatchBytes+partialMargin || long.GetEnd() != DefaultMaxRequestBytes+1 {
		t.Errorf("long is %d to %d", long.GetStart(), long.GetEnd())
	}
	if !excludes(routes[1], "x-llm-d-model-name-rewrite") || !excludes(routes[1], "x-gateway-model-name-rewrite") {
		t.Error("a long request whose model is rewritten by header is sent to the picker in part")
	}
	if got := routes[1].GetRequestBodyBufferLimit().GetValue(); got != DefaultMatchBytes {
		t.Errorf("a long request is buffered up to %d bytes, want %d", got, DefaultMatchBytes)
	}
	if got := routes[2].GetDirectResponse().GetStatus(); got != 413 {
		t.Errorf("too long a request is answered %d, want 413", got)
	}
	if got := routes[3].GetRequestBodyBufferLimit().GetValue(); got != DefaultMaxRequestBytes {
		t.Errorf("other requests are buffered up to %d bytes, want %d", got, DefaultMaxRequestBytes)
	}
}

// excludes tells whether a route is not for requests with a header.
func excludes(route *routev3.Route, header string) bool {
	return slices.ContainsFunc(route.GetMatch().GetHeaders(), func(m *routev3.HeaderMatcher) bool {
		absent, ok := m.GetHeaderMatchSpecifier().(*routev3.HeaderMatcher_PresentMatch)
		return m.GetName() == header && ok && !absent.PresentMatch
	})
}

// TestPoolsWithRewritesSendLongBodiesWhole: the name of the model may be at their end. Nothing else is different.
func TestPoolsWithRewritesSendLongBodiesWhole(t *testing.T) {
	gw := testGateway(forward("b", "pool/shop/ours"))
	usual := routesOf(t, build(t, gw))
	gw.Backends["pool/shop/ours"].Pool.Rewritten = true
	got, want := routesOf(t, build(t, gw)), slices.Delete(usual, 1, 2)
	if !slices.EqualFunc(got, want, func(a, b *routev3.Route) bool { return proto.Equal(a, b) }) {
		t.Errorf("routes %v, want %v", got, want)
	}
}

func TestTimeouts(t *testing.T) {
	limit := func(d time.Duration) model.Timeout { return model.Timeout{Kind: model.LimitedTimeout, Value: d} }
	for name, test := range map[string]struct {
		request, backend model.Timeout
		want             time.Duration
	}{
		"default":       {want: 0},
		"off":           {request: model.Timeout{Kind: model.NoTimeout}, want: 0},
		"request":       {request: limit(2 * time.Second), want: 2 * time.Second},
		"backend":       {backend: limit(time.Second), want: time.Second},
		"the shorter":   {request: limit(2 * time.Second), backend: limit(time.Second), want: time.Second},
		"off and limit": {request: model.Timeout{Kind: model.NoTimeout}, backend: limit(time.Second), want: time.Second},
	} {
		rule := forward("a", "service/shop/api/80")
		rule.Action.Forward.Timeout, rule.Action.Forward.BackendTimeout = test.request, test.backend
		got := routesOf(t, build(t, testGateway(rule)))[0].GetRoute().GetTimeout().AsDuration()
		if got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func routesOf(t *testing.T, view *resource.View) []*routev3.Route {
	t.Helper()
	var table routev3.RouteConfiguration
	if err := proto.Unmarshal(view.Of(resource.RouteType)["http/8080"].Body.Value, &table); err != nil {
		t.Fatal(err)
	}
	return table.VirtualHosts[0].Routes
}
