package kube

import (
	"strings"
	"testing"

	"github.com/switchyard/switchyard/internal/source"
)

func TestACRDThatAppearsLater(t *testing.T) {
	server := newAPIServer(t)
	for _, k := range kinds {
		if k.custom {
			server.unserve(k.group, k.versions[0], k.resource)
		}
	}
	server.put(manifest("Service", "ns", "svc", nil))
	f := follow(t, server, Options{})
	u := f.has("Service", "ns", "svc", true)
	for _, kind := range []string{"GatewayClass", "Gateway", "HTTPRoute"} {
		if _, ok := warningOf(u, kind); !ok {
			t.Errorf("no warning that %s is not served", kind)
		}
	}
	if len(u.Warnings) != 3 {
		t.Errorf("warnings are %v, want three", u.Warnings)
	}
	if n := strings.Count(f.log.String(), "kinds without a CRD"); n != 1 {
		t.Errorf("the absent kinds were logged %d times, want once", n)
	}
	for _, k := range kinds {
		if k.custom {
			server.serve(k.group, k.versions[0], k.resource, k.name)
		}
	}
	server.put(manifest("HTTPRoute", "ns", "route", nil))
	server.put(manifest("InferencePool", "ns", "pool", nil))
	f.has("HTTPRoute", "ns", "route", true)
	f.has("InferencePool", "ns", "pool", true)
	f.until("no warning", func(u source.Update) bool { return len(u.Warnings) == 0 })
}

func TestACRDThatIsDeleted(t *testing.T) {
	server := newAPIServer(t)
	server.put(manifest("TLSRoute", "ns", "route", nil))
	server.put(manifest("HTTPRoute", "ns", "route", nil))
	f := follow(t, server, Options{})
	f.has("TLSRoute", "ns", "route", true)
	const path = "/apis/gateway.networking.k8s.io/v1/tlsroutes"
	server.unserve(gatewayGroup, "v1", "tlsroutes")
	f.has("TLSRoute", "ns", "route", false)
	f.has("HTTPRoute", "ns", "route", true)
	eventually(t, "the end of the watch", func() bool { return strings.Contains(f.log.String(), "no longer served") })
	asked := server.requests("list", path) + server.requests("watch", path)
	before, polls := f.puts(), server.requests("list", "/apis/gateway.networking.k8s.io")
	eventually(t, "more polls", func() bool { return server.requests("list", "/apis/gateway.networking.k8s.io") > polls+10 })
	if now := server.requests("list", path) + server.requests("watch", path); now != asked {
		t.Errorf("the resource was asked for %d times more after its watch had ended", now-asked)
	}
	if n := strings.Count(f.log.String(), "tlsroutes"); n > 2 {
		t.Errorf("the log names the resource %d times", n)
	}
	if n := f.puts(); n != before {
		t.Errorf("%d views came of nothing", n-before)
	}
	server.serve(gatewayGroup, "v1", "tlsroutes", "TLSRoute")
	server.put(manifest("TLSRoute", "ns", "again", nil))
	f.has("TLSRoute", "ns", "again", true)
	f.has("TLSRoute", "ns", "route", false)
}

// The objects of a CRD that goes without a word, its watches cut, go as well.
func TestACRDThatVanishes(t *testing.T) {
	server := newAPIServer(t)
	server.put(manifest("HTTPRoute", "ns", "route", nil))
	f := follow(t, server, Options{})
	server.close()
	server.mu.Lock()
	delete(server.served, "gateway.networking.k8s.io/v1/httproutes")
	server.mu.Unlock()
	server.open()
	u := f.has("HTTPRoute", "ns", "route", false)
	if _, ok := warningOf(u, "HTTPRoute"); !ok {
		f.until("a warning", func(u source.Update) bool { _, ok := warningOf(u, "HTTPRoute"); return ok })
	}
}

// An API server that has just started may know no group for a moment. No Gateway may be lost by that.
func TestDiscoveryThatForgets(t *testing.T) {
	server := newAPIServer(t)
	server.put(manifest("Gateway", "ns", "gw", nil))
	f := follow(t, server, Options{})
	server.mu.Lock()
	server.silent = true
	server.mu.Unlock()
	polls := server.requests("list", "/apis/gateway.networking.k8s.io")
	eventually(t, "more polls", func() bool { return server.requests("list", "/apis/gateway.networking.k8s.io") > polls+10 })
	f.until("the warning", func(u source.Update) bool { _, ok := warningOf(u, "Gateway"); return ok })
	if _, ok := f.store.Latest().Objects.Gateways.Get("ns", "gw"); !ok {
		t.Fatal("the Gateway was dropped on discovery's word alone")
	}
	server.put(manifest("Gateway", "ns", "second", nil))
	f.has("Gateway", "ns", "second", true)
}

func inVersion(version string, o map[string]any) map[string]any {
	o["apiVersion"] = gatewayGroup + "/" + version
	return o
}

func TestOlderVersions(t *testing.T) {
	server := newAPIServer(t)
	for plural, kind := range map[string]string{"referencegrants": "ReferenceGrant", "tlsroutes": "TLSRoute", "listenersets": "ListenerSet", "backendtlspolicies": "BackendTLSPolicy"} {
		server.unserve(gatewayGroup, "v1", plural)
		server.serve(gatewayGroup, map[string]string{
			"ReferenceGrant": "v1beta1", "TLSRoute": "v1alpha2", "ListenerSet": "v9", "BackendTLSPolicy": "v1alpha2"}[kind], plural, kind)
	}
	grant := func() map[string]any {
		return manifest("ReferenceGrant", "ns", "grant", map[string]any{"spec": map[string]any{
			"from": []any{map[string]any{"group": gatewayGroup, "kind": "HTTPRoute", "namespace": "other"}},
			"to":   []any{map[string]any{"group": "", "kind": "Service"}}}})
	}
	route := func(name string) map[string]any {
		return manifest("TLSRoute", "ns", name, map[string]any{"spec": map[string]any{
			"hostnames": []any{"a.example"}, "rules": []any{map[string]any{"backendRefs": []any{map[string]any{"name": "svc", "port": 443}}}}}})
	}
	server.put(inVersion("v1beta1", grant()))
	server.put(inVersion("v1alpha2", route("old")))
	f := follow(t, server, Options{})
	u := f.store.Latest()
	g, ok := u.Objects.ReferenceGrants.Get("ns", "grant")
	if !ok || len(g.Spec.From) != 1 || g.Spec.From[0].Namespace != "other" || g.Spec.To[0].Kind != "Service" {
		t.Errorf("the grant was read as %+v", g)
	}
	r, ok := u.Objects.TLSRoutes.Get("ns", "old")
	if !ok || r.Spec.Hostnames[0] != "a.example" || *r.Spec.Rules[0].BackendRefs[0].Port != 443 {
		t.Errorf("the route was read as %+v", r)
	}
	if r.APIVersion != gatewayGroup+"/v1alpha2" || r.Kind != "TLSRoute" {
		t.Errorf("the route says it is %s %s; a writer of its status needs the version that is served", r.APIVersion, r.Kind)
	}
	for kind, version := range map[string]string{"ListenerSet": "v9", "BackendTLSPolicy": "v1alpha2"} {
		if p, ok := warningOf(u, kind); !ok || !strings.Contains(p.Message, "only as "+version) || !strings.Contains(p.Fix, "v1") {
			t.Errorf("%s: warnings are %v", kind, u.Warnings)
		}
	}
	server.put(inVersion("v1alpha2", route("old2"))) // a watch event, not a list
	if r, _ := f.has("TLSRoute", "ns", "old2", true).Objects.TLSRoutes.Get("ns", "old2"); r.APIVersion != gatewayGroup+"/v1alpha2" {
		t.Errorf("the route says it is %q", r.APIVersion)
	}

	// The bundle is upgraded: the better version takes over, and what only the old one had is gone.
	server.serve(gatewayGroup, "v1", "tlsroutes", "TLSRoute")
	server.put(route("new"))
	u = f.has("TLSRoute", "ns", "new", true)
	if n := u.Objects.TLSRoutes.Len(); n != 1 {
		t.Errorf("%d routes after the upgrade, want the new one alone", n)
	}
	if r, _ := u.Objects.TLSRoutes.Get("ns", "new"); r.APIVersion != "" {
		t.Errorf("the route says it is %q, want nothing in the best version", r.APIVersion)
	}
}
