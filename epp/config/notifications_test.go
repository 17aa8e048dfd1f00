package config_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/epp/datalayer"
)

// keeper is a scorer that takes endpoints and pods, too.
type keeper struct {
	flat
	told []string
}

func newKeeper([]byte) (*keeper, error) { return &keeper{}, nil }

func (k *keeper) ExtractEndpoint(_ context.Context, e datalayer.EndpointEvent) error {
	k.told = append(k.told, e.Endpoint.Name)
	return nil
}

func (k *keeper) ObjectKind() schema.GroupVersionKind {
	return schema.GroupVersionKind{Version: "v1", Kind: "Pod"}
}

func (k *keeper) ExtractObject(_ context.Context, e datalayer.ObjectEvent) error {
	k.told = append(k.told, e.Object.GetName())
	return nil
}

func registerKeeper(t *testing.T) {
	t.Cleanup(func() { config.Unregister("test-keeper", "test-endpoints", "test-objects") })
	config.RegisterScorer("test-keeper", newKeeper)
	config.RegisterEndpointExtractor("test-endpoints", newKeeper)
	config.RegisterObjectExtractor("test-objects", newKeeper)
}

const notifying = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins:\n" +
	"- {type: endpoint-notification-source}\n- {name: pods, type: k8s-notification-source, parameters: {version: v1, kind: Pod}}\n" +
	"- {name: nodes, type: k8s-notification-source, parameters: {version: v1, kind: Node}}\n" +
	"- {type: test-keeper}\n- {type: test-endpoints}\n- {type: test-objects}\n- {type: queue-scorer}\n"

func TestSourcesAndTheirExtractors(t *testing.T) {
	registerKeeper(t)
	for name, c := range map[string]struct {
		sources  string
		err      string
		warnings []string
	}{
		"all declared": {"", "", []string{`dataLayer.sources[2]: "nodes" has no effect without extractors`}},
		"named": {"[{pluginRef: endpoint-notification-source, extractors: [{pluginRef: test-keeper}, {pluginRef: test-keeper}]}, " +
			"{pluginRef: pods, extractors: [{pluginRef: test-objects}, {pluginRef: test-keeper}]}]", "", nil},
		"none": {"[{pluginRef: endpoint-notification-source}, {pluginRef: pods}]", "", []string{
			`dataLayer.sources[0]: "endpoint-notification-source" has no effect without extractors`, `dataLayer.sources[1]: "pods" has no effect without extractors`}},
		"of another kind": {"[{pluginRef: nodes, extractors: [{pluginRef: test-objects}]}]",
			`dataLayer.sources[0].extractors[0]: pluginRef: "test-objects" reads objects of /v1, Kind=Pod, and these are of /v1, Kind=Node; refer to it from a source of its kind`, nil},
		"no extractor": {"[{pluginRef: endpoint-notification-source, extractors: [{pluginRef: queue-scorer}]}]", `dataLayer.sources[0].extractors[0]: pluginRef: `, nil},
		"unknown":      {"[{pluginRef: endpoint-notification-source, extractors: [{pluginRef: nobody}]}]", `dataLayer.sources[0].extractors[0]: pluginRef: `, nil},
		"of metrics": {"[{pluginRef: metrics-data-source, extractors: [{pluginRef: test-endpoints}]}]",
			`dataLayer.sources[0]`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			text := notifying
			if c.sources != "" {
				text += "dataLayer: {sources: " + c.sources + "}\n"
			}
			loaded, err := config.Load([]byte(text))
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want %s", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(loaded.Warnings, c.warnings) {
				t.Errorf("warnings %q, want %q", loaded.Warnings, c.warnings)
			}
		})
	}
}

// pods is a cluster with one pod.
type pods struct{ asked []string }

func (p *pods) Watch(_ context.Context, kind schema.GroupVersionKind, take func(datalayer.ObjectEvent)) error {
	p.asked = append(p.asked, kind.Kind)
	pod := &unstructured.Unstructured{Object: map[string]any{}}
	pod.SetName("llama-0")
	take(datalayer.ObjectEvent{Object: pod})
	return nil
}

// TestSourcesTellTheirExtractors has the sources of a configuration run.
func TestSourcesTellTheirExtractors(t *testing.T) {
	registerKeeper(t)
	loaded, err := config.Load([]byte(notifying))
	if err != nil {
		t.Fatal(err)
	}
	cluster, pools := &pods{}, datalayer.New(datalayer.Options{})
	pools.Set("ns/p", []datalayer.Spec{{Name: "llama-0-rank-0", Namespace: "ns", Address: "127.0.0.1:1"}})
	loaded.Watch(cluster)
	ended, cancel := context.WithCancel(t.Context())
	cancel() // what there is is told even so
	for _, declared := range loaded.Plugins {
		if runner, ok := declared.Plugin.(interface {
			Run(context.Context, *datalayer.Pools) error
		}); ok {
			if err := runner.Run(ended, pools); err != nil {
				t.Errorf("%s: %v", declared.Name, err)
			}
		}
	}
	for _, declared := range loaded.Plugins {
		k, ok := declared.Plugin.(*keeper)
		if !ok {
			continue
		}
		if slices.Sort(k.told); !slices.Equal(k.told, []string{"llama-0", "llama-0-rank-0"}) {
			t.Errorf("%s was told %q", declared.Name, k.told)
		}
	}
	if !slices.Equal(cluster.asked, []string{"Pod"}) {
		t.Errorf("watched: %q", cluster.asked)
	}
}
