package extproc

import (
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/structpb"
)

// maxChunk bounds a body chunk sent to the proxy, in bytes.
const maxChunk = 62000

// Field numbers of ProcessingResponse by part.
func answerField(p part) protowire.Number {
	switch p {
	case partRequestHeaders:
		return 1
	case partResponseHeaders:
		return 2
	case partRequestBody:
		return 3
	case partResponseBody:
		return 4
	case partRequestTrailers:
		return 5
	case partResponseTrailers:
		return 6
	}
	return 0
}

// continueAnswers are the answers that change nothing, encoded once.
var continueAnswers = func() (answers [partResponseTrailers + 1][]byte) {
	for p := range answers {
		if field := answerField(part(p)); field != 0 {
			answers[p] = protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), nil)
		}
	}
	return answers
}()

// continueAnswer answers a message without changing anything, nil for a message without a part.
func continueAnswer(p part) encoded {
	if int(p) >= len(continueAnswers) || continueAnswers[p] == nil {
		return nil
	}
	return encoded{mem.SliceBuffer(continueAnswers[p])}
}

// pickAnswer tells the proxy where the request goes, in dynamic metadata, changing neither headers nor body. It is what
//
//	ProcessingResponse{RequestBody: {Response: {}}, DynamicMetadata: {"envoy.lb": {"x-gateway-destination-endpoint": addresses}}}
//
// encodes to, without the dozen small objects that this would take.
func pickAnswer(p part, addresses string) encoded {
	value := sizeField(len(addresses))
	field := sizeField(len(destinationKey)) + sizeField(value)
	inner := sizeField(field)
	namespace := sizeField(inner)
	outer := sizeField(len(lbNamespace)) + sizeField(namespace)
	whole := sizeField(outer)
	answer := make([]byte, 0, 4+sizeField(whole))
	answer = appendHeader(answer, answerField(p), 2)
	answer = appendHeader(answer, 1, 0)
	answer = appendHeader(answer, 8, whole) // dynamic_metadata
	answer = appendHeader(answer, 1, outer) // fields
	answer = appendText(answer, 1, lbNamespace)
	answer = appendHeader(answer, 2, namespace)
	answer = appendHeader(answer, 5, inner) // struct_value
	answer = appendHeader(answer, 1, field) // fields
	answer = appendText(answer, 1, destinationKey)
	answer = appendHeader(answer, 2, value)
	answer = appendText(answer, 3, addresses) // string_value
	return encoded{mem.SliceBuffer(answer)}
}

// sizeField is the size of a length-delimited field with a number below 16 and a content of n bytes.
func sizeField(n int) int { return 1 + protowire.SizeBytes(n) }

func appendHeader(b []byte, number protowire.Number, length int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, number, protowire.BytesType), uint64(length))
}

func appendText(b []byte, number protowire.Number, text string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), text)
}

// chunkAnswer passes a body chunk on: a StreamedBodyResponse whose content is sent from where it lies.
func chunkAnswer(p part, chunk mem.Buffer, endOfStream bool) encoded {
	content := sizeField(chunk.Len())
	if endOfStream {
		content += 2
	}
	mutation := sizeField(content)
	common := sizeField(mutation)
	response := sizeField(common)
	head := make([]byte, 0, 40)
	head = appendHeader(head, answerField(p), response)
	head = appendHeader(head, 1, common)   // BodyResponse.response
	head = appendHeader(head, 3, mutation) // CommonResponse.body_mutation
	head = appendHeader(head, 3, content)  // BodyMutation.streamed_response
	if endOfStream {
		head = protowire.AppendVarint(protowire.AppendTag(head, 2, protowire.VarintType), 1)
	}
	head = appendHeader(head, 1, chunk.Len())
	return encoded{mem.SliceBuffer(head), chunk}
}

// destinationMetadata is the pick as dynamic metadata.
func destinationMetadata(addresses string) *structpb.Struct {
	return &structpb.Struct{Fields: map[string]*structpb.Value{
		lbNamespace: structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{
			destinationKey: structpb.NewStringValue(addresses),
		}}),
	}}
}

// headersAnswer answers a header message with a change of headers.
func headersAnswer(common *extprocv3.CommonResponse) *extprocv3.HeadersResponse {
	return &extprocv3.HeadersResponse{Response: common}
}
