package extproc_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/epp/objective"
	"github.com/switchyard/switchyard/epp/scheduling"
)

const shedding = header + `
plugins:
- type: queue-scorer
- type: probabilistic-admitter
`

// batch is an objective whose requests may be shed.
func batch() *objective.Rules {
	return objective.New([]objective.Objective{{Pool: "ns/pool", Name: "batch", Priority: -1}}, nil)
}

// TestRowsRefusals goes through what is answered in place of a model server: status, the whole text, the reason. What waits is in the
// tests of the picker as a whole.
func TestRowsRefusals(t *testing.T) {
	hi := chat("m", "hi")
	for _, test := range []struct {
		name     string
		settings settings
		request  wire
		status   int
		text     string // behind the name of the project's errors
		reason   string
	}{
		{"no parser claims the path", settings{endpoints: 1, config: onlyOpenAI}, post("/v1/messages?x=1", "{}"),
			400, "BadRequest - no parser registered matching path suffix for: /v1/messages", ""},
		{"bad JSON", settings{endpoints: 1}, post(chatPath, `{"model":"m",`),
			400, "BadRequest - error unmarshaling request bodyMap: unexpected end of JSON input at byte 13", ""},
		{"no model", settings{endpoints: 1}, post(chatPath, `{"messages":[{"role":"user","content":"x"}]}`),
			400, "BadRequest - model not found in request body", ""},
		{"a model that is no text", settings{endpoints: 1}, post(chatPath, `{"model":7,"messages":[{"role":"user","content":"x"}]}`),
			400, "BadRequest - model not found in request body", ""},
		{"a field is missing", settings{endpoints: 1}, post(chatPath, `{"model":"m"}`),
			400, "BadRequest - invalid chat completions request: must have valid messages field", ""},
		{"no endpoints", settings{}, post(chatPath, hi),
			503, "ServiceUnavailable - failed to find endpoint candidates for serving the request", "rejected-no-endpoints"},
		{"no endpoints, no body", settings{}, bare("/v1/models"),
			503, "ServiceUnavailable - failed to find endpoint candidates for serving the request", "rejected-no-endpoints"},
		{"an empty subset", settings{endpoints: 1}, wire{headers: []string{":path", chatPath}, body: hi, onBody: allowing()},
			503, "ServiceUnavailable - failed to find endpoint candidates for serving the request", "rejected-no-endpoints"},
		{"filters leave nobody", settings{endpoints: 1, config: nobodyFits}, post(chatPath, hi),
			429, "ResourceExhausted - no endpoints available for the given request", "rejected-saturated"},
		{"a full pool, without flow control", settings{endpoints: 1, rules: batch()}, post(chatPath, hi, "x-llm-d-inference-objective", "batch"),
			429, "ResourceExhausted - system saturated, sheddable request dropped", "rejected-saturated"},
		{"an admitter says no", settings{endpoints: 1, rules: batch(), config: shedding + idle}, post(chatPath, hi, "x-llm-d-inference-objective", "batch"),
			429, "ResourceExhausted - request cannot be admitted: system saturated, sheddable request dropped", "rejected-saturated"},
		{"nothing cached", settings{endpoints: 1}, post(chatPath, hi, "prefer", "if-available"),
			412, "PreconditionFailed - no decode worker has the requested KV cache", ""},
		{"no profile is named", settings{endpoints: 1, config: profilesByHeader}, post(chatPath, hi),
			400, "BadRequest - invalid request: header epp-profile does not name a scheduling profile", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBoth(t, test.settings, func(t *testing.T, p *picker, protocol string) {
				p.expectRefused(protocol, test.request, test.status, "inference error: "+test.text, test.reason)
				code, _, _ := strings.Cut(test.text, " ")
				if got := p.metric("llm_d_epp_request_error_total", "error_code", code); got != 1 {
					t.Errorf("request_error_total{error_code=%q} is %g, want 1", code, got)
				}
			})
		})
	}
}

// idle has a pool of which nothing is known taken as free by legacy admission, so that requests get past it.
const idle = `- type: concurrency-detector
flowControl: {saturationDetector: {pluginRef: concurrency-detector}}
`

// TestRowsOthersAreNotShed: priorities from 0 on are placed in the same state of the pool.
func TestRowsOthersAreNotShed(t *testing.T) {
	for _, text := range []string{"", shedding + idle} {
		inBoth(t, settings{endpoints: 1, rules: batch(), config: text}, func(_ *testing.T, p *picker, protocol string) {
			p.expectPlaced(protocol, post(chatPath, chat("m", "hi")))
			p.expectPlaced(protocol, post(chatPath, chat("m", "hi"), "x-llm-d-inference-objective", "nobody-knows-it"))
		})
	}
}

// broken is a profile handler that fails.
type broken struct{ err error }

func (b broken) Schedule(*scheduling.Cycle) ([]int, error) { return nil, b.err }

// TestRowsASchedulerThatFails otherwise than by finding nobody.
func TestRowsASchedulerThatFails(t *testing.T) {
	for text, test := range map[string]struct {
		err    error
		status int
		reason string
	}{
		"ResourceExhausted - failed to find target endpoint: out of luck":  {errors.New("out of luck"), 429, "rejected-saturated"},
		"ResourceExhausted - no endpoints available for the given request": {scheduling.ErrFiltered, 429, "rejected-saturated"},
		"ResourceExhausted - request cannot be admitted":                   {scheduling.ErrNotAdmitted, 429, "rejected-saturated"},
		"BadRequest - invalid request":                                     {scheduling.ErrBadRequest, 400, ""},
	} {
		compiled := *config.Default()
		compiled.Handler = broken{test.err}
		inBoth(t, settings{endpoints: 1, compiled: &compiled}, func(_ *testing.T, p *picker, protocol string) {
			p.expectRefused(protocol, post(chatPath, chat("m", "hi")), test.status, "inference error: "+text, test.reason)
		})
	}
}

// TestRowsABodyThatIsTooLarge is refused as soon as that shows, with what is left of it unread.
func TestRowsABodyThatIsTooLarge(t *testing.T) {
	p := startPicker(t, settings{endpoints: 1, maxBody: 1000})
	body := chat("m", longPrompt("x", 1000-len(chat("m", ""))))
	p.expectPlaced("standard", post(chatPath, body))
	s := p.open()
	s.send(requestHeaders(false, ":path", chatPath))
	s.send(requestBody(body, false))
	s.send(requestBody(" ", false))
	expectExactRefusal(t, s.receive(), 413, "inference error: PayloadTooLarge - request body is larger than 1000 bytes", "")
	s.finish()
	p.expectIdle()
}

// TestRowsRewritesWhereTheyAreSkipped: a body that cannot name another model goes on as it is, under its own model's name.
func TestRowsRewritesWhereTheyAreSkipped(t *testing.T) {
	generate := grpcFrame(protoText(3, "hello"))
	for name, r := range map[string]wire{
		"passthrough": post("/other", `{"model":"food-review"}`),
		"sglang":      post("/generate", `{"model":"food-review","input_ids":[1,2]}`),
		"vllm grpc":   post("/vllm.grpc.engine.VllmEngine/Generate", generate),
		"vertex":      post("/google.cloud.aiplatform.v1.PredictionService/ChatCompletions", vertexChat(`{"model":"food-review","messages":[{"role":"user"}]}`)),
		"no model":    post("/v1/conversations", `{"items":[1]}`),
	} {
		t.Run(name, func(t *testing.T) {
			inBoth(t, settings{endpoints: 1, config: witnessed, rules: rewriting()}, func(t *testing.T, p *picker, protocol string) {
				r := r
				r.headers = append(r.headers, rewriteHeader, "other")
				s, got := p.ask(protocol, r)
				if got.refusal != nil || got.sent != r.body {
					t.Fatalf("%q becomes %q, refused with %v", r.body, got.sent, got.refusal)
				}
				if seen := theWitness.last(t); seen.target != seen.model {
					t.Errorf("model %q is asked for as %q", seen.model, seen.target)
				}
				s.send(responseHeaders(":status", "200", "content-length", "7"))
				answer := s.receive().GetResponseHeaders().GetResponse().GetHeaderMutation()
				if len(answer.GetRemoveHeaders()) != 0 {
					t.Errorf("headers of the answer removed: %v", answer.GetRemoveHeaders())
				}
				s.finish()
				p.expectIdle()
			})
		})
	}
}

// TestRowsRewrites: exact rules beat generic ones, the oldest object wins, what is drawn has a weight; in both protocols.
func TestRowsRewrites(t *testing.T) {
	rules := objective.New(nil, []objective.Rewrite{
		{Pool: "ns/pool", Name: "younger", Created: day(2), Rules: []objective.Rule{{Models: []string{"a"}, Targets: []objective.Target{{Model: "younger"}}}}},
		{Pool: "ns/pool", Name: "generic", Created: day(0), Rules: []objective.Rule{{Targets: []objective.Target{{Model: "any"}}}}},
		{Pool: "ns/pool", Name: "older", Created: day(1), Rules: []objective.Rule{
			{Models: []string{"a"}, Targets: []objective.Target{{Model: "older"}}},
			{Models: []string{"w"}, Targets: []objective.Target{{Model: "never"}, {Model: "always", Weight: 7}}},
			{Models: []string{"u"}, Targets: []objective.Target{{Model: "u1"}, {Model: "u2"}}}}},
		{Pool: "ns/other", Name: "elsewhere", Created: day(0), Rules: []objective.Rule{{Models: []string{"a", "b"}, Targets: []objective.Target{{Model: "elsewhere"}}}}},
	})
	inBoth(t, settings{endpoints: 1, rules: rules}, func(t *testing.T, p *picker, protocol string) {
		for model, want := range map[string][]string{"a": {"older"}, "b": {"any"}, "w": {"always"}, "u": {"u1", "u2"}} {
			drawn := map[string]bool{}
			for range 30 {
				got := p.expectPlaced(protocol, post(chatPath, chat(model, "hi"), rewriteHeader, "header"))
				target, _, _ := strings.Cut(strings.TrimPrefix(got.sent, `{"model":"`), `"`)
				if got.sent != chat(target, "hi") {
					t.Fatalf("sent on: %s", got.sent)
				}
				drawn[target] = true
			}
			for _, target := range want {
				if !drawn[target] || len(drawn) != len(want) {
					t.Errorf("%s is sent on as %v, want %v", model, drawn, want)
				}
			}
		}
		p.expectIdle()
	})
}
