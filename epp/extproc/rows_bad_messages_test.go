package extproc_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// TestRowsLargeHeaders: values of 64 KiB and sets of 1000 headers are read like others.
func TestRowsLargeHeaders(t *testing.T) {
	large := strings.Repeat("v", 64<<10)
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprintf("x-header-%d", i), "value")
	}
	inBoth(t, settings{endpoints: 2, config: witnessed}, func(t *testing.T, p *picker, protocol string) {
		for name, headers := range map[string][]string{
			"a large value of no interest": {"x-other", large},
			"a large cookie and a path":    {"cookie", large, "x-original-path", "/" + large},
			"a large value of interest":    {"x-watched", large, "x-request-id", large},
			"a large fairness id":          {"x-llm-d-inference-fairness-id", large},
			"a large objective":            {"x-llm-d-inference-objective", large},
			"a large preference":           {"prefer", large},
			"a large time":                 {"x-llm-d-slo-ttft-ms", strings.Repeat("9", 64<<10)},
			"a large length":               {"content-length", strings.Repeat("9", 64<<10)},
			"a thousand headers":           many,
			"a name that is empty":         {"", "x", "", large},
			"bytes":                        {"x-watched", "\x00\xff\n", "x-request-id", "\x00"},
		} {
			t.Run(name, func(t *testing.T) {
				got := p.expectPlaced(protocol, post(chatPath, chat("m", "hi"), headers...))
				if got.sent != chat("m", "hi") {
					t.Error("the body changed")
				}
				if seen := theWitness.last(t); seen.model != "m" || seen.ttft != 0 || seen.priority != 0 {
					t.Errorf("decided by %v", seen.model)
				}
			})
		}
		p.expectPlaced(protocol, bare("/v1/models", many...))
		// A name for a model that is too long to be sent on is the client's own affair, and is escaped.
		if got := p.expectPlaced(protocol, post(chatPath, chat("m", "hi"), rewriteHeader, large+`"`)); got.sent != chat(large+`"`, "hi") {
			t.Errorf("sent on %d bytes", len(got.sent))
		}
	})
	inBoth(t, settings{endpoints: 1, config: onlyOpenAI}, func(_ *testing.T, p *picker, protocol string) {
		p.expectRefused(protocol, post("/"+large, "x"), 400, "inference error: BadRequest - no parser registered matching path suffix for: /"+large, "")
	})
}

// TestRowsMessagesOutOfOrder: whatever a proxy sends and in whatever order, it is harmless, and what is in order behind it still works.
func TestRowsMessagesOutOfOrder(t *testing.T) {
	body := chat("m", "hi")
	empty := func() *extprocv3.ProcessingRequest { return &extprocv3.ProcessingRequest{} }
	bodies := func(n int) (messages []*extprocv3.ProcessingRequest) {
		for range n {
			messages = append(messages, requestBody(body, true))
		}
		return messages
	}
	for name, messages := range map[string][]*extprocv3.ProcessingRequest{
		"empty messages":                 {empty(), empty(), requestHeaders(false, ":path", chatPath), empty(), requestBody(body, true), empty()},
		"nothing but empty ones":         {empty(), empty()},
		"a body before headers":          {requestBody(body, true), requestHeaders(false, ":path", chatPath), requestBody(body, true)},
		"half a body before headers":     {requestBody(body[:9], false), requestHeaders(false, ":path", chatPath), requestBody(body[9:], true)},
		"several bodies":                 append([]*extprocv3.ProcessingRequest{requestHeaders(false, ":path", chatPath)}, bodies(3)...),
		"two header messages":            {requestHeaders(false, ":path", chatPath), requestHeaders(false, ":path", "/other"), requestBody(body, true)},
		"two header messages, one ends":  {requestHeaders(false, ":path", chatPath), requestHeaders(true, ":path", "/v1/models"), requestBody(body, true)},
		"headers that end twice":         {requestHeaders(true, ":path", "/v1/models"), requestHeaders(true, ":path", "/v1/models")},
		"headers after the pick":         {requestHeaders(false, ":path", chatPath), requestBody(body, true), requestHeaders(false, ":path", chatPath), requestBody(body, true)},
		"an answer before the request":   {responseHeaders(":status", "200"), responseBody("x", false), responseTrailers(), requestHeaders(false, ":path", chatPath), requestBody(body, true)},
		"an answer amid the request":     {requestHeaders(false, ":path", chatPath), responseHeaders(":status", "500"), responseBody("{", true), requestBody(body, true)},
		"an answer twice":                {requestHeaders(true, ":path", "/v1/models"), responseHeaders(":status", "200"), responseBody("x", true), responseHeaders(":status", "200"), responseBody("x", true), responseTrailers(), responseTrailers()},
		"the body of an answer alone":    {responseBody(`{"usage":{"prompt_tokens":1}}`, true)},
		"trailers first":                 {requestTrailers(), requestHeaders(false, ":path", chatPath), requestBody(body, true)},
		"trailers of the answer first":   {responseTrailers(), requestHeaders(false, ":path", chatPath), requestBody(body, true)},
		"trailers twice":                 {requestHeaders(false, ":path", chatPath), requestBody(body, false), requestTrailers(), requestTrailers()},
		"trailers after the end":         {requestHeaders(false, ":path", chatPath), requestBody(body, true), requestTrailers()},
		"headers of nothing":             {{Request: &extprocv3.ProcessingRequest_RequestHeaders{}}, requestBody(`{"model":"m","prompt":"x"}`, true)},
		"empty header sets":              {{Request: &extprocv3.ProcessingRequest_RequestHeaders{RequestHeaders: &extprocv3.HttpHeaders{}}}, requestBody(`{"model":"m","prompt":"x"}`, true)},
		"an empty answer":                {requestHeaders(true, ":path", "/"), {Request: &extprocv3.ProcessingRequest_ResponseHeaders{}}, {Request: &extprocv3.ProcessingRequest_ResponseBody{}}, {Request: &extprocv3.ProcessingRequest_ResponseTrailers{}}},
		"a served endpoint at the start": {served(requestHeaders(false, ":path", chatPath), address(1)), served(requestBody(body, true), address(1))},
		"served before the pick":         {served(responseHeaders(":status", "200"), address(1)), requestHeaders(false, ":path", chatPath), requestBody(body, true)},
	} {
		t.Run(name, func(t *testing.T) {
			inBoth(t, settings{endpoints: 2}, func(t *testing.T, p *picker, protocol string) {
				beside, _ := p.ask(protocol, post(chatPath, body))
				s := p.open("x-switchyard-protocol", protocol)
				for _, message := range messages {
					s.send(message)
				}
				if err := s.client.CloseSend(); err != nil {
					t.Fatal(err)
				}
				picks := 0
				for {
					answer, err := s.client.Recv()
					if err != nil {
						if got := status.Code(err); err.Error() != "EOF" && got != codes.OK {
							t.Errorf("the stream ends with %v", err)
						}
						break
					}
					if picked(answer) != "" {
						picks++
					}
					if no := answer.GetImmediateResponse(); no != nil && no.GetStatus().GetCode() != 400 {
						t.Errorf("refused with %v", answer)
					}
				}
				if picks > 1 {
					t.Errorf("%d picks for one request", picks)
				}
				beside.send(responseHeaders(":status", "200"))
				beside.receive()
				beside.finish()
				s.cancel()
				p.expectIdle()
			})
		})
	}
}

// TestRowsTheFirstHeadersCount where there are several.
func TestRowsTheFirstHeadersCount(t *testing.T) {
	inBoth(t, settings{endpoints: 1}, func(t *testing.T, p *picker, protocol string) {
		s := p.open("x-switchyard-protocol", protocol)
		for range 2 {
			s.send(requestHeaders(false, ":path", "/v1/embeddings"))
		}
		s.send(requestHeaders(false, ":path", "/other"))
		s.send(requestBody(`{"model":"m"}`, true))
		answer := s.receive()
		for answer.GetRequestHeaders() != nil && answer.GetDynamicMetadata() == nil {
			answer = s.receive()
		}
		expectExactRefusal(t, answer, 400, "inference error: BadRequest - invalid embeddings request: must have input field", "")
		s.finish()
		p.expectIdle()
	})
}

// TestRowsMetadataOfWrongTypes is not read, and nothing else changes for that.
func TestRowsMetadataOfWrongTypes(t *testing.T) {
	wrong := func() []*structpb.Value {
		deep := structpb.NewStringValue("x")
		for range 100 {
			deep = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{deep}})
		}
		return []*structpb.Value{structpb.NewNumberValue(1), structpb.NewBoolValue(true), structpb.NewNullValue(), deep, {},
			structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{"x": structpb.NewNumberValue(1)}})}
	}
	inBoth(t, settings{endpoints: 2}, func(t *testing.T, p *picker, protocol string) {
		for i, value := range wrong() {
			r := post(chatPath, chat("m", "hi"))
			r.onBody = func(message *extprocv3.ProcessingRequest) {
				withMetadata(message, namespaceLB, destination+"-served", value)
				message.MetadataContext.FilterMetadata["x-other"] = &structpb.Struct{Fields: map[string]*structpb.Value{subsetName: value}}
				message.Attributes = map[string]*structpb.Struct{"envoy.filters.http.ext_proc": {Fields: map[string]*structpb.Value{"request.path": value}}}
			}
			s, got := p.ask(protocol, r)
			if got.refusal != nil {
				t.Fatalf("value %d: refused with %v", i, got.refusal)
			}
			trailers := withMetadata(responseTrailers(), namespaceLB, destination+"-served", value)
			trailers.MetadataContext.TypedFilterMetadata = map[string]*anypb.Any{"envoy.ai.token_usage": {TypeUrl: "x", Value: []byte{0xff, 0x01, 0x02}}}
			s.send(trailers)
			if s.receive().GetResponseTrailers() == nil {
				t.Errorf("value %d: trailers not answered", i)
			}
			s.finish()
		}
		p.expectIdle()
		if count, _ := p.observed("llm_d_epp_request_input_tokens"); count != 0 {
			t.Errorf("usage of %g answers from what is none", count)
		}
	})
}

// rawCodec sends bytes as they are.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// TestRowsMessagesThatAreNone end their stream with an error, before a pick and after it, and no other one.
func TestRowsMessagesThatAreNone(t *testing.T) {
	inBoth(t, settings{endpoints: 1}, func(t *testing.T, p *picker, protocol string) {
		beside, _ := p.ask(protocol, post(chatPath, chat("m", "hi")))
		for _, picked := range []bool{false, true} {
			for _, junk := range [][]byte{{0xff}, []byte("hello"), {0x12, 0x7f}, {0x22, 0x02, 0x0a, 0x7f}, {0x0b}} {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				ctx = metadata.AppendToOutgoingContext(ctx, "x-switchyard-protocol", protocol)
				stream, err := p.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true},
					"/envoy.service.ext_proc.v3.ExternalProcessor/Process", grpc.ForceCodecV2(rawCodec{}))
				if err != nil {
					t.Fatal(err)
				}
				var answer []byte
				if picked {
					if err := stream.SendMsg([]byte{0x12, 0x02, 0x18, 0x01}); err != nil { // request headers that end the request
						t.Fatal(err)
					}
					if err := stream.RecvMsg(&answer); err != nil {
						t.Fatal(err)
					}
				}
				if err := stream.SendMsg(junk); err != nil {
					t.Fatal(err)
				}
				if err := stream.RecvMsg(&answer); status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "ProcessingRequest") {
					t.Errorf("%x is answered %x, %v", junk, answer, err)
				}
				cancel()
			}
		}
		p.eventually("the other request alone in flight", func() bool {
			requests, _ := p.totalInFlight()
			return requests == 1
		})
		beside.finish()
		p.expectIdle()
	})
}
