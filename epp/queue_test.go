package epp_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/metadata"

	"github.com/switchyard/switchyard/epp"
	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/epp/objective"
)

// oneAtATime has each endpoint take one request; section adds to flowControl.
func oneAtATime(t *testing.T, gate bool, section string) *config.Config {
	t.Helper()
	text := fmt.Sprintf(`apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
featureGates: [flowControl=%t]
plugins:
- type: queue-scorer
- type: concurrency-detector
  parameters: {maxConcurrency: 1}
flowControl:
  saturationDetector: {pluginRef: concurrency-detector}
%s`, gate, section)
	loaded, err := config.Load([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// important are the objectives of the pool: chat goes before others, batch may be shed.
func important() *objective.Rules {
	return objective.New([]objective.Objective{{Pool: "ns/pool", Name: "chat", Priority: 10}, {Pool: "ns/pool", Name: "batch", Priority: -1}}, nil)
}

// asking is a request on its way.
type asking struct {
	t      *testing.T
	stream extprocv3.ExternalProcessor_ProcessClient
	cancel context.CancelFunc
	// answers are what the picker sent, in order; the channel closes with the stream.
	answers chan *extprocv3.ProcessingResponse
}

// ask sends a request of the lean protocol, which may have to wait for its answer.
func (s *started) ask(objective string) *asking {
	s.t.Helper()
	return s.askIn("lean", objective)
}

// askIn sends a request of a protocol. Only the lean one answers its headers by themselves.
func (s *started) askIn(protocol, objective string) *asking {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	s.t.Cleanup(cancel)
	stream, err := extprocv3.NewExternalProcessorClient(s.conn).Process(metadata.AppendToOutgoingContext(ctx, "x-switchyard-protocol", protocol))
	if err != nil {
		s.t.Fatal(err)
	}
	a := &asking{t: s.t, stream: stream, cancel: cancel, answers: make(chan *extprocv3.ProcessingResponse, 16)}
	gone := make(chan struct{})
	s.t.Cleanup(func() { cancel(); <-gone })
	go func() {
		defer close(gone)
		defer close(a.answers)
		for {
			answer, err := stream.Recv()
			if err != nil {
				return
			}
			a.answers <- answer
		}
	}()
	a.send(&extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestHeaders{RequestHeaders: &extprocv3.HttpHeaders{
		Headers: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: ":path", RawValue: []byte("/v1/chat/completions")},
			{Key: "x-llm-d-inference-objective", RawValue: []byte(objective)}}}}}})
	if protocol == "lean" {
		a.next()
	}
	a.send(&extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestBody{
		RequestBody: &extprocv3.HttpBody{Body: []byte(request), EndOfStream: true}}})
	return a
}

func (a *asking) send(message *extprocv3.ProcessingRequest) {
	a.t.Helper()
	if err := a.stream.Send(message); err != nil {
		a.t.Fatal(err)
	}
}

func (a *asking) next() *extprocv3.ProcessingResponse {
	a.t.Helper()
	select {
	case answer, open := <-a.answers:
		if !open {
			a.t.Fatal("the stream has ended")
		}
		return answer
	case <-time.After(patience):
		a.t.Fatal("no answer")
	}
	return nil
}

// expectPick expects the request to be placed.
func (a *asking) expectPick() {
	a.t.Helper()
	if answer := a.next(); answer.GetDynamicMetadata() == nil {
		a.t.Fatalf("no pick but %v", answer)
	}
}

// expectWait expects that the proxy is told to wait: for a time and the margin beyond it, less what went by since the request came.
func (a *asking) expectWait(longest time.Duration) {
	a.t.Helper()
	answer := a.next()
	if told := answer.GetOverrideMessageTimeout().AsDuration(); told > longest || told < longest-time.Second {
		a.t.Fatalf("told to wait %s, want %s: %v", told, longest, answer)
	}
}

func (a *asking) expectRefusal(status int32, body, reason string) {
	a.t.Helper()
	immediate := a.next().GetImmediateResponse()
	var told string
	for _, header := range immediate.GetHeaders().GetSetHeaders() {
		if header.GetHeader().GetKey() == "x-llm-d-request-dropped-reason" {
			told = string(header.GetHeader().GetRawValue())
		}
	}
	if int32(immediate.GetStatus().GetCode()) != status || !strings.HasPrefix(string(immediate.GetBody()), body) || told != reason {
		a.t.Fatalf("%d %q, reason %q; want %d %q, reason %q", immediate.GetStatus().GetCode(), immediate.GetBody(), told, status, body, reason)
	}
}

// end ends the request as a proxy does.
func (a *asking) end() {
	a.t.Helper()
	if err := a.stream.CloseSend(); err != nil {
		a.t.Fatal(err)
	}
	for range a.answers {
	}
}

func TestRequestsWaitForRoom(t *testing.T) {
	s := start(t, epp.Options{Config: oneAtATime(t, true, "  defaultRequestTTL: 3s\n"), Rules: important})
	s.setPool("10.0.0.1:8000")
	first := s.ask("")
	first.expectPick()
	low, high, gone := s.ask("batch"), s.ask("chat"), s.ask("chat")
	for _, waiting := range []*asking{low, high, gone} {
		waiting.expectWait(8 * time.Second)
	}
	gone.cancel() // a client that does not wait any longer
	for range gone.answers {
	}
	first.end()
	high.expectPick()
	high.end()
	low.expectPick()
	low.end()
	s.expectIdle()
}

func TestAWaitEnds(t *testing.T) {
	s := start(t, epp.Options{Config: oneAtATime(t, true, "  defaultRequestTTL: 50ms\n  noEndpointRequestTTL: 20ms\n"), Rules: important})
	s.setPool("10.0.0.1:8000")
	first := s.ask("")
	first.expectPick()
	second := s.ask("")
	second.expectWait(5050 * time.Millisecond)
	second.expectRefusal(429, "inference error: ResourceExhausted - request timed out in queue: ", "rejected-ttl-expired")
	first.end()
	s.pools.Set("ns/pool", nil)
	third := s.ask("")
	third.next()
	third.expectRefusal(503, "inference error: ServiceUnavailable - request timed out in queue and no endpoints are available: ", "rejected-no-endpoints")
}

func TestAFullQueueRefuses(t *testing.T) {
	s := start(t, epp.Options{Config: oneAtATime(t, true, "  maxRequests: 1\n"), Rules: important})
	s.setPool("10.0.0.1:8000")
	first := s.ask("")
	first.expectPick()
	second := s.ask("")
	second.expectWait(65 * time.Second)
	s.ask("").expectRefusal(429, "inference error: ResourceExhausted - ", "rejected-saturated")
	first.end()
	second.expectPick()
	second.end()
	s.expectIdle()
}

// TestSheddingWithoutQueues: with flow control off, only requests below priority 0 are refused while the pool is full.
func TestSheddingWithoutQueues(t *testing.T) {
	s := start(t, epp.Options{Config: oneAtATime(t, false, ""), Rules: important})
	s.setPool("10.0.0.1:8000")
	batch := s.ask("batch")
	batch.expectPick()
	s.ask("batch").expectRefusal(429, "inference error: ResourceExhausted - system saturated, sheddable request dropped", "rejected-saturated")
	others := []*asking{s.ask("chat"), s.ask(""), s.ask("nobody-knows-it")}
	for _, other := range others {
		other.expectPick()
		other.end()
	}
	batch.end()
	s.expectIdle()
	again := s.ask("batch")
	again.expectPick()
	again.end()
}

func TestARequestBelowZeroIsTakenBack(t *testing.T) {
	s := start(t, epp.Options{Config: oneAtATime(t, true, "  enableEviction: true\n"), Rules: important})
	s.setPool("10.0.0.1:8000")
	batch := s.ask("batch")
	batch.expectPick()
	chat := s.ask("chat")
	chat.next()
	batch.expectRefusal(429, "request evicted by flow control", "evicted-priority")
	batch.end()
	chat.expectPick()
	chat.end()
	s.expectIdle()
}

// TestWhatWaitsSurvivesAReload, and goes by what is in force then.
func TestWhatWaitsSurvivesAReload(t *testing.T) {
	s := start(t, epp.Options{Config: oneAtATime(t, true, ""), Rules: important})
	s.setPool("10.0.0.1:8000")
	first := s.ask("")
	first.expectPick()
	second := s.ask("")
	second.expectWait(65 * time.Second)
	if err := s.Reload(func() (*config.Config, error) { return oneAtATime(t, true, "  defaultRequestTTL: 10s\n"), nil }); err != nil {
		t.Fatal(err)
	}
	third := s.ask("")
	third.expectWait(15 * time.Second)
	first.end()
	second.expectPick()
	second.end()
	third.expectPick()
	third.end()
	s.expectIdle()
}

func TestADrainRefusesWhatWaits(t *testing.T) {
	s := start(t, epp.Options{Config: oneAtATime(t, true, ""), Rules: important, DrainTimeout: 50 * time.Millisecond})
	s.setPool("10.0.0.1:8000")
	first := s.ask("")
	first.expectPick()
	second := s.ask("")
	second.next()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	drained := make(chan struct{})
	go func() { defer close(drained); s.Drain(ctx) }()
	second.expectRefusal(503, "inference error: ServiceUnavailable - flow controller shutting down: ", "rejected-shutting-down")
	first.end()
	<-drained
	s.expectIdle()
}
