package extproc_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
)

// TestRowsBodyPhases sends bodies of sizes around the bound of a chunk, in pieces of which none is answered before the last.
func TestRowsBodyPhases(t *testing.T) {
	inBoth(t, settings{endpoints: 2}, func(t *testing.T, p *picker, protocol string) {
		frame := len(chat("m", ""))
		for _, size := range []int{frame + 1, maxChunk - 1, maxChunk, maxChunk + 1, 2 * maxChunk, 5*maxChunk + 7} {
			for _, pieces := range []int{1, 2, 9} {
				for _, trailers := range []bool{false, true} {
					r := post(chatPath, chat("m", longPrompt("x", size-frame)))
					r.pieces, r.trailers = pieces, trailers && protocol == "standard"
					if got := p.expectPlaced(protocol, r); got.sent != r.body {
						t.Errorf("%d bytes in %d pieces, trailers %t: %d bytes come back, or others", size, pieces, r.trailers, len(got.sent))
					}
				}
			}
		}
		p.expectIdle()
	})
}

// TestRowsNothingIsAnsweredEarly: the first answer of all is the one with the pick, though the proxy waits between its messages.
func TestRowsNothingIsAnsweredEarly(t *testing.T) {
	p := startPicker(t, settings{endpoints: 1})
	s := p.open()
	body := chat("m", longPrompt("x", 1000))
	s.send(requestHeaders(false, ":path", chatPath))
	answers := make(chan *extprocv3.ProcessingResponse, 1)
	go func() {
		defer close(answers)
		if answer, err := s.client.Recv(); err == nil {
			answers <- answer
		}
	}()
	for _, piece := range []string{body[:10], body[10:500]} {
		s.send(requestBody(piece, false))
	}
	// Another stream in full shows that the picker had the time to answer.
	p.expectPlaced("standard", post(chatPath, body))
	select {
	case answer := <-answers:
		t.Fatalf("answered before the body was there: %v", answer)
	default:
	}
	s.send(requestBody(body[500:], true))
	if answer := <-answers; answer.GetRequestHeaders() == nil || picked(answer) == "" {
		t.Fatalf("answer %v", answer)
	}
	s.receiveBody(len(body), true, requestBodyOf)
	s.finish()
	p.expectIdle()
}

// TestRowsRequestsWithoutBody are answered by one message about the headers, and go to all endpoints.
func TestRowsRequestsWithoutBody(t *testing.T) {
	inBoth(t, settings{endpoints: 3}, func(t *testing.T, p *picker, protocol string) {
		at := map[string]bool{}
		for range 40 {
			got := p.expectPlaced(protocol, bare("/v1/models", "accept", "*/*", "prefer", "if-available"))
			at[got.at] = true
			if got.set["content-length"] != "" || got.set["accept"] != "" {
				t.Fatalf("headers set: %v", got.set)
			}
		}
		if len(at) != 3 {
			t.Errorf("40 requests go to %v alone", at)
		}
		p.expectIdle()
		p.pools.Set("ns/pool", nil)
		p.expectRefused(protocol, bare("/v1/models"), 503,
			"inference error: ServiceUnavailable - failed to find endpoint candidates for serving the request", "rejected-no-endpoints")
	})
}

// TestRowsTrailersAloneEndARequest that has neither a body nor an end in its headers.
func TestRowsTrailersAloneEndARequest(t *testing.T) {
	p := startPicker(t, settings{endpoints: 1})
	s := p.open()
	s.send(requestHeaders(false, ":path", "/other"))
	s.send(requestTrailers())
	if answer := s.receive(); answer.GetRequestHeaders() == nil || picked(answer) != address(0) {
		t.Fatalf("answer %v", answer)
	}
	if answer := s.receive(); answer.GetRequestTrailers() == nil {
		t.Fatalf("trailers answered with %v", answer)
	}
	s.finish()
	p.expectIdle()
}

// TestRowsUnknownPaths: what no parser claims is passed on as it is where the passthrough parser is in use, which it is unless parsers are listed.
func TestRowsUnknownPaths(t *testing.T) {
	for _, path := range []string{"/other", "/v1/completions2", "/v1/xcompletions", "/v1/messages/batches", "/inference/v2/generate", "/", "*"} {
		for _, body := range []string{"hello", `{"model":`, "", "\x00\xff"} {
			for _, protocol := range protocols {
				p := startPicker(t, settings{endpoints: 1})
				if got := p.expectPlaced(protocol, post(path, body)); got.sent != body {
					t.Errorf("%s: %q becomes %q", path, body, got.sent)
				}
			}
		}
		inBoth(t, settings{endpoints: 1, config: onlyOpenAI}, func(t *testing.T, p *picker, protocol string) {
			p.expectRefused(protocol, post(path+"?a=b", `{}`), 400, "inference error: BadRequest - no parser registered matching path suffix for: "+path, "")
		})
	}
}

// TestRowsAnswerHeaders: the marker is set, nothing is echoed, any status but 200 is the model server's error, and only the pseudo header tells it.
func TestRowsAnswerHeaders(t *testing.T) {
	for _, test := range []struct {
		headers []string
		failed  bool
	}{
		{[]string{":status", "200", "content-type", "application/json", "x-other", "y"}, false},
		{[]string{":status", "500"}, true},
		{[]string{":status", "404"}, true},
		{[]string{":status", "200", "status", "500"}, false},
	} {
		inBoth(t, settings{endpoints: 1}, func(t *testing.T, p *picker, protocol string) {
			s, _ := p.ask(protocol, post(chatPath, chat("m", "hi")))
			s.send(responseHeaders(test.headers...))
			answer := s.receive()
			if answer.GetResponseHeaders() == nil {
				t.Fatalf("answer %v", answer)
			}
			set, want := mutations(answer.GetResponseHeaders().GetResponse()), map[string]string{}
			if protocol == "standard" {
				want["x-went-into-resp-headers"] = "true"
			}
			if fmt.Sprint(set) != fmt.Sprint(want) {
				t.Errorf("headers set: %v, want %v", set, want)
			}
			s.send(responseTrailers())
			if s.receive().GetResponseTrailers() == nil {
				t.Error("trailers not answered")
			}
			s.finish()
			p.expectIdle()
			if got := p.metric("llm_d_epp_request_error_total", "error_code", "ModelServerError") == 1; got != test.failed {
				t.Errorf("%v: counted as an error: %t", test.headers, got)
			}
		})
	}
}

// TestRowsAnswersAreNotHeldBack: each piece is answered at once, whether the answer is streamed or not, and its usage is read.
func TestRowsAnswersAreNotHeldBack(t *testing.T) {
	plain := `{"id":"x","choices":[{"message":{"content":"` + longPrompt("y", 100_000) + `"}}],"usage":{"prompt_tokens":12,"completion_tokens":3}}`
	events := "data: {\"choices\":[{\"delta\":{\"content\":\"y\"}}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":3}}\n\ndata: [DONE]\n\n"
	for name, test := range map[string]struct {
		asked, kind, answer string
		pieces              int
	}{
		"plain":                           {chat("m", "hi"), "application/json", plain, 3},
		"plain, in one":                   {chat("m", "hi"), "application/json", plain, 1},
		"events":                          {chat("m", "hi"), "text/event-stream; charset=utf-8", events, 20},
		"events, as the request asks for": {`{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}]}`, "application/octet-stream", events, 20},
	} {
		t.Run(name, func(t *testing.T) {
			p := startPicker(t, settings{endpoints: 1})
			s, _ := p.ask("standard", post(chatPath, test.asked))
			s.send(responseHeaders(":status", "200", "content-type", test.kind))
			s.receive()
			for i := range test.pieces {
				piece := test.answer[i*len(test.answer)/test.pieces : (i+1)*len(test.answer)/test.pieces]
				s.send(responseBody(piece, i == test.pieces-1))
				var got strings.Builder
				for ended := false; got.Len() < len(piece); {
					chunk := s.receive().GetResponseBody().GetResponse().GetBodyMutation().GetStreamedResponse()
					if ended || len(chunk.GetBody()) > maxChunk {
						t.Fatalf("%d bytes, after the end: %t", len(chunk.GetBody()), ended)
					}
					got.Write(chunk.GetBody())
					ended = chunk.GetEndOfStream()
					if ended != (i == test.pieces-1 && got.Len() == len(piece)) {
						t.Fatalf("the end is marked: %t, at %d of %d bytes of piece %d", ended, got.Len(), len(piece), i)
					}
				}
				if got.String() != piece {
					t.Fatal("the answer changed on its way")
				}
			}
			s.finish()
			p.expectIdle()
			streamed := map[bool]float64{true: 1}[strings.HasPrefix(name, "events")]
			if got := p.metric("llm_d_epp_request_ttft_seconds", "streaming", "true"); got != streamed {
				t.Errorf("treated as streamed %g times, want %g", got, streamed)
			}
		})
	}
}

const reporting = header + `
plugins:
- type: queue-scorer
- type: request-attribute-reporter
  parameters:
    attributes: [{key: {name: x-gateway-inference-request-cost}, expression: "usage.prompt_tokens + usage.completion_tokens * 10.0"}]
`

// TestRowsTheLastMessageHasWhatPluginsReport, in whichever message the answer ends.
func TestRowsTheLastMessageHasWhatPluginsReport(t *testing.T) {
	p := startPicker(t, settings{endpoints: 1, config: reporting})
	cost := func(response *extprocv3.ProcessingResponse) float64 {
		return response.GetDynamicMetadata().GetFields()[namespaceLB].GetStructValue().GetFields()["x-gateway-inference-request-cost"].GetNumberValue()
	}
	answer := `{"usage":{"prompt_tokens":12,"completion_tokens":3}}`
	for _, byTrailers := range []bool{false, true} {
		s, _ := p.ask("standard", post(chatPath, chat("m", "hi")))
		s.send(responseHeaders(":status", "200"))
		s.receive()
		s.send(responseBody(answer[:20], false))
		if got := cost(s.receive()); got != 0 {
			t.Errorf("a cost of %g before the end", got)
		}
		s.send(responseBody(answer[20:], !byTrailers))
		last := s.receive()
		if got := string(last.GetResponseBody().GetResponse().GetBodyMutation().GetStreamedResponse().GetBody()); got != answer[20:] {
			t.Errorf("the last piece is %q", got)
		}
		if byTrailers {
			s.send(responseTrailers())
			last = s.receive()
			if last.GetResponseTrailers() == nil {
				t.Fatalf("trailers answered with %v", last)
			}
		}
		if got := cost(last); got != 42 {
			t.Errorf("ended by trailers %t: a cost of %s, want 42", byTrailers, strconv.FormatFloat(got, 'g', -1, 64))
		}
		s.finish()
	}
	p.expectIdle()
}

// TestRowsAnswersThatAreNotRead: counting tokens generates nothing. The stream stays open until that answer has passed, too.
func TestRowsAnswersThatAreNotRead(t *testing.T) {
	p := startPicker(t, settings{endpoints: 1})
	s, _ := p.ask("standard", post("/v1/messages/count_tokens", `{"model":"m","messages":[{"role":"user","content":"x"}]}`))
	s.send(responseHeaders(":status", "200"))
	s.receive()
	s.send(responseBody(`{"input_tokens":12,"usage":{"input_tokens":12,"output_tokens":1}}`, true))
	if s.receive().GetResponseBody() == nil {
		t.Fatal("the answer is not passed on")
	}
	s.finish()
	p.expectIdle()
	if got := p.metric("llm_d_epp_request_input_tokens"); got != 0 {
		t.Errorf("usage of %g answers", got)
	}
}
