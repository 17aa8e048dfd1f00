package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/switchyard/switchyard/internal/stack"
)

// clientHeaders are the names under which proxies, pickers and model servers talk to each other, each with a
// value by which a client would try to choose a server, a pool, a protocol, or what is written about it.
var clientHeaders = []string{
	"x-gateway-destination-endpoint", "$NET.1:8000",
	"X-Gateway-Destination-Endpoint", "$NET.9:8000",
	"x-gateway-destination-endpoint-served", "$NET.1:8000",
	"x-gateway-destination-endpoint-subset", "$NET.1",
	"x-gateway-destination-endpoint-scores", "$NET.1:8000=1",
	"x-prefiller-host-port", "$NET.1:8000",
	"x-encoder-hosts-ports", "$NET.1:8000",
	"x-data-parallel-host-port", "$NET.1:8000",
	"x-kv-cache-source-host-port", "$NET.1:8000",
	"x-llm-d-request-dropped-reason", "saturated",
	"x-went-into-resp-headers", "true",
	"x-switchyard-pool", "default/other",
	"x-switchyard-protocol", "standard",
	// Envoy's own, which only its operator may use.
	"x-envoy-upstream-rq-timeout-ms", "1",
	"x-envoy-upstream-rq-per-try-timeout-ms", "1",
	"x-envoy-upstream-alt-stat-name", "mine",
	"x-envoy-retry-on", "5xx",
	"x-envoy-max-retries", "5",
	"x-envoy-original-path", "/spoofed",
	"x-envoy-internal", "true",
	"x-envoy-decorator-operation", "mine",
}

// TestClientHeadersHaveNoEffect sends every internal header: requests go where they would go without, and
// neither the model servers nor the log see the headers.
func TestClientHeadersHaveNoEffect(t *testing.T) {
	w := newManifests(t, gateway+route("r", `
  - matches: [{path: {value: /service}}]
    backendRefs: [{name: plain, port: 80}]
  - backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: llm}]
`)+pool("llm", "sim")+recorderPods("sim", 1, 4)+pool("other", "other")+recorderPods("other", 9, 1)+service("plain", 5))
	servers := map[string]*recorder{}
	for _, n := range []int{1, 2, 3, 4, 5, 9} {
		servers[fmt.Sprint(n)] = startRecorder(t, fmt.Sprint(n), w.podAddress(n))
	}
	w.startStack(stack.Options{})
	w.startFleet(w.stack.XDSAddr, 1, 1)

	var headers []string
	for _, h := range clientHeaders {
		headers = append(headers, w.fill(h))
	}
	question := 0
	hello := func() string {
		question++ // equal prompts would go to one server
		return chat(fmt.Sprintf("%d times hello", question), false, 1)
	}
	for _, c := range []struct {
		name, allowed string
		ask           func() reply
	}{
		{"body", "1234", func() reply { return w.post("/v1/chat/completions", hello(), headers...) }},
		{"no body", "1234", func() reply { return w.get("/v1/models", headers...) }},
		{"chunked body", "1234", func() reply { return postChunked(t, w, "/v1/chat/completions", hello(), headers...) }},
		{"service", "5", func() reply { return w.get("/service", headers...) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			used := map[string]int{}
			var ids []string
			for range 40 {
				r := c.ask()
				if r.status != http.StatusOK {
					t.Fatalf("status %d %s", r.status, r.body)
				}
				used[r.server()]++
				ids = append(ids, r.headers.Get("x-request-id"))
			}
			for _, id := range ids {
				l := w.access.line(t, id)
				if l.Path == "/spoofed" {
					t.Errorf("access log: %+v", l)
				}
				if c.name != "service" && (l.Picked == "" || l.Picked != l.Served || l.Pool != "default/llm" || l.FailOpen != "false") {
					t.Errorf("access log: %+v", l)
				}
			}
			for server := range used {
				if !strings.Contains(c.allowed, server) {
					t.Errorf("went to %s", server)
				}
			}
			// By chance all 40 go to one of four once in 4^39 times.
			if len(used) < min(2, len(c.allowed)) {
				t.Errorf("all went to one server: %v", used)
			}
			expectStripped(t, servers)
		})
	}
}

// expectStripped checks what arrived at the model servers.
func expectStripped(t *testing.T, servers map[string]*recorder) {
	t.Helper()
	seen := 0
	for name, s := range servers {
		for _, got := range s.take() {
			seen++
			for i := 0; i < len(clientHeaders); i += 2 {
				if v := got.headers.Values(clientHeaders[i]); len(v) > 0 {
					t.Fatalf("server %s was sent %s: %v", name, clientHeaders[i], v)
				}
			}
		}
	}
	if seen == 0 {
		t.Error("no server got anything")
	}
}
