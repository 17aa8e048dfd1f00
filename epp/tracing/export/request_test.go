package export_test

import (
	"context"
	"encoding/hex"
	"net"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/switchyard/switchyard/epp"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/tracing"
)

const (
	traceID  = "0af7651916cd43dd8448eb211c80319c"
	parentID = "b7ad6b7169203331"
	body     = `{"model":"m","messages":[{"role":"user","content":"hello"}]}`
	answered = `{"id":"1","object":"chat.completion","model":"m","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}`
	endpoint = "10.0.0.1:8000"
	atMost   = 20 * time.Second
)

// dial starts a picker of one pool and gives a connection to it. Its end is that of every request on it.
func dial(t *testing.T, tracer *tracing.Tracer, endpoints ...string) (extprocv3.ExternalProcessorClient, func()) {
	t.Helper()
	pools := datalayer.New(datalayer.Options{})
	var specs []datalayer.Spec
	for _, address := range endpoints {
		specs = append(specs, datalayer.Spec{Name: "pod-rank-0", Namespace: "ns", Address: address})
	}
	pools.Set("ns/pool", specs)
	picker, err := epp.New(epp.Options{Pools: pools, Tracer: tracer, Logger: silent})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := picker.GRPCServer()
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	stop := func() {
		conn.Close()
		server.GracefulStop()
		<-served
	}
	t.Cleanup(stop)
	return extprocv3.NewExternalProcessorClient(conn), stop
}

type proxy struct {
	t      *testing.T
	stream extprocv3.ExternalProcessor_ProcessClient
}

func open(t *testing.T, client extprocv3.ExternalProcessorClient, lean bool) *proxy {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), atMost)
	t.Cleanup(cancel)
	if lean {
		ctx = metadata.AppendToOutgoingContext(ctx, "x-switchyard-protocol", "lean")
	}
	stream, err := client.Process(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return &proxy{t, stream}
}

func (p *proxy) send(request *extprocv3.ProcessingRequest) {
	p.t.Helper()
	if err := p.stream.Send(request); err != nil {
		p.t.Fatal(err)
	}
}

func (p *proxy) receive() *extprocv3.ProcessingResponse {
	p.t.Helper()
	response, err := p.stream.Recv()
	if err != nil {
		p.t.Fatal(err)
	}
	return response
}

func requestHeaders(pairs ...string) *extprocv3.ProcessingRequest {
	sent := &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: ":path", RawValue: []byte("/v1/chat/completions")}}}
	for i := 0; i < len(pairs); i += 2 {
		sent.Headers = append(sent.Headers, &corev3.HeaderValue{Key: pairs[i], RawValue: []byte(pairs[i+1])})
	}
	return &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestHeaders{RequestHeaders: &extprocv3.HttpHeaders{Headers: sent}}}
}

func requestBody(text string) *extprocv3.ProcessingRequest {
	return &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestBody{
		RequestBody: &extprocv3.HttpBody{Body: []byte(text), EndOfStream: true}}}
}

// ask sends a request in full and returns the headers that the proxy is to set on it.
func (p *proxy) ask(lean bool, pairs ...string) map[string]string {
	p.t.Helper()
	p.send(requestHeaders(pairs...))
	if lean {
		p.receive()
	}
	p.send(requestBody(body))
	response := p.receive()
	common := response.GetRequestHeaders().GetResponse()
	if lean {
		common = response.GetRequestBody().GetResponse()
	} else {
		p.receive() // the body
	}
	set := map[string]string{}
	for _, header := range common.GetHeaderMutation().GetSetHeaders() {
		set[header.GetHeader().GetKey()] = string(header.GetHeader().GetRawValue())
	}
	return set
}

// answer sends the model server's answer in full, and ends the stream.
func (p *proxy) answer(lean bool) {
	p.t.Helper()
	p.send(&extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseHeaders{ResponseHeaders: &extprocv3.HttpHeaders{
		Headers: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: ":status", RawValue: []byte("200")}}}}}})
	p.receive()
	if lean {
		p.send(&extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseTrailers{ResponseTrailers: &extprocv3.HttpTrailers{}}})
		p.receive()
		p.finish()
		return
	}
	p.send(&extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseBody{
		ResponseBody: &extprocv3.HttpBody{Body: []byte(answered), EndOfStream: true}}})
	p.receive()
	p.finish()
}

func (p *proxy) finish() {
	p.t.Helper()
	_ = p.stream.CloseSend()
	for {
		if _, err := p.stream.Recv(); err != nil {
			return
		}
	}
}

// TestARequestIsOneTree: over both protocols, a request is a span below the client's, with what the picker did below it, and the
// model server is told to continue.
func TestARequestIsOneTree(t *testing.T) {
	for _, protocol := range []string{"standard", "lean"} {
		t.Run(protocol, func(t *testing.T) {
			lean := protocol == "lean"
			collector := startCollector(t)
			environment(t, "OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+collector.address, "OTEL_SERVICE_NAME", "mine")
			exported := start(t, silent)
			client, stop := dial(t, exported.Tracer(), endpoint)
			p := open(t, client, lean)
			set := p.ask(lean, "traceparent", "00-"+traceID+"-"+parentID+"-01", "tracestate", "vendor=1", "x-request-id", "r1")
			p.answer(lean)
			stop()
			exported.Stop()

			spans := collector.taken()
			if len(spans) != 3 || len(spans["epp.request"]) != 1 || len(spans["epp.admission"]) != 1 || len(spans["epp.scheduling"]) != 1 {
				t.Fatalf("spans %v, want one each of epp.request, epp.admission, epp.scheduling", spans)
			}
			root := spans["epp.request"][0]
			if got := hex.EncodeToString(root.GetTraceId()); got != traceID {
				t.Errorf("trace %s, want the client's", got)
			}
			if got := hex.EncodeToString(root.GetParentSpanId()); got != parentID || root.GetKind() != tracev1.Span_SPAN_KIND_SERVER {
				t.Errorf("parent %s, kind %s", got, root.GetKind())
			}
			for _, name := range []string{"epp.admission", "epp.scheduling"} {
				step := spans[name][0]
				if string(step.GetParentSpanId()) != string(root.GetSpanId()) || string(step.GetTraceId()) != string(root.GetTraceId()) {
					t.Errorf("%s is not below the request", name)
				}
			}
			if want := "00-" + traceID + "-" + hex.EncodeToString(root.GetSpanId()) + "-01"; set["traceparent"] != want || set["tracestate"] != "vendor=1" {
				t.Errorf("the model server is sent %q, %q; want %q, vendor=1", set["traceparent"], set["tracestate"], want)
			}
			texts := map[string]string{"gen_ai.request.model": "m", "llm_d.epp.pool": "ns/pool", "llm_d.epp.endpoint.picked": endpoint,
				"llm_d.epp.endpoint.served": endpoint, "llm_d.epp.request_id": "r1", "llm_d.epp.outcome": "served"}
			if !lean { // whose answers' bodies are not seen
				for key, want := range map[string]int64{"gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 3} {
					if got := attribute(root.GetAttributes(), key).GetIntValue(); got != want {
						t.Errorf("%s is %d, want %d", key, got, want)
					}
				}
			}
			for key, want := range texts {
				if got := attribute(root.GetAttributes(), key).GetStringValue(); got != want {
					t.Errorf("%s is %q, want %q", key, got, want)
				}
			}
			if got := attribute(spans["epp.scheduling"][0].GetAttributes(), "llm_d.epp.candidates").GetIntValue(); got != 1 {
				t.Errorf("%d candidates, want 1", got)
			}
			if len(collector.services) == 0 || collector.services[0] != "mine" {
				t.Errorf("service names %q", collector.services)
			}
		})
	}
}

// TestARefusalIsSeen: the span of a request that is not served tells what the client was told.
func TestARefusalIsSeen(t *testing.T) {
	collector := startCollector(t)
	environment(t, "OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+collector.address, "OTEL_TRACES_SAMPLER", "always_on")
	exported := start(t, silent)
	client, stop := dial(t, exported.Tracer())
	p := open(t, client, false)
	p.send(requestHeaders())
	p.send(requestBody(body))
	if got := p.receive().GetImmediateResponse().GetStatus().GetCode(); got != 503 {
		t.Fatalf("status %d, want 503", got)
	}
	p.finish()
	stop()
	exported.Stop()
	spans := collector.taken()
	if len(spans["epp.request"]) != 1 {
		t.Fatalf("spans %v", spans)
	}
	root := spans["epp.request"][0]
	if got := attribute(root.GetAttributes(), "http.response.status_code").GetIntValue(); got != 503 {
		t.Errorf("status attribute %d", got)
	}
	if got := attribute(root.GetAttributes(), "llm_d.epp.outcome").GetStringValue(); got != "refused" {
		t.Errorf("outcome %q", got)
	}
	if root.GetStatus().GetCode() != tracev1.Status_STATUS_CODE_ERROR || spans["epp.scheduling"][0].GetStatus().GetCode() != tracev1.Status_STATUS_CODE_ERROR {
		t.Errorf("status %v, %v; want errors", root.GetStatus(), spans["epp.scheduling"][0].GetStatus())
	}
}

// TestNotSampled: nothing is sent, and the model server is told that the trace is not recorded.
func TestNotSampled(t *testing.T) {
	for name, pairs := range map[string][]string{
		"sampler off":        {"OTEL_TRACES_SAMPLER", "always_off"},
		"ratio 0":            {"OTEL_TRACES_SAMPLER", "traceidratio", "OTEL_TRACES_SAMPLER_ARG", "0"},
		"client not sampled": {"OTEL_TRACES_SAMPLER", "parentbased_always_on"},
	} {
		t.Run(name, func(t *testing.T) {
			collector := startCollector(t)
			environment(t, append(pairs, "OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+collector.address)...)
			exported := start(t, silent)
			client, stop := dial(t, exported.Tracer(), endpoint)
			p := open(t, client, false)
			set := p.ask(false, "traceparent", "00-"+traceID+"-"+parentID+"-00")
			p.answer(false)
			stop()
			exported.Stop()
			if collector.calls != 0 {
				t.Errorf("%d calls, spans %v", collector.calls, collector.taken())
			}
			if got := set["traceparent"]; !strings.HasPrefix(got, "00-"+traceID+"-") || !strings.HasSuffix(got, "-00") {
				t.Errorf("the model server is sent traceparent %q", got)
			}
		})
	}
}

// TestWithoutTracesNothingIsSet: a client's headers pass as they are.
func TestWithoutTracesNothingIsSet(t *testing.T) {
	environment(t)
	exported := start(t, silent)
	if exported.Tracer() != nil {
		t.Fatal("traces are made though nobody asks for them")
	}
	client, _ := dial(t, nil, endpoint)
	p := open(t, client, false)
	set := p.ask(false, "traceparent", "00-"+traceID+"-"+parentID+"-01")
	p.answer(false)
	if _, ok := set["traceparent"]; ok {
		t.Errorf("headers %v", set)
	}
}
