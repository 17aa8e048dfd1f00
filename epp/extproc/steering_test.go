package extproc_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/switchyard/switchyard/epp/datalayer"
)

const (
	selection    = "test-epp-endpoint-selection"
	servedResult = "x-conformance-test-served-endpoint"
)

// startSteered is a picker with the configuration of a conformance run.
func startSteered(t *testing.T, endpoints int) *picker {
	t.Helper()
	text, err := os.ReadFile("../config/examples/conformance.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return startPicker(t, settings{endpoints: endpoints, config: string(text)})
}

// post sends a request as Envoy does with bodies streamed both ways, in two chunks, and returns the header answer.
func (s *stream) post(body string, pairs ...string) *extprocv3.ProcessingResponse {
	s.t.Helper()
	s.send(requestHeaders(false, append([]string{":path", "/primary-gateway-test", ":method", "POST"}, pairs...)...))
	s.send(requestBody(body[:len(body)/2], false))
	s.send(requestBody(body[len(body)/2:], true))
	return s.receive()
}

func TestTheSelectionHeaderSteers(t *testing.T) {
	p := startSteered(t, 3)
	for name, test := range map[string]struct {
		header  string
		subset  []string
		allowed []string
	}{
		"an IP":                            {"10.0.0.2", nil, []string{address(1)}},
		"two":                              {"10.0.0.3,10.0.0.1:8000", nil, []string{address(0), address(2)}},
		"the header beats the subset":      {"10.0.0.2", []string{"10.0.0.3:8000"}, []string{address(1)}},
		"the header beats an empty subset": {"10.0.0.2", []string{}, []string{address(1)}},
		"without the header the subset is": {"", []string{"10.0.0.3:8000"}, []string{address(2)}},
		"an empty header is no header":     {"", nil, []string{address(0), address(1), address(2)}},
	} {
		t.Run(name, func(t *testing.T) {
			got := map[string]bool{}
			var open []*stream
			for range 12 {
				s := p.open()
				s.t = t
				body := `{"model":"conformance-fake-model","prompt":"hello"}`
				headers := requestHeaders(false, ":path", "/primary-gateway-test", selection, test.header)
				if test.subset != nil {
					headers = subset(headers, test.subset...)
				}
				s.send(headers)
				s.send(requestBody(body, true))
				response := s.receive()
				at := picked(response)
				if set := mutations(response.GetRequestHeaders().GetResponse()); set[destination] != at {
					t.Fatalf("header %q and metadata %q differ", set[destination], at)
				}
				got[at] = true
				if echoed := s.receiveBody(len(body), true, requestBodyOf); echoed != body {
					t.Fatalf("body %q", echoed)
				}
				open = append(open, s)
			}
			if len(got) != len(test.allowed) {
				t.Errorf("picked %v, want all of %v", got, test.allowed)
			}
			for _, at := range test.allowed {
				if !got[at] {
					t.Errorf("picked %v, want %v", got, test.allowed)
				}
			}
			for _, s := range open {
				s.finish()
			}
			p.expectIdle()
		})
	}
}

// TestRequestsSpreadEvenly holds requests open, so that each is a turn of its own.
func TestRequestsSpreadEvenly(t *testing.T) {
	p := startSteered(t, 3)
	for range 30 {
		s := p.open()
		s.post(`{"prompt":"hello"}`)
	}
	if requests, _ := p.inFlight(); fmt.Sprint(requests) != "[10 10 10]" {
		t.Errorf("30 requests on 3 endpoints: %v", requests)
	}
}

func TestDataParallelPortsAreSelected(t *testing.T) {
	p := startSteered(t, 0)
	var specs []datalayer.Spec
	for pod := 1; pod <= 3; pod++ {
		for rank, port := range []int{3000, 3002, 3004} {
			specs = append(specs, datalayer.Spec{Name: fmt.Sprintf("pod-%d-rank-%d", pod, rank), Namespace: "ns",
				Pod: fmt.Sprintf("pod-%d", pod), Rank: rank, Address: fmt.Sprintf("10.0.0.%d:%d", pod, port)})
		}
	}
	p.pools.Set("ns/pool", specs)
	for header, want := range map[string][]string{
		"10.0.0.2:3002":               {"10.0.0.2:3002"},
		"10.0.0.1:3004,10.0.0.3:3000": {"10.0.0.1:3004", "10.0.0.3:3000"},
		"10.0.0.1":                    {"10.0.0.1:3000", "10.0.0.1:3002", "10.0.0.1:3004"},
	} {
		got := map[string]int{}
		var open []*stream
		for range 2 * len(want) {
			s := p.open()
			got[picked(s.post(`{"prompt":"hello"}`, selection, header))]++
			open = append(open, s)
		}
		for _, s := range open {
			s.receiveBody(0, true, requestBodyOf)
			s.finish()
		}
		p.expectIdle()
		for _, at := range want {
			if got[at] != 2 || len(got) != len(want) {
				t.Errorf("%s: picked %v, want each of %v twice", header, got, want)
			}
		}
	}
}

func TestASelectionOfNobodyIsRefused(t *testing.T) {
	p := startSteered(t, 3)
	s := p.open()
	immediate := s.post(`{"prompt":"hello"}`, selection, "10.0.0.9").GetImmediateResponse()
	if got := immediate.GetStatus().GetCode(); got != 429 {
		t.Fatalf("status %d, want 429", got)
	}
	if want := "inference error: ResourceExhausted - no endpoints available for the given request"; string(immediate.GetBody()) != want {
		t.Errorf("body %q, want %q", immediate.GetBody(), want)
	}
	reason := immediate.GetHeaders().GetSetHeaders()[0].GetHeader()
	if reason.GetKey() != "x-llm-d-request-dropped-reason" || string(reason.GetRawValue()) != "rejected-saturated" {
		t.Errorf("header %v", reason)
	}
	p.expectIdle()
}

// TestAnyBodyIsPassedOn sends what is no request of an inference API.
func TestAnyBodyIsPassedOn(t *testing.T) {
	p := startSteered(t, 1)
	for name, body := range map[string]string{
		"JSON": `{"model":"conformance-fake-model","prompt":"hello"}`, "other JSON": `[1,2]`, "broken JSON": `{"model":`,
		"text": "hello", "empty": "", "binary": "\x00\xff\xfe",
	} {
		for _, path := range []string{"/primary-gateway-test", "/", "/v1/chat/completions"} {
			s := p.open()
			s.send(requestHeaders(false, ":path", path, ":method", "POST"))
			s.send(requestBody(body, true))
			if got := picked(s.receive()); got != address(0) {
				t.Fatalf("%s to %s: picked %q", name, path, got)
			}
			if echoed := s.receiveBody(len(body), true, requestBodyOf); echoed != body {
				t.Errorf("%s to %s came back as %q", name, path, echoed)
			}
			s.finish()
		}
	}
	s := p.open()
	s.send(requestHeaders(true, ":path", "/", ":method", "GET", selection, "10.0.0.1"))
	if got := picked(s.receive()); got != address(0) {
		t.Errorf("GET: picked %q", got)
	}
	s.finish()
	p.expectIdle()
}

// setHeaders are the headers that an answer to response headers sets, each checked to replace what was there.
func setHeaders(t *testing.T, response *extprocv3.ProcessingResponse) map[string][]string {
	t.Helper()
	set := map[string][]string{}
	for _, option := range response.GetResponseHeaders().GetResponse().GetHeaderMutation().GetSetHeaders() {
		if option.GetAppendAction() != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD {
			t.Errorf("%s: %s, want one value in the end", option.GetHeader().GetKey(), option.GetAppendAction())
		}
		key := option.GetHeader().GetKey()
		set[key] = append(set[key], string(option.GetHeader().GetRawValue()))
	}
	return set
}

func TestTheServedEndpointIsShown(t *testing.T) {
	p := startSteered(t, 3)
	s := p.open()
	s.post(`{"prompt":"hello"}`, selection, "10.0.0.2")
	s.receiveBody(0, true, requestBodyOf)
	s.send(served(responseHeaders(":status", "200", servedResult, "10.0.0.1:1"), address(1)))
	set := setHeaders(t, s.receive())
	if len(set[servedResult]) != 1 || set[servedResult][0] != address(1) || set["x-went-into-resp-headers"][0] != "true" || len(set) != 2 {
		t.Errorf("headers set: %v", set)
	}
	s.send(responseBody("answer", true))
	if got := s.receive().GetResponseBody().GetResponse().GetBodyMutation().GetStreamedResponse(); string(got.GetBody()) != "answer" || !got.GetEndOfStream() {
		t.Errorf("body %v", got)
	}
	s.finish()

	silent := p.open()
	silent.post(`{"prompt":"hello"}`)
	silent.receiveBody(0, true, requestBodyOf)
	silent.send(responseHeaders(":status", "200", servedResult, "10.0.0.1:1"))
	if set := setHeaders(t, silent.receive()); len(set[servedResult]) != 1 || !strings.HasPrefix(set[servedResult][0], "fail: ") {
		t.Errorf("without the endpoint served the headers set are %v", set)
	}
	silent.finish()
	p.expectIdle()
}

// TestLeanStreamsAreSteeredToo sends what a lean proxy would send if it were told to send the header along.
func TestLeanStreamsAreSteeredToo(t *testing.T) {
	p := startSteered(t, 3)
	for range 5 {
		s := p.openLean()
		s.send(leanBody("/any", "hello", true, "request.headers['"+selection+"']", "10.0.0.3"))
		if got := picked(s.receive()); got != address(2) {
			t.Fatalf("picked %q", got)
		}
		s.send(served(responseHeaders(":status", "200"), address(2)))
		set := setHeaders(t, s.receive())
		if len(set[servedResult]) != 1 || set[servedResult][0] != address(2) || len(set) != 1 {
			t.Errorf("headers set: %v", set)
		}
		s.finish()
	}
	p.expectIdle()
}
