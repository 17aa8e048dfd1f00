package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/switchyard/switchyard/internal/stack"
)

// TestMemoryOfRequestsInFlight bounds what a proxy keeps for a request while its answer is streamed: its body, once, as
// long as it can be sent to another server, and nothing that grows with it where only its first part was shown to the picker.
func TestMemoryOfRequestsInFlight(t *testing.T) {
	const requests, fixed = 40, 250_000
	w := newManifests(t, gateway+poolRoute("llm")+pool("llm", "sim")+recorderPods("sim", 1, 1))
	startEndless(t, w.podAddress(1))
	w.startStack(stack.Options{})
	w.startFleet(w.stack.XDSAddr, 1, 1)
	for _, c := range []struct {
		name       string
		body, most int
	}{
		{"short", 400, fixed},
		{"seen whole", 400_000, 400_000*11/10 + fixed},
		{"seen in part", 1_600_000, fixed},
	} {
		t.Run(c.name, func(t *testing.T) {
			// Connections and buffers that stay are there before.
			hold(t, w, 4, c.body)()
			before := settledMemory(t, w)
			release := hold(t, w, requests, c.body)
			held := settledMemory(t, w)
			release()
			each := (held - before) / requests
			t.Logf("%d bytes for each body of %d", each, c.body)
			if each > c.most {
				t.Errorf("%d bytes for each request in flight with a body of %d, more than %d", each, c.body, c.most)
			}
			eventually(t, 20*time.Second, "the memory is given back", func() bool {
				return allocated(t, w)-before < requests*fixed/2
			})
		})
	}
}

// TestDeadPickOfLongBodies has a picker that names a server where nobody listens, for bodies that are longer than any buffer of a
// connection. What is kept in flight is sent to another server; what is seen in part is not kept, and so fails at once.
func TestDeadPickOfLongBodies(t *testing.T) {
	w, p := misledWorld(t, failOpen)
	p.name(w.fill("$NET.3:8000"))
	for size, status := range map[int]int{
		400_000:     http.StatusOK,
		896<<10 - 1: http.StatusOK,
		1_600_000:   http.StatusServiceUnavailable,
	} {
		r := w.post("/v1/chat/completions", promptOfSize(size))
		l := w.access.line(t, r.headers.Get("x-request-id"))
		if r.status != status || l.Picked != w.podAddress(3) {
			t.Errorf("%d bytes: status %d %s, want %d; access log %+v", size, r.status, r.body, status, l)
		}
	}
}

// startEndless starts a model server that reads a request, answers with one event and then waits for its client to go.
func startEndless(t *testing.T, address string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" {
			http.NotFound(w, r)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("content-type", "text/event-stream")
		_, _ = io.WriteString(w, "data: {}\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

// hold has n answers begun, to bodies of so many bytes; none ends before the returned function is called.
func hold(t *testing.T, w *world, n, size int) func() {
	t.Helper()
	streams := make([]*pendingStream, n)
	for i := range streams {
		prompt := fmt.Sprintf("%d ", i)
		if size > 1000 {
			prompt += strings.Repeat("word", size/4)
		}
		streams[i] = openStream(t, w, chat(prompt, true, 1000))
		streams[i].next()
		if streams[i].status != http.StatusOK {
			t.Fatalf("status %d", streams[i].status)
		}
	}
	return func() {
		for _, s := range streams {
			s.leave()
		}
	}
}

// settledMemory waits until what the proxy has allocated stays as it is.
func settledMemory(t *testing.T, w *world) int {
	t.Helper()
	last, same := allocated(t, w), 0
	eventually(t, 20*time.Second, "the proxy's memory settles", func() bool {
		now := allocated(t, w)
		if same++; max(now-last, last-now) > 200_000 {
			same = 0
		}
		last = now
		return same >= 20
	})
	return last
}

// allocated is what the first proxy has allocated, in bytes.
func allocated(t *testing.T, w *world) int {
	t.Helper()
	text, err := w.fleet.Proxies()[0].AdminRequest(t.Context(), http.MethodGet, "/memory")
	if err != nil {
		t.Fatal(err)
	}
	var m struct{ Allocated string }
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(m.Allocated)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
