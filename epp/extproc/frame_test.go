package extproc

import (
	"bytes"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocfilterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/switchyard/switchyard/epp/director"
	"github.com/switchyard/switchyard/epp/usage"
	"google.golang.org/protobuf/types/known/structpb"
)

// samples are messages of every kind, with everything around them that proxies send.
func samples() []*extprocv3.ProcessingRequest {
	attributes := map[string]*structpb.Struct{
		"some.other.filter": {Fields: map[string]*structpb.Value{"request.path": structpb.NewStringValue("/wrong")}},
		attributesNamespace: {Fields: map[string]*structpb.Value{"request.path": structpb.NewStringValue("/right"), "request.size": structpb.NewNumberValue(7)}},
	}
	metadata := &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{
		lbNamespace:     {Fields: map[string]*structpb.Value{servedKey: structpb.NewStringValue("10.0.0.9:1")}},
		subsetNamespace: {Fields: map[string]*structpb.Value{subsetKey: structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{structpb.NewStringValue("10.0.0.1:1")}})}},
	}}
	headers := &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: "a", Value: "1"}, {Key: "b", RawValue: []byte("2"), Value: "no"}, {Key: "a", Value: "3"}}}
	body := &extprocv3.HttpBody{Body: bytes.Repeat([]byte("x"), 300), EndOfStream: true}
	protocol := &extprocv3.ProtocolConfiguration{RequestBodyMode: extprocfilterv3.ProcessingMode_FULL_DUPLEX_STREAMED, SendBodyWithoutWaitingForHeaderResponse: true}
	var made []*extprocv3.ProcessingRequest
	for _, request := range []*extprocv3.ProcessingRequest{
		{},
		{Request: &extprocv3.ProcessingRequest_RequestHeaders{RequestHeaders: &extprocv3.HttpHeaders{Headers: headers, EndOfStream: true}}},
		{Request: &extprocv3.ProcessingRequest_ResponseHeaders{ResponseHeaders: &extprocv3.HttpHeaders{Headers: headers}}},
		{Request: &extprocv3.ProcessingRequest_RequestBody{RequestBody: body}},
		{Request: &extprocv3.ProcessingRequest_RequestBody{RequestBody: &extprocv3.HttpBody{}}},
		{Request: &extprocv3.ProcessingRequest_ResponseBody{ResponseBody: &extprocv3.HttpBody{Body: []byte("y")}}},
		{Request: &extprocv3.ProcessingRequest_RequestTrailers{RequestTrailers: &extprocv3.HttpTrailers{Trailers: headers}}},
		{Request: &extprocv3.ProcessingRequest_ResponseTrailers{ResponseTrailers: &extprocv3.HttpTrailers{}}},
	} {
		made = append(made, request)
		full := proto.Clone(request).(*extprocv3.ProcessingRequest)
		full.Attributes, full.MetadataContext, full.ProtocolConfig, full.ObservabilityMode = attributes, metadata, protocol, true
		made = append(made, full)
	}
	return made
}

// expectSame checks that the frame read from an encoded message says what the generated type says.
func expectSame(t *testing.T, message []byte, f *frame, want *extprocv3.ProcessingRequest) {
	t.Helper()
	var wantPart part
	var headers *corev3.HeaderMap
	var body []byte
	var end bool
	switch r := want.GetRequest().(type) {
	case *extprocv3.ProcessingRequest_RequestHeaders:
		wantPart, headers, end = partRequestHeaders, r.RequestHeaders.GetHeaders(), r.RequestHeaders.GetEndOfStream()
	case *extprocv3.ProcessingRequest_ResponseHeaders:
		wantPart, headers, end = partResponseHeaders, r.ResponseHeaders.GetHeaders(), r.ResponseHeaders.GetEndOfStream()
	case *extprocv3.ProcessingRequest_RequestBody:
		wantPart, body, end = partRequestBody, r.RequestBody.GetBody(), r.RequestBody.GetEndOfStream()
	case *extprocv3.ProcessingRequest_ResponseBody:
		wantPart, body, end = partResponseBody, r.ResponseBody.GetBody(), r.ResponseBody.GetEndOfStream()
	case *extprocv3.ProcessingRequest_RequestTrailers:
		wantPart, headers = partRequestTrailers, r.RequestTrailers.GetTrailers()
	case *extprocv3.ProcessingRequest_ResponseTrailers:
		wantPart, headers = partResponseTrailers, r.ResponseTrailers.GetTrailers()
	}
	if f.part != wantPart || f.endOfStream != end || !bytes.Equal(f.body, body) {
		t.Fatalf("part %d end %v body %d bytes, want %d %v %d", f.part, f.endOfStream, len(f.body), wantPart, end, len(body))
	}
	if !bytes.Equal(message[f.bodyStart:f.bodyStart+len(f.body)], body) {
		t.Fatalf("the body is not at %d", f.bodyStart)
	}
	last := map[string]string{}
	for _, header := range headers.GetHeaders() {
		last[header.GetKey()] = header.GetValue()
		if len(header.GetRawValue()) > 0 {
			last[header.GetKey()] = string(header.GetRawValue())
		}
	}
	for key, value := range last {
		if got := string(headerSet(f.headers).get(key)); got != value {
			t.Fatalf("header %q is %q, want %q", key, got, value)
		}
	}
	if got, want := string(structSet(f.attributes).text("request.path")), want.GetAttributes()[attributesNamespace].GetFields()["request.path"].GetStringValue(); got != want {
		t.Fatalf("request.path is %q, want %q", got, want)
	}
	filter := want.GetMetadataContext().GetFilterMetadata()
	if got, want := string(metadataSet(f.metadata).namespace(lbNamespace).text(servedKey)), filter[lbNamespace].GetFields()[servedKey].GetStringValue(); got != want {
		t.Fatalf("served is %q, want %q", got, want)
	}
	var list []string
	isList := valueTexts(subsetOf(f.metadata), func(text []byte) { list = append(list, string(text)) })
	wanted := filter[subsetNamespace].GetFields()[subsetKey].GetListValue()
	if isList != (wanted != nil) || len(list) != len(wanted.GetValues()) {
		t.Fatalf("subset %v, want %v", list, wanted)
	}
}

// TestFrameReadsWhatGeneratedTypesRead compares both readings, of messages in one buffer and in many.
func TestFrameReadsWhatGeneratedTypesRead(t *testing.T) {
	for _, sample := range samples() {
		message, err := proto.Marshal(sample)
		if err != nil {
			t.Fatal(err)
		}
		for _, piece := range []int{1 << 20, 50, 1} {
			var data mem.BufferSlice
			for rest := message; len(rest) > 0; rest = rest[min(piece, len(rest)):] {
				data = append(data, mem.SliceBuffer(rest[:min(piece, len(rest))]))
			}
			f := new(frame)
			if err := Codec().Unmarshal(data, f); err != nil {
				t.Fatalf("%v: %v", sample, err)
			}
			expectSame(t, message, f, sample)
			f.free()
		}
	}
}

// FuzzFrame checks that no bytes make the reader fail badly, and that it agrees with the generated types on what they accept.
func FuzzFrame(f *testing.F) {
	for _, sample := range samples() {
		message, err := proto.Marshal(sample)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(message)
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		read := &frame{message: mem.SliceBuffer(message)}
		readErr := read.read()
		var generated extprocv3.ProcessingRequest
		if proto.Unmarshal(message, &generated) == nil && readErr != nil {
			t.Fatalf("%v on a message that is well formed: %v", readErr, &generated)
		}
		headerSet(read.headers).get("a")
		structSet(read.attributes).text("request.path")
		usage.FromProxy(metadataSet(read.metadata).typed(usageNamespace))
		valueTexts(subsetOf(read.metadata), func([]byte) {})
	})
}

func TestTruncatedMessagesAreErrors(t *testing.T) {
	message, err := proto.Marshal(samples()[7])
	if err != nil {
		t.Fatal(err)
	}
	for cut := 1; cut < 40; cut++ {
		f := new(frame)
		if err := Codec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(message[:len(message)-cut])}, f); err == nil && !onFieldBorder(message, len(message)-cut) {
			t.Fatalf("a message cut at %d of %d bytes was accepted", len(message)-cut, len(message))
		}
	}
}

// onFieldBorder tells whether a cut leaves whole fields.
func onFieldBorder(message []byte, cut int) bool {
	return proto.Unmarshal(message[:cut], &extprocv3.ProcessingRequest{}) == nil
}

func TestHandMadeAnswersAreWhatGeneratedTypesWrite(t *testing.T) {
	for _, addresses := range []string{"10.0.0.1:8000", "[fd00::1]:8000,[fd00::2]:8000", string(bytes.Repeat([]byte("a"), 200)), string(bytes.Repeat([]byte("b"), 20_000))} {
		var got extprocv3.ProcessingResponse
		decode(t, pickAnswer(partRequestBody, addresses), &got)
		want := &extprocv3.ProcessingResponse{
			Response:        &extprocv3.ProcessingResponse_RequestBody{RequestBody: &extprocv3.BodyResponse{Response: &extprocv3.CommonResponse{}}},
			DynamicMetadata: destinationMetadata(&director.Decision{Addresses: addresses}),
		}
		if !proto.Equal(&got, want) {
			t.Errorf("pick of %d bytes: %v", len(addresses), &got)
		}
	}
	for _, size := range []int{0, 1, 100, 127, 128, 16000, maxChunk} {
		for _, end := range []bool{false, true} {
			body := bytes.Repeat([]byte("c"), size)
			var got extprocv3.ProcessingResponse
			decode(t, chunkAnswer(partResponseBody, mem.SliceBuffer(body), end), &got)
			want := &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseBody{ResponseBody: &extprocv3.BodyResponse{
				Response: &extprocv3.CommonResponse{BodyMutation: &extprocv3.BodyMutation{Mutation: &extprocv3.BodyMutation_StreamedResponse{
					StreamedResponse: &extprocv3.StreamedBodyResponse{Body: body, EndOfStream: end}}}}}}}
			if !proto.Equal(&got, want) {
				t.Errorf("chunk of %d bytes, end %v: differs", size, end)
			}
		}
	}
}

func decode(t *testing.T, answer encoded, into *extprocv3.ProcessingResponse) {
	t.Helper()
	if err := proto.Unmarshal(mem.BufferSlice(answer).Materialize(), into); err != nil {
		t.Fatal(err)
	}
}
