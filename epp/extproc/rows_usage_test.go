package extproc_test

import "testing"

// TestRowsUsage: where each API has its numbers, in answers that are streamed or not, cut anywhere.
func TestRowsUsage(t *testing.T) {
	messages := `{"model":"m","messages":[{"role":"user","content":"x"}]}`
	for name, test := range map[string]struct {
		path, asked, kind, answer string
		input, output, cached     float64
	}{
		"chat": {chatPath, messages, "application/json",
			`{"usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":8}}}`, 12, 3, 8},
		"chat, streamed": {chatPath, messages, "text/event-stream",
			"data: {\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\":{\\\"prompt_tokens\\\":99}\"}}]}\n\ndata: {\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":3}}\n\ndata: [DONE]\n\n", 12, 3, -1},
		"completions": {"/v1/completions", `{"model":"m","prompt":"x"}`, "application/json", `{"usage":{"prompt_tokens":12,"completion_tokens":3}}`, 12, 3, -1},
		"responses": {"/v1/responses", `{"model":"m","input":"x"}`, "application/json",
			`{"usage":{"input_tokens":12,"output_tokens":3,"input_tokens_details":{"cached_tokens":8}}}`, 12, 3, 8},
		"responses, streamed": {"/v1/responses", `{"model":"m","input":"x"}`, "text/event-stream",
			"event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":12,\"output_tokens\":3,\"input_tokens_details\":{\"cached_tokens\":8}}}}\n\n", 12, 3, 8},
		"embeddings": {"/v1/embeddings", `{"model":"m","input":"x"}`, "application/json", `{"usage":{"prompt_tokens":12,"total_tokens":12}}`, 12, -1, -1},
		"messages":   {"/v1/messages", messages, "application/json", `{"usage":{"input_tokens":12,"output_tokens":3,"cache_read_input_tokens":8}}`, 20, 3, 8},
		"messages, streamed": {"/v1/messages", messages, "text/event-stream",
			"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":12,\"output_tokens\":1}}}\n\n" +
				"event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":3}}\n\n", 12, 3, -1},
		"generate": {"/inference/v1/generate", `{"token_ids":[1]}`, "application/json", `{"usage":{"prompt_tokens":12,"completion_tokens":3}}`, 12, 3, -1},
		"sglang":   {"/generate", `{"input_ids":[1]}`, "application/json", `{"text":"x","meta_info":{"prompt_tokens":12,"completion_tokens":3,"cached_tokens":8}}`, 12, 3, 8},
		"vertex": {"/google.cloud.aiplatform.v1.PredictionService/ChatCompletions", vertexChat(messages), "application/grpc",
			grpcFrame(protoText(1, "application/json") + protoText(2, `{"usage":{"prompt_tokens":12,"completion_tokens":3}}`)), 12, 3, -1},
		"grpc embed": {"/vllm.grpc.engine.VllmEngine/Embed", grpcFrame(protoText(2, protoText(2, "\x01"))), "application/grpc", grpcFrame(protoNumber(2, 12)), 12, -1, -1},
		"grpc generate": {"/vllm.grpc.engine.VllmEngine/Generate", grpcFrame(protoText(3, "x")), "application/grpc",
			grpcFrame(protoText(1, protoText(1, "\x01\x02")+protoNumber(2, 12))) +
				grpcFrame(protoText(2, protoText(2, "stop")+protoNumber(3, 12)+protoNumber(4, 3)+protoNumber(5, 8))), 12, 3, 8},
		"no usage":  {chatPath, messages, "application/json", `{"choices":[{"message":{"content":"\"usage\":{\"prompt_tokens\":99}"}}]}`, -1, -1, -1},
		"null":      {chatPath, messages, "application/json", `{"usage":null}`, -1, -1, -1},
		"no JSON":   {chatPath, messages, "application/json", "\x00\xff usage", -1, -1, -1},
		"passed on": {"/other", "x", "application/json", `{"usage":{"prompt_tokens":12}}`, -1, -1, -1},
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1, 7, len(test.answer)} {
				p := startPicker(t, settings{endpoints: 1, config: witnessed})
				s, got := p.ask("standard", post(test.path, test.asked))
				if got.refusal != nil {
					t.Fatalf("refused with %v", got.refusal)
				}
				s.send(responseHeaders(":status", "200", "content-type", test.kind))
				s.receive()
				for rest := test.answer; rest != ""; {
					n := min(size, len(rest))
					s.send(responseBody(rest[:n], n == len(rest)))
					s.receive()
					rest = rest[n:]
				}
				s.finish()
				p.expectIdle()
				for series, want := range map[string]float64{"input": test.input, "output": test.output, "cached": test.cached} {
					count, sum := p.observed("llm_d_epp_request_" + series + "_tokens")
					if want == -1 && count != 0 || want >= 0 && (count != 1 || sum != want) {
						t.Errorf("in pieces of %d: %s tokens observed %g times with a sum of %g, want %g", size, series, count, sum, want)
					}
				}
			}
		})
	}
}

// observed is how often a histogram was observed and the sum of it.
func (p *picker) observed(name string) (count, sum float64) {
	p.t.Helper()
	families, err := p.registry.Gather()
	if err != nil {
		p.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			for _, m := range family.GetMetric() {
				count, sum = count+float64(m.GetHistogram().GetSampleCount()), sum+m.GetHistogram().GetSampleSum()
			}
		}
	}
	return count, sum
}
