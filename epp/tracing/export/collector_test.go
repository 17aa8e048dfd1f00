package export_test

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/switchyard/switchyard/epp/tracing/export"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// collector takes spans over OTLP.
type collector struct {
	collectorv1.UnimplementedTraceServiceServer
	address string

	mu       sync.Mutex
	calls    int
	services []string
	spans    []*tracev1.Span
}

func startCollector(t *testing.T) *collector {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{address: listener.Addr().String()}
	server := grpc.NewServer()
	collectorv1.RegisterTraceServiceServer(server, c)
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		<-served
	})
	return c
}

// Export implements collectorv1.TraceServiceServer.
func (c *collector) Export(_ context.Context, request *collectorv1.ExportTraceServiceRequest) (*collectorv1.ExportTraceServiceResponse, error) {
	c.take(request)
	return &collectorv1.ExportTraceServiceResponse{}, nil
}

func (c *collector) take(request *collectorv1.ExportTraceServiceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	for _, resource := range request.GetResourceSpans() {
		c.services = append(c.services, attribute(resource.GetResource().GetAttributes(), "service.name").GetStringValue())
		for _, scope := range resource.GetScopeSpans() {
			c.spans = append(c.spans, scope.GetSpans()...)
		}
	}
}

// taken are the spans that came, by their names.
func (c *collector) taken() map[string][]*tracev1.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	byName := map[string][]*tracev1.Span{}
	for _, span := range c.spans {
		byName[span.GetName()] = append(byName[span.GetName()], span)
	}
	return byName
}

func attribute(attributes []*commonv1.KeyValue, key string) *commonv1.AnyValue {
	for _, pair := range attributes {
		if pair.GetKey() == key {
			return pair.GetValue()
		}
	}
	return nil
}

// environment is empty of what would change a test, but for these pairs.
func environment(t *testing.T, pairs ...string) {
	t.Helper()
	for _, name := range []string{
		"OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL",
		"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_INSECURE", "OTEL_EXPORTER_OTLP_TRACES_INSECURE", "OTEL_SDK_DISABLED",
		"OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES",
	} {
		t.Setenv(name, "")
	}
	for i := 0; i < len(pairs); i += 2 {
		t.Setenv(pairs[i], pairs[i+1])
	}
}

func start(t *testing.T, log *slog.Logger) *export.Export {
	t.Helper()
	exported, err := export.Start("1.2.3", log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(exported.Stop)
	return exported
}

var silent = slog.New(slog.DiscardHandler)
