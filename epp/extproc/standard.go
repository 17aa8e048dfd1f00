package extproc

import (
	"crypto/rand"
	"fmt"
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
)

// standardHandler serves the Endpoint Picker Protocol: bodies are streamed both ways and echoed, the header answer is held
// back until the request body is there.
type standardHandler struct {
	service  *Service
	exchange *exchange
	// request is what has arrived of the request, nil once it is decided.
	request *standardRequest
	// usage reads the response body, nil until there is one.
	usage  *usageScanner
	stream bool
}

type standardRequest struct {
	ask       asked
	requestID bool // the client sent one
	body      bodyBuffer
}

func (h *standardHandler) handle(stream grpc.ServerStream, f *frame) (done bool, err error) {
	h.exchange.readServed(f)
	switch f.part {
	case partRequestHeaders:
		return h.requestHeaders(stream, f)
	case partRequestBody:
		return h.requestBody(stream, f)
	case partRequestTrailers:
		return h.requestTrailers(stream)
	case partResponseHeaders:
		h.stream = h.exchange.readResponseHeaders(headerSet(f.headers), h.stream)
		return false, stream.SendMsg(h.service.answerHeaders(h.exchange, f, seenMarker))
	case partResponseBody:
		return false, h.responseBody(stream, f)
	case partResponseTrailers:
		h.exchange.usage.merge(usageFromProxy(metadataSet(f.metadata).typed(usageNamespace)))
		return false, stream.SendMsg(continueAnswer(f.part))
	}
	return false, nil
}

func (h *standardHandler) requestHeaders(stream grpc.ServerStream, f *frame) (done bool, err error) {
	if h.request != nil || h.exchange.decided() {
		return false, nil
	}
	h.request = &standardRequest{ask: askedByHeaders(f, h.service.options.Config.RequestHeaders), requestID: len(headerSet(f.headers).get("x-request-id")) > 0}
	if !f.endOfStream {
		return false, nil
	}
	return h.decide(stream)
}

func (h *standardHandler) requestBody(stream grpc.ServerStream, f *frame) (done bool, err error) {
	if h.request == nil {
		// No headers came, or the body goes on after it was decided: pass it on as it is.
		return false, h.echo(stream, f)
	}
	if subset := subsetOf(f.metadata); subset != nil {
		h.request.ask.subset = append([]byte(nil), subset...)
	}
	if h.request.body.len()+len(f.body) > h.service.options.MaxBody {
		h.request.body.free()
		return h.service.refuse(stream, h.exchange, bodyTooLarge(h.service.options.MaxBody))
	}
	h.request.ask.hasBody = true
	h.request.body.write(f.body, h.request.ask.contentLength)
	if !f.endOfStream {
		return false, nil
	}
	return h.decide(stream)
}

// requestTrailers end the body, too.
func (h *standardHandler) requestTrailers(stream grpc.ServerStream) (done bool, err error) {
	if h.request != nil {
		h.request.body.trailersFollow = true
		if done, err = h.decide(stream); done || err != nil {
			return done, err
		}
	}
	return false, stream.SendMsg(continueAnswer(partRequestTrailers))
}

// decide answers the request that has arrived in full: headers first, then the body as it came.
func (h *standardHandler) decide(stream grpc.ServerStream) (done bool, err error) {
	request := h.request
	h.request = nil
	defer request.body.free()
	request.ask.body, request.ask.complete = request.body.bytes(), true
	addresses, err := h.service.decide(h.exchange, &request.ask)
	if err != nil {
		return h.service.refuse(stream, h.exchange, err)
	}
	if err := stream.SendMsg(pickHeadersAnswer(addresses, request)); err != nil {
		return true, err
	}
	if !request.ask.hasBody {
		return false, nil
	}
	return false, request.body.send(stream)
}

func (h *standardHandler) responseBody(stream grpc.ServerStream, f *frame) error {
	if h.usage == nil {
		h.usage = &usageScanner{found: noUsage}
		if h.stream {
			h.exchange.answering()
		}
	}
	h.usage.write(f.body)
	if f.endOfStream {
		h.exchange.usage.merge(h.usage.found)
	}
	return h.echo(stream, f)
}

// echo passes a chunk on, in pieces that the protocol allows.
func (h *standardHandler) echo(stream grpc.ServerStream, f *frame) error {
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
func pickHeadersAnswer(addresses string, request *standardRequest) *extprocv3.ProcessingResponse {
	headers := []*corev3.HeaderValueOption{setHeader(destinationKey, addresses)}
	if length := request.body.len(); length > 0 {
		headers = append(headers, setHeader("content-length", strconv.Itoa(length)))
	}
	if !request.requestID {
		headers = append(headers, setHeader("x-request-id", newRequestID()))
	}
	return &extprocv3.ProcessingResponse{
		Response: &extprocv3.ProcessingResponse_RequestHeaders{RequestHeaders: headersAnswer(&extprocv3.CommonResponse{
			HeaderMutation:  &extprocv3.HeaderMutation{SetHeaders: headers},
			ClearRouteCache: true,
		})},
		DynamicMetadata: destinationMetadata(addresses),
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

func (b *bodyBuffer) free() {
	if b.data != nil {
		messages.Put(b.data)
		b.data = nil
	}
}

// send passes the body on in chunks; its memory is recycled once the last one has left.
func (b *bodyBuffer) send(stream grpc.ServerStream) error {
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
