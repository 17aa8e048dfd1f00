package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// scope is what the spans say they are made by.
const scope = "github.com/switchyard/switchyard/epp"

// Headers of W3C Trace Context.
const (
	parentHeader = "traceparent"
	stateHeader  = "tracestate"
)

// The names of spans.
const (
	requestSpan    = "epp.request"
	AdmissionSpan  = "epp.admission"
	SchedulingSpan = "epp.scheduling"
)

var w3c propagation.TraceContext

// Tracer begins the spans of requests. Safe for concurrent use; a nil one traces nothing.
type Tracer struct{ spans trace.Tracer }

// New makes a tracer of what keeps the spans.
func New(provider trace.TracerProvider) *Tracer { return &Tracer{spans: provider.Tracer(scope)} }

// RequestHeaders are the names of the headers that Begin reads.
func (t *Tracer) RequestHeaders() []string {
	if t == nil {
		return nil
	}
	return []string{parentHeader, stateHeader}
}

// Begin starts the span of a request for a pool that arrived then. Every span that it gives has to be ended.
func (t *Tracer) Begin(headers scheduling.Headers, pool string, arrived time.Time) *Request {
	if t == nil {
		return nil
	}
	parent := w3c.Extract(context.Background(), &carrier{headers})
	_, span := t.spans.Start(parent, requestSpan, trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(arrived),
		trace.WithAttributes(attribute.String(poolKey, pool)))
	return &Request{tracer: t, span: span}
}

// carrier has propagation read and write headers.
type carrier struct{ headers scheduling.Headers }

// Get implements propagation.TextMapCarrier.
func (c *carrier) Get(name string) string { return c.headers.Get(name) }

// Set implements propagation.TextMapCarrier.
func (c *carrier) Set(name, value string) {
	for i := range c.headers {
		if c.headers[i].Name == name {
			c.headers[i].Value = value
			return
		}
	}
	c.headers = append(c.headers, scheduling.Header{Name: name, Value: value})
}

// Keys implements propagation.TextMapCarrier.
func (c *carrier) Keys() []string {
	names := make([]string, len(c.headers))
	for i := range c.headers {
		names[i] = c.headers[i].Name
	}
	return names
}
