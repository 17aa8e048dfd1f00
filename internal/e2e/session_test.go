package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/internal/stack"
)

// TestSessionTokenReachesTheClient: a plugin of the picker sets a header of answers that the picker is not shown otherwise, and the client
// that sends it back stays with its model server. Whole answers come at once, with their headers; streamed ones do not.
func TestSessionTokenReachesTheClient(t *testing.T) {
	loaded, err := config.Load([]byte(`apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins: [{type: session-affinity-scorer}, {type: random-picker}]
schedulingProfiles:
- name: default
  plugins: [{pluginRef: session-affinity-scorer}]
`))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, gateway+poolRoute("llm")+pool("llm", "sim")+simPods("sim", 1, 4, "--first-token", "1ms", "--inter-token", "1ms"),
		worldOptions{proxies: 1, stack: stack.Options{PickerConfig: loaded}})
	for _, stream := range []bool{false, true} {
		for n := range 5 {
			first := w.post("/v1/chat/completions", chat(fmt.Sprintf("conversation %d", n), stream, 20))
			token := first.headers.Get("x-session-token")
			if first.status != http.StatusOK || token == "" {
				t.Fatalf("status %d, session token %q: %s", first.status, token, first.body)
			}
			for range 5 {
				body := strings.Replace(chat("something else", stream, 20), `"stream":true`, `"stream":true,"stream_options":{"include_usage":true}`, 1)
				next := w.post("/v1/chat/completions", body, "x-session-token", token)
				if next.server() != first.server() {
					t.Fatalf("the conversation went from %s to %s", first.server(), next.server())
				}
				if stream && !strings.HasSuffix(next.body, "data: [DONE]\n\n") {
					t.Fatalf("the stream does not end as it should: %q", next.body)
				}
			}
		}
	}
	eventually(t, 5*time.Second, "nothing is in flight", func() bool { return w.inFlight() == 0 })
	// All 30 whole answers tell their usage, and the 25 streamed ones that were asked to. No body of a streamed one was shown for it.
	eventually(t, 5*time.Second, "the usage of 55 answers is known", func() bool { return w.counted().answers == 55 })
	if n := w.counted().shown; n != 30 {
		t.Errorf("the bodies of %g answers were shown to the picker, want 30", n)
	}
}
