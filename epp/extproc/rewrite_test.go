package extproc_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/objective"
)

const rewriteHeader = "x-llm-d-model-name-rewrite"

// rewriting sends requests of a pool for "food-review" to "food-review-v2".
func rewriting() *objective.Rules {
	return objective.New(nil, []objective.Rewrite{{Pool: "ns/pool", Name: "canary", Created: time.Unix(1, 0), Rules: []objective.Rule{
		{Models: []string{"food-review"}, Targets: []objective.Target{{Model: "food-review-v2", Weight: 1}}},
	}}})
}

func TestWhichModelAModelServerIsAskedFor(t *testing.T) {
	p := startPicker(t, settings{endpoints: 1, rules: rewriting()})
	for name, test := range map[string]struct {
		path, body string
		headers    []string
		want       string // the model in the body that is sent on
	}{
		"a rule":                         {chatPath, chat("food-review", "hi"), nil, "food-review-v2"},
		"a rule beats the header":        {chatPath, chat("food-review", "hi"), []string{rewriteHeader, "other"}, "food-review-v2"},
		"the header":                     {chatPath, chat("m", "hi"), []string{rewriteHeader, "other"}, "other"},
		"the older header":               {chatPath, chat("m", "hi"), []string{"x-gateway-model-name-rewrite", "older"}, "older"},
		"the current header beats it":    {chatPath, chat("m", "hi"), []string{"x-gateway-model-name-rewrite", "older", rewriteHeader, "other"}, "other"},
		"neither":                        {chatPath, chat("m", "hi"), nil, "m"},
		"the same name":                  {chatPath, chat("m", "hi"), []string{rewriteHeader, "m"}, "m"},
		"a name that has to be escaped":  {chatPath, chat("m", "hi"), []string{rewriteHeader, `a"b\c`}, `a"b\c`},
		"an API that is not read":        {"/other", `{"model":"food-review"}`, []string{rewriteHeader, "other"}, "food-review"},
		"the model is last, with blanks": {chatPath, `{"messages":[{"role":"user","content":"\"model\":\"food-review\""}], "model" : "food-review" }`, nil, "food-review-v2"},
	} {
		t.Run(name, func(t *testing.T) {
			s := p.open()
			s.t = t
			s.send(requestHeaders(false, append([]string{":path", test.path}, test.headers...)...))
			half := len(test.body) / 2
			s.send(requestBody(test.body[:half], false))
			s.send(requestBody(test.body[half:], true))
			set := mutations(s.receive().GetRequestHeaders().GetResponse())
			sent := s.receiveBody(0, true, requestBodyOf)
			if set["content-length"] != strconv.Itoa(len(sent)) {
				t.Errorf("content-length %s for %d bytes", set["content-length"], len(sent))
			}
			asked := "food-review"
			if !strings.Contains(test.body, asked) {
				asked = "m"
			}
			// All but the model is as it came: nothing is written anew.
			at := strings.LastIndex(test.body, strconv.Quote(asked))
			want := test.body[:at] + strconv.Quote(test.want) + test.body[at+len(strconv.Quote(asked)):]
			if sent != want {
				t.Errorf("sent on:\n%s, want\n%s", sent, want)
			}
			s.finish()
		})
	}
	p.expectIdle()
	if got := p.metric("llm_d_epp_model_rewrite_decisions_total", "model_rewrite_name", "canary", "model_name", "food-review", "target_model", "food-review-v2"); got != 3 {
		t.Errorf("%g rewrites by rule counted, want 3", got)
	}
	if got := p.metric("llm_d_epp_request_total", "model_name", "m", "target_model_name", "older"); got != 1 {
		t.Errorf("%g requests of m for older", got)
	}
}

func TestTheAnswerHasTheNameThatTheClientAskedFor(t *testing.T) {
	p := startPicker(t, settings{endpoints: 1, rules: rewriting()})
	answer := "data: {\"id\":\"1\",\"model\":\"food-review-v2\",\"choices\":[{\"delta\":{\"content\":\"\\\"model\\\":\\\"food-review-v2\\\"\"}}]}\n\n" +
		"data: {\"model\": \"food-review-v2\",\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":7}}\n\ndata: [DONE]\n\n"
	want := strings.NewReplacer(`"model":"food-review-v2","cho`, `"model":"food-review","cho`, `"model": "food-review-v2"`, `"model": "food-review"`).Replace(answer)
	for _, size := range []int{1, 7, 64, len(answer)} {
		s := p.open()
		s.send(requestHeaders(false, ":path", chatPath))
		s.send(requestBody(chat("food-review", "hi"), true))
		s.receive()
		s.receiveBody(0, true, requestBodyOf)
		s.send(responseHeaders(":status", "200", "content-type", "text/event-stream", "content-length", strconv.Itoa(len(answer))))
		if removed := s.receive().GetResponseHeaders().GetResponse().GetHeaderMutation().GetRemoveHeaders(); len(removed) != 1 || removed[0] != "content-length" {
			t.Errorf("headers removed: %v; the length of the answer changes", removed)
		}
		var got strings.Builder
		for rest := answer; rest != ""; {
			n := min(size, len(rest))
			s.send(responseBody(rest[:n], n == len(rest)))
			rest = rest[n:]
			chunk := s.receive().GetResponseBody().GetResponse().GetBodyMutation().GetStreamedResponse()
			got.Write(chunk.GetBody())
			if chunk.GetEndOfStream() != (rest == "") {
				t.Fatalf("the end is marked with %d bytes left", len(rest))
			}
		}
		s.finish()
		if got.String() != want {
			t.Fatalf("in pieces of %d:\n%s, want\n%s", size, got.String(), want)
		}
	}
	p.expectIdle()
	if got := p.metric("llm_d_epp_request_output_tokens", "model_name", "food-review", "target_model_name", "food-review-v2"); got != 4 {
		t.Errorf("usage of %g answers, want 4", got)
	}
}

// TestAnAnswerWhoseTrailersEndItIsWhole: what was held back for a name that might begin goes out before the trailers.
func TestAnAnswerWhoseTrailersEndItIsWhole(t *testing.T) {
	p := startPicker(t, settings{endpoints: 1, rules: rewriting()})
	s := p.open()
	s.send(requestHeaders(false, ":path", chatPath))
	s.send(requestBody(chat("food-review", "hi"), true))
	s.receive()
	s.receiveBody(0, true, requestBodyOf)
	s.send(responseHeaders(":status", "200"))
	s.receive()
	answer := `{"x":1,"model":"food-re`
	s.send(responseBody(answer, false))
	got := string(s.receive().GetResponseBody().GetResponse().GetBodyMutation().GetStreamedResponse().GetBody())
	s.send(responseTrailers())
	rest := s.receive()
	if chunk := rest.GetResponseBody(); chunk != nil {
		got += string(chunk.GetResponse().GetBodyMutation().GetStreamedResponse().GetBody())
		rest = s.receive()
	}
	if rest.GetResponseTrailers() == nil || got != answer {
		t.Errorf("got %q, then %v", got, rest)
	}
	s.finish()
}

func TestCompressedAnswersPassAsTheyAre(t *testing.T) {
	p := startPicker(t, settings{endpoints: 1, rules: rewriting()})
	s := p.open()
	s.send(requestHeaders(false, ":path", chatPath))
	s.send(requestBody(chat("food-review", "hi"), true))
	s.receive()
	s.receiveBody(0, true, requestBodyOf)
	s.send(responseHeaders(":status", "200", "content-encoding", "gzip", "content-length", "9"))
	if removed := s.receive().GetResponseHeaders().GetResponse().GetHeaderMutation().GetRemoveHeaders(); len(removed) != 0 {
		t.Errorf("headers removed: %v", removed)
	}
	s.finish()
}
