package export

import (
	"context"
	"log/slog"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// console writes spans to the log.
type console struct{ log *slog.Logger }

// ExportSpans implements sdktrace.SpanExporter.
func (c console) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	for _, span := range spans {
		attributes := make([]slog.Attr, 0, len(span.Attributes()))
		for _, known := range span.Attributes() {
			attributes = append(attributes, slog.Any(string(known.Key), known.Value.AsInterface()))
		}
		c.log.LogAttrs(ctx, slog.LevelInfo, "span", slog.String("name", span.Name()), slog.String("trace", span.SpanContext().TraceID().String()),
			slog.String("span", span.SpanContext().SpanID().String()), slog.String("parent", span.Parent().SpanID().String()),
			slog.Time("began", span.StartTime()), slog.Duration("took", span.EndTime().Sub(span.StartTime())),
			slog.String("status", span.Status().Code.String()), slog.GroupAttrs("attributes", attributes...))
	}
	return nil
}

// Shutdown implements sdktrace.SpanExporter.
func (console) Shutdown(context.Context) error { return nil }
