package extproc_test

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	aiv3 "github.com/envoyproxy/go-control-plane/envoy/data/ai/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// protocols are those that the picker speaks; tests named Rows go through the tables of what it promises in each of them.
var protocols = []string{"standard", "lean"}

// inBoth runs a test in each protocol, with a picker of its own.
func inBoth(t *testing.T, with settings, test func(t *testing.T, p *picker, protocol string)) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			p := startPicker(t, with)
			test(t, p, protocol)
		})
	}
}

// wire is a request as a proxy sends it, in whichever protocol.
type wire struct {
	headers  []string // name, value pairs
	body     string
	bodyless bool
	// pieces is in how many messages the body comes where bodies are streamed; 0: one.
	pieces int
	// trailers has the end of the body told by trailers alone.
	trailers bool
	// onHeaders and onBody add to a message; onBody to the last one.
	onHeaders, onBody func(*extprocv3.ProcessingRequest)
}

func post(path, body string, headers ...string) wire {
	return wire{headers: append([]string{":path", path, ":method", "POST"}, headers...), body: body}
}

func bare(path string, headers ...string) wire {
	return wire{headers: append([]string{":path", path, ":method", "GET"}, headers...), bodyless: true}
}

// told is what a proxy is told about a request.
type told struct {
	refusal *extprocv3.ProcessingResponse // nil: it is placed
	answer  *extprocv3.ProcessingResponse // that has the pick
	common  *extprocv3.CommonResponse     // of that answer
	at      string
	set     map[string]string // request headers
	sent    string            // the body that goes on
}

// ask sends a request up to its end and reads all that the picker says to it.
func (p *picker) ask(protocol string, r wire) (*stream, told) {
	p.t.Helper()
	if protocol == "lean" {
		return p.askLean(r)
	}
	return p.askStandard(r)
}

func (r wire) headerMessage() *extprocv3.ProcessingRequest {
	message := requestHeaders(r.bodyless, r.headers...)
	if r.onHeaders != nil {
		r.onHeaders(message)
	}
	return message
}

// bodyMessages are the body in its pieces.
func (r wire) bodyMessages() []*extprocv3.ProcessingRequest {
	pieces := max(r.pieces, 1)
	var messages []*extprocv3.ProcessingRequest
	for i := range pieces {
		from, to := i*len(r.body)/pieces, (i+1)*len(r.body)/pieces
		messages = append(messages, requestBody(r.body[from:to], i == pieces-1 && !r.trailers))
	}
	if r.onBody != nil {
		r.onBody(messages[pieces-1])
	}
	return messages
}

func (p *picker) askLean(r wire) (*stream, told) {
	p.t.Helper()
	s := p.openLean()
	s.send(r.headerMessage())
	answer := s.receive()
	if !r.bodyless {
		if answer.GetRequestHeaders() == nil || answer.GetDynamicMetadata() != nil {
			p.t.Fatalf("headers answered with %v before there is a body", answer)
		}
		r.pieces = 1
		s.send(r.bodyMessages()[0])
		answer = s.receive()
	}
	got := told{answer: answer, common: answer.GetRequestBody().GetResponse(), at: picked(answer), sent: r.body}
	if answer.GetImmediateResponse() != nil {
		return s, told{refusal: answer}
	}
	if r.bodyless {
		got.common = answer.GetRequestHeaders().GetResponse()
	}
	if changed, ok := got.common.GetBodyMutation().GetMutation().(*extprocv3.BodyMutation_Body); ok {
		got.sent = string(changed.Body)
	}
	got.set = mutations(got.common)
	return s, got
}

func (p *picker) askStandard(r wire) (*stream, told) {
	p.t.Helper()
	s := p.open()
	s.send(r.headerMessage())
	if !r.bodyless {
		for _, message := range r.bodyMessages() {
			s.send(message)
		}
	}
	if r.trailers {
		s.send(requestTrailers())
	}
	answer := s.receive()
	if answer.GetImmediateResponse() != nil {
		return s, told{refusal: answer}
	}
	got := told{answer: answer, common: answer.GetRequestHeaders().GetResponse(), at: picked(answer)}
	if got.common == nil {
		p.t.Fatalf("first answer %v, want one to the headers", answer)
	}
	got.set = mutations(got.common)
	if !r.bodyless {
		got.sent = s.receiveBody(len(r.body), !r.trailers, requestBodyOf)
	}
	if r.trailers {
		if trailers := s.receive(); trailers.GetRequestTrailers() == nil {
			p.t.Fatalf("trailers answered with %v", trailers)
		}
	}
	return s, got
}

func requestTrailers() *extprocv3.ProcessingRequest {
	return &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestTrailers{RequestTrailers: &extprocv3.HttpTrailers{}}}
}

// expectPlaced checks that a request is placed at an endpoint of the pool, and ends it.
func (p *picker) expectPlaced(protocol string, r wire) told {
	p.t.Helper()
	s, got := p.ask(protocol, r)
	if got.refusal != nil {
		p.t.Fatalf("%s: refused with %v", protocol, got.refusal)
	}
	if !strings.HasPrefix(got.at, "10.0.0.") {
		p.t.Errorf("%s: picked %q", protocol, got.at)
	}
	s.finish()
	return got
}

// expectRefused checks the exact text of a refusal, that the stream ends with it and that nothing is left in flight.
func (p *picker) expectRefused(protocol string, r wire, status int, text, reason string) {
	p.t.Helper()
	s, got := p.ask(protocol, r)
	if got.refusal == nil {
		p.t.Fatalf("%s: not refused but answered with %v", protocol, got.answer)
	}
	expectExactRefusal(p.t, got.refusal, status, text, reason)
	s.finish()
	p.expectIdle()
}

// expectExactRefusal checks all that a client reads of a refusal.
func expectExactRefusal(t *testing.T, response *extprocv3.ProcessingResponse, status int, text, reason string) {
	t.Helper()
	expectRefusal(t, response, status, text, reason)
	immediate := response.GetImmediateResponse()
	if got := string(immediate.GetBody()); got != text {
		t.Errorf("body %q, want %q", got, text)
	}
	if got := len(immediate.GetHeaders().GetSetHeaders()); got != map[bool]int{true: 1, false: 0}[reason != ""] {
		t.Errorf("%d headers set: %v", got, immediate.GetHeaders())
	}
}

// bothValues is a header with a raw value and another string beside it.
func bothValues(name, raw, text string) *corev3.HeaderValue {
	return &corev3.HeaderValue{Key: name, RawValue: []byte(raw), Value: text}
}

// grpcFrame is a message as gRPC puts it on the wire.
func grpcFrame(message string) string {
	return string(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...))
}

// protoText is a field of a protobuf message that has a length.
func protoText(number protowire.Number, value string) string {
	return string(protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), value))
}

// protoNumber is a field of a protobuf message that is a number.
func protoNumber(number protowire.Number, value uint64) string {
	return string(protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), value))
}

// vertexChat is a request of Vertex AI that wraps JSON.
func vertexChat(inner string) string {
	return grpcFrame(protoText(1, "endpoint") + protoText(2, protoText(1, "application/json")+protoText(2, inner)))
}

func day(n int) time.Time { return time.Date(2026, 1, 1+n, 0, 0, 0, 0, time.UTC) }

// reported is the end of an answer with the proxy's own count of its tokens.
func reported(t *testing.T, input, output uint64) *extprocv3.ProcessingRequest {
	t.Helper()
	usage, err := anypb.New(&aiv3.TokenUsage{InputTokens: wrapperspb.UInt64(input), OutputTokens: wrapperspb.UInt64(output)})
	if err != nil {
		t.Fatal(err)
	}
	trailers := responseTrailers()
	trailers.MetadataContext = &corev3.Metadata{TypedFilterMetadata: map[string]*anypb.Any{"envoy.ai.token_usage": usage}}
	return trailers
}
