package epp_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard/switchyard/epp"
)

// queued is a picker whose pool takes one request at a time, in one of the protocols.
type queued struct {
	*started
	protocol string
	registry *prometheus.Registry
}

// inBoth runs a test in each protocol, with a picker of its own.
func inBoth(t *testing.T, section string, test func(t *testing.T, q *queued)) {
	for _, protocol := range []string{"standard", "lean"} {
		t.Run(protocol, func(t *testing.T) {
			registry := prometheus.NewRegistry()
			s := start(t, epp.Options{Config: oneAtATime(t, true, section), Rules: important, Registry: registry, DrainTimeout: 50 * time.Millisecond})
			s.setPool("10.0.0.1:8000")
			test(t, &queued{started: s, protocol: protocol, registry: registry})
		})
	}
}

// begin sends a request and waits for nothing.
func (q *queued) begin(objective string) *asking {
	q.t.Helper()
	return q.askIn(q.protocol, objective)
}

// place sends a request that finds room.
func (q *queued) place(objective string) *asking {
	q.t.Helper()
	a := q.begin(objective)
	a.expectPick()
	return a
}

// wait sends a request and waits until it waits.
func (q *queued) wait(objective string) *asking {
	q.t.Helper()
	before := q.series("llm_d_epp_flow_control_queue_size")
	a := q.begin(objective)
	if q.protocol == "lean" {
		if told := a.next().GetOverrideMessageTimeout(); told == nil {
			q.t.Fatal("the proxy is not told to wait")
		}
	}
	q.eventually("the request waits", func() bool { return q.series("llm_d_epp_flow_control_queue_size") == before+1 })
	return a
}

// refused expects the answer to a request to be exactly this refusal, and the stream to end with it.
func (q *queued) refused(a *asking, status int32, body, reason string) {
	q.t.Helper()
	q.expectRefusal(a, status, body, reason)
	q.over(a)
}

// over ends a stream and expects that nothing else was sent on it.
func (q *queued) over(a *asking) {
	q.t.Helper()
	if err := a.stream.CloseSend(); err != nil {
		q.t.Error(err)
	}
	for answer := range a.answers {
		q.t.Errorf("behind the refusal comes %v", answer)
	}
}

func (q *queued) expectRefusal(a *asking, status int32, body, reason string) {
	q.t.Helper()
	answer := a.next()
	if q.protocol == "lean" && answer.GetOverrideMessageTimeout() != nil {
		answer = a.next()
	}
	immediate := answer.GetImmediateResponse()
	told := map[string]string{}
	for _, header := range immediate.GetHeaders().GetSetHeaders() {
		told[header.GetHeader().GetKey()] = string(header.GetHeader().GetRawValue())
	}
	want := map[string]string{"x-llm-d-request-dropped-reason": reason}
	if int32(immediate.GetStatus().GetCode()) != status || string(immediate.GetBody()) != body || fmt.Sprint(told) != fmt.Sprint(want) {
		q.t.Errorf("answer %v\nwant %d %q, headers %v", answer, status, body, want)
	}
}

// series sums a series over the labels given as name, value pairs.
func (q *queued) series(name string, labels ...string) (sum float64) {
	q.t.Helper()
	families, err := q.registry.Gather()
	if err != nil {
		q.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			matched := 0
			for i := 0; i < len(labels); i += 2 {
				for _, label := range m.GetLabel() {
					if label.GetName() == labels[i] && label.GetValue() == labels[i+1] {
						matched++
					}
				}
			}
			if matched == len(labels)/2 {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

// settled checks that nothing is left of any request.
func (q *queued) settled() {
	q.t.Helper()
	q.expectIdle()
	q.eventually("nothing waits and nothing runs", func() bool {
		return q.series("llm_d_epp_flow_control_queue_size") == 0 && q.series("llm_d_epp_request_running") == 0
	})
}

const errorPrefix = "inference error: "

// TestRowsAFullQueue: each of its limits has a text of its own; with an empty pool it is the pool that is missing.
func TestRowsAFullQueue(t *testing.T) {
	small := len(request)
	for _, test := range []struct {
		section, what string
	}{
		{"  maxRequests: 1\n", "the queue of the pool holds as many requests as it may"},
		{fmt.Sprintf("  maxBytes: %d\n", small+10), "the queue of the pool holds as many bytes as it may"},
		{"  defaultPriorityBand: {maxRequests: 1}\n", "the queue of this priority holds as many requests as it may"},
		{fmt.Sprintf("  defaultPriorityBand: {maxBytes: %d}\n", small+10), "the queue of this priority holds as many bytes as it may"},
		{"  priorityBands: [{priority: 0, maxRequests: 1}]\n", "the queue of this priority holds as many requests as it may"},
	} {
		inBoth(t, test.section, func(_ *testing.T, q *queued) {
			first := q.place("")
			second := q.wait("")
			q.refused(q.begin(""), 429, errorPrefix+"ResourceExhausted - "+test.what, "rejected-saturated")
			first.end()
			second.expectPick()
			second.end()
			q.settled()
			q.pools.Set("ns/pool", nil)
			second = q.wait("")
			q.refused(q.begin(""), 503, errorPrefix+"ServiceUnavailable - no endpoints available: "+test.what, "rejected-no-endpoints")
			q.setPool("10.0.0.1:8000")
			second.expectPick()
			second.end()
			q.settled()
		})
	}
}

// TestRowsAWaitThatEnds: by its time, with endpoints and without.
func TestRowsAWaitThatEnds(t *testing.T) {
	inBoth(t, "  defaultRequestTTL: 30ms\n", func(_ *testing.T, q *queued) {
		first := q.place("")
		q.refused(q.begin(""), 429, errorPrefix+
			"ResourceExhausted - request timed out in queue: the pool had no room for as long as a request may wait", "rejected-ttl-expired")
		first.end()
		q.settled()
		q.pools.Set("ns/pool", nil)
		q.refused(q.begin(""), 503, errorPrefix+"ServiceUnavailable - request timed out in queue and no endpoints are available: "+
			"the pool has been empty for as long as a request may wait", "rejected-no-endpoints")
		q.settled()
	})
}

// TestRowsAClientThatIsGone while it waits has nobody to be answered; what shows is the outcome.
func TestRowsAClientThatIsGone(t *testing.T) {
	inBoth(t, "", func(t *testing.T, q *queued) {
		first := q.place("")
		second := q.wait("")
		second.cancel()
		for range second.answers {
		}
		q.eventually("the wait has ended", func() bool {
			return q.series("llm_d_epp_flow_control_requests_total", "outcome", "EvictedContextCancelled") == 1
		})
		if got := q.series("llm_d_epp_request_error_total", "error_code", "ServiceUnavailable"); got != 1 {
			t.Errorf("%g errors counted, want 1", got)
		}
		first.end()
		q.settled()
	})
}

// TestRowsAShutdown refuses what waits and what comes.
func TestRowsAShutdown(t *testing.T) {
	inBoth(t, "", func(_ *testing.T, q *queued) {
		first := q.place("")
		second := q.wait("")
		ctx, cancel := context.WithTimeout(q.t.Context(), patience)
		defer cancel()
		drained := make(chan struct{})
		go func() { defer close(drained); q.Drain(ctx) }()
		q.refused(second, 503, errorPrefix+"ServiceUnavailable - flow controller shutting down: try again", "rejected-shutting-down")
		first.end()
		<-drained
		q.settled()
	})
}

// TestRowsEviction: what is below priority 0 is taken back for what is above it, before its answer and amid it. The text is bare.
func TestRowsEviction(t *testing.T) {
	for section, reason := range map[string]string{
		"  enableEviction: true\n":                   "evicted-priority",
		"  enableEviction: true\n  maxRequests: 1\n": "evicted-queue-pressure",
	} {
		inBoth(t, section, func(t *testing.T, q *queued) {
			batch := q.place("batch")
			if q.protocol == "standard" {
				batch.next() // the body
			}
			batch.send(&extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseHeaders{ResponseHeaders: &extprocv3.HttpHeaders{}}})
			if batch.next().GetResponseHeaders() == nil {
				t.Error("the headers of the answer are not answered")
			}
			chat := q.begin("chat")
			q.expectRefusal(batch, 429, "request evicted by flow control", reason)
			// A part of the answer that was on its way already is not answered any more.
			batch.send(&extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseTrailers{ResponseTrailers: &extprocv3.HttpTrailers{}}})
			q.over(batch)
			if q.protocol == "lean" {
				chat.next()
			}
			chat.expectPick()
			chat.end()
			q.settled()
			if got := q.series("llm_d_epp_request_error_total", "error_code", "ResourceExhausted"); got != 1 {
				t.Errorf("%g errors counted, want 1", got)
			}
		})
	}
}
