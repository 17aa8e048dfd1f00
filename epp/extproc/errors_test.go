package extproc_test

import (
	"strings"
	"testing"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/switchyard/switchyard/epp/config"
)

const onlyOpenAI = `
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: openai-parser
requestHandler: {parsers: [{pluginRef: openai-parser}]}
`

const nobodyFits = `
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: label-selector-filter
  parameters: {matchLabels: {no: such}}
`

// profilesByHeader has no profile for requests that name none.
const profilesByHeader = `
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: header-profile-handler
- type: random-picker
- type: agent-identity
schedulingProfiles:
- {name: prefill, plugins: [{pluginRef: random-picker}]}
- {name: encode, plugins: [{pluginRef: random-picker}]}
`

// TestIdentityOfAnAgent counts a request that names no fairness id for the agent's session.
func TestIdentityOfAnAgent(t *testing.T) {
	for _, given := range []struct{ fairness, want string }{{"", "session-7"}, {"tenant", "tenant"}} {
		p := startPicker(t, settings{endpoints: 2, config: profilesByHeader})
		s := p.open()
		headers := []string{":path", chatPath, "epp-profile", "encode", "x-claude-code-session-id", "session-7"}
		if given.fairness != "" {
			headers = append(headers, "x-llm-d-inference-fairness-id", given.fairness)
		}
		s.send(requestHeaders(false, headers...))
		s.send(requestBody(chat("m", "x"), true))
		if answer := s.receive(); answer.GetImmediateResponse() != nil {
			t.Errorf("refused: %v", answer)
		}
		if p.metric("llm_d_epp_request_total", "fairness_id", given.want) != 1 {
			t.Errorf("fairness id %q in the headers: the request is not counted for %s", given.fairness, given.want)
		}
		s.cancel()
	}
}

// TestRefusals sends what is to be refused over both protocols.
func TestRefusals(t *testing.T) {
	for _, test := range []struct {
		name         string
		settings     settings
		path, body   string
		subset       []string
		headersOnly  bool
		noEndpoints  bool
		status       int
		text         string // prefix of the body
		reason, code string
	}{
		{name: "bad JSON", path: chatPath, body: `{"model":"m",`,
			status: 400, text: "inference error: BadRequest - error unmarshaling request bodyMap: ", code: "BadRequest"},
		{name: "no JSON", path: chatPath, body: `hello`,
			status: 400, text: "inference error: BadRequest - error unmarshaling request bodyMap: ", code: "BadRequest"},
		{name: "no model", path: chatPath, body: `{"messages":[{"role":"user","content":"x"}]}`,
			status: 400, text: "inference error: BadRequest - model not found in request body", code: "BadRequest"},
		{name: "no messages", path: chatPath, body: `{"model":"m"}`,
			status: 400, text: "inference error: BadRequest - invalid chat completions request: must have valid messages field", code: "BadRequest"},
		{name: "empty messages", path: chatPath, body: `{"model":"m","messages":[]}`,
			status: 400, text: "inference error: BadRequest - chat-completions request must have at least one message", code: "BadRequest"},
		{name: "no prompt", path: "/v1/completions", body: `{"model":"m"}`,
			status: 400, text: "inference error: BadRequest - invalid completions request: must have prompt field", code: "BadRequest"},
		{name: "no parser", settings: settings{config: onlyOpenAI}, path: "/v1/messages?x=1", body: `{}`,
			status: 400, text: "inference error: BadRequest - no parser registered matching path suffix for: /v1/messages", code: "BadRequest"},
		{name: "no endpoints", noEndpoints: true, path: chatPath, body: chat("m", "x"), status: 503,
			text:   "inference error: ServiceUnavailable - failed to find endpoint candidates for serving the request",
			reason: "rejected-no-endpoints", code: "ServiceUnavailable"},
		{name: "no endpoints for a request without body", noEndpoints: true, headersOnly: true, path: "/v1/models",
			status: 503, text: "inference error: ServiceUnavailable - ", reason: "rejected-no-endpoints", code: "ServiceUnavailable"},
		{name: "empty subset", path: chatPath, body: chat("m", "x"), subset: []string{}, status: 503,
			text: "inference error: ServiceUnavailable - ", reason: "rejected-no-endpoints", code: "ServiceUnavailable"},
		{name: "subset of strangers", path: chatPath, body: chat("m", "x"), subset: []string{"192.0.2.1:1"}, status: 503,
			text: "inference error: ServiceUnavailable - ", reason: "rejected-no-endpoints", code: "ServiceUnavailable"},
		{name: "filtered", settings: settings{config: nobodyFits}, path: chatPath, body: chat("m", "x"), status: 429,
			text:   "inference error: ResourceExhausted - no endpoints available for the given request",
			reason: "rejected-saturated", code: "ResourceExhausted"},
		{name: "no profile", settings: settings{config: profilesByHeader}, path: chatPath, body: chat("m", "x"), status: 400,
			text: "inference error: BadRequest - invalid request: header epp-profile does not name a scheduling profile", code: "BadRequest"},
	} {
		for _, protocol := range []string{"lean", "standard"} {
			t.Run(test.name+"/"+protocol, func(t *testing.T) {
				with := test.settings
				if !test.noEndpoints {
					with.endpoints = 2
				}
				p := startPicker(t, with)
				var s *stream
				var last *extprocv3.ProcessingRequest
				switch {
				case test.headersOnly:
					s = p.open("x-switchyard-protocol", protocol)
					last = requestHeaders(true, ":path", test.path)
				case protocol == "lean":
					s = p.openLean()
					last = leanBody(test.path, test.body, true)
				default:
					s = p.open()
					s.send(requestHeaders(false, ":path", test.path))
					last = requestBody(test.body, true)
				}
				if test.subset != nil {
					last = subset(last, test.subset...)
				}
				s.send(last)
				expectRefusal(t, s.receive(), test.status, test.text, test.reason)
				s.finish()
				p.expectIdle()
				if got := p.metric("llm_d_epp_request_error_total", "error_code", test.code); got != 1 {
					t.Errorf("request_error_total{error_code=%q} is %g, want 1", test.code, got)
				}
				if got := p.metric("llm_d_epp_request_total"); got != 1 {
					t.Errorf("request_total is %g, want 1", got)
				}
			})
		}
	}
}

func expectRefusal(t *testing.T, response *extprocv3.ProcessingResponse, status int, text, reason string) {
	t.Helper()
	immediate := response.GetImmediateResponse()
	if immediate == nil {
		t.Fatalf("answer %v, want a refusal", response)
	}
	if got := int(immediate.GetStatus().GetCode()); got != status {
		t.Errorf("status %d, want %d", got, status)
	}
	if got := string(immediate.GetBody()); !strings.HasPrefix(got, text) {
		t.Errorf("body %q, want it to begin with %q", got, text)
	}
	got := mutations(&extprocv3.CommonResponse{HeaderMutation: immediate.GetHeaders()})["x-llm-d-request-dropped-reason"]
	if got != reason {
		t.Errorf("dropped reason %q, want %q", got, reason)
	}
}

func TestStandardRefusesABodyThatIsTooLarge(t *testing.T) {
	p := startPicker(t, settings{endpoints: 1, maxBody: 10_000})
	s := p.open()
	s.send(requestHeaders(false, ":path", chatPath))
	s.send(requestBody(strings.Repeat("x", 6000), false))
	s.send(requestBody(strings.Repeat("x", 6000), false))
	expectRefusal(t, s.receive(), 413, "inference error: PayloadTooLarge - request body is larger than 10000 bytes", "")
	p.expectIdle()
}

func TestPoolOfAStream(t *testing.T) {
	ask := func(p *picker, pairs ...string) error {
		s := p.open(append(pairs, "x-switchyard-protocol", "lean")...)
		// The picker may refuse the stream before the message is sent.
		_ = s.client.Send(leanBody(chatPath, chat("m", "x"), true))
		_, err := s.client.Recv()
		s.cancel()
		return err
	}
	two := startPicker(t, settings{endpoints: 1, pools: []string{"a/one", "ns/pool"}})
	if err := ask(two, "x-switchyard-pool", "ns/pool"); err != nil {
		t.Errorf("a named pool: %v", err)
	}
	if err := ask(two); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "x-switchyard-pool") {
		t.Errorf("no name with two pools: %v", err)
	}
	if err := ask(two, "x-switchyard-pool", "ns/none"); status.Code(err) != codes.NotFound || !strings.Contains(err.Error(), "ns/none") {
		t.Errorf("an unknown pool: %v", err)
	}
	withDefault := startPicker(t, settings{endpoints: 1, pools: []string{"a/one", "ns/pool"}, defaultPool: "ns/pool"})
	if err := ask(withDefault); err != nil {
		t.Errorf("no name with a default: %v", err)
	}
	if err := ask(startPicker(t, settings{endpoints: 1})); err != nil {
		t.Errorf("no name with one pool: %v", err)
	}
}

func TestMalformedMessagesEndTheStream(t *testing.T) {
	p := startPicker(t, settings{endpoints: 1})
	s := p.openLean()
	// Attributes of a wrong shape are simply not there; the body decides.
	s.send(&extprocv3.ProcessingRequest{})
	s.send(leanBody(chatPath, chat("m", "x"), true))
	if picked(s.receive()) == "" {
		t.Fatal("no pick after an empty message")
	}
	s.finish()
	p.expectIdle()
}

// TestLeanBodyAfterHeadersIsWhole sends a body that is cut, in the order in which it cannot be.
func TestLeanBodyAfterHeadersIsWhole(t *testing.T) {
	p := startPicker(t, settings{endpoints: 1})
	s := p.openLean()
	s.send(requestHeaders(false, ":path", chatPath))
	s.receive()
	s.send(requestBody(`{"model":"m","messages":[{"role":"user"`, false))
	expectRefusal(t, s.receive(), 400, "inference error: BadRequest - error unmarshaling request bodyMap: ", "")
	s.finish()
	p.expectIdle()
}

// TestAPanicEndsOneStreamOnly serves with a configuration that lacks its handler.
func TestAPanicEndsOneStreamOnly(t *testing.T) {
	broken := *config.Default()
	broken.Handler = nil
	p := startPicker(t, settings{endpoints: 1, compiled: &broken})
	for range 2 {
		s := p.openLean()
		s.send(leanBody(chatPath, chat("m", "x"), true))
		if _, err := s.client.Recv(); status.Code(err) != codes.Internal {
			t.Fatalf("error %v, want Internal", err)
		}
		p.expectIdle()
	}
}
