// Package wire is what a proxy sends a picker over the lean protocol, encoded beforehand, and a gRPC client that costs little:
// messages go out as they are and answers are not looked at. It must not know what is measured with it.
//
//	Headers, body, Trailers -> Open, Exchange -> picker
package wire

import (
	"context"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	aiv3 "github.com/envoyproxy/go-control-plane/envoy/data/ai/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const method = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"

// codec sends and receives messages as they are.
type codec struct{}

func (codec) Name() string { return "proto" }

// Marshal implements encoding.CodecV2: a message is its bytes, in one piece or in several.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	if pieces, ok := v.(mem.BufferSlice); ok {
		return pieces, nil
	}
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

// Unmarshal implements encoding.CodecV2.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*int) = data.Len()
	return nil
}

var processDesc = &grpc.StreamDesc{StreamName: "Process", ServerStreams: true, ClientStreams: true}

// Dial connects as a proxy does: two connections, one for each of its workers.
func Dial(address string, security credentials.TransportCredentials) ([]*grpc.ClientConn, error) {
	conns := make([]*grpc.ClientConn, 2)
	for i := range conns {
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(security), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec{})))
		if err != nil {
			return nil, err
		}
		conns[i] = conn
	}
	return conns, nil
}

// Open begins the stream of one request to a pool.
func Open(ctx context.Context, conn *grpc.ClientConn, pool string) (grpc.ClientStream, error) {
	ctx = metadata.AppendToOutgoingContext(ctx, "x-switchyard-protocol", "lean", "x-switchyard-pool", pool)
	return conn.NewStream(ctx, processDesc, method)
}

// Exchange sends a message, []byte or mem.BufferSlice, and waits for its answer.
func Exchange(stream grpc.ClientStream, message any) error {
	if err := stream.SendMsg(message); err != nil {
		return err
	}
	var length int
	return stream.RecvMsg(&length)
}

// Headers come first of each request.
var Headers = Encode(&extprocv3.ProcessingRequest{
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

// Body is the message with a whole body.
func Body(body []byte) []byte {
	return Encode(&extprocv3.ProcessingRequest{
		Request: &extprocv3.ProcessingRequest_RequestBody{RequestBody: &extprocv3.HttpBody{Body: body, EndOfStream: true}},
	})
}

// Trailers is the message at the end of an answer, which tells its tokens.
func Trailers(input, output uint64) []byte {
	usage, err := anypb.New(&aiv3.TokenUsage{InputTokens: wrapperspb.UInt64(input), OutputTokens: wrapperspb.UInt64(output)})
	if err != nil {
		panic(err)
	}
	return Encode(&extprocv3.ProcessingRequest{
		Request:         &extprocv3.ProcessingRequest_ResponseTrailers{ResponseTrailers: &extprocv3.HttpTrailers{}},
		MetadataContext: &corev3.Metadata{TypedFilterMetadata: map[string]*anypb.Any{"envoy.ai.token_usage": usage}},
	})
}

// Encode marshals a message that is known to be good.
func Encode(message proto.Message) []byte {
	encoded, err := proto.Marshal(message)
	if err != nil {
		panic(err)
	}
	return encoded
}

// Text is prose of n bytes: words, and a line break every ten.
func Text(head string, n int) string {
	const words = "the quick brown fox jumps over the lazy dog and\n"
	return (head + strings.Repeat(words, n/len(words)+1))[:n]
}
