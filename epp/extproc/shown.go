package extproc

import (
	"context"
	"strings"
	"time"

	extprocfilterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/structpb"
)

// shown is how much of an answer a proxy shows in the lean protocol. It is asked for more in two steps, as what a request needs is
// known in two: with its headers, whether the answer may have to change, and with its body, how.
type shown uint8

const (
	// At first one message when the answer has ended.
	_ shown = iota
	// shownHeaders: the headers of the answer, too.
	shownHeaders
	// shownAskable: the headers, and the body if the picker asks for it.
	shownAskable
	// shownWhole: headers and body. The proxy counts no tokens then.
	shownWhole
)

// answerShown is the metadata by which the proxy's own token counting leaves an answer to the picker.
var answerShown = structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{"answer": structpb.NewStringValue("shown")}})

// showHeaders tells whether the proxy is to show the headers of this request's answer: plugins change them, or a model is rewritten, as far
// as that can be told before the body has come.
func (h *leanHandler) showHeaders(ctx context.Context) bool {
	plugins := len(h.service.options.Config.Responses) > 0
	renamed := h.early.RewriteTo != "" || h.service.options.Director.Rewrites(h.exchange.Pool())
	if !plugins && !renamed {
		return false
	}
	body, known := requestBodyMode(ctx)
	if !known {
		return false
	}
	answers := metadata.ValueFromIncomingContext(ctx, answerKey)
	switch {
	case len(answers) > 0 && answers[0] == onRequest:
		h.shown = shownAskable
	case plugins:
		h.shown = shownHeaders
	default:
		return false // nothing can be changed without the body
	}
	h.body = body
	return true
}

// requestBodyMode is how the proxy sends the body of a request. A mode has to name it, and some proxies do not tell.
func requestBodyMode(ctx context.Context) (mode extprocfilterv3.ProcessingMode_BodySendMode, known bool) {
	told := metadata.ValueFromIncomingContext(ctx, bodyKey)
	if len(told) == 0 {
		return 0, false
	}
	number, known := extprocfilterv3.ProcessingMode_BodySendMode_value[strings.ToUpper(told[0])]
	return extprocfilterv3.ProcessingMode_BodySendMode(number), known
}

// showBody decides, when the body of the request was read, whether that of its answer is to be shown: where the model has another name in
// it, and where it comes whole. A proxy has all of a whole answer before the picker has spoken about its headers, and then forgets the
// trailers in which the usage would come.
func (h *leanHandler) showBody() {
	if h.shown == shownAskable && (h.exchange.Rename != nil || !h.exchange.Streamed) {
		h.shown = shownWhole
	}
}

// mode is what the proxy shows from now on.
func (h *leanHandler) mode() *extprocfilterv3.ProcessingMode {
	mode := &extprocfilterv3.ProcessingMode{
		// Over already, but without it Envoy takes no new content-length for a body that it holds.
		RequestHeaderMode:   extprocfilterv3.ProcessingMode_SEND,
		RequestBodyMode:     h.body,
		RequestTrailerMode:  extprocfilterv3.ProcessingMode_SKIP,
		ResponseHeaderMode:  extprocfilterv3.ProcessingMode_SEND,
		ResponseTrailerMode: extprocfilterv3.ProcessingMode_SEND,
	}
	if h.shown == shownWhole {
		mode.ResponseBodyMode = extprocfilterv3.ProcessingMode_STREAMED
	}
	return mode
}

// answerHeaders answers the headers of an answer, and asks for its body where that is to be shown.
func (h *leanHandler) answerHeaders(f *frame) *extprocv3.ProcessingResponse {
	x := h.exchange
	if h.shown == shownWhole {
		answer := h.service.answerHeaders(x, f)
		answer.ModeOverride = h.mode()
		return answer
	}
	x.Rename = nil
	if x.Streamed {
		x.Answering(time.Now())
	} else {
		x.Complete = true // nothing more may come of a whole answer
	}
	return h.service.answerHeaders(x, f)
}

// answerBody answers a piece of an answer's body, nil where it changes nothing. With the last one go the reports of plugins.
func (h *leanHandler) answerBody(f *frame) any {
	x := h.exchange
	piece := h.answer.read(x, f)
	if f.endOfStream {
		if report := h.service.report(x); report != nil {
			answer := &extprocv3.BodyResponse{}
			if x.Rename != nil {
				answer.Response = &extprocv3.CommonResponse{BodyMutation: &extprocv3.BodyMutation{Mutation: &extprocv3.BodyMutation_Body{Body: piece}}}
			}
			return &extprocv3.ProcessingResponse{DynamicMetadata: report, Response: &extprocv3.ProcessingResponse_ResponseBody{ResponseBody: answer}}
		}
	}
	if x.Rename != nil {
		return bodyAnswer(f.part, piece)
	}
	return nil
}
