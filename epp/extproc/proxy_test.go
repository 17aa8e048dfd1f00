package extproc_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/director"
	"github.com/switchyard/switchyard/epp/extproc"
	"github.com/switchyard/switchyard/epp/metrics"
	"github.com/switchyard/switchyard/epp/objective"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	namespaceLB = "envoy.lb"
	destination = "x-gateway-destination-endpoint"
	patience    = 5 * time.Second
)

// picker is a service on a real connection, with one pool of endpoints "10.0.0.1:8000", "10.0.0.2:8000"...
type picker struct {
	t        *testing.T
	pools    *datalayer.Pools
	registry *prometheus.Registry
	server   *grpc.Server
	service  *extproc.Service
	conn     *grpc.ClientConn
	address  string
}

type settings struct {
	endpoints   int
	config      string
	compiled    *config.Config
	defaultPool string
	maxBody     int
	pools       []string
	rules       *objective.Rules
	scores      bool
}

func startPicker(t *testing.T, with settings) *picker {
	t.Helper()
	p := &picker{t: t, pools: datalayer.New(datalayer.Options{}), registry: prometheus.NewRegistry()}
	if with.pools == nil {
		with.pools = []string{"ns/pool"}
	}
	for _, key := range with.pools {
		p.pools.Set(key, specs(with.endpoints))
	}
	compiled := config.Default()
	if with.config != "" {
		var err error
		if compiled, err = config.Load([]byte(with.config)); err != nil {
			t.Fatal(err)
		}
	}
	if with.compiled != nil {
		compiled = with.compiled
	}
	series, err := metrics.New(p.registry, metrics.Build{}, p.pools)
	if err != nil {
		t.Fatal(err)
	}
	p.service = extproc.New(extproc.Options{Director: director.New(director.Options{Pools: p.pools, Config: compiled, Metrics: series, Scores: with.scores,
		Rules: func() *objective.Rules { return with.rules }}), Config: compiled, DefaultPool: with.defaultPool, MaxBody: with.maxBody, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	p.server = grpc.NewServer(grpc.ForceServerCodecV2(extproc.Codec()), grpc.MaxRecvMsgSize(80<<20), grpc.WaitForHandlers(true))
	p.service.Register(p.server)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.address = listener.Addr().String()
	served := make(chan struct{})
	go func() { defer close(served); _ = p.server.Serve(listener) }()
	p.conn, err = grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(80<<20), grpc.MaxCallSendMsgSize(80<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.conn.Close()
		p.server.Stop()
		<-served
	})
	return p
}

func specs(n int) []datalayer.Spec {
	made := make([]datalayer.Spec, n)
	for i := range made {
		made[i] = datalayer.Spec{Name: fmt.Sprintf("pod-%d-rank-0", i), Namespace: "ns", Pod: fmt.Sprintf("pod-%d", i), Address: address(i)}
	}
	return made
}

func address(i int) string { return fmt.Sprintf("10.0.0.%d:8000", i+1) }

func (p *picker) pool() *datalayer.Pool {
	pool, ok := p.pools.Get("ns/pool")
	if !ok {
		p.t.Fatal("no pool")
	}
	return pool
}

// inFlight is requests and tokens in flight at each endpoint.
func (p *picker) inFlight() (requests, tokens []int64) {
	for _, endpoint := range p.pool().Endpoints() {
		requests, tokens = append(requests, endpoint.Requests()), append(tokens, endpoint.Tokens())
	}
	return requests, tokens
}

func (p *picker) totalInFlight() (requests, tokens int64) {
	perEndpoint, perEndpointTokens := p.inFlight()
	for i := range perEndpoint {
		requests, tokens = requests+perEndpoint[i], tokens+perEndpointTokens[i]
	}
	return requests, tokens
}

// expectIdle waits until nothing is in flight, and checks that nothing is released twice.
func (p *picker) expectIdle() {
	p.t.Helper()
	p.eventually("nothing in flight", func() bool {
		requests, tokens := p.totalInFlight()
		return requests == 0 && tokens == 0 && p.service.Streams() == 0
	})
	requests, tokens := p.inFlight()
	for i := range requests {
		if requests[i] != 0 || tokens[i] != 0 {
			p.t.Fatalf("in flight per endpoint: requests %v, tokens %v", requests, tokens)
		}
	}
	if running := p.metric("llm_d_epp_request_running"); running != 0 {
		p.t.Fatalf("llm_d_epp_request_running is %g with nothing in flight", running)
	}
}

func (p *picker) eventually(what string, holds func() bool) {
	p.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !holds() {
		select {
		case <-deadline:
			requests, tokens := p.inFlight()
			p.t.Fatalf("not within %s: %s (requests %v, tokens %v, streams %d)", patience, what, requests, tokens, p.service.Streams())
		case <-tick.C:
		}
	}
}

// metric sums a series over the labels given as name, value pairs; of a histogram it is the number of observations.
func (p *picker) metric(name string, labels ...string) float64 {
	p.t.Helper()
	families, err := p.registry.Gather()
	if err != nil {
		p.t.Fatal(err)
	}
	sum := 0.0
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			matches := true
			for i := 0; i < len(labels); i += 2 {
				found := false
				for _, label := range m.GetLabel() {
					found = found || label.GetName() == labels[i] && label.GetValue() == labels[i+1]
				}
				matches = matches && found
			}
			if matches {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

// stream is one request, as a proxy drives it.
type stream struct {
	t      *testing.T
	client extprocv3.ExternalProcessor_ProcessClient
	cancel context.CancelFunc
}

// open starts a stream with initial metadata given as key, value pairs.
func (p *picker) open(pairs ...string) *stream {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	ctx = metadata.AppendToOutgoingContext(ctx, pairs...)
	client, err := extprocv3.NewExternalProcessorClient(p.conn).Process(ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(cancel)
	return &stream{t: p.t, client: client, cancel: cancel}
}

func (p *picker) openLean() *stream {
	return p.open("x-switchyard-protocol", "lean", "x-switchyard-pool", "ns/pool")
}

func (s *stream) send(request *extprocv3.ProcessingRequest) {
	s.t.Helper()
	if err := s.client.Send(request); err != nil {
		s.t.Fatalf("sending: %v", err)
	}
}

func (s *stream) receive() *extprocv3.ProcessingResponse {
	s.t.Helper()
	response, err := s.client.Recv()
	if err != nil {
		s.t.Fatalf("receiving: %v", err)
	}
	return response
}

// finish closes the stream as a proxy does when the request is over, and expects the picker to agree.
func (s *stream) finish() {
	s.t.Helper()
	if err := s.client.CloseSend(); err != nil {
		s.t.Fatal(err)
	}
	if response, err := s.client.Recv(); err != io.EOF {
		s.t.Fatalf("after the end: %v, %v", response, err)
	}
}

// picked is the address in a response's dynamic metadata.
func picked(response *extprocv3.ProcessingResponse) string {
	return response.GetDynamicMetadata().GetFields()[namespaceLB].GetStructValue().GetFields()[destination].GetStringValue()
}

func leanBody(path, body string, endOfStream bool, attributes ...string) *extprocv3.ProcessingRequest {
	fields := map[string]*structpb.Value{"request.path": structpb.NewStringValue(path), "request.method": structpb.NewStringValue("POST")}
	for i := 0; i < len(attributes); i += 2 {
		fields[attributes[i]] = structpb.NewStringValue(attributes[i+1])
	}
	return &extprocv3.ProcessingRequest{
		Request:    &extprocv3.ProcessingRequest_RequestBody{RequestBody: &extprocv3.HttpBody{Body: []byte(body), EndOfStream: endOfStream}},
		Attributes: map[string]*structpb.Struct{"envoy.filters.http.ext_proc": {Fields: fields}},
	}
}

func requestHeaders(endOfStream bool, pairs ...string) *extprocv3.ProcessingRequest {
	return &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestHeaders{
		RequestHeaders: &extprocv3.HttpHeaders{Headers: headerMap(pairs...), EndOfStream: endOfStream}}}
}

func responseHeaders(pairs ...string) *extprocv3.ProcessingRequest {
	return &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseHeaders{
		ResponseHeaders: &extprocv3.HttpHeaders{Headers: headerMap(pairs...)}}}
}

func requestBody(body string, endOfStream bool) *extprocv3.ProcessingRequest {
	return &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestBody{
		RequestBody: &extprocv3.HttpBody{Body: []byte(body), EndOfStream: endOfStream}}}
}

func responseBody(body string, endOfStream bool) *extprocv3.ProcessingRequest {
	return &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseBody{
		ResponseBody: &extprocv3.HttpBody{Body: []byte(body), EndOfStream: endOfStream}}}
}

func responseTrailers() *extprocv3.ProcessingRequest {
	return &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseTrailers{ResponseTrailers: &extprocv3.HttpTrailers{}}}
}

// withMetadata adds a string to a message's filter metadata.
func withMetadata(request *extprocv3.ProcessingRequest, namespace, key string, value *structpb.Value) *extprocv3.ProcessingRequest {
	if request.MetadataContext == nil {
		request.MetadataContext = &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{}}
	}
	request.MetadataContext.FilterMetadata[namespace] = &structpb.Struct{Fields: map[string]*structpb.Value{key: value}}
	return request
}

func served(request *extprocv3.ProcessingRequest, endpoint string) *extprocv3.ProcessingRequest {
	return withMetadata(request, namespaceLB, destination+"-served", structpb.NewStringValue(endpoint))
}

func subset(request *extprocv3.ProcessingRequest, endpoints ...string) *extprocv3.ProcessingRequest {
	list := &structpb.ListValue{}
	for _, endpoint := range endpoints {
		list.Values = append(list.Values, structpb.NewStringValue(endpoint))
	}
	return withMetadata(request, "envoy.lb.subset_hint", destination+"-subset", structpb.NewListValue(list))
}

// headerMap sets every other header by raw value, as proxies differ.
func headerMap(pairs ...string) *corev3.HeaderMap {
	made := &corev3.HeaderMap{}
	for i := 0; i < len(pairs); i += 2 {
		header := &corev3.HeaderValue{Key: pairs[i], RawValue: []byte(pairs[i+1])}
		if i%4 == 2 {
			header = &corev3.HeaderValue{Key: pairs[i], Value: pairs[i+1]}
		}
		made.Headers = append(made.Headers, header)
	}
	return made
}

// mutations are the headers that a response sets.
func mutations(common *extprocv3.CommonResponse) map[string]string {
	set := map[string]string{}
	for _, option := range common.GetHeaderMutation().GetSetHeaders() {
		set[option.GetHeader().GetKey()] = string(option.GetHeader().GetRawValue())
	}
	return set
}

func chat(model, prompt string) string {
	return fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}],"max_tokens":16}`, model, prompt)
}

// longPrompt is text of n bytes that begins with a name.
func longPrompt(name string, n int) string {
	return name + strings.Repeat(" lorem ipsum dolor sit amet", n/27+1)[:n-len(name)]
}
