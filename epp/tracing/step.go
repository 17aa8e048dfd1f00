package tracing

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Step is the span of a part of the work on a request. The zero one does nothing.
type Step struct{ span trace.Span }

// Step starts a span below that of the request, and gives ctx within it. The step has to be ended.
func (r *Request) Step(ctx context.Context, name string) (context.Context, Step) {
	if !r.recorded() {
		return ctx, Step{}
	}
	ctx, span := r.tracer.spans.Start(trace.ContextWithSpan(ctx, r.span), name)
	return ctx, Step{span: span}
}

// Candidates notes among how many endpoints one was chosen, of how many blocks the prompt is, and how many of them the
// chosen endpoint holds.
func (s Step) Candidates(candidates, blocks, held int) {
	if s.span != nil {
		s.span.SetAttributes(attribute.Int(candidatesKey, candidates), attribute.Int(blocksKey, blocks), attribute.Int(heldKey, held))
	}
}

// End ends the step, with what went wrong in it.
func (s Step) End(err error) {
	if s.span == nil {
		return
	}
	if err != nil {
		s.span.SetStatus(codes.Error, err.Error())
	}
	s.span.End()
}
