package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// echoServices are Services of the names given, each with one echoing pod at $NET.<first>, $NET.<first+1>...
// The pod behind Service a is a-1.
func echoServices(first int, names ...string) string {
	var b strings.Builder
	for i, name := range names {
		b.WriteString(simPods(name, first+i, 1, "--echo"))
		b.WriteString(service(name, first+i))
	}
	return b.String()
}

// to is the part of a rule that sends it to a Service.
func to(service string) string {
	return fmt.Sprintf("\n    backendRefs: [{name: %s, port: 80}]", service)
}

// probe is one request and who has to answer it: a Service's pod, or the proxy with a status.
type probe struct {
	name   string
	method string // default GET
	host   string
	path   string
	header string // name: value; several separated by |
	want   string // Service
	status int    // default 200
}

// check sends the request once; what is wrong with the answer is returned, empty for nothing.
func (p probe) check(w *world) string {
	headers := []string{"Host", p.host}
	for h := range strings.SplitSeq(p.header, "|") {
		if name, value, ok := strings.Cut(h, ": "); ok {
			headers = append(headers, name, value)
		}
	}
	method, status, server := p.method, p.status, p.want+"-1"
	if method == "" {
		method = http.MethodGet
	}
	if status == 0 {
		status = http.StatusOK
	}
	if p.want == "" {
		server = ""
	}
	got, err := send(newClient(), method, w.url(p.path), "", headers...)
	if err != nil {
		return err.Error()
	}
	if got.status != status || got.server() != server {
		return fmt.Sprintf("%s %s%s (%s) was answered %d by %q, want %d by %q",
			method, p.host, p.path, p.header, got.status, got.server(), status, server)
	}
	return ""
}

func (w *world) probeAll(t *testing.T, probes []probe) {
	t.Helper()
	for _, p := range probes {
		t.Run(p.name, func(t *testing.T) {
			if wrong := p.check(w); wrong != "" {
				t.Error(wrong)
			}
		})
	}
	// A route that proxies refuse is not served either, which is not what any of these tests is about.
	for _, r := range w.stack.Views.State("", "").Proxies {
		for _, ts := range r.Types {
			if ts.LastNACK != "" {
				t.Errorf("%s has refused %s: %s", r.Node, ts.Type, ts.LastNACK)
			}
		}
	}
}

// routeFor is a route of a host with the rules given; extra goes into its metadata.
func routeFor(name, host, extra, rules string) string {
	return fmt.Sprintf(`
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %s, namespace: default%s}
spec:
  parentRefs: [{name: gw}]
  hostnames: [%q]
  rules:%s`, name, extra, host, rules)
}

func TestRequestsAreMatched(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	rule := func(matches, service string) string { return "\n  - matches: [" + matches + "]" + to(service) }
	w := newWorld(t, gateway+echoServices(1, names...)+
		routeFor("paths", "paths.example", "",
			rule(`{path: {type: Exact, value: /exact}}`, "a")+
				rule(`{path: {type: PathPrefix, value: /pre/fix/}}`, "b")+
				rule(`{path: {type: RegularExpression, value: "/re/[0-9]+(/.*)?"}}`, "c"))+
		routeFor("others", "others.example", "",
			rule(`{headers: [{name: X-Kind, value: one}]}`, "a")+
				rule(`{headers: [{name: x-kind, type: RegularExpression, value: "t(wo|hree)"}]}`, "b")+
				rule(`{queryParams: [{name: q, value: "1"}]}`, "c")+
				rule(`{queryParams: [{name: q, type: RegularExpression, value: "[a-z]+"}]}`, "d")+
				rule(`{method: POST}`, "e")+
				rule(`{method: DELETE, path: {value: /both}, headers: [{name: x-also, value: "1"}], queryParams: [{name: z, value: "1"}]}`, "f")+
				rule(`{path: {type: Exact, value: /either}}, {path: {type: Exact, value: /or}}`, "g")), worldOptions{})
	w.probeAll(t, []probe{
		{name: "exact path", host: "paths.example", path: "/exact", want: "a"},
		{name: "exact path with a query", host: "paths.example", path: "/exact?x=1", want: "a"},
		{name: "exact path and more", host: "paths.example", path: "/exact/", status: 404},
		{name: "exact path in another case", host: "paths.example", path: "/Exact", status: 404},
		{name: "prefix itself", host: "paths.example", path: "/pre/fix", want: "b"},
		{name: "prefix with a slash", host: "paths.example", path: "/pre/fix/", want: "b"},
		{name: "below a prefix", host: "paths.example", path: "/pre/fix/x/y?z", want: "b"},
		{name: "a segment that begins like the prefix", host: "paths.example", path: "/pre/fixes", status: 404},
		{name: "above a prefix", host: "paths.example", path: "/pre", status: 404},
		{name: "expression", host: "paths.example", path: "/re/17", want: "c"},
		{name: "expression with its optional part", host: "paths.example", path: "/re/17/x", want: "c"},
		{name: "an expression matches in full", host: "paths.example", path: "/re/17x", status: 404},
		{name: "an expression matches from the start", host: "paths.example", path: "/x/re/17", status: 404},
		{name: "dots do not hide a path", host: "paths.example", path: "/no/../exact", want: "a"},

		{name: "header", host: "others.example", path: "/", header: "x-kind: one", want: "a"},
		{name: "header value in another case", host: "others.example", path: "/", header: "x-kind: One", status: 404},
		{name: "header by expression", host: "others.example", path: "/", header: "X-KIND: three", want: "b"},
		{name: "header by expression in full", host: "others.example", path: "/", header: "x-kind: twofold", status: 404},
		{name: "query", host: "others.example", path: "/?q=1", want: "c"},
		{name: "query among others", host: "others.example", path: "/?p=2&q=1&r", want: "c"},
		{name: "query by expression", host: "others.example", path: "/?q=abc", want: "d"},
		{name: "query by expression in full", host: "others.example", path: "/?q=abc1", status: 404},
		{name: "query names have a case", host: "others.example", path: "/?Q=1", status: 404},
		{name: "method", method: "POST", host: "others.example", path: "/", want: "e"},
		{name: "another method", method: "PUT", host: "others.example", path: "/", status: 404},
		{name: "all conditions", method: "DELETE", host: "others.example", path: "/both?z=1", header: "x-also: 1", want: "f"},
		{name: "one condition missing", method: "DELETE", host: "others.example", path: "/both?z=1", status: 404},
		{name: "first of two matches", host: "others.example", path: "/either", want: "g"},
		{name: "second of two matches", host: "others.example", path: "/or", want: "g"},
	})
}

func TestMoreSpecificMatchWins(t *testing.T) {
	rule := func(match, service string) string { return "\n  - matches: [{" + match + "}]" + to(service) }
	young, old := `, creationTimestamp: "2025-02-02T00:00:00Z"`, `, creationTimestamp: "2025-01-01T00:00:00Z"`
	w := newWorld(t, gateway+echoServices(1, "a", "b", "c", "d", "e", "f", "g", "h")+
		// Within a route, the least specific first, so that the order of writing is not what decides.
		routeFor("order", "order.example", young,
			rule(`path: {value: /}`, "a")+
				rule(`path: {value: /long}`, "b")+
				rule(`path: {value: /long/er}`, "c")+
				rule(`path: {value: /long/er}, queryParams: [{name: q, value: "1"}]`, "d")+
				rule(`path: {value: /long/er}, headers: [{name: x, value: "1"}]`, "e")+
				rule(`path: {value: /long/er}, method: PUT`, "f")+
				rule(`path: {type: RegularExpression, value: "/long/er/.*x"}`, "g")+
				rule(`path: {type: Exact, value: /long/er/xx}`, "h"))+
		// Across routes: the older one, then the one whose name comes first, then the first rule.
		routeFor("z-old", "age.example", old, rule(`path: {value: /age}`, "a")+rule(`path: {value: /age}`, "b"))+
		routeFor("a-young", "age.example", young, rule(`path: {value: /age}`, "c")+rule(`path: {value: /age/young}`, "d"))+
		routeFor("same-b", "same.example", old, rule(`path: {value: /same}`, "a"))+
		routeFor("same-a", "same.example", old, rule(`path: {value: /same}`, "b")), worldOptions{})
	w.probeAll(t, []probe{
		{name: "nothing else", host: "order.example", path: "/x", want: "a"},
		{name: "prefix", host: "order.example", path: "/long/x", want: "b"},
		{name: "longer prefix", host: "order.example", path: "/long/er", want: "c"},
		{name: "query", host: "order.example", path: "/long/er?q=1", want: "d"},
		{name: "header before query", host: "order.example", path: "/long/er?q=1", header: "x: 1", want: "e"},
		{name: "method before header", method: "PUT", host: "order.example", path: "/long/er?q=1", header: "x: 1", want: "f"},
		{name: "expression before prefix", method: "PUT", host: "order.example", path: "/long/er/x", header: "x: 1", want: "g"},
		{name: "exact before expression", method: "PUT", host: "order.example", path: "/long/er/xx", header: "x: 1", want: "h"},
		{name: "older route", host: "age.example", path: "/age", want: "a"},
		{name: "specific beats old", host: "age.example", path: "/age/young", want: "d"},
		{name: "first by name", host: "same.example", path: "/same", want: "b"},
	})
}

func TestHostnames(t *testing.T) {
	listeners := strings.Replace(gateway, "  - {name: http, protocol: HTTP, port: $PORT}", `
  - {name: any, protocol: HTTP, port: $PORT}
  - {name: wild, protocol: HTTP, port: $PORT, hostname: "*.wild.example"}
  - {name: one, protocol: HTTP, port: $PORT, hostname: one.wild.example}
  - {name: closed, protocol: HTTP, port: $PORT, hostname: closed.example, allowedRoutes: {namespaces: {from: All}}}`, 1)
	routeOn := func(name, section, hosts, path, service string) string {
		return fmt.Sprintf(`
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %s, namespace: default}
spec:
  parentRefs: [{name: gw, sectionName: %s}]
  hostnames: [%s]
  rules:
  - matches: [{path: {value: %s}}]%s`, name, section, hosts, path, to(service))
	}
	foreign := `
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: foreign, namespace: other}
spec:
  parentRefs: [{name: gw, namespace: default}]
  rules:
  - matches: [{path: {value: /foreign}}]
    backendRefs: [{name: f, port: 80}]` + strings.ReplaceAll(service("f", 6), "namespace: default", "namespace: other")
	w := newWorld(t, listeners+echoServices(1, "a", "b", "c", "d", "e", "f")+
		routeOn("any", "any", "", "/", "a")+
		routeOn("exact", "any", `exact.example, "*.exact.example"`, "/exact", "b")+
		routeOn("wild", "wild", "", "/", "c")+
		routeOn("wide", "wild", `"*.example", not.elsewhere.test`, "/wide", "d")+
		routeOn("one", "one", "", "/one", "e")+
		routeOn("stray", "wild", "one.wild.example, closed.example", "/stray", "d")+foreign, worldOptions{})
	w.probeAll(t, []probe{
		{name: "no hostname anywhere", host: "whatever.test", path: "/exact", want: "a"},
		{name: "hostname of the route", host: "exact.example", path: "/exact", want: "b"},
		{name: "in capitals", host: "EXACT.example", path: "/exact", want: "b"},
		{name: "with a port", host: "exact.example:8080", path: "/exact", want: "b"},
		{name: "wildcard of the route", host: "a.b.exact.example", path: "/exact", want: "b"},
		{name: "a less specific hostname serves what the specific one does not", host: "exact.example", path: "/x", want: "a"},
		{name: "wildcard of the listener", host: "x.wild.example", path: "/", want: "c"},
		{name: "two labels under a wildcard", host: "x.y.wild.example", path: "/", want: "c"},
		{name: "a wildcard needs a label", host: "wild.example", path: "/", want: "a"},
		{name: "the listener's hostname cut out of the route's", host: "x.wild.example", path: "/wide", want: "d"},
		{name: "the route's hostname beyond the listener's", host: "x.example", path: "/wide", want: "a"},
		{name: "a hostname that the listener does not have", host: "not.elsewhere.test", path: "/wide", want: "a"},
		{name: "the most specific listener", host: "one.wild.example", path: "/one", want: "e"},
		{name: "a listener is not helped out by another one", host: "one.wild.example", path: "/", status: 404},
		{name: "nor by one without hostname", host: "one.wild.example", path: "/exact", status: 404},
		{name: "a route for a host of another listener", host: "one.wild.example", path: "/stray", status: 404},
		{name: "a listener without routes", host: "closed.example", path: "/", status: 404},
		{name: "a route of another namespace, admitted", host: "closed.example", path: "/foreign", want: "f"},
		{name: "a route of another namespace, not admitted", host: "whatever.test", path: "/foreign", want: "a"},
	})
}

func TestAnswersWithoutABackend(t *testing.T) {
	w := newWorld(t, gateway+echoServices(1, "good")+service("empty")+
		strings.ReplaceAll(service("far", 1), "namespace: default", "namespace: elsewhere")+
		route("errors", `
  - matches: [{path: {value: /good}}]
    backendRefs: [{name: good, port: 80}]
  - matches: [{path: {value: /missing}}]
    backendRefs: [{name: missing, port: 80}]
  - matches: [{path: {value: /port}}]
    backendRefs: [{name: good, port: 81}]
  - matches: [{path: {value: /zero}}]
    backendRefs: [{name: good, port: 80, weight: 0}, {name: empty, port: 80, weight: 0}]
  - matches: [{path: {value: /none}}]
  - matches: [{path: {value: /pool}}]
    backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: missing}]
  - matches: [{path: {value: /kind}}]
    backendRefs: [{group: example.com, kind: Thing, name: good, port: 80}]
  - matches: [{path: {value: /empty}}]
    backendRefs: [{name: empty, port: 80}]
  - matches: [{path: {value: /no-pods}}]
    backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: no-pods}]
  - matches: [{path: {value: /far}}]
    backendRefs: [{name: far, namespace: elsewhere, port: 80}]`)+pool("no-pods", "nobody"), worldOptions{})
	w.probeAll(t, []probe{
		{name: "a good one among them", path: "/good", want: "good"},
		{name: "no match", path: "/else", status: 404},
		{name: "no such Service", path: "/missing", status: 500},
		{name: "no such port", path: "/port", status: 500},
		{name: "all weights zero", path: "/zero", status: 500},
		{name: "no backendRefs", path: "/none", status: 500},
		{name: "no such pool", path: "/pool", status: 500},
		{name: "not a backend", path: "/kind", status: 500},
		{name: "a Service without endpoints", path: "/empty", status: 503},
		{name: "a pool without endpoints", path: "/no-pods", status: 503},
		{name: "another namespace without a grant", path: "/far", status: 500},
	})
	grant := `
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: grant, namespace: elsewhere}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: %s}]
  to: [{group: "", kind: Service, name: %s}]`
	far := probe{path: "/far", want: "good"}
	w.write("grant.yaml", fmt.Sprintf(grant, "default", "other"))
	w.write("reload.yaml", route("reload", `
  - matches: [{path: {value: /reloaded}}]`+to("good")))
	reloaded := probe{path: "/reloaded", want: "good"}
	eventually(t, 5*time.Second, "the grant for another Service is read", func() bool { return reloaded.check(w) == "" })
	if wrong := (probe{path: "/far", status: 500}).check(w); wrong != "" {
		t.Error("with a grant for another Service: " + wrong)
	}
	w.write("grant.yaml", fmt.Sprintf(grant, "default", "far"))
	eventually(t, 5*time.Second, "the grant opens the way", func() bool { return far.check(w) == "" })
	w.write("grant.yaml", fmt.Sprintf(grant, "third", "far"))
	eventually(t, 5*time.Second, "a grant withdrawn closes it", func() bool {
		return probe{path: "/far", status: 500}.check(w) == ""
	})
}
