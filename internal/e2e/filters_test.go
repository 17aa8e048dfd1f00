package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"
)

// echo is a request as the backend got it.
type echo struct {
	Server  string         `json:"server"`
	Method  string         `json:"method"`
	Path    string         `json:"path"`
	Host    string         `json:"host"`
	Proto   string         `json:"proto"`
	Headers map[string]any `json:"headers"`
}

// header gives the values of a header joined by commas, and whether it was there.
func (e echo) header(name string) (string, bool) {
	switch v := e.Headers[http.CanonicalHeaderKey(name)].(type) {
	case string:
		return v, true
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = fmt.Sprint(v[i])
		}
		return strings.Join(parts, ","), true
	}
	return "", false
}

func decodeEcho(t *testing.T, r reply) echo {
	t.Helper()
	var e echo
	if r.status != http.StatusOK {
		t.Fatalf("answered %d: %s", r.status, r.body)
	}
	if err := json.Unmarshal([]byte(r.body), &e); err != nil {
		t.Fatalf("no echo: %v: %s", err, r.body)
	}
	return e
}

// wantHeader compares one header with what is wanted; "-" wants none.
func wantHeader(t *testing.T, what, name, want, got string, there bool) {
	t.Helper()
	if want == "-" && there {
		t.Errorf("%s %s is %q, want none", what, name, got)
	} else if want != "-" && (!there || got != want) {
		t.Errorf("%s %s is %q (there: %v), want %q", what, name, got, there, want)
	}
}

func TestHeaderFilters(t *testing.T) {
	edit := func(kind, add string) string {
		return fmt.Sprintf(`{type: %s, %s: {set: [{name: X-Set, value: %s}], add: [{name: x-add, value: "100%% %s"}], remove: [X-Remove]}}`,
			kind, strings.ToLower(kind[:1])+kind[1:], add+"-set", add)
	}
	request, response := "RequestHeaderModifier", "ResponseHeaderModifier"
	w := newWorld(t, gateway+echoServices(1, "a", "b")+route("edits", `
  - matches: [{path: {value: /rule}}]
    filters: [`+edit(request, "rule")+", "+edit(response, "rule")+`]
    backendRefs: [{name: a, port: 80}]
  - matches: [{path: {value: /backend}}]
    backendRefs: [{name: a, port: 80, filters: [`+edit(request, "backend")+", "+edit(response, "backend")+`]}]
  - matches: [{path: {value: /both}}]
    filters: [`+edit(request, "rule")+", "+edit(response, "rule")+`]
    backendRefs: [{name: a, port: 80, filters: [`+edit(request, "backend")+", "+edit(response, "backend")+`]}]
  - matches: [{path: {value: /weighted}}]
    filters: [`+edit(request, "rule")+`]
    backendRefs:
    - {name: a, port: 80, filters: [`+edit(request, "of-a")+", "+edit(response, "of-a")+`]}
    - {name: b, port: 80, filters: [`+edit(request, "of-b")+", "+edit(response, "of-b")+`]}
  - matches: [{path: {value: /none}}]
    filters: [`+edit(response, "none")+`]
    backendRefs: [{name: missing, port: 80}]
  - matches: [{path: {value: /plain}}]
    backendRefs: [{name: a, port: 80}]
`), worldOptions{})
	sent := []string{"x-set", "mine", "x-add", "mine", "x-remove", "mine"}
	for _, c := range []struct{ path, set, add, remove, responseSet, responseAdd string }{
		{"/plain", "mine", "mine", "mine", "-", "-"},
		{"/rule", "rule-set", "mine,100% rule", "-", "rule-set", "100% rule"},
		{"/backend", "backend-set", "mine,100% backend", "-", "backend-set", "100% backend"},
	} {
		t.Run(strings.Trim(c.path, "/"), func(t *testing.T) {
			got := w.get(c.path, sent...)
			e := decodeEcho(t, got)
			for name, want := range map[string]string{"x-set": c.set, "x-add": c.add, "x-remove": c.remove} {
				value, there := e.header(name)
				wantHeader(t, "request header", name, want, value, there)
			}
			for name, want := range map[string]string{"x-set": c.responseSet, "x-add": c.responseAdd} {
				wantHeader(t, "response header", name, want, strings.Join(got.headers.Values(name), ","), got.headers.Values(name) != nil)
			}
		})
	}
	t.Run("rule and backend", func(t *testing.T) {
		got := w.get("/both", sent...)
		e := decodeEcho(t, got)
		set, _ := e.header("x-set")
		add, _ := e.header("x-add")
		if set != "backend-set" && set != "rule-set" {
			t.Errorf("x-set is %q, want it set once", set)
		}
		for _, part := range []string{"mine", "rule", "backend"} {
			if !strings.Contains(add, part) || !strings.Contains("mine "+strings.Join(got.headers.Values("x-add"), ","), part) {
				t.Errorf("x-add is %q in the request, %q in the answer: %s is missing", add, got.headers.Values("x-add"), part)
			}
		}
	})
	t.Run("of each backend its own", func(t *testing.T) {
		seen := map[string]bool{}
		eventually(t, 5*time.Second, "both backends answered", func() bool {
			got := w.get("/weighted", sent...)
			e := decodeEcho(t, got)
			name, other := "of-a", "of-b"
			if got.server() == "b-1" {
				name, other = other, name
			}
			add, _ := e.header("x-add")
			if !strings.Contains(add, name) || strings.Contains(add, other) || !strings.Contains(add, "rule") {
				t.Errorf("%s got x-add %q", got.server(), add)
			}
			if v := got.headers.Get("x-set"); v != name+"-set" {
				t.Errorf("the answer of %s has x-set %q", got.server(), v)
			}
			seen[got.server()] = true
			return len(seen) == 2
		})
	})
	t.Run("on the proxy's own answer", func(t *testing.T) {
		if got := w.get("/none"); got.status != 500 || got.headers.Get("x-set") != "none-set" {
			t.Errorf("answered %d with x-set %q", got.status, got.headers.Get("x-set"))
		}
	})
}

func TestRedirects(t *testing.T) {
	rules := ""
	add := func(path, filter string) {
		rules += fmt.Sprintf("\n  - matches: [{path: {value: %s}}]\n    filters: [{type: RequestRedirect, requestRedirect: {%s}}]", path, filter)
	}
	add("/default", "hostname: other.example")
	for _, code := range []int{301, 302, 303, 307, 308} {
		add(fmt.Sprintf("/code/%d", code), fmt.Sprintf("statusCode: %d", code))
	}
	add("/port", "port: 8443")
	add("/to-https", "scheme: https")
	add("/to-http", "scheme: http")
	add("/https-port", "scheme: https, port: 8443")
	add("/https-443", "scheme: https, port: 443")
	add("/host-and-80", "hostname: other.example, scheme: http, port: 80")
	add("/prefix", "path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}")
	add("/trailing", "path: {type: ReplacePrefixMatch, replacePrefixMatch: /new/}")
	add("/root", "path: {type: ReplacePrefixMatch, replacePrefixMatch: /}")
	add("/full", "path: {type: ReplaceFullPath, replaceFullPath: /all/new}")
	w := newWorld(t, gateway+route("redirects", rules), worldOptions{})
	port := fmt.Sprint(":", w.port)
	type redirected struct {
		path, location string
		status         int
	}
	cases := []redirected{
		{"/default/x?q=1", "http://other.example" + port + "/default/x?q=1", 302},
		{"/port", "http://gw.example:8443/port", 302},
		// The client's port is another scheme's: it must not be kept.
		{"/to-https", "https://gw.example:443/to-https", 302},
		{"/to-http", "http://gw.example:80/to-http", 302},
		{"/https-port", "https://gw.example:8443/https-port", 302},
		{"/https-443", "https://gw.example:443/https-443", 302},
		{"/host-and-80", "http://other.example/host-and-80", 302},
		{"/prefix/a/b?q=1", "http://gw.example" + port + "/new/a/b?q=1", 302},
		{"/prefix", "http://gw.example" + port + "/new", 302},
		{"/prefix/", "http://gw.example" + port + "/new/", 302},
		{"/trailing/a", "http://gw.example" + port + "/new/a", 302},
		{"/root/a", "http://gw.example" + port + "/a", 302},
		{"/root", "http://gw.example" + port + "/", 302},
		{"/root/", "http://gw.example" + port + "/", 302},
		{"/full/a?q=1", "http://gw.example" + port + "/all/new?q=1", 302},
	}
	for _, code := range []int{301, 302, 303, 307, 308} {
		path := fmt.Sprintf("/code/%d", code)
		cases = append(cases, redirected{path, "http://gw.example" + port + path, code})
	}
	for _, c := range cases {
		t.Run(strings.Trim(c.path, "/"), func(t *testing.T) {
			got := w.get(c.path, "Host", "gw.example"+port)
			if location := got.headers.Get("location"); got.status != c.status || location != c.location {
				t.Errorf("%d %s, want %d %s", got.status, location, c.status, c.location)
			}
		})
	}
	for _, path := range []string{"/to-https", "/https-443"} {
		if location := w.get(path, "Host", "gw.example").headers.Get("location"); location != "https://gw.example"+path {
			t.Errorf("a client that names no port is sent to %s", location)
		}
	}
	if location := w.get("/default", "Host", "gw.example").headers.Get("location"); location != "http://other.example"+port+"/default" {
		t.Errorf("a client that names no port is sent to %s, want the listener's port", location)
	}
}

func TestRewrites(t *testing.T) {
	rules := ""
	add := func(match, rewrite string) {
		rules += fmt.Sprintf("\n  - matches: [{path: {%s}}]\n    filters: [{type: URLRewrite, urlRewrite: {%s}}]\n    backendRefs: [{name: a, port: 80}]", match, rewrite)
	}
	prefix := func(to string) string {
		return fmt.Sprintf("path: {type: ReplacePrefixMatch, replacePrefixMatch: %q}", to)
	}
	add("value: /host", "hostname: inner.example")
	add("value: /prefix", prefix("/new"))
	add("value: /slash", prefix("/new/"))
	add("value: /root", prefix("/"))
	add("value: /empty", prefix(""))
	add(`value: /dot.x`, prefix("/new"))
	add("value: /full", `path: {type: ReplaceFullPath, replaceFullPath: /all/new}`)
	add("value: /both", `hostname: inner.example, `+prefix("/new"))
	add(`type: Exact, value: /exact`, `path: {type: ReplaceFullPath, replaceFullPath: /}`)
	add("value: /", prefix("/under"))
	w := newWorld(t, gateway+echoServices(1, "a")+route("rewrites", rules), worldOptions{})
	for _, c := range []struct{ path, wantHost, wantPath string }{
		{"/host/x", "inner.example", "/host/x"},
		{"/prefix", "gw.example", "/new"},
		{"/prefix/", "gw.example", "/new/"},
		{"/prefix/a/b?q=1&r=%20", "gw.example", "/new/a/b?q=1&r=%20"},
		{"/slash/a", "gw.example", "/new/a"},
		{"/root", "gw.example", "/"},
		{"/root/", "gw.example", "/"},
		{"/root/a/b", "gw.example", "/a/b"},
		{"/root?q=1", "gw.example", "/?q=1"},
		{"/empty/a", "gw.example", "/a"},
		{"/empty", "gw.example", "/"},
		{"/dot.x/a", "gw.example", "/new/a"},
		{"/full/a?q=1", "gw.example", "/all/new?q=1"},
		{"/both/a", "inner.example", "/new/a"},
		{"/exact", "gw.example", "/"},
		{"/a/b", "gw.example", "/under/a/b"},
		{"/", "gw.example", "/under/"},
	} {
		t.Run(strings.Trim(c.path, "/"), func(t *testing.T) {
			e := decodeEcho(t, w.get(c.path, "Host", "gw.example"))
			if e.Host != c.wantHost || e.Path != c.wantPath {
				t.Errorf("the backend saw %s%s, want %s%s", e.Host, e.Path, c.wantHost, c.wantPath)
			}
		})
	}
}

func TestTimeouts(t *testing.T) {
	rule := func(path, timeouts, backend string) string {
		return fmt.Sprintf("\n  - matches: [{path: {value: %s}}]\n    timeouts: {%s}\n    backendRefs: [%s]", path, timeouts, backend)
	}
	service := "{name: a, port: 80}"
	pooled := "{group: inference.networking.k8s.io, kind: InferencePool, name: p}"
	w := newWorld(t, gateway+echoServices(1, "a")+pool("p", "a")+route("timeouts",
		rule("/request", "request: 300ms", service)+
			rule("/backend", "backendRequest: 300ms", service)+
			rule("/shorter", "request: 10s, backendRequest: 300ms", service)+
			rule("/off", `request: "0s"`, service)+
			rule("/backend-off", `request: 300ms, backendRequest: "0s"`, service)+
			rule("/pool", "request: 300ms", pooled)+
			rule("/pool-off", `request: "0s"`, pooled)), worldOptions{})
	for _, path := range []string{"/request", "/backend", "/shorter", "/backend-off", "/pool"} {
		t.Run("bounded"+path, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			got := w.get(path + "?delay=10s")
			if took := time.Since(began); got.status != http.StatusGatewayTimeout || took < 290*time.Millisecond || took > 3*time.Second {
				t.Errorf("answered %d after %s, want 504 after 300 ms", got.status, took)
			}
			if got := w.get(path); got.status != http.StatusOK {
				t.Errorf("a quick one was answered %d", got.status)
			}
		})
	}
	for _, path := range []string{"/off", "/pool-off"} {
		t.Run("unbounded"+path, func(t *testing.T) {
			t.Parallel()
			if got := w.get(path + "?delay=1s"); got.status != http.StatusOK {
				t.Errorf("answered %d, want 200", got.status)
			}
		})
	}
}

// backendsOf are two rules, one to the Service and one to the pool of the same name.
func backendsOf(name string) string {
	return route(name, fmt.Sprintf(`
  - matches: [{headers: [{name: to, value: service}]}]
    backendRefs: [{name: %[1]s, port: 80}]
  - matches: [{headers: [{name: to, value: pool}]}]
    backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: %[1]s}]`, name))
}

func TestWebsocket(t *testing.T) {
	w := newWorld(t, gateway+echoServices(1, "a")+pool("a", "a")+backendsOf("a"), worldOptions{})
	for _, kind := range []string{"service", "pool"} {
		t.Run("to a "+kind, func(t *testing.T) {
			config, err := websocket.NewConfig(fmt.Sprintf("ws://127.0.0.1:%d/ws", w.port), "http://client.example")
			if err != nil {
				t.Fatal(err)
			}
			config.Header = http.Header{"To": {kind}, "X-Request-Id": {"websocket-" + kind}}
			conn, err := net.Dial("tcp", config.Location.Host)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			ws, err := websocket.NewClient(config, conn)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 3 {
				sent, got := fmt.Sprint("message ", i, strings.Repeat("x", i*10_000)), ""
				if err := websocket.Message.Send(ws, sent); err != nil {
					t.Fatal(err)
				}
				if err := websocket.Message.Receive(ws, &got); err != nil || got != sent {
					t.Fatalf("message %d came back as %d bytes: %v", i, len(got), err)
				}
			}
			if err := ws.Close(); err != nil {
				t.Error(err)
			}
			line := w.access.line(t, "websocket-"+kind)
			if pool := kind == "pool"; (line.Picked != "" && line.Picked == line.Served) != pool {
				t.Errorf("picked %q, served by %q", line.Picked, line.Served)
			}
		})
	}
}

func TestCleartextHTTP2(t *testing.T) {
	manifests := gateway + echoServices(1, "a", "b") + pool("a", "a") + pool("b", "b", "appProtocol: kubernetes.io/h2c") +
		backendsOf("a") + strings.Replace(backendsOf("b"), "  rules:", "  hostnames: [h2c.example]\n  rules:", 1)
	manifests = strings.Replace(manifests, "metadata: {name: b, namespace: default}\nspec:\n  ports: [{name: http,",
		"metadata: {name: b, namespace: default}\nspec:\n  ports: [{name: http, appProtocol: kubernetes.io/h2c,", 1)
	w := newWorld(t, manifests, worldOptions{})
	for _, kind := range []string{"service", "pool"} {
		if e := decodeEcho(t, w.get("/", "to", kind)); e.Proto != "HTTP/1.1" {
			t.Errorf("a %s without appProtocol was spoken to in %s", kind, e.Proto)
		}
		if e := decodeEcho(t, w.get("/", "to", kind, "Host", "h2c.example")); e.Proto != "HTTP/2.0" || e.Server != "b-1" {
			t.Errorf("a %s with appProtocol kubernetes.io/h2c: %s was spoken to in %s", kind, e.Server, e.Proto)
		}
	}
}
