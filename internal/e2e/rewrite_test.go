package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/switchyard/switchyard/internal/stack"
)

const rewrite = `
---
apiVersion: llm-d.ai/v1alpha2
kind: InferenceModelRewrite
metadata: {name: public-names, namespace: default}
spec:
  poolRef: {name: llm}
  rules:
  - matches: [{model: {type: Exact, value: assistant}}]
    targets: [{modelRewrite: sim-model, weight: 1}]
`

// twoPools sends requests to a pool without a rule when they name it, others to one whose models a rule rewrites.
var twoPools = route("both", `
  - matches: [{headers: [{name: x-pool, value: plain}]}]
    backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: plain}]
  - backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: llm}]
`) + pool("llm", "sim") + pool("plain", "sim")

var modelNames = regexp.MustCompile(`"model":\s*"([^"]*)"`)

const (
	rewriteHeader = "x-llm-d-model-name-rewrite"
	olderRewrite  = "x-gateway-model-name-rewrite"
)

// TestModelRewritten has models rewritten on their way through a proxy and our own picker: the model server is asked for its model, and
// the client reads the name that it asked for. The usage of every answer is known. The picker is shown an answer only where it has to be: of
// requests that nothing is rewritten for, no byte of a streamed one, nor of any to a pool without a rule.
func TestModelRewritten(t *testing.T) {
	w := newWorld(t, gateway+twoPools+simPods("sim", 1, 2, "--first-token", "1ms", "--inter-token", "1ms")+rewrite,
		worldOptions{proxies: 1, threads: 1})
	for _, test := range []struct {
		name, pool, asked, header string
		whole, streamed           bool // shown to the picker
	}{
		{"by rule", "llm", "assistant", "", true, true},
		{"by header where there is a rule", "llm", "somebody", rewriteHeader, true, true},
		{"not where there is a rule", "llm", "sim-model", "", true, false},
		{"by header", "plain", "somebody", rewriteHeader, true, true},
		{"by the older header", "plain", "somebody-else", olderRewrite, true, true},
		{"not at all", "plain", "sim-model", "", false, false},
	} {
		// The longest would be sent to the picker in part only, if nothing could be rewritten.
		for _, padding := range []int{0, 100_000, 3_000_000} {
			for _, stream := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, stream %t, %d bytes of padding", test.name, stream, padding), func(t *testing.T) {
					body := fmt.Sprintf(`{"model": %q, "stream":%t, "stream_options":{"include_usage":%t}, "max_tokens":20,"messages":[{"role":"user","content":"say \"model\":\"x\""}],"user":%q}`,
						test.asked, stream, stream, strings.Repeat("u", padding))
					headers := []string{"x-pool", test.pool}
					if test.header != "" {
						headers = append(headers, test.header, "sim-model")
					}
					before := w.counted()
					got := w.post("/v1/chat/completions", body, headers...)
					expectNamed(t, got, test.asked, stream)
					shown := before.shown
					if stream && test.streamed || !stream && test.whole {
						shown++
					}
					eventually(t, 5*time.Second, "the request is counted", func() bool { return w.counted().requests == before.requests+1 })
					now := w.counted() // a page is no snapshot; one that is asked for after the last value was seen has all of them
					if now.answers != before.answers+1 || now.output != before.output+20 {
						t.Errorf("usage before: %+v, after: %+v; want an answer of 20 tokens more", before, now)
					}
					if now.shown != shown {
						t.Errorf("the picker was shown %g answers, want %g", now.shown, shown)
					}
				})
			}
		}
	}
}

// expectNamed checks an answer of 20 tokens to a request for a model.
func expectNamed(t *testing.T, got reply, asked string, stream bool) {
	t.Helper()
	if got.status != http.StatusOK {
		t.Fatalf("status %d: %s", got.status, got.body)
	}
	if asked := got.headers.Get("x-sim-model"); asked != "sim-model" {
		t.Errorf("the model server was asked for %q", asked)
	}
	names := modelNames.FindAllStringSubmatch(got.body, -1)
	if len(names) == 0 || stream && len(names) < 20 {
		t.Fatalf("%d models named in %q", len(names), got.body)
	}
	for _, name := range names {
		if name[1] != asked {
			t.Fatalf("the client asked for %q and reads %q in %q", asked, name[1], got.body)
		}
	}
	if stream && !strings.HasSuffix(got.body, "data: [DONE]\n\n") {
		t.Errorf("the stream does not end as it should: %q", got.body[max(0, len(got.body)-100):])
	}
}

// counted is what the picker's metrics say of requests that are over.
type counted struct{ answers, output, shown, requests float64 }

func (w *world) counted() counted {
	w.t.Helper()
	page := w.metrics()
	value := func(name string) float64 { return metricValue(w.t, page, "llm_d_epp_"+name) }
	return counted{
		answers: value("request_output_tokens_count"),
		output:  value("request_output_tokens_sum"),
		// The size of an answer is known of those that are shown.
		shown: value("response_size_bytes_count"),
		// The last that is noted of a request.
		requests: value("request_ntpot_seconds_count"),
	}
}

// TestModelRewrittenAtTheEndOfALongBody: the name may be the last that a client writes.
func TestModelRewrittenAtTheEndOfALongBody(t *testing.T) {
	w := newWorld(t, gateway+twoPools+simPods("sim", 1, 1, "--first-token", "1ms", "--inter-token", "1ms")+rewrite,
		worldOptions{proxies: 1, threads: 1})
	body := fmt.Sprintf(`{"user":%q,"max_tokens":2,"messages":[{"role":"user","content":"hi"}],"model":"assistant"}`, strings.Repeat("u", 3_000_000))
	for name, headers := range map[string][]string{
		"by rule":             nil,
		"by header":           {"x-pool", "plain", rewriteHeader, "sim-model"},
		"by the older header": {"x-pool", "plain", olderRewrite, "sim-model"},
	} {
		got := w.post("/v1/chat/completions", body, headers...)
		if got.status != http.StatusOK || got.headers.Get("x-sim-model") != "sim-model" || !strings.Contains(got.body, `"assistant"`) {
			t.Errorf("%s: status %d, the model server was asked for %q: %s", name, got.status, got.headers.Get("x-sim-model"), got.body)
		}
	}
}

// TestModelRewrittenAcrossPieces has a model server stop amid the name, until the client has read what comes before it.
func TestModelRewrittenAcrossPieces(t *testing.T) {
	w := newManifests(t, gateway+poolRoute("llm")+pool("llm", "sim")+recorderPods("sim", 1, 1))
	const before, after = `data: {"id":"1","model":"`, "-model\",\"choices\":[]}\n\ndata: [DONE]\n\n"
	read := make(chan struct{})
	serve(t, w.podAddress(1), func(out http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" {
			http.NotFound(out, r)
			return
		}
		out.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(out, before+"sim")
		out.(http.Flusher).Flush()
		select {
		case <-read:
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(out, after)
	})
	w.startStack(stack.Options{})
	w.startFleet(w.stack.XDSAddr, 1, 1)

	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url("/v1/chat/completions"), strings.NewReader(`{"model":"public","stream":true,"messages":[{"role":"user","content":"hi"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set(rewriteHeader, "sim-model")
	answer, err := newClient().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	first := make([]byte, len(before)-1) // the quote belongs to the name
	if _, err := io.ReadFull(answer.Body, first); err != nil {
		t.Fatalf("read %q: %v", first, err)
	}
	close(read)
	rest, err := io.ReadAll(answer.Body)
	if got, want := string(first)+string(rest), before+"public"+strings.TrimPrefix(after, "-model"); err != nil || got != want {
		t.Errorf("the client reads %q, want %q (%v)", got, want, err)
	}
}

// serve answers HTTP at an address until the end of the test.
func serve(t *testing.T, address string, handle http.HandlerFunc) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handle, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("the server at %s ended with: %v", address, err)
		}
	})
}
