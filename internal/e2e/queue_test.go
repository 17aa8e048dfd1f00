package e2e

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/internal/stack"
)

const objectives = `
---
apiVersion: llm-d.ai/v1alpha2
kind: InferenceObjective
metadata: {name: chat, namespace: default}
spec: {priority: 10, poolRef: {name: llm}}
---
apiVersion: llm-d.ai/v1alpha2
kind: InferenceObjective
metadata: {name: batch, namespace: default}
spec: {priority: -1, poolRef: {name: llm}}
`

// oneAtATime has a model server take one request; section adds to flowControl.
func oneAtATime(t *testing.T, section string) stack.Options {
	t.Helper()
	loaded, err := config.Load([]byte(`apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
featureGates: [flowControl]
plugins:
- type: queue-scorer
- type: concurrency-detector
  parameters: {maxConcurrency: 1}
flowControl:
  saturationDetector: {pluginRef: concurrency-detector}
` + section))
	if err != nil {
		t.Fatal(err)
	}
	return stack.Options{PickerConfig: loaded}
}

// TestRequestsWaitInThePicker: a request that has to wait for room does so for longer than a proxy waits for a pick otherwise, gets the
// room when it is free, and goes by its priority.
func TestRequestsWaitInThePicker(t *testing.T) {
	const works = 1500 * time.Millisecond
	w := newWorld(t, gateway+poolRoute("llm")+pool("llm", "sim")+simPods("sim", 1, 1, "--first-token", works.String(), "--inter-token", "1ms")+objectives,
		worldOptions{proxies: 1, stack: oneAtATime(t, "")})
	type outcome struct {
		name  string
		reply reply
		at    time.Time
	}
	ends := make(chan outcome, 3)
	ask := func(name, objective string) {
		r, err := send(newClient(), http.MethodPost, w.url("/v1/chat/completions"), chat(name, false, 2), "x-llm-d-inference-objective", objective)
		if err != nil {
			t.Error(err)
		}
		ends <- outcome{name, r, time.Now()}
	}
	began := time.Now()
	go ask("first", "")
	eventually(t, 5*time.Second, "the first request is worked on", func() bool { return w.running() == 1 })
	go ask("low", "batch")
	eventually(t, 5*time.Second, "the second request waits", func() bool { return w.waiting() == 1 })
	go ask("high", "chat")
	for i, want := range []string{"first", "high", "low"} {
		got := <-ends
		if got.name != want || got.reply.status != http.StatusOK {
			t.Errorf("%s ends with %d at %s as number %d, want %s", got.name, got.reply.status, got.at.Sub(began).Round(time.Millisecond), i+1, want)
		}
		if earliest := time.Duration(i+1) * works; got.at.Sub(began) < earliest {
			t.Errorf("%s ends after %s, before the model server can have worked on %d requests one by one", got.name, got.at.Sub(began), i+1)
		}
	}
}

func TestARequestThatWaitsTooLongIsRefused(t *testing.T) {
	w := newWorld(t, gateway+poolRoute("llm")+pool("llm", "sim")+simPods("sim", 1, 1, "--first-token", "5s", "--inter-token", "1ms")+objectives,
		worldOptions{proxies: 1, stack: oneAtATime(t, "  defaultRequestTTL: 700ms\n")})
	first := openStream(t, w, chat("first", true, 2))
	eventually(t, 5*time.Second, "the first request is worked on", func() bool { return w.running() == 1 })
	began := time.Now()
	got := w.post("/v1/chat/completions", chat("second", false, 2))
	took := time.Since(began)
	if got.status != http.StatusTooManyRequests || got.headers.Get("x-llm-d-request-dropped-reason") != "rejected-ttl-expired" || !strings.Contains(got.body, "request timed out in queue") {
		t.Errorf("status %d, reason %q: %s", got.status, got.headers.Get("x-llm-d-request-dropped-reason"), got.body)
	}
	if took < 700*time.Millisecond || took > 3*time.Second {
		t.Errorf("refused after %s, want 700 ms", took)
	}
	first.leave()
}

// TestEviction: work that may be shed gives its place to a request that may not wait.
func TestEviction(t *testing.T) {
	w := newWorld(t, gateway+poolRoute("llm")+pool("llm", "sim")+simPods("sim", 1, 1, "--first-token", "2s", "--inter-token", "1ms")+objectives,
		worldOptions{proxies: 1, stack: oneAtATime(t, "  enableEviction: true\n")})
	batch := make(chan reply, 1)
	go func() {
		r, err := send(newClient(), http.MethodPost, w.url("/v1/chat/completions"), chat("batch", false, 2), "x-llm-d-inference-objective", "batch")
		if err != nil {
			t.Error(err)
		}
		batch <- r
	}()
	eventually(t, 5*time.Second, "the batch request is worked on", func() bool { return w.running() == 1 })
	began := time.Now()
	got := w.post("/v1/chat/completions", chat("chat", false, 2), "x-llm-d-inference-objective", "chat")
	took := time.Since(began)
	if got.status != http.StatusOK || took > 4*time.Second {
		t.Errorf("status %d after %s", got.status, took)
	}
	shed := <-batch
	if shed.status != http.StatusTooManyRequests || shed.body != "request evicted by flow control" || shed.headers.Get("x-llm-d-request-dropped-reason") != "evicted-priority" {
		t.Errorf("the batch request ends with %d, reason %q: %s", shed.status, shed.headers.Get("x-llm-d-request-dropped-reason"), shed.body)
	}
	eventually(t, 5*time.Second, "nothing is in flight", func() bool { return w.inFlight() == 0 && w.running() == 0 })
}

// waiting is how many requests wait in the embedded picker.
func (w *world) waiting() (n int) {
	w.t.Helper()
	for line := range strings.Lines(w.metrics()) {
		if series, value, found := strings.Cut(strings.TrimSpace(line), "} "); found && strings.HasPrefix(series, "llm_d_epp_flow_control_queue_size{") {
			count, err := strconv.Atoi(value)
			if err != nil {
				w.t.Fatal(err)
			}
			n += count
		}
	}
	return n
}
