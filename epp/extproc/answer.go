package extproc

import (
	"slices"
	"strconv"
	"time"

	extprocfilterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/switchyard/switchyard/epp/director"
	"github.com/switchyard/switchyard/epp/scheduling"
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

// destinationMetadata is the pick as dynamic metadata, with the scores behind it where they are told.
func destinationMetadata(decision *director.Decision) *structpb.Struct {
	told := map[string]*structpb.Value{destinationKey: structpb.NewStringValue(decision.Addresses)}
	if len(decision.Scores) > 0 {
		scores := make(map[string]*structpb.Value, len(decision.Scores))
		for _, score := range decision.Scores {
			scores[score.Address] = structpb.NewNumberValue(score.Score)
		}
		told[scoresKey] = structpb.NewStructValue(&structpb.Struct{Fields: scores})
	}
	return &structpb.Struct{Fields: map[string]*structpb.Value{lbNamespace: structpb.NewStructValue(&structpb.Struct{Fields: told})}}
}

// changedAnswer tells the proxy where a request of the lean protocol goes and what of it changes. body is what was received of it. The
// proxy checks a length that was announced against a body that was changed, so the length changes with it.
func changedAnswer(p part, decision *director.Decision, asked *director.Request, body []byte) *extprocv3.ProcessingResponse {
	common := &extprocv3.CommonResponse{}
	if len(decision.Headers) > 0 {
		common.HeaderMutation = headerChanges(decision.Headers)
	}
	answer := &extprocv3.ProcessingResponse{DynamicMetadata: destinationMetadata(decision)}
	if p == partRequestHeaders {
		answer.Response = &extprocv3.ProcessingResponse_RequestHeaders{RequestHeaders: headersAnswer(common)}
		return answer
	}
	if decision.Model != "" {
		changed := slices.Concat(body[:decision.ModelStart], []byte(decision.Model), body[decision.ModelEnd:])
		common.BodyMutation = &extprocv3.BodyMutation{Mutation: &extprocv3.BodyMutation_Body{Body: changed}}
		if asked.ContentLength > 0 {
			if common.HeaderMutation == nil {
				common.HeaderMutation = &extprocv3.HeaderMutation{}
			}
			length := setHeader("content-length", strconv.Itoa(asked.ContentLength+len(changed)-len(body)))
			common.HeaderMutation.SetHeaders = append(common.HeaderMutation.SetHeaders, length)
		}
	}
	answer.Response = &extprocv3.ProcessingResponse_RequestBody{RequestBody: &extprocv3.BodyResponse{Response: common}}
	return answer
}

// headerChanges sets headers, and removes those without a value.
func headerChanges(headers scheduling.Headers) *extprocv3.HeaderMutation {
	changes := &extprocv3.HeaderMutation{}
	for _, header := range headers {
		if header.Value == "" {
			changes.RemoveHeaders = append(changes.RemoveHeaders, header.Name)
		} else {
			changes.SetHeaders = append(changes.SetHeaders, setHeader(header.Name, header.Value))
		}
	}
	return changes
}

// bodyAnswer puts other bytes in the place of a piece of an answer's body, in the lean protocol.
func bodyAnswer(p part, piece []byte) encoded {
	content := sizeField(len(piece)) // of BodyMutation: body
	if len(piece) == 0 {
		content = 2 // clear_body
	}
	mutation := sizeField(content)
	common := sizeField(mutation)
	head := make([]byte, 0, 24)
	head = appendHeader(head, answerField(p), common)
	head = appendHeader(head, 1, mutation) // BodyResponse.response
	head = appendHeader(head, 3, content)  // CommonResponse.body_mutation
	if len(piece) == 0 {
		return encoded{mem.SliceBuffer(protowire.AppendVarint(protowire.AppendTag(head, 2, protowire.VarintType), 1))}
	}
	return encoded{mem.SliceBuffer(appendHeader(head, 1, len(piece))), mem.SliceBuffer(piece)}
}

// longestWait stands for a wait without bound, where the proxy has to be told one.
const longestWait = time.Hour

// waitAnswer tells the proxy that its answer takes longer than usual: this long at most, and some more.
func waitAnswer(longest time.Duration) *extprocv3.ProcessingResponse {
	if longest <= 0 || longest > longestWait-waitMargin {
		longest = longestWait - waitMargin
	}
	return &extprocv3.ProcessingResponse{OverrideMessageTimeout: durationpb.New(longest + waitMargin)}
}

// waitMargin is how much longer than flow control itself the proxy waits.
const waitMargin = 5 * time.Second

// streamedAnswer is a chunk of a body with dynamic metadata beside it.
func streamedAnswer(p part, chunk []byte, endOfStream bool, told *structpb.Struct) *extprocv3.ProcessingResponse {
	mutation := &extprocv3.BodyMutation{Mutation: &extprocv3.BodyMutation_StreamedResponse{
		StreamedResponse: &extprocv3.StreamedBodyResponse{Body: chunk, EndOfStream: endOfStream}}}
	response := &extprocv3.BodyResponse{Response: &extprocv3.CommonResponse{BodyMutation: mutation}}
	answer := &extprocv3.ProcessingResponse{DynamicMetadata: told}
	if p == partRequestBody {
		answer.Response = &extprocv3.ProcessingResponse_RequestBody{RequestBody: response}
	} else {
		answer.Response = &extprocv3.ProcessingResponse_ResponseBody{ResponseBody: response}
	}
	return answer
}

// reportAnswer answers trailers with dynamic metadata.
func reportAnswer(told *structpb.Struct) *extprocv3.ProcessingResponse {
	return &extprocv3.ProcessingResponse{DynamicMetadata: told,
		Response: &extprocv3.ProcessingResponse_ResponseTrailers{ResponseTrailers: &extprocv3.TrailersResponse{}}}
}

// modeAnswer changes nothing of a request's headers, and what the proxy shows from then on.
func modeAnswer(mode *extprocfilterv3.ProcessingMode) *extprocv3.ProcessingResponse {
	return &extprocv3.ProcessingResponse{ModeOverride: mode,
		Response: &extprocv3.ProcessingResponse_RequestHeaders{RequestHeaders: &extprocv3.HeadersResponse{}}}
}

// headersAnswer answers a header message with a change of headers.
func headersAnswer(common *extprocv3.CommonResponse) *extprocv3.HeadersResponse {
	return &extprocv3.HeadersResponse{Response: common}
}
