package command

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
)

// answer is what the picker answers a request without a body.
func (p *picker) answer(conn *grpc.ClientConn) *extprocv3.ProcessingResponse {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	stream, err := extprocv3.NewExternalProcessorClient(conn).Process(ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := stream.Send(&extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestHeaders{RequestHeaders: &extprocv3.HttpHeaders{
		EndOfStream: true, Headers: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: ":path", RawValue: []byte("/v1/models")}}},
	}}}); err != nil {
		p.t.Fatal(err)
	}
	response, err := stream.Recv()
	if err != nil {
		p.t.Fatal(err)
	}
	_ = stream.CloseSend()
	if _, err := stream.Recv(); err == nil {
		p.t.Error("another answer")
	}
	return response
}

func TestScoresAreTold(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "pool.yaml"), pool)
	for _, asked := range []bool{false, true} {
		args := []string{"-f", dir}
		if asked {
			args = append(args, "--emit-endpoint-scores")
		}
		p := startEPP(t, args...)
		conn := p.dial(p.extProc, unverified())
		p.eventually("the pool is known", func() bool { at, err := p.ask(conn); return err == nil && at != "" })
		told := p.answer(conn).GetDynamicMetadata().GetFields()["envoy.lb"].GetStructValue().GetFields()
		_, scored := told["x-gateway-destination-endpoint-scores"].GetStructValue().GetFields()["127.0.0.9:1"]
		if scored != asked {
			t.Errorf("--emit-endpoint-scores=%t: metadata %v", asked, told)
		}
	}
}

// collector counts spans.
type collector struct {
	collectorv1.UnimplementedTraceServiceServer
	mu    sync.Mutex
	spans map[string]int
}

// Export implements collectorv1.TraceServiceServer.
func (c *collector) Export(_ context.Context, request *collectorv1.ExportTraceServiceRequest) (*collectorv1.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range request.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				c.spans[span.GetName()]++
			}
		}
	}
	return &collectorv1.ExportTraceServiceResponse{}, nil
}

// count is how many spans of a name came.
func (c *collector) count(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.spans[name]
}

// TestTracesArriveBeforeTheEnd: a picker that is told to end sends its spans away first; one that is not asked for traces sends none.
func TestTracesArriveBeforeTheEnd(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "pool.yaml"), pool)
	for _, asked := range []bool{true, false} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		kept := &collector{spans: map[string]int{}}
		server := grpc.NewServer()
		collectorv1.RegisterTraceServiceServer(server, kept)
		served := make(chan struct{})
		go func() { defer close(served); _ = server.Serve(listener) }()
		args := []string{"-f", dir, "--drain-timeout", "1ms"}
		if !asked {
			args = append(args, "--tracing=false")
		}
		p := startProcess(t, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + listener.Addr().String(), "OTEL_TRACES_SAMPLER=always_on"}, args...)
		conn := p.dial(p.extProc, unverified())
		p.eventually("the pool is known", func() bool { at, err := p.ask(conn); return err == nil && at != "" })
		p.answer(conn)
		conn.Close()
		p.terminate()
		if err := <-p.ended; err != nil {
			t.Errorf("the picker ended with %v", err)
		}
		server.Stop()
		<-served
		if got := kept.count("epp.request") > 0; got != asked {
			t.Errorf("--tracing=%t: spans %v", asked, kept.spans)
		}
	}
}

// TestAnEnvironmentThatCannotBeUsed is no reason not to serve.
func TestAnEnvironmentThatCannotBeUsed(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "pool.yaml"), pool)
	t.Setenv("OTEL_TRACES_EXPORTER", "zipkin")
	p := startEPP(t, "-f", dir)
	if line := p.log.line("there are no traces; correct the environment, or give --tracing=false"); line == nil || !strings.Contains(line["error"].(string), "zipkin") {
		t.Errorf("log:\n%s", p.log)
	}
}
