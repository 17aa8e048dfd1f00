package main

import (
	"fmt"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	aiv3 "github.com/envoyproxy/go-control-plane/envoy/data/ai/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// workload is what a proxy sends for each request: encoded messages, sent in turn, each answered before the next.
type workload struct {
	name string
	// bodies are sent in rotation.
	bodies [][]byte
	// trailers follow the answer; they tell the usage.
	trailers []byte
	// hold is how long the model server takes to answer.
	hold time.Duration
	// streams is how many requests are under way at once, one after the other on each; or, if it is 0, rate is how many
	// begin in a second, whatever became of earlier ones.
	streams int
	rate    int
}

// The rows that are compared with each other: what the picker sees of a longer answer is that its stream stays open longer.
const (
	nameShortAnswer = "200-token prompt at 300 rps, 10 tokens out in 20 ms"
	nameLongAnswer  = "200-token prompt at 300 rps, 1 000 tokens out in 2 s"
)

func workloads() []workload {
	long := prompts(10, 100, 500_000, 0.95)
	short := prompts(10, 100, 1_000, 0.5)
	return []workload{
		{name: "100 000-token prompt (500 kB), 10 tokens out", bodies: long, trailers: trailersOf(100_000, 10), streams: 2},
		{name: "200-token prompt, 10 tokens out", bodies: short, trailers: trailersOf(200, 10), streams: 8},
		{name: nameShortAnswer, bodies: short, trailers: trailersOf(200, 10), hold: 20 * time.Millisecond, rate: 300},
		{name: nameLongAnswer, bodies: short, trailers: trailersOf(200, 1000), hold: 2 * time.Second, rate: 300},
	}
}

// oneCore is what a picker has to serve with one core.
func oneCore() workload {
	return workload{name: "200-token prompt at 500 rps, 100 endpoints", bodies: prompts(10, 100, 1_000, 0.5), trailers: trailersOf(200, 10),
		hold: 20 * time.Millisecond, rate: 500}
}

// requestHeaders come first of each request.
var requestHeaders = encode(&extprocv3.ProcessingRequest{
	Request: &extprocv3.ProcessingRequest_RequestHeaders{RequestHeaders: &extprocv3.HttpHeaders{Headers: headers(
		":method", "POST", ":path", "/v1/chat/completions", ":authority", "models.example.com", ":scheme", "http",
		"content-type", "application/json", "content-length", "500000", "user-agent", "OpenAI/Python 1.99.0", "accept", "*/*",
		"x-request-id", "5c9f3a52-6f1c-4d0e-8c53-0a9f7ce31a55", "x-forwarded-proto", "http",
	)}},
})

func headers(pairs ...string) *corev3.HeaderMap {
	out := &corev3.HeaderMap{}
	for i := 0; i < len(pairs); i += 2 {
		out.Headers = append(out.Headers, &corev3.HeaderValue{Key: pairs[i], RawValue: []byte(pairs[i+1])})
	}
	return out
}

// prompts makes n request bodies of about size bytes in groups that share the first part of their prompt.
func prompts(groups, n, size int, shared float64) [][]byte {
	bodies := make([][]byte, n)
	for i := range bodies {
		common := text(fmt.Sprintf("group %d ", i%groups), int(float64(size)*shared))
		own := text(fmt.Sprintf("request %d ", i), size-len(common))
		body := fmt.Sprintf(`{"model":"meta-llama/Llama-3.1-8B-Instruct","messages":[{"role":"system","content":%q},{"role":"user","content":%q}],"max_tokens":10,"stream":true}`, common, own)
		bodies[i] = encode(&extprocv3.ProcessingRequest{
			Request: &extprocv3.ProcessingRequest_RequestBody{RequestBody: &extprocv3.HttpBody{Body: []byte(body), EndOfStream: true}},
		})
	}
	return bodies
}

// text is prose of n bytes: words, and a line break every ten.
func text(head string, n int) string {
	const words = "the quick brown fox jumps over the lazy dog and\n"
	return (head + strings.Repeat(words, n/len(words)+1))[:n]
}

func trailersOf(input, output uint64) []byte {
	usage, err := anypb.New(&aiv3.TokenUsage{InputTokens: wrapperspb.UInt64(input), OutputTokens: wrapperspb.UInt64(output)})
	if err != nil {
		panic(err)
	}
	return encode(&extprocv3.ProcessingRequest{
		Request:         &extprocv3.ProcessingRequest_ResponseTrailers{ResponseTrailers: &extprocv3.HttpTrailers{}},
		MetadataContext: &corev3.Metadata{TypedFilterMetadata: map[string]*anypb.Any{"envoy.ai.token_usage": usage}},
	})
}

func encode(message proto.Message) []byte {
	encoded, err := proto.Marshal(message)
	if err != nil {
		panic(err)
	}
	return encoded
}
