package pipeline

import (
	"fmt"
	"strings"
	"testing"

	"github.com/switchyard/switchyard/internal/source"
)

const rulesManifest = `
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: llama, namespace: models}
spec: {selector: {matchLabels: {app: llama}}, targetPorts: [{number: 8000}]}
---
apiVersion: llm-d.ai/v1alpha2
kind: InferenceObjective
metadata: {name: chat, namespace: models}
spec: {priority: 10, poolRef: {name: llama}}
---
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceObjective
metadata: {name: chat, namespace: models}
spec: {priority: 99, poolRef: {name: llama}}
---
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceObjective
metadata: {name: batch, namespace: models}
spec: {priority: -2, poolRef: {name: llama}}
---
apiVersion: llm-d.ai/v1alpha2
kind: InferenceObjective
metadata: {name: plain, namespace: models}
spec: {poolRef: {name: llama}}
---
apiVersion: llm-d.ai/v1alpha2
kind: InferenceObjective
metadata: {name: old-pool, namespace: models}
spec: {priority: 1, poolRef: {name: llama, group: inference.networking.x-k8s.io}}
---
apiVersion: llm-d.ai/v1alpha2
kind: InferenceObjective
metadata: {name: chat, namespace: other}
spec: {priority: 3, poolRef: {name: llama}}
---
apiVersion: llm-d.ai/v1alpha2
kind: InferenceModelRewrite
metadata: {name: young, namespace: models, creationTimestamp: "2026-01-02T00:00:00Z"}
spec:
  poolRef: {name: llama}
  rules:
  - matches: [{model: {value: m}}, {model: {value: free}}]
    targets: [{weight: 2, modelRewrite: of-young}]
---
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceModelRewrite
metadata: {name: zed, namespace: models, creationTimestamp: "2026-01-01T00:00:00Z"}
spec:
  poolRef: {name: llama}
  rules:
  - matches: [{model: {value: m}}]
    targets: [{weight: 5, modelRewrite: of-zed}, {modelRewrite: never}]
  - targets: [{modelRewrite: any}]
---
apiVersion: llm-d.ai/v1alpha2
kind: InferenceModelRewrite
metadata: {name: old-pool, namespace: models, creationTimestamp: "2025-01-01T00:00:00Z"}
spec:
  poolRef: {name: llama, kind: Service}
  rules:
  - targets: [{modelRewrite: of-old-pool}]
`

func TestRulesReachThePicker(t *testing.T) {
	b := newBed(t, "")
	result := b.put(rulesManifest)
	rules := b.rules.Load()
	for objective, want := range map[string]string{"chat": "10 true", "batch": "-2 true", "plain": "0 true", "old-pool": "0 false", "none": "0 false"} {
		priority, known := rules.Priority("models/llama", objective)
		if got := fmt.Sprint(priority, known); got != want {
			t.Errorf("the priority of %s is %s, want %s", objective, got, want)
		}
	}
	if priority, _ := rules.Priority("other/llama", "chat"); priority != 3 {
		t.Errorf("the priority in the other namespace is %d, want 3", priority)
	}
	for model, want := range map[string]string{"m": "zed of-zed true", "free": "young of-young true", "else": "zed any true"} {
		for range 20 { // a target without a weight beside one with is never drawn
			rewrite, target, ok := rules.Rewrite("models/llama", model)
			if got := fmt.Sprint(rewrite, " ", target, " ", ok); got != want {
				t.Fatalf("%s is rewritten by %s, want %s", model, got, want)
			}
		}
	}

	// The statuses say the same.
	young := result.Statuses.InferenceModelRewrites[source.Key{Namespace: "models", Name: "young"}].Conditions
	zed := result.Statuses.OlderInferenceModelRewrites[source.Key{Namespace: "models", Name: "zed"}].Conditions
	if c := young[1]; c.Type != "Conflicted" || c.Status != "True" || !strings.Contains(c.Message, `model "m" is rewritten by InferenceModelRewrite models/zed`) || strings.Contains(c.Message, "free") {
		t.Errorf("the younger rewrite is told %+v", c)
	}
	if c := zed[1]; c.Type != "Conflicted" || c.Status != "False" {
		t.Errorf("the older rewrite is told %+v", c)
	}
}

// Pods come and go all the time, and move no rule: nobody may have to look at new ones for that.
func TestRulesAreMadeAnewOnlyWhenTheyChanged(t *testing.T) {
	b := newBed(t, "")
	update := b.load(rulesManifest)
	put := func(o source.Objects) {
		t.Helper()
		before, changed := b.pipeline.Latest()
		b.store.Put(source.Update{Objects: &o})
		<-changed
		if now, _ := b.pipeline.Latest(); now == before {
			t.Fatal("nothing was compiled")
		}
	}
	put(*update.Objects)
	first := b.rules.Load()
	if first == nil {
		t.Fatal("there are no rules")
	}
	pods := b.load("apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: models}\n").Objects.Pods
	more := *update.Objects
	more.Pods = pods
	put(more)
	if b.rules.Load() != first {
		t.Error("a pod made new rules")
	}
	more.InferenceObjectives = more.InferenceObjectives.Without(source.Key{Namespace: "models", Name: "chat"})
	put(more)
	if priority, _ := b.rules.Load().Priority("models/llama", "chat"); priority != 99 {
		t.Errorf("the priority is %d, want that of the older group's object, 99", priority)
	}
	put(source.Objects{})
	if _, known := b.rules.Load().Priority("models/llama", "chat"); known {
		t.Error("an objective is known after all are gone")
	}
}
