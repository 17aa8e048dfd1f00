package gatewayapi

import (
	"maps"
	"os"
	"reflect"
	"testing"

	infv1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"

	"github.com/switchyard/switchyard/internal/source"
)

// TestAPickerSaysWhatTheControlPlaneWould compares them for every pool of the golden files: word for word they say the same where
// the control plane says anything, and about a pool with a picker of its own the picker says what the control plane would if the
// pool were left to it.
func TestAPickerSaysWhatTheControlPlaneWould(t *testing.T) {
	said := 0
	for _, file := range []string{"testdata/objectives.golden", "testdata/model-rewrites.golden"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		input, _ := splitGolden(string(text))
		l, err := load(input)
		if err != nil {
			t.Fatal(err)
		}
		objects := l.objects()
		l.pools = nil
		for pool := range objects.InferencePools.All() {
			left := pool.DeepCopy()
			left.Spec.EndpointPickerRef = nil
			l.pools = append(l.pools, left)
		}
		all := Build(l.objects(), Options{}).Statuses
		pools := []source.Key{{Namespace: "models", Name: "lama"}} // which is not there
		for pool := range objects.InferencePools.All() {
			pools = append(pools, source.KeyOf(pool))
		}
		for _, pool := range pools {
			got, want := RuleStatuses(objects, pool), only(objects, all, pool)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: about pool %s the picker says\n%+v\nand the control plane\n%+v", file, pool, got, want)
			}
			said += len(got.InferenceObjectives) + len(got.OlderInferenceObjectives) + len(got.InferenceModelRewrites) + len(got.OlderInferenceModelRewrites)
		}
	}
	if said < 12 {
		t.Errorf("only %d statuses were compared", said)
	}
}

// only keeps the statuses of what names a pool.
func only(o *source.Objects, s Statuses, pool source.Key) Statuses {
	out := Statuses{
		InferenceObjectives: maps.Clone(s.InferenceObjectives), OlderInferenceObjectives: maps.Clone(s.OlderInferenceObjectives),
		InferenceModelRewrites: maps.Clone(s.InferenceModelRewrites), OlderInferenceModelRewrites: maps.Clone(s.OlderInferenceModelRewrites),
	}
	other := func(k source.Key, name string) bool { return k.Namespace != pool.Namespace || name != pool.Name }
	for x := range o.InferenceObjectives.All() {
		if other(source.KeyOf(x), x.Spec.PoolRef.Name) {
			delete(out.InferenceObjectives, source.KeyOf(x))
		}
	}
	for x := range o.OlderInferenceObjectives.All() {
		if other(source.KeyOf(x), x.Spec.PoolRef.Name) {
			delete(out.OlderInferenceObjectives, source.KeyOf(x))
		}
	}
	for x := range o.InferenceModelRewrites.All() {
		if other(source.KeyOf(x), x.Spec.PoolRef.Name) {
			delete(out.InferenceModelRewrites, source.KeyOf(x))
		}
	}
	for x := range o.OlderInferenceModelRewrites.All() {
		if other(source.KeyOf(x), x.Spec.PoolRef.Name) {
			delete(out.OlderInferenceModelRewrites, source.KeyOf(x))
		}
	}
	return out
}

// TestAPickerLeavesPoolsToTheEmbeddedOne that ask for it by name.
func TestAPickerLeavesPoolsToTheEmbeddedOne(t *testing.T) {
	const text = `apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: llama, namespace: models}
spec:
  selector: {matchLabels: {app: llama}}
  targetPorts: [{number: 8000}]
---
apiVersion: llm-d.ai/v1alpha2
kind: InferenceObjective
metadata: {name: chat, namespace: models, generation: 4}
spec: {priority: 10, poolRef: {name: llama}}
`
	group := infv1.Group("switchyard.dev")
	for name, c := range map[string]struct {
		ref  *infv1.EndpointPickerRef
		said int
	}{
		"none":     {nil, 1},
		"own":      {&infv1.EndpointPickerRef{Name: "picker"}, 1},
		"embedded": {&infv1.EndpointPickerRef{Group: &group, Kind: "EndpointPicker", Name: "any"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := load(text)
			if err != nil {
				t.Fatal(err)
			}
			l.pools[0].Spec.EndpointPickerRef = c.ref
			if got := RuleStatuses(l.objects(), source.Key{Namespace: "models", Name: "llama"}); len(got.InferenceObjectives) != c.said {
				t.Errorf("%d statuses, want %d", len(got.InferenceObjectives), c.said)
			}
		})
	}
}
