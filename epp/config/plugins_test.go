package config

import (
	"strings"
	"testing"

	"github.com/switchyard/switchyard/epp/scheduling"
)

func TestExperimentalPluginsAreRefused(t *testing.T) {
	declared := []Declared{{Name: "queue", Type: "queue-scorer"}, {Name: "sticky", Type: "session-affinity-scorer"}}
	err := Options{RefuseExperimental: true}.refuseExperimental(declared)
	if err == nil || !strings.Contains(err.Error(), `plugins[1] "sticky"`) || !strings.Contains(err.Error(), "--allow-experimental-plugins") {
		t.Errorf("error %v", err)
	}
	if err := (Options{}).refuseExperimental(declared); err != nil {
		t.Errorf("allowed: %v", err)
	}
	if err := (Options{RefuseExperimental: true}).refuseExperimental(declared[:1]); err != nil {
		t.Errorf("not experimental: %v", err)
	}
}

func TestTheSubsetMayBeIgnored(t *testing.T) {
	for _, ignore := range []bool{false, true} {
		c, err := LoadWith(DefaultText(), Options{IgnoreSubset: ignore})
		if err != nil {
			t.Fatal(err)
		}
		if c.OverridesSubset(scheduling.Headers{}) != ignore {
			t.Errorf("IgnoreSubset %v: the subset counts %v", ignore, ignore)
		}
	}
}

func TestSameDataLayer(t *testing.T) {
	load := func(old, new string) *Config {
		c, err := Load([]byte(strings.Replace(string(DefaultText()), old, new, 1)))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	source := "- type: metrics-data-source"
	for name, test := range map[string]struct {
		config *Config
		same   bool
	}{
		"nothing":       {load("", ""), true},
		"a weight":      {load("weight: 3", "weight: 4"), true},
		"a port":        {load(source, source+"\n  parameters: {port: 7}"), false},
		"a client":      {load(source, source+"\n  parameters: {scheme: https, insecureSkipVerify: false}"), false},
		"the index":     {load(source, "- type: approx-prefix-cache-producer\n  parameters: {lruCapacityPerServer: 7}\n"+source), false},
		"matched of it": {load(source, "- type: approx-prefix-cache-producer\n  parameters: {maxPrefixTokensToMatch: 7000}\n"+source), true},
	} {
		if got := test.config.SameDataLayer(Default()); got != test.same {
			t.Errorf("%s changed: same %v", name, got)
		}
	}
}

func TestParsersSpeak(t *testing.T) {
	for _, test := range []struct {
		types, protocol string
		want            bool
	}{
		{"openai-parser", "", true}, {"openai-parser", "http", true}, {"openai-parser", "kubernetes.io/h2c", true},
		{"vllmgrpc-parser", "", true}, {"vllmgrpc-parser", "kubernetes.io/h2c", true}, {"vllmgrpc-parser", "http", false},
		{"vertexai-parser", "kubernetes.io/h2c", true}, {"vertexai-parser", "http", false},
		{"openai-parser vllmgrpc-parser", "http", false}, {"passthrough-parser", "other", true},
	} {
		if got := newParsers(strings.Fields(test.types)).Speak(test.protocol); got != test.want {
			t.Errorf("%s with %q: %v", test.types, test.protocol, got)
		}
	}
}
