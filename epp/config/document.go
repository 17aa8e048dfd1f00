package config

import (
	"encoding/json"
	"errors"
	"fmt"

	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// maxBytes bounds a configuration file.
const maxBytes = 1 << 20

// kind is the only kind of document read.
const kind = "EndpointPickerConfig"

// apiVersions are the versions accepted; the first is the current one.
var apiVersions = []string{"llm-d.ai/v1alpha1", "inference.networking.x-k8s.io/v1alpha1"}

// document is the file as written.
type document struct {
	APIVersion         string              `json:"apiVersion"`
	Kind               string              `json:"kind"`
	FeatureGates       []string            `json:"featureGates"`
	Plugins            []pluginSpec        `json:"plugins"`
	SchedulingProfiles []profileSpec       `json:"schedulingProfiles"`
	DataLayer          *dataLayerSpec      `json:"dataLayer"`
	FlowControl        *flowControlSpec    `json:"flowControl"`
	RequestHandler     *requestHandlerSpec `json:"requestHandler"`
	// SaturationDetector and Parser are older places of flowControl.saturationDetector and requestHandler.parsers.
	SaturationDetector *reference `json:"saturationDetector"`
	Parser             *reference `json:"parser"`
}

type pluginSpec struct {
	Name       string          `json:"name"`
	Type       string          `json:"type"`
	Parameters json.RawMessage `json:"parameters"`
}

type profileSpec struct {
	Name    string              `json:"name"`
	Plugins []weightedReference `json:"plugins"`
}

type reference struct {
	PluginRef string `json:"pluginRef"`
}

type weightedReference struct {
	PluginRef string   `json:"pluginRef"`
	Weight    *float64 `json:"weight"`
}

type dataLayerSpec struct {
	InjectDefaults             *bool           `json:"injectDefaults"`
	Sources                    []sourceSpec    `json:"sources"`
	Discovery                  *reference      `json:"discovery"`
	PeerDiscovery              *reference      `json:"peerDiscovery"`
	CrossReplicaSyncerRef      string          `json:"crossReplicaSyncerPluginRef"`
	CrossReplicaSyncerInterval json.RawMessage `json:"crossReplicaSyncInterval"`
}

type sourceSpec struct {
	PluginRef  string      `json:"pluginRef"`
	Extractors []reference `json:"extractors"`
}

type requestHandlerSpec struct {
	Parsers []reference `json:"parsers"`
}

// flowControlSpec is the section flowControl. What is raw in it is a quantity or a duration.
type flowControlSpec struct {
	MaxBytes                    json.RawMessage `json:"maxBytes"`
	MaxRequests                 json.RawMessage `json:"maxRequests"`
	DefaultRequestTTL           json.RawMessage `json:"defaultRequestTTL"`
	NoEndpointRequestTTL        json.RawMessage `json:"noEndpointRequestTTL"`
	DefaultPriorityBand         *bandSpec       `json:"defaultPriorityBand"`
	DefaultNegativePriorityBand *bandSpec       `json:"defaultNegativePriorityBand"`
	PriorityBands               []bandSpec      `json:"priorityBands"`
	UsageLimitPolicyPluginRef   string          `json:"usageLimitPolicyPluginRef"`
	SaturationDetector          *reference      `json:"saturationDetector"`
	EnableEviction              bool            `json:"enableEviction"`
}

type bandSpec struct {
	Priority          int             `json:"priority"`
	MaxBytes          json.RawMessage `json:"maxBytes"`
	MaxRequests       json.RawMessage `json:"maxRequests"`
	FairnessPolicyRef string          `json:"fairnessPolicyRef"`
	OrderingPolicyRef string          `json:"orderingPolicyRef"`
}

// decodeDocument reads one YAML document strictly.
func decodeDocument(text []byte) (*document, error) {
	if len(text) > maxBytes {
		return nil, fmt.Errorf("%d bytes are more than the %d that a configuration may have", len(text), maxBytes)
	}
	asJSON, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, fmt.Errorf("not valid YAML: %w", err)
	}
	doc := &document{}
	strict, err := kjson.UnmarshalStrict(asJSON, doc)
	if err != nil {
		return nil, err
	}
	if len(strict) > 0 {
		for i := range strict {
			strict[i] = fmt.Errorf("%w; remove it or correct its spelling", strict[i])
		}
		return nil, errors.Join(strict...)
	}
	if doc.Kind != kind {
		return nil, fmt.Errorf("kind: %q must be %q", doc.Kind, kind)
	}
	for _, version := range apiVersions {
		if doc.APIVersion == version {
			return doc, nil
		}
	}
	return nil, fmt.Errorf("apiVersion: %q must be %q (or the older %q)", doc.APIVersion, apiVersions[0], apiVersions[1])
}
