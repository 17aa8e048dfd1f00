package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/usage"
)

// The names of attributes. Those of models and tokens are OpenTelemetry's for generative AI.
const (
	modelKey      = "gen_ai.request.model"
	inputKey      = "gen_ai.usage.input_tokens"
	outputKey     = "gen_ai.usage.output_tokens"
	cachedKey     = "gen_ai.usage.cache_read.input_tokens"
	statusKey     = "http.response.status_code"
	errorKey      = "error.type"
	poolKey       = "llm_d.epp.pool"
	targetKey     = "llm_d.epp.target_model"
	fairnessKey   = "llm_d.epp.fairness_id"
	priorityKey   = "llm_d.epp.priority"
	requestIDKey  = "llm_d.epp.request_id"
	candidatesKey = "llm_d.epp.candidates"
	blocksKey     = "llm_d.epp.prefix.blocks"
	heldKey       = "llm_d.epp.prefix.held_blocks"
	pickedKey     = "llm_d.epp.endpoint.picked"
	servedKey     = "llm_d.epp.endpoint.served"
	outcomeKey    = "llm_d.epp.outcome"
)

// firstTokenEvent is when the model server began to answer.
const firstTokenEvent = "first token"

// The outcomes of requests.
const (
	served    = "served"
	refused   = "refused"
	failed    = "failed"    // the model server answered with an error
	cancelled = "cancelled" // the answer was not seen to its end: the client or the model server went away
)

// Request is the span of one request. Its methods may be called on nil, and by one goroutine at a time.
type Request struct {
	tracer  *Tracer
	span    trace.Span
	refused bool
}

// Context is ctx within the request's span.
func (r *Request) Context(ctx context.Context) context.Context {
	if r == nil {
		return ctx
	}
	return trace.ContextWithSpan(ctx, r.span)
}

// Inject adds the headers that let the model server continue the trace. They say, too, when the trace is not recorded.
func (r *Request) Inject(headers scheduling.Headers) scheduling.Headers {
	if r == nil {
		return headers
	}
	onward := carrier{headers}
	w3c.Inject(r.Context(context.Background()), &onward)
	return onward.headers
}

// Identity is who asks for what.
type Identity struct {
	Model, Target, Fairness, RequestID string
	Priority                           int
}

// Identify notes who asks for what.
func (r *Request) Identify(who Identity) {
	if !r.recorded() {
		return
	}
	r.span.SetAttributes(attribute.String(modelKey, who.Model), attribute.String(fairnessKey, who.Fairness), attribute.Int(priorityKey, who.Priority))
	if who.Target != who.Model {
		r.span.SetAttributes(attribute.String(targetKey, who.Target))
	}
	if who.RequestID != "" {
		r.span.SetAttributes(attribute.String(requestIDKey, who.RequestID))
	}
}

// Picked notes where the request goes: the addresses that the proxy is told.
func (r *Request) Picked(addresses string) {
	if r.recorded() {
		r.span.SetAttributes(attribute.String(pickedKey, addresses))
	}
}

// Answering notes when the model server began to answer.
func (r *Request) Answering(at time.Time) {
	if r.recorded() {
		r.span.AddEvent(firstTokenEvent, trace.WithTimestamp(at))
	}
}

// Refused notes that the client is given an answer in place of a model server's.
func (r *Request) Refused(code string, status int, message string) {
	if !r.recorded() {
		return
	}
	r.refused = true
	r.span.SetAttributes(attribute.String(errorKey, code), attribute.Int(statusKey, status))
	r.span.SetStatus(codes.Error, message)
}

// Outcome is how a request ended.
type Outcome struct {
	// Endpoint is the one that served, empty when none did.
	Endpoint         string
	Usage            usage.Tokens
	Failed, Complete bool
}

// End ends the span.
func (r *Request) End(how Outcome, at time.Time) {
	if r == nil {
		return
	}
	if r.span.IsRecording() {
		r.conclude(how)
	}
	r.span.End(trace.WithTimestamp(at))
}

func (r *Request) conclude(how Outcome) {
	for _, counted := range [...]struct {
		key   string
		count int64
	}{{inputKey, how.Usage.Input}, {outputKey, how.Usage.Output}, {cachedKey, how.Usage.Cached}} {
		if counted.count >= 0 {
			r.span.SetAttributes(attribute.Int64(counted.key, counted.count))
		}
	}
	if how.Endpoint != "" {
		r.span.SetAttributes(attribute.String(servedKey, how.Endpoint))
	}
	switch {
	case r.refused:
		r.span.SetAttributes(attribute.String(outcomeKey, refused))
	case how.Failed:
		r.span.SetAttributes(attribute.String(outcomeKey, failed))
		r.span.SetStatus(codes.Error, "the model server answered with an error")
	case how.Complete:
		r.span.SetAttributes(attribute.String(outcomeKey, served))
	default:
		r.span.SetAttributes(attribute.String(outcomeKey, cancelled))
	}
}

// recorded tells whether anybody is going to see what is noted.
func (r *Request) recorded() bool { return r != nil && r.span.IsRecording() }
