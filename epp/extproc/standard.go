package extproc

import (
	"crypto/rand"
	"fmt"
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/switchyard/switchyard/epp/director"
	"github.com/switchyard/switchyard/epp/usage"
)

// standardHandler serves the Endpoint Picker Protocol: bodies are streamed both ways and echoed, the header answer is held
// back until the request body is there.
type standardHandler struct {
	service  *Service
	exchange *director.Exchange
	// request is what has arrived of the request, nil once it is decided.
	request *standardRequest
	answer  answerReader
}

type standardRequest struct {
	asked director.Request
	named bool // the client gave it an id
	body  bodyBuffer
}

func (h *standardHandler) handle(stream *exclusive, f *frame) (done bool, err error) {
	readServed(h.exchange, f)
	switch f.part {
	case partRequestHeaders:
		return h.requestHeaders(stream, f)
	case partRequestBody:
		return h.requestBody(stream, f)
	case partRequestTrailers:
		return h.requestTrailers(stream)
	case partResponseHeaders:
		readResponseHeaders(h.exchange, f)
		return false, stream.SendMsg(h.service.answerHeaders(h.exchange, f, seenMarker))
	case partResponseBody:
		return false, h.responseBody(stream, f)
	case partResponseTrailers:
		return false, h.responseTrailers(stream, f)
	}
	return false, nil
}

func (h *standardHandler) requestHeaders(stream *exclusive, f *frame) (done bool, err error) {
	if h.request != nil || h.exchange.Decided() {
		return false, nil
	}
	h.request = &standardRequest{asked: askedByHeaders(f, h.service.headers)}
	if !f.endOfStream {
		return false, nil
	}
	return h.decide(stream)
}

func (h *standardHandler) requestBody(stream *exclusive, f *frame) (done bool, err error) {
	if h.request == nil {
		// No headers came, or the body goes on after it was decided: pass it on as it is.
		return false, h.echo(stream, f)
	}
	restrict(&h.request.asked, f.metadata)
	if h.request.body.len()+len(f.body) > h.service.options.MaxBody {
		h.request.body.free()
		h.exchange.Trace(&h.request.asked)
		return true, h.service.refuse(stream, h.exchange, director.BodyTooLarge(h.service.options.MaxBody))
	}
	h.request.asked.HasBody = true
	h.request.body.write(f.body, h.request.asked.ContentLength)
	if !f.endOfStream {
		return false, nil
	}
	return h.decide(stream)
}

// requestTrailers end the body, too.
func (h *standardHandler) requestTrailers(stream *exclusive) (done bool, err error) {
	if h.request != nil {
		h.request.body.trailersFollow = true
		if done, err = h.decide(stream); done || err != nil {
			return done, err
		}
	}
	return false, stream.SendMsg(continueAnswer(partRequestTrailers))
}

// decide answers the request that has arrived in full: headers first, then the body.
func (h *standardHandler) decide(stream *exclusive) (done bool, err error) {
	request := h.request
	h.request = nil
	defer request.body.free()
	request.asked.Body, request.asked.Complete = request.body.bytes(), true
	if request.named = request.asked.ID != ""; !request.named {
		request.asked.ID = newRequestID()
	}
	decision, done, err := h.service.decide(stream, h.exchange, &request.asked)
	if done || err != nil {
		return done, err
	}
	if decision.Model != "" {
		request.body.replace(decision.ModelStart, decision.ModelEnd, decision.Model)
	}
	if err := stream.SendMsg(pickHeadersAnswer(&decision, request)); err != nil {
		return true, err
	}
	if !request.asked.HasBody {
		return false, nil
	}
	return false, request.body.send(stream)
}

func (h *standardHandler) responseBody(stream *exclusive, f *frame) error {
	piece := h.answer.read(h.exchange, f)
	report := h.reported(f.endOfStream)
	if h.exchange.Rename == nil && report == nil {
		return h.echo(stream, f)
	}
	return sendPiece(stream, f.part, piece, f.endOfStream, report)
}

// responseTrailers end the answer, too.
func (h *standardHandler) responseTrailers(stream *exclusive, f *frame) error {
	x := h.exchange
	x.Usage.Merge(usage.FromProxy(metadataSet(f.metadata).typed(usageNamespace)))
	if !x.Complete {
		if x.Rename != nil {
			if rest := x.Rename.Next(nil, true); len(rest) > 0 {
				if err := sendPiece(stream, partResponseBody, rest, false, nil); err != nil {
					return err
				}
			}
		}
		h.answer.end(x)
		if report := h.reported(true); report != nil {
			return stream.SendMsg(reportAnswer(report))
		}
	}
	return stream.SendMsg(continueAnswer(f.part))
}

// reported is what plugins tell the proxy of an answer that is over, nil when they tell nothing.
func (h *standardHandler) reported(over bool) *structpb.Struct {
	if !over {
		return nil
	}
	return h.service.report(h.exchange)
}

// sendPiece sends a piece of an answer's body that is not the one received; the report comes with its last part.
func sendPiece(stream *exclusive, p part, piece []byte, endOfStream bool, report *structpb.Struct) error {
	for start := 0; ; start += maxChunk {
		end := min(start+maxChunk, len(piece))
		last := end == len(piece)
		if last && report != nil {
			return stream.SendMsg(streamedAnswer(p, piece[start:end], endOfStream, report))
		}
		if err := stream.SendMsg(chunkAnswer(p, mem.SliceBuffer(piece[start:end]), last && endOfStream)); err != nil || last {
			return err
		}
	}
}

// echo passes a chunk on, in pieces that the protocol allows.
func (h *standardHandler) echo(stream *exclusive, f *frame) error {
	for start := 0; ; start += maxChunk {
		end := min(start+maxChunk, len(f.body))
		last := end == len(f.body)
		if err := stream.SendMsg(chunkAnswer(f.part, f.bodyRef(start, end), last && f.endOfStream)); err != nil {
			return err
		}
		if last {
			return nil
		}
	}
}

// pickHeadersAnswer tells the proxy where the request goes, by header and by metadata.
func pickHeadersAnswer(decision *director.Decision, request *standardRequest) *extprocv3.ProcessingResponse {
	headers := []*corev3.HeaderValueOption{setHeader(destinationKey, decision.Addresses)}
	if length := request.body.len(); length > 0 {
		headers = append(headers, setHeader("content-length", strconv.Itoa(length)))
	}
	if !request.named {
		headers = append(headers, setHeader("x-request-id", request.asked.ID))
	}
	mutation := headerChanges(decision.Headers)
	mutation.SetHeaders = append(headers, mutation.SetHeaders...)
	return &extprocv3.ProcessingResponse{
		Response: &extprocv3.ProcessingResponse_RequestHeaders{RequestHeaders: headersAnswer(&extprocv3.CommonResponse{
			HeaderMutation:  mutation,
			ClearRouteCache: true,
		})},
		DynamicMetadata: destinationMetadata(decision),
	}
}

// newRequestID makes a random UUID.
func newRequestID() string {
	var id [16]byte
	rand.Read(id[:])
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// bodyBuffer collects a request body in recycled memory.
type bodyBuffer struct {
	data           *[]byte
	trailersFollow bool
}

func (b *bodyBuffer) len() int {
	if b.data == nil {
		return 0
	}
	return len(*b.data)
}

func (b *bodyBuffer) bytes() []byte {
	if b.data == nil {
		return nil
	}
	return *b.data
}

// write appends a chunk. expected is the announced length of the whole body, 0 when it is not known; it is not trusted with
// more memory than one growth step.
func (b *bodyBuffer) write(chunk []byte, expected int) {
	have := b.len()
	if need := have + len(chunk); b.data == nil || need > cap(*b.data) {
		const trusted = 1 << 20
		grown := messages.Get(max(need, 2*have, min(expected, trusted)))
		copy(*grown, b.bytes())
		b.free()
		b.data = grown
	}
	*b.data = append((*b.data)[:have], chunk...)
}

// replace puts text in place of bytes start to end.
func (b *bodyBuffer) replace(start, end int, text string) {
	before := b.bytes()
	changed := messages.Get(len(before) - (end - start) + len(text))
	at := copy(*changed, before[:start])
	at += copy((*changed)[at:], text)
	copy((*changed)[at:], before[end:])
	b.free()
	b.data = changed
}

func (b *bodyBuffer) free() {
	if b.data != nil {
		messages.Put(b.data)
		b.data = nil
	}
}

// send passes the body on in chunks; its memory is recycled once the last one has left.
func (b *bodyBuffer) send(stream *exclusive) error {
	if b.data == nil {
		return stream.SendMsg(chunkAnswer(partRequestBody, mem.SliceBuffer(nil), !b.trailersFollow))
	}
	whole := mem.NewBuffer(b.data, messages)
	b.data = nil
	defer whole.Free()
	for start := 0; ; start += maxChunk {
		end := min(start+maxChunk, whole.Len())
		last := end == whole.Len()
		if err := stream.SendMsg(chunkAnswer(partRequestBody, whole.Slice(start, end), last && !b.trailersFollow)); err != nil {
			return err
		}
		if last {
			return nil
		}
	}
}
