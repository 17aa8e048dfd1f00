package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/switchyard/switchyard/epp/body"
)

// TestParserSelection checks, for lists of parsers, by which API a path's body is read.
func TestParserSelection(t *testing.T) {
	const refused = body.API(255)
	for _, test := range []struct {
		parsers, path string
		want          body.API
	}{
		{"", "/v1/chat/completions", body.ChatCompletions},
		{"", "/v1/completions", body.Completions},
		{"", "/v1/chat/completions/render", body.ChatCompletions},
		{"", "/v1/messages/count_tokens", body.CountTokens},
		{"", "/inference/v1/generate", body.Generate},
		{"", "/generate", body.Unknown},
		{"", "/vllm.grpc.engine.VllmEngine/Generate", body.Unknown},
		{"", "/v1/models", body.Unknown},
		{"openai-parser", "/v1/embeddings?x=y", body.Embeddings},
		{"openai-parser", "/v1/messages", refused},
		{"openai-parser", "/v1/models", refused},
		{"openai-parser passthrough-parser", "/v1/messages", body.Unknown},
		{"passthrough-parser", "/v1/completions", body.Unknown},
		{"passthrough-parser openai-parser openai-parser passthrough-parser", "/v1/completions", body.Completions},
		{"sglanghttp-parser", "/generate", body.SGLangGenerate},
		{"sglanghttp-parser", "/inference/v1/generate", refused},
		{"sglanghttp-parser vllmhttp-parser", "/inference/v1/generate", body.Generate},
		{"vllmgrpc-parser", "/vllm.grpc.engine.VllmEngine/Generate", body.GRPCGenerate},
		{"vllmgrpc-parser", "/vllm.grpc.engine.VllmEngine/Embed", body.GRPCEmbed},
		{"vllmgrpc-parser", "/vllm.grpc.engine.VllmEngine/HealthCheck", refused},
		{"vertexai-parser", "/google.cloud.aiplatform.v1beta1.PredictionService/ChatCompletions", body.VertexChat},
		{"vertexai-parser", "/google.cloud.aiplatform.v1.PredictionService/StreamRawPredict", body.VertexRawPredict},
		{"vertexai-parser", "/google.cloud.aiplatform.v1.PredictionService/RawPredict", body.VertexRawPredict},
		{"vertexai-parser openai-parser", "/v1/chat/completions", body.ChatCompletions},
	} {
		types := strings.Fields(test.parsers)
		if len(types) == 0 {
			types = defaultParsers
		}
		got, ok := newParsers(types).Resolve(body.APIOf(test.path))
		if !ok {
			got = refused
		}
		if got != test.want {
			t.Errorf("parsers %q, path %s: %s, want %s", test.parsers, test.path, got, test.want)
		}
	}
}

// TestEveryParserIsKnown checks that the catalogue and the list of what parsers claim name the same types.
func TestEveryParserIsKnown(t *testing.T) {
	for name, entry := range builtin() {
		if _, claims := parserAPIs[name]; claims != (entry.role == roleParser) {
			t.Errorf("%s: parser %t, in the list of claims %t", name, entry.role == roleParser, claims)
		}
	}
	claimed := map[body.API]string{}
	for name, apis := range parserAPIs {
		for _, api := range apis {
			if other := claimed[api]; other != "" {
				t.Errorf("%s is claimed by %s and %s", api, name, other)
			}
			claimed[api] = name
		}
	}
	for api := body.Unknown + 1; api < body.Detect; api++ {
		if claimed[api] == "" {
			t.Errorf("%s is claimed by nobody", api)
		}
	}
	if slices.ContainsFunc(notYet, func(name string) bool { return strings.HasSuffix(name, "-parser") }) {
		t.Error("a parser is said not to be there")
	}
}
