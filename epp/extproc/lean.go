package extproc

import (
	"time"

	extprocfilterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"

	"github.com/switchyard/switchyard/epp/director"
	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/usage"
)

// leanHandler serves the lean protocol. The message that decides is the request body or, for a request that has none or
// asks for an upgrade (what follows is a conversation, which the proxy does not show), its headers; what comes after
// tells how the request went. Of the answer itself the proxy shows what shown says, and nothing of most.
type leanHandler struct {
	service  *Service
	exchange *director.Exchange
	// early is what the headers told, when they came before the body.
	early *director.Request
	shown shown
	// body is how the proxy sends the request's body, where it shows more than the end of the answer.
	body   extprocfilterv3.ProcessingMode_BodySendMode
	answer answerReader
}

// Attributes that the proxy sends along with the body.
const (
	attributePath          = "request.path"
	attributeFairness      = "request.headers['x-llm-d-inference-fairness-id']"
	attributeFairnessOlder = "request.headers['x-gateway-inference-fairness-id']"
	attributeContentLength = "request.headers['content-length']"
)

func (h *leanHandler) handle(stream *exclusive, f *frame) (done bool, err error) {
	x := h.exchange
	readServed(x, f)
	switch f.part {
	case partRequestHeaders:
		if (f.endOfStream || headerSet(f.headers).get("upgrade") != nil) && !x.Decided() {
			asked := askedByHeaders(f, h.service.headers)
			return h.decide(stream, f, &asked)
		}
		if h.early == nil {
			asked := askedByHeaders(f, h.service.headers)
			h.early = &asked
			if h.showHeaders(stream.Context()) {
				return false, stream.SendMsg(modeAnswer(h.mode()))
			}
		}
	case partRequestBody:
		if !x.Decided() {
			asked := h.askedByBody(f)
			return h.decide(stream, f, &asked)
		}
	case partResponseHeaders:
		readResponseHeaders(x, f)
		return false, stream.SendMsg(h.answerHeaders(f))
	case partResponseBody:
		if answer := h.answerBody(f); answer != nil {
			return false, stream.SendMsg(answer)
		}
	case partResponseTrailers:
		h.answer.end(x)
		x.Usage.Merge(usage.FromProxy(metadataSet(f.metadata).typed(usageNamespace)))
		if report := h.service.report(x); report != nil {
			return false, stream.SendMsg(reportAnswer(report))
		}
	}
	if answer := continueAnswer(f.part); answer != nil {
		return false, stream.SendMsg(answer)
	}
	return false, nil
}

func (h *leanHandler) decide(stream *exclusive, f *frame, asked *director.Request) (done bool, err error) {
	asked.Queued = func(longest time.Duration) { _ = stream.SendMsg(waitAnswer(longest)) }
	decision, done, err := h.service.decide(stream, h.exchange, asked)
	if done || err != nil {
		return done, err
	}
	h.early = nil
	h.showBody()
	if decision.Model != "" || len(decision.Headers) > 0 || len(decision.Scores) > 0 || h.shown == shownWhole {
		answer := changedAnswer(f.part, &decision, asked, f.body)
		if h.shown == shownWhole {
			answer.DynamicMetadata.Fields[ownNamespace] = answerShown
		}
		return false, stream.SendMsg(answer)
	}
	answer := pickAnswer(f.part, decision.Addresses)
	f.free()
	return false, stream.SendMsg(answer)
}

// askedByBody is what a body message asks, with the attributes beside it or the headers that came before it.
func (h *leanHandler) askedByBody(f *frame) director.Request {
	var asked director.Request
	if h.early != nil {
		asked = *h.early
		// Of a body whose length was announced the first part may be all that comes. One whose length was not is
		// sent whole; if trailers follow it, its end is not marked.
		asked.Complete = f.endOfStream || len(f.body) >= asked.ContentLength
	} else {
		attributes := structSet(f.attributes)
		path := attributes.text(attributePath)
		asked.Path, asked.PathSent = string(path), path != nil
		asked.ContentLength = parseLength(attributes.text(attributeContentLength))
		fairness := attributes.text(attributeFairness)
		if fairness == nil {
			fairness = attributes.text(attributeFairnessOlder)
		}
		asked.Fairness = string(fairness)
		asked.Headers = headersInAttributes(attributes, h.service.headers)
		asked.Complete = f.endOfStream
	}
	asked.Body, asked.HasBody = f.body, true
	restrict(&asked, f.metadata)
	return asked
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
