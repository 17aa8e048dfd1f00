package config_test

import (
	"testing"

	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/epp/response"
)

func TestDeclaredReportersAreInUse(t *testing.T) {
	loaded, err := config.Load([]byte(`
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- name: total-tokens
  type: request-attribute-reporter
  parameters:
    attributes:
    - key: {namespace: envoy.lb, name: x-gateway-inference-request-cost}
      expression: |
        usage.prompt_tokens + usage.completion_tokens
      condition: "has(usage.prompt_tokens) && has(usage.completion_tokens)"
- {type: queue-scorer}
`))
	if err != nil {
		t.Fatal(err)
	}
	if len(loaded.Reporters) != 1 || len(loaded.Responses) != 0 {
		t.Fatalf("%d reporters, %d plugins that change headers; want one and none", len(loaded.Reporters), len(loaded.Responses))
	}
	namespace, name, value, ok := loaded.Reporters[0].Report(response.Usage{Input: 3, Output: 4, Cached: -1})
	if namespace != "envoy.lb" || name != "x-gateway-inference-request-cost" || value != 7 || !ok {
		t.Errorf("%q %q %d %t", namespace, name, value, ok)
	}
}
