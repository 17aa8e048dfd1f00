package config_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/epp/flowcontrol"
)

const flowing = `
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
featureGates: [flowControl]
plugins: [{type: program-aware-fairness}]
flowControl:
  priorityBands: [{priority: 0, maxRequests: 1, fairnessPolicyRef: program-aware-fairness}]
`

// TestFlowControlMakesControllers: what the file says is what a controller does, also one that is at work.
func TestFlowControlMakesControllers(t *testing.T) {
	loaded, err := config.Load([]byte(flowing))
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	read := func(string, flowcontrol.Load) flowcontrol.Reading {
		return flowcontrol.Reading{Level: 0.5, Endpoints: 1}
	}
	controller, err := loaded.FlowControl.New(read, registry)
	if err != nil {
		t.Fatal(err)
	}
	defer controller.Stop()
	ticket, err := controller.Admit(t.Context(), flowcontrol.Request{Pool: "ns/pool"})
	if err != nil {
		t.Fatal(err)
	}
	defer ticket.Release(flowcontrol.Usage{})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, family := range families {
		names[family.GetName()] = true
	}
	for _, name := range []string{"llm_d_epp_flow_control_requests_total", "llm_d_epp_program_aware_jains_fairness_index"} {
		if !names[name] {
			t.Errorf("%s is missing", name)
		}
	}
	again, err := config.Load([]byte(flowing))
	if err != nil {
		t.Fatal(err)
	}
	if err := again.FlowControl.Configure(controller, read); err != nil {
		t.Error(err)
	}
	if config.Default().FlowControl != nil {
		t.Error("there is flow control without its feature gate")
	}
	for _, c := range []*config.Config{config.Default(), loaded} {
		if c.Detector == nil || !c.Detector.FailsOpen() {
			t.Errorf("detector %v, want the utilization detector", c.Detector)
		}
	}
}
