package epp_test

import (
	"testing"

	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/switchyard/switchyard/epp"
	"github.com/switchyard/switchyard/epp/config"
)

// TestRowsTheProtocolOfThePool: a picker with a parser that cannot read what the pool's servers speak is not ready, and says so to whoever asks.
func TestRowsTheProtocolOfThePool(t *testing.T) {
	for parser, protocols := range map[string]map[string]bool{
		"openai-parser":   {"": true, "http": true, "kubernetes.io/h2c": true},
		"vllmgrpc-parser": {"": true, "http": false, "kubernetes.io/h2c": true},
		"vertexai-parser": {"": true, "http": false, "kubernetes.io/h2c": true},
	} {
		loaded, err := config.Load([]byte("apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins: [{type: queue-scorer}, {type: " + parser +
			"}, {type: passthrough-parser}]\nrequestHandler: {parsers: [{pluginRef: passthrough-parser}, {pluginRef: " + parser + "}]}\n"))
		if err != nil {
			t.Fatal(err)
		}
		for protocol, speaks := range protocols {
			s := start(t, epp.Options{Config: loaded, AppProtocol: func() string { return protocol }})
			s.setPool("10.0.0.1:8000")
			want := map[bool]healthv1.HealthCheckResponse_ServingStatus{true: serving, false: notServing}[speaks]
			s.expectHealth(map[string]healthv1.HealthCheckResponse_ServingStatus{"": want, "readiness": want, extProc: want, "inference-extension": want, "liveness": serving})
			if t.Failed() {
				t.Fatalf("%s, application protocol %q", parser, protocol)
			}
		}
	}
}

// TestRowsALeaderThatEnds is asked on by those who check the ext_proc service; kubelets hear at once that it is not ready.
func TestRowsALeaderThatEnds(t *testing.T) {
	for _, leads := range []bool{true, false} {
		s := start(t, epp.Options{Leading: func() bool { return leads }})
		s.setPool("10.0.0.1:8000")
		before := map[bool]healthv1.HealthCheckResponse_ServingStatus{true: serving, false: notServing}[leads]
		s.expectHealth(map[string]healthv1.HealthCheckResponse_ServingStatus{"": before, "readiness": before, extProc: before, "liveness": serving})
		s.Linger()
		s.expectHealth(map[string]healthv1.HealthCheckResponse_ServingStatus{"": notServing, "readiness": notServing, extProc: before, "liveness": serving})
	}
}
