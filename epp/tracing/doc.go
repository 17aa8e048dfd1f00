// Package tracing says how a request is shown in a trace: one span from its arrival to its end, which continues the trace that the
// client is in, and below it what the picker spent time on.
//
//	traceparent, tracestate of the request -> Tracer.Begin -> Request -> the same headers of the request to the model server
//	"epp.request" -> "epp.admission", "epp.scheduling"; the endpoint, the tokens and the outcome as attributes
//
// It does not know where spans go (export does), and it must cost nothing where nobody asks for traces: a nil *Tracer makes nil
// *Requests, whose methods do nothing and allocate nothing.
package tracing
