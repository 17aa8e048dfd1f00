package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/internal/source/file"
	"github.com/switchyard/switchyard/translate"
)

const rules = `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: switchyard}
spec: {controllerName: switchyard.dev/gateway-controller}
---
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: llama, namespace: models}
spec: {selector: {matchLabels: {app: llama}}, targetPorts: [{number: 8000}]}
---
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: theirs, namespace: models}
spec: {selector: {matchLabels: {app: theirs}}, targetPorts: [{number: 8000}], endpointPickerRef: {name: picker, port: {number: 9002}}}
---
apiVersion: llm-d.ai/v1alpha2
kind: InferenceObjective
metadata: {name: chat, namespace: models}
spec: {priority: 10, poolRef: {name: llama}}
---
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceObjective
metadata: {name: batch, namespace: models}
spec: {poolRef: {name: llama}}
---
apiVersion: llm-d.ai/v1alpha2
kind: InferenceObjective
metadata: {name: theirs, namespace: models}
spec: {poolRef: {name: theirs}}
---
apiVersion: llm-d.ai/v1alpha2
kind: InferenceModelRewrite
metadata: {name: canary, namespace: models}
spec: {poolRef: {name: llama}, rules: [{targets: [{modelRewrite: m}]}]}
`

const wrongRules = `---
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceModelRewrite
metadata: {name: later, namespace: models}
spec: {poolRef: {name: llama}, rules: [{targets: [{modelRewrite: m2}]}]}
---
apiVersion: llm-d.ai/v1alpha2
kind: InferenceObjective
metadata: {name: lost, namespace: models}
spec: {poolRef: {name: lama}}
`

func decode(t *testing.T, text string) (source.Update, *translate.Output) {
	t.Helper()
	update := file.Decode([]byte(text), "m.yaml")
	if len(update.Problems) > 0 {
		t.Fatal(update.Problems)
	}
	out, err := translate.Compile(update.Objects, translate.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return update, out
}

func TestTreeShowsObjectivesAndRewrites(t *testing.T) {
	update, out := decode(t, rules)
	var text bytes.Buffer
	healthy, err := Tree(&text, update.Objects, out.Statuses)
	if err != nil || !healthy {
		t.Errorf("healthy %t, error %v", healthy, err)
	}
	want := `GatewayClass switchyard  [Accepted ✓]
InferenceObjective models/chat, pool llama, priority 10  [Accepted ✓  Ready ✓]
InferenceObjective models/theirs, pool theirs, priority 0, for the pool's own picker to tell
InferenceObjective.inference.networking.x-k8s.io models/batch, pool llama, priority 0  [Accepted ✓  Ready ✓]
InferenceModelRewrite models/canary, pool llama, 1 rules  [Accepted ✓  Conflicted ✓]
`
	if text.String() != want {
		t.Errorf("tree:\n%s", &text)
	}

	update, out = decode(t, rules+wrongRules)
	text.Reset()
	if healthy, err = Tree(&text, update.Objects, out.Statuses); err != nil || healthy {
		t.Errorf("healthy %t, error %v", healthy, err)
	}
	for _, want := range []string{
		"! Accepted=False PoolNotFound: spec.poolRef.name: InferencePool models/lama does not exist",
		"! Conflicted=True ModelTaken: spec.rules[0]: every model without a rule of its own is rewritten by InferenceModelRewrite models/canary",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the tree does not say %q:\n%s", want, &text)
		}
	}
}

func TestTranslationShowsObjectivesAndRewrites(t *testing.T) {
	update, out := decode(t, rules+wrongRules)
	doc, err := document(update, out)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range doc.Statuses {
		got[s.Object] = string(s.Status)
	}
	for object, want := range map[string]string{
		"InferenceObjective/models/chat":                                   `"type":"Ready","status":"True"`,
		"InferenceObjective.inference.networking.x-k8s.io/models/batch":    `have priority 0`,
		"InferenceObjective/models/lost":                                   `"reason":"PoolNotFound"`,
		"InferenceModelRewrite/models/canary":                              `"type":"Conflicted","status":"False"`,
		"InferenceModelRewrite.inference.networking.x-k8s.io/models/later": `"type":"Conflicted","status":"True"`,
	} {
		if !strings.Contains(got[object], want) {
			t.Errorf("%s: %s, want in it %s", object, got[object], want)
		}
	}
}
