package body

import "strings"

// API is the shape of a request body, told by the path it was sent to.
type API uint8

// The APIs that are understood. Unknown is passed through: its body is not looked at.
const (
	Unknown API = iota
	ChatCompletions
	Completions
	Responses
	Conversations
	Embeddings
	ImagesGenerations
	Messages                // Anthropic
	CountTokens             // Anthropic, no generation follows
	Generate                // vLLM: token ids in
	SGLangGenerate          // SGLang's own
	GRPCGenerate            // vLLM's gRPC engine
	GRPCEmbed               // vLLM's gRPC engine
	VertexChat              // chat completions as JSON in a gRPC message
	VertexRawPredict        // responses as JSON in a gRPC message, streamed or not
	Detect                  // not a path: Scan tells the API by the prompt field of the body, see Request.API
	apiCount         = iota // number of values above
)

var apiNames = [apiCount]string{
	Unknown:           "unknown",
	ChatCompletions:   "chat completions",
	Completions:       "completions",
	Responses:         "responses",
	Conversations:     "conversations",
	Embeddings:        "embeddings",
	ImagesGenerations: "images generations",
	Messages:          "messages",
	CountTokens:       "count tokens",
	Generate:          "generate",
	SGLangGenerate:    "sglang generate",
	GRPCGenerate:      "grpc generate",
	GRPCEmbed:         "grpc embed",
	VertexChat:        "vertex chat completions",
	VertexRawPredict:  "vertex raw predict",
	Detect:            "detect",
}

// String names the API as error messages do.
func (a API) String() string {
	if int(a) < len(apiNames) {
		return apiNames[a]
	}
	return apiNames[Unknown]
}

// pathSuffixes are whole path segments at the end of a path. Longer ones stand before those they end in.
var pathSuffixes = []struct {
	suffix string
	api    API
}{
	{"chat/completions/render", ChatCompletions},
	{"chat/completions", ChatCompletions},
	{"completions/render", Completions},
	{"completions", Completions},
	{"responses/render", Responses},
	{"responses", Responses},
	{"conversations", Conversations},
	{"embeddings", Embeddings},
	{"images/generations", ImagesGenerations},
	{"messages/count_tokens", CountTokens},
	{"messages", Messages},
	{"inference/v1/generate", Generate},
	{"vllm.grpc.engine.VllmEngine/Generate", GRPCGenerate},
	{"vllm.grpc.engine.VllmEngine/Embed", GRPCEmbed},
	{"PredictionService/ChatCompletions", VertexChat},
	{"PredictionService/StreamRawPredict", VertexRawPredict},
	{"PredictionService/RawPredict", VertexRawPredict},
}

// APIOf tells the API by the end of a path; the query string and a slash at the end do not count. A suffix matches whole
// segments only, and gRPC's without their package. "/generate" alone is SGLang's; "…/inference/v1/generate" is vLLM's.
func APIOf(path string) API {
	path, _, _ = strings.Cut(path, "?")
	path = strings.TrimSuffix(path, "/")
	if path == "/generate" {
		return SGLangGenerate
	}
	for _, s := range pathSuffixes {
		rest, ok := strings.CutSuffix(path, s.suffix)
		if ok && (rest == "" || rest[len(rest)-1] == '/' || s.api >= GRPCGenerate && rest[len(rest)-1] == '.') {
			return s.api
		}
	}
	return Unknown
}

// framed tells whether bodies are gRPC messages.
func (a API) framed() bool { return a >= GRPCGenerate && a <= VertexRawPredict }
