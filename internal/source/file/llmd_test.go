package file

import (
	"testing"

	"github.com/switchyard/switchyard/internal/source/llmd"
)

const bothGroups = `
apiVersion: llm-d.ai/v1alpha2
kind: InferenceObjective
metadata: {name: o}
spec: {priority: -3, poolRef: {name: p}}
status: {conditions: [{type: Ready, status: "True", reason: X, message: "", lastTransitionTime: "2026-01-01T00:00:00Z"}]}
---
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceObjective
metadata: {name: o, namespace: models, creationTimestamp: "2026-01-02T03:04:05Z"}
spec: {poolRef: {name: p, group: inference.networking.x-k8s.io}}
---
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceModelRewriteList
items:
- metadata: {name: r}
  spec:
    poolRef: {name: p}
    rules:
    - matches: [{model: {value: m}}, {model: {type: Exact, value: m2}}]
      targets: [{weight: 1000000, modelRewrite: a}, {modelRewrite: b}]
    - targets: [{modelRewrite: c}]
`

func TestKindsOfTheRouterAreReadInBothGroups(t *testing.T) {
	o := decodeGood(t, bothGroups)
	objective, ok := o.InferenceObjectives.Get("default", "o")
	if !ok || *objective.Spec.Priority != -3 || objective.Spec.PoolRef != (llmd.PoolRef{Group: llmd.PoolGroup, Kind: llmd.PoolKind, Name: "p"}) {
		t.Fatalf("the objective is %+v", objective)
	}
	if objective.Generation != 1 || objective.Status.Conditions != nil {
		t.Errorf("generation %d and status %+v: a status of a manifest means nothing", objective.Generation, objective.Status)
	}
	older, ok := o.OlderInferenceObjectives.Get("models", "o")
	if !ok || older.Spec.Priority != nil || older.Spec.PoolRef.Group != llmd.OlderGroup || older.CreationTimestamp.Year() != 2026 {
		t.Errorf("the older objective is %+v", older)
	}
	rewrite, ok := o.OlderInferenceModelRewrites.Get("default", "r")
	if !ok || o.InferenceModelRewrites.Len() != 0 {
		t.Fatalf("the rewrite is %v, and there are %d of the current group", rewrite, o.InferenceModelRewrites.Len())
	}
	rules := rewrite.Spec.Rules
	if len(rules) != 2 || rules[0].Matches[0].Model != (llmd.ModelMatch{Type: "Exact", Value: "m"}) || rules[0].Matches[1].Model.Value != "m2" ||
		rules[0].Targets[0] != (llmd.RewriteTarget{Weight: 1_000_000, ModelRewrite: "a"}) || rules[0].Targets[1] != (llmd.RewriteTarget{ModelRewrite: "b"}) ||
		rules[1].Matches != nil {
		t.Errorf("the rules are %+v", rules)
	}
}

// The generation of an object of the older group, too, follows its spec, and its neighbour of the current group stays as it is.
func TestGenerationsOfBothGroups(t *testing.T) {
	e := newEdits(t)
	text := func(priority, label string) string {
		return "apiVersion: inference.networking.x-k8s.io/v1alpha2\nkind: InferenceObjective\n" +
			"metadata: {name: o, labels: {x: " + label + "}}\nspec: {priority: " + priority + ", poolRef: {name: p}}\n"
	}
	e.write("new.yaml", "apiVersion: llm-d.ai/v1alpha2\nkind: InferenceObjective\nmetadata: {name: o}\nspec: {poolRef: {name: p}}\n")
	current, _ := e.c.update().Objects.InferenceObjectives.Get("default", "o")
	for _, step := range []struct {
		priority, label string
		generation      int64
	}{{"1", "a", 1}, {"1", "b", 1}, {"2", "b", 2}} {
		e.write("old.yaml", text(step.priority, step.label))
		older, ok := e.c.update().Objects.OlderInferenceObjectives.Get("default", "o")
		if !ok || older.Generation != step.generation || older.Labels["x"] != step.label {
			t.Errorf("priority %s, label %s: %+v, want generation %d", step.priority, step.label, older, step.generation)
		}
	}
	if now, _ := e.c.update().Objects.InferenceObjectives.Get("default", "o"); now != current {
		t.Error("the object of the current group is another one")
	}
}
