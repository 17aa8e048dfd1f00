package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/switchyard/switchyard/internal/stack"
)

// TestAccessLog reads the proxies' standard output: one JSON object per request, with what was picked, what
// served, and by which route.
func TestAccessLog(t *testing.T) {
	w := newManifests(t, gateway+route("r", `
  - matches: [{path: {value: /service}}]
    filters:
    - {type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /echo}}}
    backendRefs: [{name: plain, port: 80}]
  - matches: [{path: {value: /closed}}]
    backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: closed}]
  - backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: llm}]
`)+pool("llm", "sim")+simPods("sim", 1, 2, instantSim...)+service("plain", 1)+pool("closed", "nobody", failClose))
	var mu sync.Mutex
	var lines []string
	w.access.raw = func(line []byte) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, string(line))
	}
	w.startSimulators()
	w.startStack(stack.Options{})
	w.startFleet(w.stack.XDSAddr, 1, 1)

	ask := func(r reply) (reply, accessLine) {
		t.Helper()
		id := r.headers.Get("x-request-id")
		if id == "" {
			t.Fatalf("the answer names no request id: %+v", r)
		}
		return r, w.access.line(t, id)
	}

	r, l := ask(w.post("/v1/chat/completions?q=1", chat("hello", false, 1), "x-request-id", "mine-1"))
	if l.RequestID != "mine-1" || l.Status != 200 || r.status != 200 || l.FailOpen != "false" || l.Pool != "default/llm" ||
		!strings.HasPrefix(l.Route, "HTTPRoute/default/r/rule/2") || l.Picked != w.simAddress(r.server()) || l.Served != l.Picked ||
		l.Path != "/v1/chat/completions?q=1" || l.Method != "POST" {
		t.Errorf("a picked request, served by %s: %+v", r.server(), l)
	}
	r, l = ask(w.get("/service/x"))
	if l.Status != 200 || r.status != 200 || l.FailOpen != "false" || l.Pool != "" || l.Picked != "" || l.Served != "" ||
		l.Upstream != w.podAddress(1) || !strings.HasPrefix(l.Route, "HTTPRoute/default/r/rule/0") {
		t.Errorf("a request to a Service: %+v", l)
	}
	r, l = ask(w.post("/closed", chat("hello", false, 1)))
	if r.status != http.StatusServiceUnavailable || l.Status != 503 || l.Picked != "" || l.Served != "" ||
		!strings.HasPrefix(l.Route, "HTTPRoute/default/r/rule/1") {
		t.Errorf("a refused request, answered %d: %+v", r.status, l)
	}

	mu.Lock()
	defer mu.Unlock()
	if len(lines) != 3 {
		t.Errorf("%d lines for 3 requests", len(lines))
	}
	for _, line := range lines {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Errorf("no JSON object: %s: %v", line, err)
		}
		for _, name := range []string{"start", "request_id", "method", "path", "status", "flags", "duration", "client", "route",
			"cluster", "upstream", "pool", "picked", "served", "fail_open"} {
			if _, ok := fields[name]; !ok {
				t.Errorf("no %s in %s", name, line)
			}
		}
	}
}
