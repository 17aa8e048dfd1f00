// Package export sends the spans of package tracing away, as the environment's OTEL_* variables say: over OTLP (gRPC, or protobuf over
// HTTP), or to the log.
//
//	environment -> Start -> tracing.Tracer; spans -> a bounded queue -> collector
//
// A collector that is slow, gone or wrong disturbs no request: spans are dropped, and that is logged once per minute at most.
// Without an exporter named and without the address of a collector there are no traces, and nothing runs.
package export
