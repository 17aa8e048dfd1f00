package config_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/scheduling"
)

func declaredTypes(t *testing.T, plugins string) []string {
	t.Helper()
	loaded, err := config.Load([]byte("apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins:\n" + plugins))
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, declared := range loaded.Plugins {
		types = append(types, declared.Type)
	}
	return types
}

func TestProducersThatPluginsReadFromAreAdded(t *testing.T) {
	for plugins, want := range map[string][]string{
		"- {type: latency-scorer}\n":                                   {"latency-scorer", "predicted-latency-producer"},
		"- {type: slo-headroom-tier-filter}\n- {type: queue-scorer}\n": {"slo-headroom-tier-filter", "queue-scorer", "predicted-latency-producer"},
		"- {type: latency-slo-admitter}\n- {type: latency-scorer}\n":   {"latency-slo-admitter", "latency-scorer", "predicted-latency-producer"},
		"- {type: mm-embeddings-cache-scorer}\n":                       {"mm-embeddings-cache-scorer", "mm-embeddings-cache-producer"},
		"- {type: prefix-cache-affinity-filter}\n":                     {"prefix-cache-affinity-filter"},
		"- {type: prefix-cache-affinity-filter, parameters: {ttftSource: latencyPredictor}}\n": {
			"prefix-cache-affinity-filter", "predicted-latency-producer"},
		"- {name: mine, type: predicted-latency-producer}\n- {type: latency-scorer}\n": {"predicted-latency-producer", "latency-scorer"},
		"- {type: predicted-latency-producer, parameters: {useEncoderCacheFeatures: true}}\n": {
			"predicted-latency-producer", "mm-embeddings-cache-producer"},
	} {
		if got := declaredTypes(t, plugins); !slices.Equal(got, want) {
			t.Errorf("%s gives %v, want %v", plugins, got, want)
		}
	}
	_, err := config.Load([]byte(`
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {name: predicted-latency-producer, type: queue-scorer}
- {type: latency-scorer}
`))
	if err == nil || !strings.Contains(err.Error(), "predicted-latency-producer") {
		t.Errorf("error %v", err)
	}
}

func TestWhoPredictsFollowsHowRequestsGoOn(t *testing.T) {
	loaded, err := config.Load([]byte(`
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: latency-scorer}
- {type: mm-embeddings-cache-scorer}
`))
	if err != nil || len(loaded.Followers) != 2 {
		t.Errorf("%d followers, want the two producers; error %v", len(loaded.Followers), err)
	}
}

// step is a producer that notes its turn.
type step struct {
	name  string
	reads []string
}

func (s *step) Produce(c *scheduling.Cycle) { c.PutAttribute("turns", c.Attribute("turns")+s.name) }

// reader is a step that reads from others.
type reader struct{ step }

func (r *reader) Consumes() []string { return r.reads }

func TestProducersRunBehindThoseTheyReadFrom(t *testing.T) {
	t.Cleanup(func() { config.Unregister("test-read", "test-reader", "test-other") })
	config.RegisterProducer("test-read", func([]byte) (*step, error) { return &step{name: "a"}, nil })
	config.RegisterProducer("test-other", func([]byte) (*step, error) { return &step{name: "b"}, nil })
	config.RegisterProducer("test-reader", func([]byte) (*reader, error) {
		return &reader{step{name: "r", reads: []string{"test-read"}}}, nil
	})
	for plugins, want := range map[string]string{
		"- {type: test-reader}\n- {type: test-other}\n- {type: test-read}\n": "bar",
		"- {type: test-reader}\n": "ar",
	} {
		loaded, err := config.Load([]byte("apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins:\n" + plugins))
		if err != nil {
			t.Fatal(err)
		}
		pools := datalayer.New(datalayer.Options{})
		pools.Set("ns/pool", []datalayer.Spec{{Name: "a", Address: "10.0.0.1:1"}})
		pool, _ := pools.Get("ns/pool")
		c := scheduling.NewCycle(&body.Request{}, pool.Endpoints(), time.Now())
		if _, err := loaded.Handler.Schedule(c); err != nil {
			t.Fatal(err)
		}
		if got := c.Attribute("turns"); got != want {
			t.Errorf("%s: turns %q, want %q", plugins, got, want)
		}
		c.Release()
	}
}
