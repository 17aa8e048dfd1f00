package e2e

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
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

var modelNames = regexp.MustCompile(`"model":\s*"([^"]*)"`)

// TestModelRewritten has models rewritten on their way through a proxy and our own picker: the model server is asked for its model, the
// client reads the name that it asked for, and answers of requests that nothing is rewritten for are not shown to the picker at all.
func TestModelRewritten(t *testing.T) {
	w := newWorld(t, gateway+poolRoute("llm")+pool("llm", "sim")+simPods("sim", 1, 2, "--first-token", "1ms", "--inter-token", "1ms")+rewrite,
		worldOptions{proxies: 1, threads: 1})
	// The longest would be sent to the picker in part only, for pools without a rule.
	for _, padding := range []int{0, 100_000, 3_000_000} {
		for _, stream := range []bool{false, true} {
			for name, test := range map[string]struct {
				asked, header string
			}{
				"by rule":    {"assistant", ""},
				"by header":  {"somebody", "sim-model"},
				"not at all": {"sim-model", ""},
			} {
				t.Run(fmt.Sprintf("%s, stream %t, %d bytes of padding", name, stream, padding), func(t *testing.T) {
					body := fmt.Sprintf(`{"model": %q, "stream":%t, "max_tokens":20,"messages":[{"role":"user","content":"say \"model\":\"x\""}],"user":%q}`,
						test.asked, stream, strings.Repeat("u", padding))
					var headers []string
					if test.header != "" {
						headers = []string{"x-llm-d-model-name-rewrite", test.header}
					}
					got := w.post("/v1/chat/completions", body, headers...)
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
						if name[1] != test.asked {
							t.Fatalf("the client asked for %q and reads %q in %q", test.asked, name[1], got.body)
						}
					}
					if stream && !strings.HasSuffix(got.body, "data: [DONE]\n\n") {
						t.Errorf("the stream does not end as it should: %q", got.body[max(0, len(got.body)-100):])
					}
				})
			}
		}
	}
}

// TestModelRewrittenAtTheEndOfALongBody: the name may be the last that a client writes.
func TestModelRewrittenAtTheEndOfALongBody(t *testing.T) {
	w := newWorld(t, gateway+poolRoute("llm")+pool("llm", "sim")+simPods("sim", 1, 1, "--first-token", "1ms", "--inter-token", "1ms")+rewrite,
		worldOptions{proxies: 1, threads: 1})
	got := w.post("/v1/chat/completions", fmt.Sprintf(`{"user":%q,"max_tokens":2,"messages":[{"role":"user","content":"hi"}],"model":"assistant"}`,
		strings.Repeat("u", 3_000_000)))
	if got.status != http.StatusOK || got.headers.Get("x-sim-model") != "sim-model" || !strings.Contains(got.body, `"assistant"`) {
		t.Errorf("status %d, the model server was asked for %q: %s", got.status, got.headers.Get("x-sim-model"), got.body)
	}
}
