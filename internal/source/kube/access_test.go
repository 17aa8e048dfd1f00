package kube

import (
	"strings"
	"testing"
	"time"

	"github.com/switchyard/switchyard/internal/source"
)

// clusterScoped tells whether a path needs a ClusterRole.
func clusterScoped(path, _ string) bool {
	return !strings.Contains(path, "/namespaces/")
}

func TestRolesInNamespacesAreEnough(t *testing.T) {
	server := newAPIServer(t)
	server.deny(clusterScoped)
	server.put(manifest("Namespace", "", "a", map[string]any{"metadata": map[string]any{"labels": map[string]any{"team": "x"}}}))
	server.put(manifest("Namespace", "", "c", nil))
	server.put(manifest("GatewayClass", "", "class", nil))
	for _, ns := range []string{"a", "b", "c"} {
		server.put(manifest("Gateway", ns, "gw", nil))
	}
	began := time.Now()
	f := follow(t, server, Options{Namespaces: []string{"b", "a"}}, func(t *timing) { t.patience = time.Hour })
	u := f.store.Latest()
	if time.Since(began) > patience/2 {
		t.Error("the start waited for roles that cannot come")
	}
	if n := u.Objects.Gateways.Len(); n != 2 {
		t.Errorf("%d Gateways are in the view, want those of a and b", n)
	}
	for _, ns := range []string{"a", "b"} {
		if o, ok := u.Objects.Namespaces.Get("", ns); !ok || o.Labels["kubernetes.io/metadata.name"] != ns {
			t.Errorf("namespace %s is %v", ns, o)
		}
	}
	if n := u.Objects.Namespaces.Len(); n != 2 {
		t.Errorf("%d namespaces are in the view, want 2", n)
	}
	p, ok := warningOf(u, "GatewayClass")
	if !ok || !strings.Contains(p.Message, "gatewayclasses.gateway.networking.k8s.io") || !strings.Contains(p.Fix, "ClusterRole") ||
		!strings.Contains(p.Fix, "get, list, watch on gatewayclasses") {
		t.Errorf("the warning of GatewayClass is %v", p)
	}

	server.deny(nil)
	u = f.has("GatewayClass", "", "class", true)
	u = f.until("the labels of a", func(u source.Update) bool {
		o, ok := u.Objects.Namespaces.Get("", "a")
		return ok && o.Labels["team"] == "x"
	})
	u = f.until("no warning", func(u source.Update) bool { return len(u.Warnings) == 0 })
	if _, ok := u.Objects.Namespaces.Get("", "b"); ok {
		t.Error("namespace b does not exist and is in the view")
	}
	if _, ok := u.Objects.Namespaces.Get("", "c"); ok {
		t.Error("namespace c is not watched and is in the view")
	}
}

func TestAForbiddenKindIsWaitedForAndThenLeftOut(t *testing.T) {
	server := newAPIServer(t)
	server.put(manifest("Secret", "ns", "cert", nil))
	server.put(manifest("Service", "ns", "svc", nil))
	secrets := func(path, _ string) bool { return strings.HasSuffix(path, "/secrets") }
	server.deny(secrets)
	began := time.Now()
	f := follow(t, server, Options{})
	if d := time.Since(began); d < quickTiming.patience {
		t.Errorf("the first view came after %v; a role may take %v to come", d, quickTiming.patience)
	}
	u := f.has("Service", "ns", "svc", true)
	p, ok := warningOf(u, "Secret")
	if !ok || !strings.Contains(p.Message, "may not list secrets") || !strings.Contains(p.Message, "in the whole cluster") ||
		!strings.Contains(p.Fix, `get, list, watch on secrets of the API group ""`) || len(u.Warnings) != 1 {
		t.Errorf("warnings are %v", u.Warnings)
	}
	if n := strings.Count(f.log.String(), "does not let us read"); n != 1 {
		t.Errorf("it was logged %d times", n)
	}
	server.deny(nil)
	f.has("Secret", "ns", "cert", true)
	f.until("no warning", func(u source.Update) bool { return len(u.Warnings) == 0 })

	// Taken away again: what was read stays, and is said to be old.
	server.deny(secrets)
	server.close()
	server.open()
	u = f.until("a warning", func(u source.Update) bool { _, ok := warningOf(u, "Secret"); return ok })
	if p, _ := warningOf(u, "Secret"); !strings.Contains(p.Message, "as they were last read") {
		t.Errorf("the warning is %v", p)
	}
	if _, ok := u.Objects.Secrets.Get("ns", "cert"); !ok {
		t.Error("a Secret was dropped because a role was")
	}
}

// A namespace without a Role does not keep the others from being read, and is named.
func TestANamespaceWithoutARole(t *testing.T) {
	server := newAPIServer(t)
	server.deny(func(path, _ string) bool { return strings.Contains(path, "/namespaces/b/") })
	server.put(manifest("Service", "a", "svc", nil))
	f := follow(t, server, Options{Namespaces: []string{"a", "b"}, Kinds: []string{"Service"}})
	u := f.has("Service", "a", "svc", true)
	p, ok := warningOf(u, "Service")
	if !ok || p.Object.Namespace != "b" || !strings.Contains(p.Fix, "a Role and a RoleBinding in namespace b") {
		t.Errorf("warnings are %v", u.Warnings)
	}
}

// A list that works and a watch that does not is one steady warning, not a new one with every try.
func TestAVerbThatIsMissing(t *testing.T) {
	server := newAPIServer(t)
	server.put(manifest("Service", "ns", "svc", nil))
	server.deny(func(path, verb string) bool { return strings.HasSuffix(path, "/services") && verb == "watch" })
	f := follow(t, server, Options{})
	u := f.until("a warning", func(u source.Update) bool { _, ok := warningOf(u, "Service"); return ok })
	if p, _ := warningOf(u, "Service"); !strings.Contains(p.Message, "may not watch services") {
		t.Errorf("the warning is %v", p)
	}
	f.has("Service", "ns", "svc", true)
	before, lists := f.puts(), server.requests("list", "/api/v1/services")
	eventually(t, "another try", func() bool { return server.requests("list", "/api/v1/services") > lists })
	f.nothingComes(before)
}

// With a server that streams lists no plain list follows a refused one, and the warning ends all the same.
func TestAForbiddenKindThatIsStreamedOnceAllowed(t *testing.T) {
	server := newAPIServer(t)
	server.stream = true
	server.put(manifest("Secret", "ns", "cert", nil))
	server.put(manifest("Service", "ns", "svc", nil))
	server.deny(func(path, _ string) bool { return strings.HasSuffix(path, "/secrets") })
	f := follow(t, server, Options{})
	u := f.has("Service", "ns", "svc", true)
	if _, ok := warningOf(u, "Secret"); !ok || server.requests("list", "/api/v1/services") != 0 {
		t.Errorf("warnings are %v, after %d lists of services", u.Warnings, server.requests("list", "/api/v1/services"))
	}
	server.deny(nil)
	f.has("Secret", "ns", "cert", true)
	f.until("no warning", func(u source.Update) bool { return len(u.Warnings) == 0 })
	server.put(manifest("Secret", "ns", "second", nil))
	f.has("Secret", "ns", "second", true)
}
