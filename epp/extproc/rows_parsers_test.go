package extproc_test

import (
	"strings"
	"testing"
)

// TestRowsParsers: each path of each parser takes what its API needs, and says in its own words what is missing.
func TestRowsParsers(t *testing.T) {
	const unread = "error unmarshaling request bodyMap: unexpected end of JSON input at byte 0"
	type refused map[string]string // text by body
	chatErrors := refused{
		`{"model":"m"}`:                                "invalid chat completions request: must have valid messages field",
		`{"model":"m","messages":null}`:                "invalid chat completions request: must have valid messages field",
		`{"model":"m","messages":"hi"}`:                "invalid chat completions request: must have valid messages field",
		`{"model":"m","messages":[]}`:                  "chat-completions request must have at least one message",
		`{"messages":[{"role":"user","content":"x"}]}`: "model not found in request body",
		`{"model":null,"messages":[{"role":"user"}]}`:  "model not found in request body",
		``: unread,
	}
	completionErrors := refused{
		`{"model":"m"}`:             "invalid completions request: must have prompt field",
		`{"model":"m","prompt":""}`: "invalid completions request: must have prompt field",
		`{"prompt":"x"}`:            "model not found in request body",
		``:                          unread,
	}
	responseErrors := refused{`{"model":"m"}`: "invalid responses request: must have input field", `{"input":"x"}`: "model not found in request body"}
	messageErrors := refused{
		`{"model":"m"}`:                  "invalid messages request: must have at least one message",
		`{"model":"m","messages":[]}`:    "invalid messages request: must have at least one message",
		`{"messages":[{"role":"user"}]}`: "model not found in request body",
	}
	messages := `{"model":"m","stream":true,"max_tokens":7,"cache_salt":"s","messages":[{"role":"user","content":"x"}]`
	for _, test := range []struct {
		paths   []string
		bodies  []string // each of model m, a stream, at most 7 tokens and the salt s, where the API has these
		without string   // what the API does not have: m, s(tream), t(okens), c(ache salt)
		refused refused
	}{
		{[]string{"/v1/chat/completions", "/v1/chat/completions/render", "/p/v1/chat/completions?x=1", "/v1/chat/completions/"},
			[]string{messages + "}", messages + `,"max_completion_tokens":7}`, strings.Replace(messages, `"max_tokens":7`, `"max_tokens":9,"max_completion_tokens":7`, 1) + "}"}, "", chatErrors},
		{[]string{"/v1/completions", "/v1/completions/render"}, []string{
			`{"model":"m","prompt":"x","stream":true,"max_tokens":7,"cache_salt":"s"}`, `{"model":"m","prompt":["x","y"],"stream":true,"max_tokens":7,"cache_salt":"s"}`,
			`{"model":"m","prompt":[1,2],"stream":true,"max_tokens":7,"cache_salt":"s"}`, `{"model":"m","prompt":[[1],[2]],"stream":true,"max_tokens":7,"cache_salt":"s"}`}, "", completionErrors},
		{[]string{"/v1/responses", "/v1/responses/render"}, []string{`{"model":"m","input":"x","stream":true,"max_output_tokens":7,"cache_salt":"s"}`,
			`{"model":"m","input":[{"role":"user","content":"x"}],"instructions":"y","stream":true,"max_output_tokens":7,"max_tokens":3,"cache_salt":"s"}`}, "", responseErrors},
		{[]string{"/v1/embeddings"}, []string{`{"model":"m","input":["x"],"cache_salt":"s"}`, `{"model":"m","input":"x","cache_salt":"s"}`}, "st",
			refused{`{"model":"m"}`: "invalid embeddings request: must have input field", `{"input":"x"}`: "model not found in request body"}},
		{[]string{"/v1/conversations"}, []string{`{"items":[{"type":"message"}]}`}, "mstc",
			refused{`{"model":"m"}`: "invalid conversations request: must have items field", `{"items":[]}`: "invalid conversations request: must have items field"}},
		{[]string{"/v1/images/generations"}, []string{`{"model":"m","prompt":"x"}`}, "stc",
			refused{`{"model":"m"}`: "invalid images generations request: must have prompt field", `{"prompt":"x"}`: "model not found in request body"}},
		{[]string{"/v1/messages"}, []string{messages + `,"system":"y"}`}, "", messageErrors},
		{[]string{"/v1/messages/count_tokens"}, []string{messages + "}"}, "", messageErrors},
		{[]string{"/inference/v1/generate"}, []string{`{"model":"m","token_ids":[1,2],"stream":true,"sampling_params":{"max_tokens":7},"cache_salt":"s"}`}, "", refused{
			`{"model":"m"}`: "invalid generate request: must have non-empty token_ids field", `{"token_ids":[]}`: "invalid generate request: must have non-empty token_ids field",
			`{"token_ids":"x"}`: "invalid generate request: must have non-empty token_ids field", `{"token_ids":["x"]}`: "invalid generate request: must have non-empty token_ids field"}},
		{[]string{"/generate", "/generate?x=1"}, []string{`{"model":"m","input_ids":[1,2],"stream":true,"sampling_params":{"max_new_tokens":7},"extra_key":"s"}`}, "", refused{
			`{}`: "invalid generate request: input_ids must be provided", `{"input_ids":[]}`: "invalid generate request: input_ids must be provided",
			`{"input_ids":"x"}`: "invalid generate request: input_ids must be provided", `{"input_ids":[-1]}`: "invalid generate request: input_ids must be provided",
			`{"input_ids":[1],"extra_key":7}`: "unsupported generate request: extra_key must be a string"}},
		{[]string{"/vllm.grpc.engine.VllmEngine/Generate"}, []string{grpcFrame(protoText(3, "x") + protoNumber(5, 1) + protoText(4, protoNumber(8, 7))),
			grpcFrame(protoText(2, protoText(2, "\x01\x02")) + protoNumber(5, 1) + protoText(4, protoNumber(8, 7)))}, "mc", refused{
			"":                        "invalid or unsupported gRPC payload: invalid gRPC frame: expected at least 5 bytes for header, got 0",
			"\x00\x00\x00":            "invalid or unsupported gRPC payload: invalid gRPC frame: expected at least 5 bytes for header, got 3",
			"\x00\x00\x00\x00\x09abc": "invalid or unsupported gRPC payload: incomplete gRPC payload: header indicates 9 bytes, but only 3 bytes are available",
			"\x01\x00\x00\x00\x01x":   "invalid or unsupported gRPC payload: compressed gRPC payload is not supported",
			grpcFrame(""):             "not supported request inputType",
			grpcFrame("\xff\xff\xff"): "unmarshaling GenerateRequest: malformed protobuf message"}},
		{[]string{"/vllm.grpc.engine.VllmEngine/Embed"}, []string{grpcFrame(protoText(2, protoText(2, "\x01\x02")))}, "mstc", refused{
			grpcFrame(protoText(3, "text")): "missing tokenized input in EmbedRequest", grpcFrame("\xff"): "unmarshaling EmbedRequest: malformed protobuf message"}},
		{[]string{"/google.cloud.aiplatform.v1.PredictionService/ChatCompletions"}, []string{vertexChat(messages + "}"), vertexChat(strings.Replace(messages, `"model":"m",`, "", 1) + "}")}, "m", refused{
			grpcFrame(""):                    "ChatCompletionsRequest has no HttpBody",
			grpcFrame("\xff"):                "unmarshaling ChatCompletionsRequest: malformed protobuf message",
			vertexChat(`{"model":"m"}`):      "parsing ChatCompletionsRequest: invalid chat completions request: must have valid messages field",
			vertexChat(`{"messages":[{"a":`): "parsing ChatCompletionsRequest: error unmarshaling request bodyMap: unexpected end of JSON input at byte 18"}},
		{[]string{"/google.cloud.aiplatform.v1.PredictionService/RawPredict", "/google.cloud.aiplatform.v1.PredictionService/StreamRawPredict"},
			[]string{vertexChat(`{"input":"x","stream":true,"max_output_tokens":7,"cache_salt":"s"}`)}, "m", refused{
				vertexChat(`{}`): "parsing RawPredictRequest: invalid responses request: must have input field"}},
		{[]string{"/other", "/v1/other"}, []string{"hello", `{"model":"m"}`, ""}, "mstc", nil},
	} {
		t.Run(test.paths[0], func(t *testing.T) {
			inBoth(t, settings{endpoints: 2, config: witnessed}, func(t *testing.T, p *picker, protocol string) {
				for _, path := range test.paths {
					for _, body := range test.bodies {
						if got := p.expectPlaced(protocol, post(path, body)); got.sent != body {
							t.Errorf("%s: %q becomes %q", path, body, got.sent)
						}
						got := theWitness.last(t)
						model, tokens, salt := "m", int64(7), "s"
						if strings.Contains(test.without, "m") {
							model = got.model
							if model != "" && model != "m" {
								t.Errorf("%s: model %q", path, model)
							}
						}
						if strings.Contains(test.without, "t") {
							tokens = 0
						}
						if strings.Contains(test.without, "c") {
							salt = ""
						}
						if got.model != model || got.stream == strings.Contains(test.without, "s") || got.maxTokens != tokens || got.salt != salt {
							t.Errorf("%s: %q is read as %+v", path, body, got)
						}
					}
				}
				for body, text := range test.refused {
					p.expectRefused(protocol, post(test.paths[0], body), 400, "inference error: BadRequest - "+text, "")
				}
				p.expectIdle()
			})
		})
	}
}

// TestRowsParsersInUse: without a list of parsers those of gRPC, Vertex AI and SGLang are not in use, and what they would refuse is passed on.
func TestRowsParsersInUse(t *testing.T) {
	inBoth(t, settings{endpoints: 1}, func(_ *testing.T, p *picker, protocol string) {
		for _, path := range []string{"/generate", "/vllm.grpc.engine.VllmEngine/Generate", "/google.cloud.aiplatform.v1.PredictionService/RawPredict"} {
			p.expectPlaced(protocol, post(path, "junk"))
		}
		for path, text := range map[string]string{"/v1/chat/completions": "invalid chat completions request: must have valid messages field",
			"/v1/messages": "invalid messages request: must have at least one message", "/inference/v1/generate": "invalid generate request: must have non-empty token_ids field"} {
			p.expectRefused(protocol, post(path, "{}"), 400, "inference error: BadRequest - "+text, "")
		}
	})
	// A parser alone refuses all that is another's.
	for parser, path := range map[string]string{"anthropic-parser": "/v1/messages", "vllmhttp-parser": "/inference/v1/generate", "sglanghttp-parser": "/generate",
		"vllmgrpc-parser": "/vllm.grpc.engine.VllmEngine/Generate", "vertexai-parser": "/google.cloud.aiplatform.v1.PredictionService/RawPredict"} {
		text := header + "plugins: [{type: queue-scorer}, {type: " + parser + "}]\nrequestHandler: {parsers: [{pluginRef: " + parser + "}]}\n"
		inBoth(t, settings{endpoints: 1, config: text}, func(t *testing.T, p *picker, protocol string) {
			p.expectRefused(protocol, post(chatPath, chat("m", "hi")), 400, "inference error: BadRequest - no parser registered matching path suffix for: "+chatPath, "")
			_, got := p.ask(protocol, post(path, "x"))
			if refusal := string(got.refusal.GetImmediateResponse().GetBody()); refusal == "" || strings.Contains(refusal, "no parser") {
				t.Errorf("%s with a body that it cannot read: %q", path, refusal)
			}
		})
	}
	// The passthrough parser alone takes everything as it is.
	inBoth(t, settings{endpoints: 1, config: header + "plugins: [{type: passthrough-parser}]\nrequestHandler: {parsers: [{pluginRef: passthrough-parser}]}\n"},
		func(_ *testing.T, p *picker, protocol string) { p.expectPlaced(protocol, post(chatPath, "junk")) })
}
