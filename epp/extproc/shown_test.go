package extproc_test

import (
	"strconv"
	"strings"
	"testing"

	extprocfilterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/switchyard/switchyard/epp/objective"
)

const plugin = header + "plugins: [{type: queue-scorer}, {type: destination-endpoint-served-verifier}]\n"

// What a proxy shows of an answer.
const (
	theEnd       = "the end"
	itsHeaders   = "its headers"
	theWholeOfIt = "the whole of it"
)

// TestLeanAsksForWhatHasToBeSeen plays a proxy that shows answers on request: it is asked for as much as a request needs, first with its
// headers, then with its body and the headers of the answer, and the client reads the name that it asked for.
func TestLeanAsksForWhatHasToBeSeen(t *testing.T) {
	for name, test := range map[string]struct {
		config        string
		rules         *objective.Rules
		model, header string // of the request: the model and the name of a header that rewrites it
		sent          string // the model that the model server is asked for
		whole, stream string // what is shown of a whole and of a streamed answer
	}{
		"nothing to change":       {model: "m", sent: "m", whole: theEnd, stream: theEnd},
		"a rule":                  {rules: rewriting(), model: "food-review", sent: "food-review-v2", whole: theWholeOfIt, stream: theWholeOfIt},
		"a rule of another model": {rules: rewriting(), model: "m", sent: "m", whole: theWholeOfIt, stream: itsHeaders},
		"an objective, no rule":   {rules: objective.New([]objective.Objective{{Pool: "ns/pool", Name: "o"}}, nil), model: "m", sent: "m", whole: theEnd, stream: theEnd},
		"the header":              {model: "m", header: rewriteHeader, sent: "other", whole: theWholeOfIt, stream: theWholeOfIt},
		"the older header":        {model: "m", header: "x-gateway-model-name-rewrite", sent: "other", whole: theWholeOfIt, stream: theWholeOfIt},
		"the header, to itself":   {model: "other", header: rewriteHeader, sent: "other", whole: theWholeOfIt, stream: itsHeaders},
		"a plugin":                {config: plugin, model: "m", sent: "m", whole: theWholeOfIt, stream: itsHeaders},
		"a plugin and the header": {config: plugin, model: "m", header: rewriteHeader, sent: "other", whole: theWholeOfIt, stream: theWholeOfIt},
	} {
		t.Run(name, func(t *testing.T) {
			p := startPicker(t, settings{endpoints: 1, config: test.config, rules: test.rules})
			for _, stream := range []bool{false, true} {
				s := p.open("x-switchyard-protocol", "lean", "x-switchyard-pool", "ns/pool", "x-switchyard-body", "buffered", "x-switchyard-answer", "on-request")
				s.t = t
				body, want := chat(test.model, "hi"), test.whole
				if stream {
					body, want = strings.Replace(body, "{", `{"stream":true,`, 1), test.stream
				}
				headers := []string{":path", chatPath, "content-length", strconv.Itoa(len(body))}
				if test.header != "" {
					headers = append(headers, test.header, "other")
				}
				s.send(requestHeaders(false, headers...))
				mode := s.receive().GetModeOverride()
				if want == theEnd && mode != nil || want != theEnd && (mode.GetResponseHeaderMode() != extprocfilterv3.ProcessingMode_SEND ||
					mode.GetRequestBodyMode() != extprocfilterv3.ProcessingMode_BUFFERED || mode.GetResponseBodyMode() != extprocfilterv3.ProcessingMode_NONE) {
					t.Fatalf("mode %v to show %s", mode, want)
				}
				s.send(requestBody(body, true))
				expectAsked(t, s.receive(), body, test.model, test.sent, want == theWholeOfIt)
				if want != theEnd {
					s.send(responseHeaders(":status", "200", "content-type", map[bool]string{true: "text/event-stream", false: "application/json"}[stream]))
					mode := s.receive().GetModeOverride()
					if want == itsHeaders && mode != nil || want == theWholeOfIt && (mode.GetResponseBodyMode() != extprocfilterv3.ProcessingMode_STREAMED ||
						mode.GetResponseTrailerMode() != extprocfilterv3.ProcessingMode_SEND) {
						t.Fatalf("mode %v to show %s", mode, want)
					}
				}
				if want == theWholeOfIt {
					expectLeanAnswer(t, s, test.sent, test.model)
				} else {
					s.send(reported(t, 5, 7))
					s.receive()
				}
				s.finish()
			}
			p.expectIdle()
			if n := p.metric("llm_d_epp_request_output_tokens", "model_name", test.model, "target_model_name", test.sent); n != 2 {
				t.Errorf("the usage of %g answers is known, want 2", n)
			}
		})
	}
}

// expectAsked checks the answer to a request's body: the pick, the body that is sent on, and whether the proxy leaves the answer's usage
// to the picker.
func expectAsked(t *testing.T, response *extprocv3.ProcessingResponse, body, asked, sent string, shown bool) {
	t.Helper()
	if picked(response) == "" {
		t.Fatalf("no pick in %v", response)
	}
	common := response.GetRequestBody().GetResponse()
	changed, want := string(common.GetBodyMutation().GetBody()), ""
	if sent != asked {
		want = strings.Replace(body, strconv.Quote(asked), strconv.Quote(sent), 1)
		if length := mutations(common)["content-length"]; length != strconv.Itoa(len(want)) {
			t.Errorf("content-length %q for %d bytes", length, len(want))
		}
	}
	if changed != want {
		t.Errorf("sent on %q, want %q", changed, want)
	}
	told := response.GetDynamicMetadata().GetFields()["switchyard"].GetStructValue().GetFields()["answer"].GetStringValue()
	if told == "shown" != shown {
		t.Errorf("the proxy is told %q of its answer, which is shown: %t", told, shown)
	}
}

// expectLeanAnswer sends an answer that names a model, and checks what is to become of it.
func expectLeanAnswer(t *testing.T, s *stream, from, to string) {
	t.Helper()
	answer := `{"model":"` + from + `","usage":{"prompt_tokens":5,"completion_tokens":7}}`
	var got strings.Builder
	for _, piece := range []string{answer[:12], answer[12:20], answer[20:]} {
		s.send(responseBody(piece, strings.HasSuffix(piece, "}")))
		response := s.receive().GetResponseBody().GetResponse()
		switch mutation := response.GetBodyMutation().GetMutation().(type) {
		case *extprocv3.BodyMutation_Body:
			got.Write(mutation.Body)
		case *extprocv3.BodyMutation_ClearBody:
		case nil:
			got.WriteString(piece)
		}
	}
	if want := strings.Replace(answer, from, to, 1); got.String() != want {
		t.Errorf("the client reads %q, want %q", got.String(), want)
	}
}

// TestLeanShowsHeadersToPluginsAtLeast: of a proxy that shows no bodies plugins get the headers, and nobody else asks it for anything.
func TestLeanShowsHeadersToPluginsAtLeast(t *testing.T) {
	p := startPicker(t, settings{endpoints: 1, config: plugin})
	without := startPicker(t, settings{endpoints: 1})
	for _, body := range []string{"buffered", "buffered_partial", "none", "unheard-of", ""} {
		pairs := []string{"x-switchyard-protocol", "lean", "x-switchyard-pool", "ns/pool"}
		if body != "" {
			pairs = append(pairs, "x-switchyard-body", body)
		}
		asks := body != "" && body != "unheard-of"
		s := p.open(pairs...)
		s.send(requestHeaders(false, ":path", chatPath))
		mode := s.receive().GetModeOverride()
		if (mode != nil) != asks || asks && (mode.GetResponseHeaderMode() != extprocfilterv3.ProcessingMode_SEND ||
			mode.GetResponseBodyMode() != extprocfilterv3.ProcessingMode_NONE || mode.GetResponseTrailerMode() != extprocfilterv3.ProcessingMode_SEND ||
			strings.ToLower(mode.GetRequestBodyMode().String()) != body) {
			t.Errorf("mode %v for %q", mode, body)
		}
		s.send(requestBody(chat("m", "hi"), true))
		expectAsked(t, s.receive(), "", "m", "m", false)
		s.send(served(responseHeaders(":status", "200"), address(0)))
		response := s.receive()
		if set := mutations(response.GetResponseHeaders().GetResponse()); set["x-conformance-test-served-endpoint"] != address(0) || response.GetModeOverride() != nil {
			t.Errorf("headers set: %v, mode %v", set, response.GetModeOverride())
		}
		s.finish()

		s = without.open(pairs...)
		s.send(requestHeaders(false, ":path", chatPath, "content-length", strconv.Itoa(len(chat("m", "hi"))), rewriteHeader, "other"))
		if mode := s.receive().GetModeOverride(); mode != nil {
			t.Errorf("mode %v of a proxy that shows no bodies", mode)
		}
		s.send(requestBody(chat("m", "hi"), true))
		expectAsked(t, s.receive(), chat("m", "hi"), "m", "other", false)
		s.finish()
	}
}

// TestLeanReportsWithTheLastPiece: an answer that is shown has no trailers for what plugins tell of it.
func TestLeanReportsWithTheLastPiece(t *testing.T) {
	p := startPicker(t, settings{endpoints: 1, config: reporting})
	s := p.open("x-switchyard-protocol", "lean", "x-switchyard-pool", "ns/pool", "x-switchyard-body", "buffered", "x-switchyard-answer", "on-request")
	s.send(requestHeaders(false, ":path", chatPath, rewriteHeader, "other"))
	s.receive()
	s.send(requestBody(chat("m", "hi"), true))
	s.receive()
	s.send(responseHeaders(":status", "200"))
	s.receive()
	answer := `{"usage":{"prompt_tokens":12,"completion_tokens":3},"model":"other"}`
	for _, last := range []bool{false, true} {
		piece := map[bool]string{false: answer[:10], true: answer[10:]}[last]
		s.send(responseBody(piece, last))
		response := s.receive()
		cost := response.GetDynamicMetadata().GetFields()[namespaceLB].GetStructValue().GetFields()["x-gateway-inference-request-cost"].GetNumberValue()
		got := string(response.GetResponseBody().GetResponse().GetBodyMutation().GetBody())
		if (cost == 42) != last || got != strings.Replace(piece, "other", "m", 1) {
			t.Errorf("last %t: cost %g, %q", last, cost, got)
		}
	}
	s.finish()
}
