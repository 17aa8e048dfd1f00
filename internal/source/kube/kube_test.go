package kube

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/switchyard/switchyard/internal/source"
)

func TestEveryKindArrives(t *testing.T) {
	server := newAPIServer(t)
	for _, k := range kinds {
		namespace := "ns"
		if k.clusterScoped {
			namespace = ""
		}
		server.put(manifest(k.id(), namespace, "one", nil))
	}
	f := follow(t, server, Options{})
	u := f.store.Latest()
	for _, k := range kinds {
		namespace := "ns"
		if k.clusterScoped {
			namespace = ""
		}
		if o, ok := u.Objects.Find(source.Ref{Group: k.group, Kind: k.name, Namespace: namespace, Name: "one"}); !ok || o.GetUID() == "" || o.GetResourceVersion() == "" {
			t.Errorf("%s: %v in the first view, with %v", k.id(), ok, o)
		}
		server.put(manifest(k.id(), namespace, "two", nil))
		f.has(k.id(), namespace, "two", true)
		server.remove(manifest(k.id(), namespace, "one", nil))
		f.has(k.id(), namespace, "one", false)
	}
	if len(u.Warnings) != 0 {
		t.Errorf("warnings are %v", u.Warnings)
	}
	if f.puts() < 2 {
		t.Error("views are not counted")
	}
}

func TestFirstViewIsComplete(t *testing.T) {
	server := newAPIServer(t)
	server.put(manifest("Secret", "ns", "late", nil))
	server.put(manifest("Service", "ns", "early", nil))
	release := server.hold("secrets")
	f := begin(t, server, Options{})
	eventually(t, "all other watches", func() bool {
		for _, k := range kinds {
			path := "/apis/" + k.group + "/" + k.versions[0] + "/" + k.resource
			if k.group == "" {
				path = "/api/v1/" + k.resource
			}
			if k.resource != "secrets" && server.requests("watch", path) < 2 { // a streamed list is tried first
				return false
			}
		}
		return true
	})
	server.put(manifest("Service", "ns", "more", nil))
	f.nothingComes(0)
	release()
	u := f.until("the first view", func(source.Update) bool { return true })
	for _, ref := range []source.Ref{
		{Kind: "Secret", Namespace: "ns", Name: "late"}, {Kind: "Service", Namespace: "ns", Name: "early"}, {Kind: "Service", Namespace: "ns", Name: "more"},
	} {
		if _, ok := u.Objects.Find(ref); !ok {
			t.Errorf("the first view lacks %s", ref)
		}
	}
}

func TestABurstIsFewViews(t *testing.T) {
	server := newAPIServer(t)
	f := follow(t, server, Options{}, func(t *timing) { t.quiet = t.limit }) // so that a slow machine has no quiet moments
	before := f.puts()
	var pods []map[string]any
	for i := range 1000 {
		pods = append(pods, podManifest("ns", fmt.Sprint("p", i), "10.0.0.1"))
	}
	began := time.Now()
	server.putAll(pods...)
	f.until("1000 pods", func(u source.Update) bool { return u.Objects.Pods.Len() == 1000 })
	allowed := 2 + int(time.Since(began)/quickTiming.limit)
	if n := f.puts() - before; n > allowed {
		t.Errorf("1000 events became %d views, want at most %d in %v", n, allowed, time.Since(began))
	} else {
		t.Logf("1000 events became %d views", n)
	}
}

// What is not kept wakes nobody, and a view that was handed on never changes.
func TestChangesOfWhatIsNotKept(t *testing.T) {
	server := newAPIServer(t)
	server.put(podManifest("ns", "pod", "10.0.0.1"))
	server.put(manifest("Gateway", "ns", "gw", nil))
	f := follow(t, server, Options{})
	before, view := f.puts(), f.store.Latest().Objects
	pod, _ := view.Pods.Get("ns", "pod")
	gw, _ := view.Gateways.Get("ns", "gw")
	podWas, gwWas := pod.DeepCopy(), gw.DeepCopy()

	more := podManifest("ns", "pod", "10.0.0.1")
	more["spec"] = map[string]any{"nodeName": "n2"}
	server.put(more)
	server.put(manifest("Gateway", "ns", "gw", map[string]any{"metadata": map[string]any{
		"managedFields": []any{map[string]any{"manager": "x", "operation": "Update"}}}}))
	f.nothingComes(before)

	server.put(manifest("Service", "ns", "marker", nil))
	u := f.has("Service", "ns", "marker", true)
	newer, _ := u.Objects.Gateways.Get("ns", "gw")
	if newer.ResourceVersion == gw.ResourceVersion {
		t.Errorf("the next view has the Gateway in version %s still", newer.ResourceVersion)
	}
	if fmt.Sprint(pod) != fmt.Sprint(podWas) || fmt.Sprint(gw) != fmt.Sprint(gwWas) {
		t.Error("an object of an older view was changed")
	}
	if _, ok := view.Services.Get("ns", "marker"); ok {
		t.Error("a view changed after it was handed on")
	}
}

func withStatus(reason string) map[string]any {
	return map[string]any{"status": map[string]any{"conditions": []any{map[string]any{
		"type": "Accepted", "status": "True", "reason": reason, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}}}}
}

func gatewayReason(u source.Update) string {
	gw, ok := u.Objects.Gateways.Get("ns", "gw")
	if !ok || len(gw.Status.Conditions) == 0 {
		return ""
	}
	return gw.Status.Conditions[0].Reason
}

func TestAStatusAloneWaitsForCompany(t *testing.T) {
	server := newAPIServer(t)
	server.put(manifest("Gateway", "ns", "gw", nil))
	f := follow(t, server, Options{}, func(t *timing) { t.status = time.Hour })
	before := f.puts()
	server.put(manifest("Gateway", "ns", "gw", withStatus("First")))
	f.nothingComes(before)
	server.put(manifest("Service", "ns", "marker", nil))
	u := f.has("Service", "ns", "marker", true)
	if got := gatewayReason(u); got != "First" {
		t.Errorf("the next view has the status %q, want the newest", got)
	}
}

func TestAStatusAloneArrives(t *testing.T) {
	server := newAPIServer(t)
	server.put(manifest("Gateway", "ns", "gw", nil))
	f := follow(t, server, Options{})
	for _, reason := range []string{"First", "Second", "Third"} {
		server.put(manifest("Gateway", "ns", "gw", withStatus(reason)))
		f.until(reason, func(u source.Update) bool { return gatewayReason(u) == reason })
	}
	// The address of a Service is status too, but one that is translated: it does not wait.
	f2 := follow(t, server, Options{}, func(t *timing) { t.status = time.Hour })
	server.put(manifest("Service", "ns", "svc", map[string]any{"status": map[string]any{"loadBalancer": map[string]any{"ingress": []any{map[string]any{"ip": "10.1.1.1"}}}}}))
	f2.until("an address", func(u source.Update) bool {
		s, ok := u.Objects.Services.Get("ns", "svc")
		return ok && len(s.Status.LoadBalancer.Ingress) == 1
	})
}

func TestOnlyTheKindsThatAreWanted(t *testing.T) {
	server := newAPIServer(t)
	server.unserve(inferenceGroup, "v1", "inferencepools")
	server.put(podManifest("ml", "pod", "10.0.0.1"))
	server.put(podManifest("other", "pod", "10.0.0.1"))
	f := follow(t, server, Options{Kinds: []string{"Pod", "InferencePool", "Pod"}, Namespaces: []string{"ml", "ml"}})
	u := f.has("Pod", "ml", "pod", true)
	if u.Objects.Pods.Len() != 1 {
		t.Error("a pod of another namespace is in the view")
	}
	if p, ok := warningOf(u, "InferencePool"); !ok || !strings.Contains(p.Message, "inferencepools.inference.networking.k8s.io") || !strings.Contains(p.Fix, "install") {
		t.Errorf("a kind that was asked for is absent; the warnings are %v", u.Warnings)
	}
	server.serve(inferenceGroup, "v1", "inferencepools", "InferencePool")
	server.put(manifest("InferencePool", "ml", "pool", nil))
	u = f.has("InferencePool", "ml", "pool", true)
	if len(u.Warnings) != 0 {
		t.Errorf("warnings are %v", u.Warnings)
	}
	server.mu.Lock()
	defer server.mu.Unlock()
	for path := range server.asked {
		if !strings.Contains(path, "/namespaces/ml/pods") && !strings.Contains(path, inferenceGroup) {
			t.Errorf("asked for %s", path)
		}
	}
}

func TestOptionsThatCannotBeUsed(t *testing.T) {
	config := &rest.Config{Host: "http://127.0.0.1:1"}
	for want, o := range map[string]Options{
		"Config is nil":          {},
		`"Endpoints"; it can be`: {Config: config, Kinds: []string{"Endpoints"}},
		"Pod, Secret":            {Config: config, Kinds: []string{""}},
		`"a/b" is not the name`:  {Config: config, Namespaces: []string{"a/b"}},
		`"" is not the name`:     {Config: config, Namespaces: []string{""}},
		"API server http://%zz":  {Config: &rest.Config{Host: "http://%zz", TLSClientConfig: rest.TLSClientConfig{CAFile: "/does/not/exist"}}},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New gave %v, want an error with %q", err, want)
		}
	}
}
