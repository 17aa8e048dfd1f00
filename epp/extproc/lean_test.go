package extproc_test

import (
	"strconv"
	"strings"
	"testing"

	aiv3 "github.com/envoyproxy/go-control-plane/envoy/data/ai/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const chatPath = "/v1/chat/completions"

func TestLeanAnswersTheBodyWithThePick(t *testing.T) {
	p := startPicker(t, settings{endpoints: 3})
	s := p.openLean()
	s.send(leanBody(chatPath, chat("m", "hello"), true))
	response := s.receive()
	chosen := picked(response)
	want := &extprocv3.ProcessingResponse{
		Response: &extprocv3.ProcessingResponse_RequestBody{RequestBody: &extprocv3.BodyResponse{Response: &extprocv3.CommonResponse{}}},
		DynamicMetadata: &structpb.Struct{Fields: map[string]*structpb.Value{"envoy.lb": structpb.NewStructValue(&structpb.Struct{
			Fields: map[string]*structpb.Value{"x-gateway-destination-endpoint": structpb.NewStringValue(chosen)}})}},
	}
	if !proto.Equal(response, want) {
		t.Fatalf("answer %v, want %v", response, want)
	}
	if !strings.HasPrefix(chosen, "10.0.0.") {
		t.Fatalf("picked %q", chosen)
	}
	if requests, tokens := p.totalInFlight(); requests != 1 || tokens == 0 {
		t.Fatalf("%d requests and %d tokens in flight, want 1 and some", requests, tokens)
	}
	s.finish()
	p.expectIdle()
	if got := p.metric("llm_d_epp_request_total", "model_name", "m", "fairness_id", "default-flow", "priority", "0"); got != 1 {
		t.Errorf("request_total is %g, want 1", got)
	}
	if got := p.metric("llm_d_epp_scheduler_attempts_total", "status", "success", "port", "8000", "namespace", "ns"); got != 1 {
		t.Errorf("scheduler_attempts_total is %g, want 1", got)
	}
}

func TestLeanListsSeveralEndpoints(t *testing.T) {
	p := startPicker(t, settings{endpoints: 3, config: `
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: max-score-picker
  parameters: {maxNumOfEndpoints: 2}
`})
	s := p.openLean()
	s.send(leanBody(chatPath, chat("m", "hello"), true))
	first, second, ok := strings.Cut(picked(s.receive()), ",")
	if !ok || first == second {
		t.Fatalf("picked %q and %q", first, second)
	}
	s.finish()
}

func TestLeanReturnsAPromptToItsServer(t *testing.T) {
	p := startPicker(t, settings{endpoints: 8})
	home := map[string]string{}
	for round := range 3 {
		for _, name := range []string{"a", "b", "c", "d"} {
			s := p.openLean()
			// A conversation that grows, cut at an odd place as a proxy with a bounded buffer does.
			body := chat("m", longPrompt(name, 8000+round*500))
			s.send(leanBody(chatPath, body[:len(body)-20], false))
			got := picked(s.receive())
			s.finish()
			if round == 0 {
				home[name] = got
			} else if got != home[name] {
				t.Fatalf("prompt %s went to %s, then to %s", name, home[name], got)
			}
		}
	}
}

func TestLeanGuessesTheModelOfATruncatedBody(t *testing.T) {
	p := startPicker(t, settings{endpoints: 8})
	prompt := `{"messages":[{"role":"user","content":"` + longPrompt("x", 20000) + `"}],"model":"m"}`
	ask := func(body string, complete bool) string {
		s := p.openLean()
		s.send(leanBody(chatPath, body, complete))
		defer s.finish()
		return picked(s.receive())
	}
	home := ask(prompt, true)
	for range 5 {
		// The model stands behind the cut: the pool's only model counts.
		if got := ask(prompt[:10000], false); got != home {
			t.Fatalf("the truncated prompt went to %s, the whole one to %s", got, home)
		}
	}
}

func TestLeanHeadersBeforeBody(t *testing.T) {
	p := startPicker(t, settings{endpoints: 2})
	s := p.openLean()
	s.send(requestHeaders(false, ":path", chatPath+"?x=1", "x-llm-d-inference-fairness-id", "tenant"))
	first := s.receive()
	if first.GetRequestHeaders() == nil || first.GetDynamicMetadata() != nil {
		t.Fatalf("headers answered with %v", first)
	}
	// Trailers follow, so the end of the body is not marked; it is whole all the same.
	s.send(requestBody(chat("m", "hello"), false))
	if picked(s.receive()) == "" {
		t.Fatal("no pick")
	}
	s.finish()
	p.expectIdle()
	if p.metric("llm_d_epp_request_total", "fairness_id", "tenant") != 1 {
		t.Error("the fairness id of the headers is not counted")
	}
}

func TestLeanFirstPartOfALongBody(t *testing.T) {
	p := startPicker(t, settings{endpoints: 2})
	body := chat("m", longPrompt("x", 20000))
	s := p.openLean()
	s.send(requestHeaders(false, ":path", chatPath, "content-length", strconv.Itoa(len(body))))
	s.receive()
	s.send(requestBody(body[:len(body)/2], false))
	if picked(s.receive()) == "" {
		t.Fatal("the first part of a body is refused")
	}
	s.finish()
	// What arrived whole has to be valid, whether its end is marked or not.
	s = p.openLean()
	s.send(requestHeaders(false, ":path", chatPath, "content-length", "20"))
	s.receive()
	s.send(requestBody(body[:20], false))
	if got := s.receive().GetImmediateResponse().GetStatus().GetCode(); got != 400 {
		t.Fatalf("half a JSON object is answered %v, want 400", got)
	}
	p.expectIdle()
}

func TestLeanRequestWithoutBody(t *testing.T) {
	p := startPicker(t, settings{endpoints: 2})
	s := p.openLean()
	s.send(requestHeaders(true, ":path", "/v1/models", ":method", "GET"))
	response := s.receive()
	if response.GetRequestHeaders() == nil || picked(response) == "" {
		t.Fatalf("answer %v", response)
	}
	s.finish()
	p.expectIdle()
}

func TestLeanWithoutAttributesDetectsTheAPI(t *testing.T) {
	p := startPicker(t, settings{endpoints: 1})
	s := p.openLean()
	s.send(requestBody(chat("m", "hello"), true))
	if picked(s.receive()) == "" {
		t.Fatal("no pick")
	}
	s.finish()
	if p.metric("llm_d_epp_request_total", "model_name", "m") != 1 {
		t.Error("the model was not found")
	}
}

func TestLeanTrailersTellUsageAndServedEndpoint(t *testing.T) {
	p := startPicker(t, settings{endpoints: 2})
	body := chat("m", longPrompt("x", 8000))
	s := p.openLean()
	s.send(leanBody(chatPath, body, true, "request.headers['x-llm-d-inference-fairness-id']", "tenant"))
	first := picked(s.receive())
	other := address(0)
	if first == other {
		other = address(1)
	}
	usage, err := anypb.New(&aiv3.TokenUsage{
		InputTokens: wrapperspb.UInt64(2000), OutputTokens: wrapperspb.UInt64(30),
		InputTokenDetails: &aiv3.InputTokenDetails{CachedTokens: wrapperspb.UInt64(0)},
	})
	if err != nil {
		t.Fatal(err)
	}
	trailers := served(responseTrailers(), other)
	trailers.MetadataContext.TypedFilterMetadata = map[string]*anypb.Any{"envoy.ai.token_usage": usage}
	s.send(trailers)
	if s.receive().GetResponseTrailers() == nil {
		t.Fatal("trailers not answered")
	}
	requests, _ := p.inFlight()
	for i, endpoint := range p.pool().Endpoints() {
		if want := map[bool]int64{true: 1, false: 0}[endpoint.Address == other]; requests[i] != want {
			t.Fatalf("in flight %v after it was served by %s", requests, other)
		}
	}
	s.finish()
	p.expectIdle()
	for name, want := range map[string]float64{"request_input_tokens": 1, "request_output_tokens": 1, "request_cached_tokens": 1} {
		if got := p.metric("llm_d_epp_"+name, "fairness_id", "tenant", "model_name", "m"); got != want {
			t.Errorf("%s has %g observations, want %g", name, got, want)
		}
	}
	if !holds(p, other, first) {
		t.Errorf("the prompt is not known to be at %s, which served it", other)
	}
}

// holds tells whether the index believes that the endpoint at address holds at least as much as the one at other.
func holds(p *picker, address, other string) bool {
	return p.pool().Index().Len() > 0 && blocksOf(p, address) >= blocksOf(p, other) && blocksOf(p, address) > 0
}

func TestLeanAnswersOtherMessagesWithoutChange(t *testing.T) {
	p := startPicker(t, settings{endpoints: 1})
	s := p.openLean()
	s.send(leanBody(chatPath, chat("m", "hello"), true))
	s.receive()
	s.send(&extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestTrailers{RequestTrailers: &extprocv3.HttpTrailers{}}})
	if s.receive().GetRequestTrailers() == nil {
		t.Error("request trailers not answered")
	}
	s.send(responseHeaders(":status", "503"))
	if s.receive().GetResponseHeaders() == nil {
		t.Error("response headers not answered")
	}
	s.send(responseBody("x", true))
	if s.receive().GetResponseBody() == nil {
		t.Error("response body not answered")
	}
	s.finish()
	p.expectIdle()
	if p.metric("llm_d_epp_request_error_total", "error_code", "ModelServerError") != 1 {
		t.Error("the model server's error is not counted")
	}
}

func TestLeanStreamedAnswerReleasesThePrompt(t *testing.T) {
	p := startPicker(t, settings{endpoints: 1})
	s := p.openLean()
	s.send(leanBody(chatPath, chat("m", longPrompt("x", 4000)), true))
	s.receive()
	if _, tokens := p.totalInFlight(); tokens < 900 {
		t.Fatalf("%d tokens in flight, want about 1000", tokens)
	}
	s.send(responseHeaders(":status", "200", "content-type", "text/event-stream; charset=utf-8"))
	s.receive()
	if requests, tokens := p.totalInFlight(); requests != 1 || tokens != 0 {
		t.Fatalf("%d requests and %d tokens in flight once the answer began, want 1 and 0", requests, tokens)
	}
	s.finish()
	p.expectIdle()
}

func TestSubsetRestrictsEndpoints(t *testing.T) {
	p := startPicker(t, settings{endpoints: 5})
	for range 20 {
		s := p.openLean()
		// Only the IP counts.
		s.send(subset(leanBody(chatPath, chat("m", "hello"), true), "10.0.0.4:9999", "192.0.2.1:8000"))
		if got := picked(s.receive()); got != address(3) {
			t.Fatalf("picked %s outside of the subset", got)
		}
		s.finish()
	}
}
