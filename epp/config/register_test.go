package config_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// flat scores every candidate alike.
type flat struct {
	To float32 `json:"to"`
}

func newFlat(parameters []byte) (*flat, error) {
	f := &flat{To: 1}
	return f, scheduling.DecodeParameters(parameters, f)
}

func (f *flat) Score(_ *scheduling.Cycle, _ []int, out []float32) {
	for k := range out {
		out[k] = f.To
	}
}

func (f *flat) Filter(_ *scheduling.Cycle, in []int) []int { return in }

func (f *flat) Pick(_ *scheduling.Cycle, in []int, _ []float32) []int { return in[:1] }

// registerFlat adds plugin types until the test ends.
func registerFlat(t *testing.T) {
	t.Cleanup(func() { config.Unregister("test-flat-scorer", "test-flat-filter", "test-flat-picker") })
	config.RegisterScorer("test-flat-scorer", newFlat)
	config.RegisterFilter("test-flat-filter", newFlat)
	config.RegisterPicker("test-flat-picker", newFlat)
}

func TestRegisteredPluginsLoad(t *testing.T) {
	registerFlat(t)
	loaded, err := config.Load([]byte(`
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: test-flat-scorer, parameters: {to: 0.5}}
- {type: test-flat-filter}
- {type: test-flat-picker}
`))
	if err != nil {
		t.Fatal(err)
	}
	p := loaded.Profiles[0]
	if got, ok := p.Scorers[0].Scorer.(*flat); !ok || got.To != 0.5 || len(p.Filters) != 2 {
		t.Errorf("profile %+v", p)
	}
	if _, ok := p.Picker.(*flat); !ok {
		t.Errorf("picker %T", p.Picker)
	}
	if !slices.Contains(config.Types(), config.Type{Name: "test-flat-scorer", Role: "scorer"}) {
		t.Errorf("types %v lack the one registered", config.Types())
	}
	if _, err := config.Load([]byte("apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins: [{type: test-flat-scorer, parameters: {tow: 1}}]\n")); err == nil || !strings.Contains(err.Error(), "tow") {
		t.Errorf("error %v, want one about tow", err)
	}
}

func TestRegisteringATakenTypePanics(t *testing.T) {
	registerFlat(t)
	for _, typ := range []string{"", "queue-scorer", "test-flat-scorer"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("type %q was registered", typ)
				}
			}()
			config.RegisterScorer(typ, newFlat)
		}()
	}
}
