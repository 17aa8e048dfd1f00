package tracing_test

import (
	"context"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/tracing"
	"github.com/switchyard/switchyard/epp/usage"
)

// TestUntracedRequestsCostNothing goes through all that a request calls.
func TestUntracedRequestsCostNothing(t *testing.T) {
	var tracer *tracing.Tracer
	if got := tracer.RequestHeaders(); got != nil {
		t.Errorf("headers %v are read for nobody", got)
	}
	headers := scheduling.Headers{{Name: "traceparent", Value: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}
	ctx, now := context.Background(), time.Now()
	allocated := testing.AllocsPerRun(100, func() {
		request := tracer.Begin(headers, "ns/pool", now)
		request.Identify(tracing.Identity{Model: "m", Target: "n", Fairness: "f", RequestID: "r", Priority: 1})
		within, step := request.Step(request.Context(ctx), tracing.AdmissionSpan)
		if within != ctx {
			t.Error("the context is another one")
		}
		step.Candidates(3, 2, 1)
		step.End(context.Canceled)
		request.Picked("10.0.0.1:8000")
		if onward := request.Inject(headers[:0]); len(onward) != 0 {
			t.Errorf("headers %v are set", onward)
		}
		request.Answering(now)
		request.Refused("Internal", 500, "no")
		request.End(tracing.Outcome{Endpoint: "10.0.0.1:8000", Usage: usage.Tokens{Input: 1}}, now)
	})
	if allocated != 0 {
		t.Errorf("%v allocations, want none", allocated)
	}
}
