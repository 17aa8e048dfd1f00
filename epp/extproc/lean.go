package extproc

import (
	"google.golang.org/grpc"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// leanHandler serves the lean protocol. The message that decides is the request body or, for a request that has none or
// asks for an upgrade (what follows is a conversation, which the proxy does not show), its headers; what comes after
// tells how the request went.
type leanHandler struct {
	service  *Service
	exchange *exchange
	// early is what the headers told, when they came before the body.
	early *asked
}

// Attributes that the proxy sends along with the body.
const (
	attributePath          = "request.path"
	attributeFairness      = "request.headers['x-llm-d-inference-fairness-id']"
	attributeFairnessOlder = "request.headers['x-gateway-inference-fairness-id']"
	attributeContentLength = "request.headers['content-length']"
)

func (h *leanHandler) handle(stream grpc.ServerStream, f *frame) (done bool, err error) {
	h.exchange.readServed(f)
	switch f.part {
	case partRequestHeaders:
		if (f.endOfStream || headerSet(f.headers).get("upgrade") != nil) && !h.exchange.decided() {
			ask := askedByHeaders(f, h.service.options.Config.RequestHeaders)
			return h.decide(stream, f, &ask)
		}
		if h.early == nil {
			ask := askedByHeaders(f, h.service.options.Config.RequestHeaders)
			h.early = &ask
		}
	case partRequestBody:
		if !h.exchange.decided() {
			ask := h.askedByBody(f)
			return h.decide(stream, f, &ask)
		}
	case partResponseHeaders:
		h.exchange.readResponseHeaders(headerSet(f.headers), false)
		if len(h.service.options.Config.Responses) > 0 {
			return false, stream.SendMsg(h.service.answerHeaders(h.exchange, f))
		}
	case partResponseTrailers:
		h.exchange.usage.merge(usageFromProxy(metadataSet(f.metadata).typed(usageNamespace)))
	}
	if answer := continueAnswer(f.part); answer != nil {
		return false, stream.SendMsg(answer)
	}
	return false, nil
}

func (h *leanHandler) decide(stream grpc.ServerStream, f *frame, ask *asked) (done bool, err error) {
	addresses, err := h.service.decide(h.exchange, ask)
	if err != nil {
		return h.service.refuse(stream, h.exchange, err)
	}
	h.early = nil
	answer := pickAnswer(f.part, addresses)
	f.free()
	return false, stream.SendMsg(answer)
}

// askedByBody is what a body message asks, with the attributes beside it or the headers that came before it.
func (h *leanHandler) askedByBody(f *frame) asked {
	var ask asked
	if h.early != nil {
		ask = *h.early
		// Of a body whose length was announced the first part may be all that comes. One whose length was not is
		// sent whole; if trailers follow it, its end is not marked.
		ask.complete = f.endOfStream || len(f.body) >= ask.contentLength
	} else {
		attributes := structSet(f.attributes)
		path := attributes.text(attributePath)
		ask.path, ask.pathSent = string(path), path != nil
		ask.contentLength = parseLength(attributes.text(attributeContentLength))
		fairness := attributes.text(attributeFairness)
		if fairness == nil {
			fairness = attributes.text(attributeFairnessOlder)
		}
		ask.fairness = string(fairness)
		ask.headers = headersInAttributes(attributes, h.service.options.Config.RequestHeaders)
		ask.complete = f.endOfStream
	}
	ask.body, ask.hasBody = f.body, true
	if subset := subsetOf(f.metadata); subset != nil {
		ask.subset = subset
	}
	return ask
}

// headersInAttributes are the headers of these names that the proxy sends as attributes.
func headersInAttributes(attributes structSet, names []string) scheduling.Headers {
	var found scheduling.Headers
	for _, name := range names {
		if value := attributes.text("request.headers['" + name + "']"); value != nil {
			found = append(found, scheduling.Header{Name: name, Value: string(value)})
		}
	}
	return found
}
