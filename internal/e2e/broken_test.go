package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/switchyard/switchyard/internal/pipeline"
	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/xds"
)

// strictEnvoy is the usual Envoy with a smaller bound on regular expressions than the control plane assumes,
// so that it refuses routes that pass every check before it.
func strictEnvoy(t *testing.T) string {
	t.Helper()
	const limits = `{"layered_runtime": {"layers": [{"name": "strict", "static_layer": {"re2.max_program_size.error_level": 100}}]}}`
	path := filepath.Join(t.TempDir(), "envoy")
	script := fmt.Sprintf("#!/bin/sh\nexec %s --config-yaml '%s' \"$@\"\n", envoyPath, limits)
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// refused is a match that strictEnvoy refuses, allowed one that it takes.
const (
	refused = `{path: {type: RegularExpression, value: "/refused/[a-z]{300}"}}`
	allowed = `{path: {type: RegularExpression, value: "/refused/[a-z]{3}"}}`
)

// ruleFor is one rule for a match, written as a flow mapping.
func ruleFor(match, service string) string { return "\n  - matches: [" + match + "]" + to(service) }

// fine is a route of its own host.
func fine(name, service string) string {
	return routeFor(name, name+".example", "", ruleFor("{path: {value: /}}", service))
}

// broken is a route of its own host that strictEnvoy refuses; its other match is good.
func broken(name, service string) string {
	return routeFor(name, name+".example", "", ruleFor(refused, service)+ruleFor("{path: {value: /}}", service))
}

func answers(name, service string) probe {
	return probe{host: name + ".example", path: "/", want: service}
}

// acceptedCondition gives the condition Accepted of a route, as text.
func (w *world) acceptedCondition(name string) metav1.Condition {
	result, _ := w.stack.Pipeline.Latest()
	status := result.Statuses.HTTPRoutes[source.Key{Namespace: "default", Name: name}]
	if status == nil {
		return metav1.Condition{Message: "no status"}
	}
	for _, c := range status.Parents[0].Conditions {
		if c.Type == "Accepted" {
			return c
		}
	}
	return metav1.Condition{Message: "no condition"}
}

// expectRefused waits until a route is said to be refused for good, with the proxy's words.
func (w *world) expectRefused(t *testing.T, name string) {
	t.Helper()
	var c metav1.Condition
	within := time.Now().Add(5 * time.Second)
	for c.Status != metav1.ConditionFalse || !strings.Contains(c.Message, "refuse this version") {
		if c = w.acceptedCondition(name); time.Now().After(within) {
			t.Fatalf("route %s is not reported as refused: %+v", name, c)
		}
		<-time.After(10 * time.Millisecond)
	}
	if c.Reason != pipeline.RejectedByProxy || !strings.Contains(c.Message, "max program size of 100") {
		t.Errorf("the condition does not hold Envoy's words: %+v", c)
	}
}

func (w *world) expectAccepted(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if c := w.acceptedCondition(name); c.Status != metav1.ConditionTrue {
			t.Errorf("route %s: %+v", name, c)
		}
	}
}

// debugNACKs gives the latest rejection texts of route tables in /debug/xds.
func (w *world) debugNACKs(t *testing.T) string {
	t.Helper()
	resp, err := http.Get(fmt.Sprintf("http://%s/debug/xds", w.stack.AdminAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var state xds.State
	if err := json.Unmarshal(text, &state); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	out := ""
	for _, p := range state.Proxies {
		for _, ts := range p.Types {
			if ts.Type == "routes" {
				out += ts.LastNACK
			}
		}
	}
	return out
}

// A route that breaks a rule of its schema leaves its neighbours alone, has its last good version served, and
// is served anew when it is mended.
func TestInvalidRouteBesideAGoodOne(t *testing.T) {
	w := newWorld(t, gateway+echoServices(1, "a", "b")+fine("good", "a")+fine("bad", "a"), worldOptions{})
	invalid := strings.Replace(fine("bad", "b"), "{path: {value: /}}", "{path: {type: Exact, value: no-slash}}", 1)
	w.write("main.yaml", gateway+echoServices(1, "a", "b")+fine("good", "b")+invalid)
	w.answersAs(t, answers("good", "b"), reloadBound)
	w.answersAs(t, answers("bad", "a"), 0)
	if p := w.problems(); !strings.Contains(p, "HTTPRoute/default/bad") || !strings.Contains(p, "spec.rules[0].matches[0].path") {
		t.Errorf("the problem does not name the object and the field: %s", p)
	}
	w.write("main.yaml", gateway+echoServices(1, "a", "b")+fine("good", "b")+fine("bad", "b"))
	w.answersAs(t, answers("bad", "b"), reloadBound)
}

// A route that proxies refuse although every check before them let it pass.
func TestRefusedRouteBesideGoodOnes(t *testing.T) {
	w := newWorld(t, gateway+echoServices(1, "a", "b"), worldOptions{proxies: 2, envoy: strictEnvoy(t)})
	w.apply("good.yaml", fine("good", "a"))
	w.apply("bad.yaml", fine("bad", "a"))

	w.write("bad.yaml", broken("bad", "b"))
	w.expectRefused(t, "bad")
	w.expectAccepted(t, "good")
	// The first proxy to refuse it may have spared the other one.
	if said := w.debugNACKs(t); !strings.Contains(said, "max program size of 100") {
		t.Errorf("/debug/xds does not tell what the proxies said: %q", said)
	}
	w.answersAs(t, answers("bad", "a"), 0) // its last good version
	w.answersAs(t, answers("good", "a"), 0)

	// The neighbour can be changed, another one added.
	w.write("good.yaml", fine("good", "b"))
	w.answersAs(t, answers("good", "b"), reloadBound)
	w.write("more.yaml", fine("more", "a"))
	w.answersAs(t, answers("more", "a"), reloadBound)
	w.expectAccepted(t, "good", "more")
	w.expectRefused(t, "bad")
	w.answersAs(t, answers("bad", "a"), 0)

	// A new proxy is not held up by it.
	p, err := w.fleet.Add()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.answersAs(t, answers("good", "b"), 0)

	w.write("bad.yaml", strings.Replace(broken("bad", "b"), refused, allowed, 1))
	w.answersAs(t, probe{host: "bad.example", path: "/refused/abc", want: "b"}, reloadBound)
	w.answersAs(t, answers("bad", "b"), reloadBound)
	w.expectAccepted(t, "good", "more", "bad")
}

// Two routes change at the same moment and one of them is refused: the other one is served soon.
func TestRefusedRouteAmongChanges(t *testing.T) {
	w := newWorld(t, gateway+echoServices(1, "a", "b")+fine("one", "a")+fine("two", "a")+fine("three", "a"),
		worldOptions{proxies: 2, envoy: strictEnvoy(t)})
	w.write("main.yaml", gateway+echoServices(1, "a", "b")+fine("one", "b")+broken("two", "b")+fine("three", "b"))
	w.answersAs(t, answers("one", "b"), 3*time.Second)
	w.answersAs(t, answers("three", "b"), 3*time.Second)
	w.expectRefused(t, "two")
	w.expectAccepted(t, "one", "three")
	w.answersAs(t, answers("two", "a"), 0)
	w.write("main.yaml", gateway+echoServices(1, "a", "b")+fine("one", "b")+fine("two", "b")+fine("three", "b"))
	w.answersAs(t, answers("two", "b"), reloadBound)
	w.expectAccepted(t, "one", "two", "three")
}

// The manifests hold a refused route from the start, so that no version of anything is known to be good. The
// rest is served; so it is when the control plane starts anew under proxies that serve.
func TestRefusedRouteFromTheStart(t *testing.T) {
	names := []string{"n0", "n1", "n2", "n3", "n4", "n5", "n6"}
	manifests := gateway + echoServices(1, "a", "b") + broken("bad", "a")
	for _, name := range names {
		manifests += fine(name, "a")
	}
	w := newWorld(t, manifests, worldOptions{proxies: 2, envoy: strictEnvoy(t)})
	for _, name := range names {
		w.answersAs(t, answers(name, "a"), 5*time.Second)
	}
	w.expectRefused(t, "bad")
	w.expectAccepted(t, names...)
	w.write("more.yaml", fine("more", "b"))
	w.answersAs(t, answers("more", "b"), reloadBound)
	w.write("main.yaml", strings.Replace(manifests, refused, allowed, 1))
	w.answersAs(t, answers("bad", "a"), reloadBound)
	w.expectAccepted(t, append(names, "bad", "more")...)
}

// A listener that proxies cannot open is reported on its Gateway, and the other one is served.
func TestListenerThatProxiesRefuse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	second := fmt.Sprintf("  - {name: second, protocol: HTTP, port: %d}\n", taken.Addr().(*net.TCPAddr).Port)
	w := newWorld(t, gateway+second+echoServices(1, "a", "b")+fine("good", "a"), worldOptions{})
	w.answersAs(t, answers("good", "a"), 0)
	programmed := func() (c metav1.Condition) {
		result, _ := w.stack.Pipeline.Latest()
		for _, c = range result.Statuses.Gateways[source.Key{Namespace: "default", Name: "gw"}].Conditions {
			if c.Type == "Programmed" {
				return c
			}
		}
		return c
	}
	eventually(t, 5*time.Second, "the Gateway tells that a listener is refused", func() bool {
		c := programmed()
		return c.Status == metav1.ConditionFalse && c.Reason == pipeline.RejectedByProxy && strings.Contains(c.Message, "Address already in use")
	})
	w.write("main.yaml", gateway+second+echoServices(1, "a", "b")+fine("good", "b"))
	w.answersAs(t, answers("good", "b"), reloadBound)
	w.write("main.yaml", gateway+echoServices(1, "a", "b")+fine("good", "a"))
	w.answersAs(t, answers("good", "a"), reloadBound)
	if c := programmed(); c.Status != metav1.ConditionTrue {
		t.Errorf("without the listener: %+v", c)
	}
}
