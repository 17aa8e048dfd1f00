package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"sigs.k8s.io/yaml"
)

// schemaErrors checks a document against the schema.
func schemaErrors(t *testing.T, text []byte) []string {
	t.Helper()
	schema, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var props apiextensionsv1.JSONSchemaProps
	if err := json.Unmarshal(schema, &props); err != nil {
		t.Fatal(err)
	}
	props.ID, props.Schema = "", "" // names, which the validator would fetch
	var internal apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(&props, &internal, nil); err != nil {
		t.Fatal(err)
	}
	validator, _, err := validation.NewSchemaValidator(&internal)
	if err != nil {
		t.Fatal(err)
	}
	var document any
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, problem := range validator.Validate(document).Errors {
		out = append(out, problem.Error())
	}
	return out
}

// TestSchemaAcceptsWhatLoads holds every configuration that loads against the schema.
func TestSchemaAcceptsWhatLoads(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		input, _, _ := strings.Cut(string(text), separator)
		if _, err := Load([]byte(input)); err != nil {
			continue
		}
		if problems := schemaErrors(t, []byte(input)); len(problems) > 0 {
			t.Errorf("%s loads, and the schema says %q", file, problems)
		}
	}
}

func TestSchemaRefusesWhatCannotLoad(t *testing.T) {
	const head = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
	for text, want := range map[string]string{
		"kind: EndpointPickerConfig\n":                                               "apiVersion",
		"apiVersion: v1\nkind: EndpointPickerConfig\n":                               "apiVersion",
		head + "plugin: []\n":                                                        "plugin",
		head + "plugins: [{name: a}]\n":                                              "type",
		head + "plugins: [{type: no-such-scorer}]\n":                                 "plugins[0].type",
		head + "plugins: [{type: queue-scorer, parameters: 7}]\n":                    "parameters",
		head + "featureGates: [flowControl=maybe]\n":                                 "featureGates",
		head + "featureGates: [flowControl]\nflowControl: {maxBytes: {}}\n":          "flowControl.maxBytes",
		head + "featureGates: [flowControl]\nflowControl: {maxRequests: -1}\n":       "flowControl.maxRequests",
		head + "flowControl: {enableEviction: 3}\n":                                  "flowControl.enableEviction",
		head + "featureGates: [flowControl]\nflowControl: {defaultRequestTTL: 30}\n": "flowControl.defaultRequestTTL",
		head + "schedulingProfiles: [{plugins: []}]\n":                               "name",
		head + "schedulingProfiles: [{name: a, plugins: [{weight: -1}]}]\n":          "weight",
		head + "dataLayer: {sources: [{pluginRef: a, extractors: [{plugin: b}]}]}":   "plugin",
	} {
		if problems := strings.Join(schemaErrors(t, []byte(text)), "; "); !strings.Contains(problems, want) {
			t.Errorf("%q: %q does not name %q", text, problems, want)
		}
		if _, err := Load([]byte(text)); err == nil && !strings.Contains(text, "weight") {
			t.Errorf("%q loads", text)
		}
	}
}
