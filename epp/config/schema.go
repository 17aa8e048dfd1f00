package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// schemaID names the schema.
const schemaID = "https://switchyard.dev/schemas/endpointpickerconfig.json"

// described are the descriptions and the bounds of fields, by the path of the field; [] is any item of a list.
var described = map[string]map[string]any{
	"apiVersion":                                          {"enum": apiVersions},
	"kind":                                                {"enum": []string{kind}},
	"featureGates":                                        {"description": "Gates to open: name, name=true or name=false."},
	"featureGates[]":                                      {"enum": gateForms()},
	"plugins":                                             {"description": "The plugins in use, with their parameters. Order has no meaning."},
	"plugins[].name":                                      {"description": "What other parts refer to; default: the type."},
	"plugins[].parameters":                                {"type": "object", "description": "What the plugin type takes."},
	"schedulingProfiles":                                  {"description": "How endpoints are filtered, scored and picked; default: one profile of all plugins declared."},
	"schedulingProfiles[].plugins[].weight":               {"minimum": 0, "description": "Weight of a scorer; default 1."},
	"dataLayer":                                           {"description": "Where what is known of model servers comes from."},
	"flowControl":                                         {"description": "Queues in front of the pool; needs the feature gate flowControl, but for saturationDetector."},
	"flowControl.maxBytes":                                quantity("Bytes that may wait for a pool; 0: no bound."),
	"flowControl.maxRequests":                             quantity("Requests that may wait for a pool; 0: no bound."),
	"flowControl.defaultRequestTTL":                       duration("The longest wait; default 60s, 0s: no bound."),
	"flowControl.noEndpointRequestTTL":                    duration("The longest wait while the pool has no endpoints; default: defaultRequestTTL."),
	"flowControl.defaultPriorityBand":                     {"description": "Queues of priorities that priorityBands does not have."},
	"flowControl.defaultNegativePriorityBand":             {"description": "As defaultPriorityBand, for priorities below 0."},
	"flowControl.enableEviction":                          {"description": "Revoke requests of priorities below 0 in flight when higher ones wait; default false."},
	"flowControl.priorityBands[].maxBytes":                bandBytes,
	"flowControl.priorityBands[].maxRequests":             bandRequests,
	"flowControl.defaultPriorityBand.maxBytes":            bandBytes,
	"flowControl.defaultPriorityBand.maxRequests":         bandRequests,
	"flowControl.defaultNegativePriorityBand.maxBytes":    bandBytes,
	"flowControl.defaultNegativePriorityBand.maxRequests": bandRequests,
	"requestHandler.parsers":                              {"description": "APIs whose bodies are read; default: all, and what no parser claims passes through."},
	"saturationDetector":                                  {"description": "Older place of flowControl.saturationDetector.", "deprecated": true},
	"parser":                                              {"description": "Older place of requestHandler.parsers.", "deprecated": true},
}

var (
	bandBytes    = quantity("Bytes that may wait; default and 0: 1G.")
	bandRequests = quantity("Requests that may wait; default and 0: 5000.")
)

// quantity is a number as Kubernetes writes it.
func quantity(description string) map[string]any {
	return map[string]any{"description": description, "anyOf": []map[string]any{{"type": "number", "minimum": 0}, {"type": "string"}}}
}

// duration is a Go duration.
func duration(description string) map[string]any {
	return map[string]any{"description": description, "type": "string"}
}

// required are the fields that an object needs, by its path.
var required = map[string][]string{
	"": {"apiVersion", "kind"}, "plugins[]": {"type"}, "schedulingProfiles[]": {"name"},
}

func gateForms() []string {
	var forms []string
	for _, gate := range []string{"flowControl", "haPopulateNonLeaderDatastore"} {
		forms = append(forms, gate, gate+"=true", gate+"=false")
	}
	return forms
}

// Schema is the JSON schema of the file: what its types say, and the plugin types of this version. A file that fits may still
// be refused for what it refers to, or for a plugin's parameters.
func Schema() ([]byte, error) {
	root, err := schemaOf(reflect.TypeFor[document](), "")
	if err != nil {
		return nil, err
	}
	root["$schema"] = "http://json-schema.org/draft-07/schema#"
	root["$id"] = schemaID
	root["title"] = kind
	return json.MarshalIndent(root, "", "  ")
}

func schemaOf(t reflect.Type, path string) (map[string]any, error) {
	schema := map[string]any{}
	var err error
	switch {
	case t == reflect.TypeFor[json.RawMessage](): // anything
	case t.Kind() == reflect.Pointer:
		return schemaOf(t.Elem(), path)
	case t.Kind() == reflect.Struct:
		schema, err = structSchema(t, path)
	case t.Kind() == reflect.Slice:
		schema["type"] = "array"
		schema["items"], err = schemaOf(t.Elem(), path+"[]")
	case t.Kind() == reflect.String:
		schema["type"] = "string"
	case t.Kind() == reflect.Bool:
		schema["type"] = "boolean"
	case t.Kind() == reflect.Int || t.Kind() == reflect.Int64:
		schema["type"] = "integer"
	case t.Kind() == reflect.Float64:
		schema["type"] = "number"
	default:
		err = fmt.Errorf("%s: a schema of %s is not known", path, t)
	}
	if err != nil {
		return nil, err
	}
	maps.Copy(schema, described[path])
	if path == "plugins[].type" {
		schema["enum"] = slices.Sorted(maps.Keys(catalogue))
	}
	return schema, nil
}

func structSchema(t reflect.Type, path string) (map[string]any, error) {
	properties := map[string]any{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		at := name
		if path != "" {
			at = path + "." + name
		}
		schema, err := schemaOf(t.Field(i).Type, at)
		if err != nil {
			return nil, err
		}
		properties[name] = schema
	}
	schema := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if names := required[path]; names != nil {
		schema["required"] = names
	}
	return schema, nil
}
