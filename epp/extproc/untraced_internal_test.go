package extproc

import (
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/protobuf/proto"

	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/epp/director"
	"github.com/switchyard/switchyard/epp/tracing"
)

// TestTraceHeadersCostNothingUntraced: a client that is in a trace costs a picker that makes none no memory.
func TestTraceHeadersCostNothingUntraced(t *testing.T) {
	allocated := func(tracer *tracing.Tracer, names ...string) float64 {
		sent := &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: ":path", RawValue: []byte("/v1/chat/completions")}}}
		for _, name := range names {
			sent.Headers = append(sent.Headers, &corev3.HeaderValue{Key: name, RawValue: []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")})
		}
		encoded, err := proto.Marshal(sent)
		if err != nil {
			t.Fatal(err)
		}
		service := New(Options{Director: director.New(director.Options{Config: config.Default(), Tracer: tracer}), Config: config.Default()})
		f := &frame{part: partRequestHeaders, headers: encoded}
		return testing.AllocsPerRun(100, func() { _ = askedByHeaders(f, service.headers) })
	}
	without, with := allocated(nil), allocated(nil, "traceparent", "tracestate")
	if with != without {
		t.Errorf("%v allocations with trace headers, %v without", with, without)
	}
	if traced := allocated(tracing.New(noop.NewTracerProvider()), "traceparent", "tracestate"); traced <= with {
		t.Errorf("%v allocations where traces are made, %v where not: the headers are not read", traced, with)
	}
}
