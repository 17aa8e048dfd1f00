package export

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/switchyard/switchyard/epp/tracing"
)

// DefaultService is the name of the service in traces when OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES give none.
const DefaultService = "llm-d-router/epp"

// flushWithin bounds how long Stop waits for a collector.
const flushWithin = 5 * time.Second

// Export keeps spans and sends them away. A nil one is that of an environment which asks for no traces.
type Export struct {
	provider *sdktrace.TracerProvider
	log      *slog.Logger
}

// Start begins to export as the environment says; nil when it asks for no traces. version is that of this program, empty
// when it is not known. It waits for no collector. Stop has to be called. It takes over how the OpenTelemetry library of this
// process reports errors.
func Start(version string, log *slog.Logger) (*Export, error) {
	wanted, err := readEnvironment(log)
	if err != nil || len(wanted.exporters) == 0 {
		return nil, err
	}
	complaints := &complaints{log: log}
	direct(wanted, complaints)
	// The library reads the sampler's variables too, and complains of what readEnvironment has told of.
	defer complaints.listen()
	options := []sdktrace.TracerProviderOption{sdktrace.WithSampler(wanted.sampler), sdktrace.WithResource(describe(version, log))}
	for _, name := range wanted.exporters {
		exporter, err := newExporter(name, wanted, log)
		if err != nil {
			return nil, fmt.Errorf("preparing the export of traces: %w", err)
		}
		options = append(options, sdktrace.WithBatcher(&quiet{SpanExporter: exporter, complaints: complaints}))
	}
	return &Export{provider: sdktrace.NewTracerProvider(options...), log: log}, nil
}

// Tracer makes spans that are exported; nil when there are to be none.
func (e *Export) Tracer() *tracing.Tracer {
	if e == nil {
		return nil
	}
	return tracing.New(e.provider)
}

// Stop sends away what is left, for 5 s at most, and ends the export.
func (e *Export) Stop() {
	if e == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushWithin)
	defer cancel()
	if err := e.provider.Shutdown(ctx); err != nil {
		e.log.Warn("the last traces are lost", "error", err)
	}
}

// direct sends what the library has to say to the log.
func direct(w wanted, complaints *complaints) {
	otel.SetErrorHandler(complaints)
	said := logr.FromSlogHandler(complaints.log.Handler())
	if w.plain != "" {
		said = logr.Discard() // it calls an address without a scheme an error, and takes it all the same
	}
	otel.SetLogger(said)
}

func newExporter(name string, w wanted, log *slog.Logger) (sdktrace.SpanExporter, error) {
	ctx := context.Background()
	switch {
	case name == exporterConsole:
		return console{log}, nil
	case w.protocol == protocolHTTP:
		var options []otlptracehttp.Option
		if w.plain != "" {
			options = append(options, otlptracehttp.WithEndpoint(w.plain))
		}
		if w.plain != "" || w.local {
			options = append(options, otlptracehttp.WithInsecure())
		}
		return otlptracehttp.New(ctx, options...)
	default:
		var options []otlptracegrpc.Option
		if w.plain != "" {
			options = append(options, otlptracegrpc.WithEndpoint(w.plain))
		}
		if w.plain != "" || w.local {
			options = append(options, otlptracegrpc.WithInsecure())
		}
		return otlptracegrpc.New(ctx, options...)
	}
}

// describe is what all spans say of this process.
func describe(version string, log *slog.Logger) *resource.Resource {
	known := []attribute.KeyValue{attribute.String("service.name", cmp.Or(os.Getenv("OTEL_SERVICE_NAME"), DefaultService))}
	if version != "" {
		known = append(known, attribute.String("service.version", version))
	}
	// What the environment says comes last, and counts.
	described, err := resource.New(context.Background(), resource.WithTelemetrySDK(), resource.WithAttributes(known...), resource.WithFromEnv())
	if err != nil {
		log.Warn("OTEL_RESOURCE_ATTRIBUTES: what can be read of them counts", "error", err)
	}
	return described
}
