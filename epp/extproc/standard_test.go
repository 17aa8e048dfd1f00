package extproc_test

import (
	"strconv"
	"strings"
	"testing"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
)

const maxChunk = 62000

// receiveBody collects the echo of a body: every chunk within the bound, the end marked on the last one only.
func (s *stream) receiveBody(want int, endMarked bool, bodyOf func(*extprocv3.ProcessingResponse) *extprocv3.BodyResponse) string {
	s.t.Helper()
	var got strings.Builder
	for {
		response := bodyOf(s.receive())
		if response == nil {
			s.t.Fatalf("after %d bytes: not a body response", got.Len())
		}
		chunk := response.GetResponse().GetBodyMutation().GetStreamedResponse()
		if len(chunk.GetBody()) > maxChunk {
			s.t.Fatalf("a chunk of %d bytes", len(chunk.GetBody()))
		}
		got.Write(chunk.GetBody())
		if chunk.GetEndOfStream() {
			if !endMarked {
				s.t.Fatal("the end is marked though trailers follow")
			}
			return got.String()
		}
		if got.Len() >= want && !endMarked {
			return got.String()
		}
	}
}

func requestBodyOf(r *extprocv3.ProcessingResponse) *extprocv3.BodyResponse {
	return r.GetRequestBody()
}

func TestStandardHoldsHeadersUntilTheBodyIsThere(t *testing.T) {
	p := startPicker(t, settings{endpoints: 3})
	body := chat("m", longPrompt("x", 200_000))
	s := p.open()
	s.send(requestHeaders(false, ":path", chatPath, "content-length", strconv.Itoa(len(body)), destination, "203.0.113.9:1"))
	for rest := body; rest != ""; {
		n := min(len(rest), 50_000)
		s.send(requestBody(rest[:n], n == len(rest)))
		rest = rest[n:]
	}
	response := s.receive()
	common := response.GetRequestHeaders().GetResponse()
	if common == nil || !common.GetClearRouteCache() {
		t.Fatalf("first answer %v, want a header response that clears the route cache", response)
	}
	set := mutations(common)
	if set[destination] == "" || set[destination] != picked(response) || set["content-length"] != strconv.Itoa(len(body)) || set["x-request-id"] == "" {
		t.Fatalf("headers set: %v, metadata %q", set, picked(response))
	}
	if len(set) != 3 {
		t.Errorf("headers set: %v, want no echo of the client's", set)
	}
	if got := s.receiveBody(len(body), true, requestBodyOf); got != body {
		t.Fatalf("the body came back with %d bytes, want %d, or changed", len(got), len(body))
	}
	s.finish()
	p.expectIdle()
}

func TestStandardRequestWithoutBody(t *testing.T) {
	p := startPicker(t, settings{endpoints: 1})
	s := p.open()
	s.send(requestHeaders(true, ":path", "/v1/models", "x-request-id", "mine"))
	response := s.receive()
	set := mutations(response.GetRequestHeaders().GetResponse())
	if set[destination] != address(0) || picked(response) != address(0) || set["x-request-id"] != "" {
		t.Fatalf("answer %v", response)
	}
	s.finish()
	p.expectIdle()
}

func TestStandardTrailersEndTheBody(t *testing.T) {
	p := startPicker(t, settings{endpoints: 1})
	body := chat("m", longPrompt("x", 70_000))
	s := p.open()
	s.send(requestHeaders(false, ":path", chatPath))
	s.send(requestBody(body, false))
	s.send(&extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestTrailers{RequestTrailers: &extprocv3.HttpTrailers{}}})
	if s.receive().GetRequestHeaders() == nil {
		t.Fatal("no header response")
	}
	if got := s.receiveBody(len(body), false, requestBodyOf); got != body {
		t.Fatal("the body changed")
	}
	if s.receive().GetRequestTrailers() == nil {
		t.Fatal("no trailer response")
	}
	s.finish()
	p.expectIdle()
}

func TestStandardEmptyBodyEndsWithAnEmptyChunk(t *testing.T) {
	p := startPicker(t, settings{endpoints: 1})
	s := p.open()
	s.send(requestHeaders(false, ":path", "/other"))
	s.send(requestBody("", true))
	if s.receive().GetRequestHeaders() == nil {
		t.Fatal("no header response")
	}
	if got := s.receiveBody(0, true, requestBodyOf); got != "" {
		t.Fatalf("body %q", got)
	}
	s.finish()
}

func TestStandardPassesTheAnswerOnAndReadsUsage(t *testing.T) {
	p := startPicker(t, settings{endpoints: 2})
	s := p.open()
	s.send(requestHeaders(false, ":path", chatPath))
	s.send(requestBody(chat("m", longPrompt("x", 4000)), true))
	first := picked(s.receive())
	s.receiveBody(0, true, requestBodyOf)
	other := address(0)
	if first == other {
		other = address(1)
	}
	s.send(served(responseHeaders(":status", "200", "content-type", "text/event-stream"), other))
	set := mutations(s.receive().GetResponseHeaders().GetResponse())
	if set["x-went-into-resp-headers"] != "true" || len(set) != 1 {
		t.Fatalf("response headers set: %v", set)
	}
	expectAt := func(when string, working bool) {
		t.Helper()
		requests, tokens := p.inFlight()
		for i, endpoint := range p.pool().Endpoints() {
			if here := endpoint.Address == other; (requests[i] == 1) != here || (tokens[i] > 0) != (here && working) {
				t.Fatalf("in flight %v, tokens %v %s of %s", requests, tokens, when, other)
			}
		}
	}
	// Model servers send headers at once and the first token when the prompt is worked through.
	expectAt("after the headers", true)
	answer := "data: {\"choices\":[{\"delta\":{\"content\":\"" + strings.Repeat("y", 150_000) + "\"}}],\"usage\":null}\n\n" +
		"data: {\"choices\":[],\"usage\": {\"prompt_tokens\":12,\"completion_tokens\":3,\"prompt_tokens_details\":{\"cached_tokens\":8}}}\n\ndata: [DONE]\n\n"
	var echoed strings.Builder
	for rest := answer; rest != ""; {
		// Pieces of odd sizes cut the usage object in the middle.
		n := min(len(rest), 70_001)
		if len(rest) < 200 {
			n = min(len(rest), 7)
		}
		s.send(responseBody(rest[:n], n == len(rest)))
		for sent := 0; sent < n; {
			chunk := s.receive().GetResponseBody().GetResponse().GetBodyMutation().GetStreamedResponse()
			if len(chunk.GetBody()) == 0 || len(chunk.GetBody()) > maxChunk {
				t.Fatalf("a chunk of %d bytes", len(chunk.GetBody()))
			}
			sent += len(chunk.GetBody())
			if chunk.GetEndOfStream() != (n == len(rest) && sent == n) {
				t.Fatalf("the end is marked at %d of %d bytes, %d left", sent, n, len(rest)-n)
			}
			echoed.Write(chunk.GetBody())
		}
		expectAt("after a piece", false)
		rest = rest[n:]
	}
	if echoed.String() != answer {
		t.Fatal("the answer changed on its way")
	}
	s.finish()
	p.expectIdle()
	for _, name := range []string{"request_input_tokens", "request_output_tokens", "request_cached_tokens"} {
		if p.metric("llm_d_epp_"+name) != 1 {
			t.Errorf("%s has no observation", name)
		}
	}
}

func TestStandardReadsTheStatus(t *testing.T) {
	p := startPicker(t, settings{endpoints: 1})
	for _, code := range []string{"200", "500"} {
		s := p.open()
		s.send(requestHeaders(true, ":path", "/v1/models"))
		s.receive()
		s.send(responseHeaders(":status", code))
		s.receive()
		s.send(responseTrailers())
		if s.receive().GetResponseTrailers() == nil {
			t.Fatal("trailers not answered")
		}
		s.finish()
	}
	p.expectIdle()
	if got := p.metric("llm_d_epp_request_error_total", "error_code", "ModelServerError"); got != 1 {
		t.Errorf("%g model server errors, want 1", got)
	}
}
