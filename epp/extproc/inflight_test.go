package extproc_test

import (
	"strconv"
	"testing"

	"github.com/switchyard/switchyard/epp/objective"
)

// counting asks for the estimate of answers, too.
const counting = `apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: inflight-load-producer, parameters: {addEstimatedOutputTokens: true, outputRatio: 2, maxEstimatedOutputTokens: 1500}}
- {type: queue-scorer}
`

// streamedChat is a request whose prompt counts about 1000 tokens.
func streamedChat(limit string) string {
	return `{"model":"m","messages":[{"role":"user","content":"` + longPrompt("x", 4000) + `"}],"stream":true` + limit + `}`
}

// expectInFlight checks what is in flight at each of two endpoints, and that the series of the tenant say so.
func (p *picker) expectInFlight(when string, want ...[2]int64) {
	p.t.Helper()
	requests, tokens := p.inFlight()
	for i := range want {
		if got := [2]int64{requests[i], tokens[i]}; got != want[i] {
			p.t.Fatalf("%s: %d requests and %d tokens at endpoint %d, want %v", when, got[0], got[1], i, want[i])
		}
		labels := []string{"endpoint_name", "pod-" + strconv.Itoa(i) + "-rank-0", "fairness_id", "alice", "priority", "5"}
		shown := [2]int64{int64(p.metric("llm_d_epp_inflight_requests", labels...)), int64(p.metric("llm_d_epp_inflight_tokens", labels...))}
		if shown != want[i] {
			p.t.Fatalf("%s: the series of the tenant show %v at endpoint %d, want %v", when, shown, i, want[i])
		}
	}
}

func TestWhatIsInFlight(t *testing.T) {
	rules := objective.New([]objective.Objective{{Pool: "ns/pool", Name: "chat", Priority: 5}}, nil)
	tenant := []string{"x-llm-d-inference-fairness-id", "alice", "x-llm-d-inference-objective", "chat"}
	prompt := func(t *testing.T) int64 {
		p := startPicker(t, settings{endpoints: 1})
		s := p.openLean()
		s.send(leanBody(chatPath, streamedChat(""), true))
		s.receive()
		_, tokens := p.totalInFlight()
		s.finish()
		p.expectIdle()
		return tokens
	}(t)
	if prompt < 900 || prompt > 1100 {
		t.Fatalf("the prompt counts %d tokens", prompt)
	}
	for name, test := range map[string]struct {
		config, limit string
		output        int64
	}{
		"not estimated":       {"", "", 0},
		"estimated":           {counting, "", 1500},
		"the client's limit":  {counting, `,"max_tokens":40`, 40},
		"a limit beyond that": {counting, `,"max_tokens":100000`, 1500},
	} {
		with := settings{endpoints: 2, config: test.config, rules: rules}
		whole, answer := [2]int64{1, prompt + test.output}, [2]int64{1, test.output}
		// at puts what is in flight at the endpoint that serves, and nothing at the other.
		at := func(address0 bool, what [2]int64) [][2]int64 {
			if address0 {
				return [][2]int64{what, {}}
			}
			return [][2]int64{{}, what}
		}
		t.Run("lean, "+name, func(t *testing.T) {
			p := startPicker(t, with)
			s, got := p.ask("lean", post(chatPath, streamedChat(test.limit), tenant...))
			first := got.at == address(0)
			p.expectInFlight("picked", at(first, whole)...)
			s.send(responseHeaders(":status", "200", "content-type", "text/event-stream"))
			s.receive()
			p.expectInFlight("answering", at(first, answer)...)
			// Trailers tell that another endpoint has served it: what is left moves.
			other := address(0)
			if first {
				other = address(1)
			}
			s.send(served(responseTrailers(), other))
			s.receive()
			p.expectInFlight("moved", at(!first, answer)...)
			s.finish()
			p.expectIdle()
			p.expectInFlight("over", [2]int64{}, [2]int64{})
		})
		t.Run("standard, "+name, func(t *testing.T) {
			p := startPicker(t, with)
			s, got := p.ask("standard", post(chatPath, streamedChat(test.limit), tenant...))
			first := got.at == address(0)
			p.expectInFlight("picked", at(first, whole)...)
			other := address(0)
			if first {
				other = address(1)
			}
			s.send(served(responseHeaders(":status", "200", "content-type", "text/event-stream"), other))
			s.receive()
			p.expectInFlight("moved", at(!first, whole)...)
			s.send(responseBody("data: {}\n\n", false))
			s.receive()
			p.expectInFlight("the first piece", at(!first, answer)...)
			s.send(responseBody("data: [DONE]\n\n", false))
			s.receive()
			p.expectInFlight("another piece", at(!first, answer)...)
			s.send(responseBody("", true))
			s.receive()
			s.finish()
			p.expectIdle()
			p.expectInFlight("over", [2]int64{}, [2]int64{})
		})
	}
}
