package command

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"
)

const objectiveManifest = `apiVersion: llm-d.ai/v1alpha2
kind: InferenceObjective
metadata: {name: chat, namespace: models}
spec: {priority: 7, poolRef: {name: llama}}
`

const rewriteManifest = `apiVersion: llm-d.ai/v1alpha2
kind: InferenceModelRewrite
metadata: {name: canary, namespace: models}
spec: {poolRef: {name: llama}, rules: [{matches: [{model: {value: m}}], targets: [{modelRewrite: m-2}]}]}
`

// withRules installs the CRDs of the llm-d Router, with one object of each.
func (a *clusterAPI) withRules() {
	const group = "/apis/llm-d.ai"
	a.mux.HandleFunc("GET "+group, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]any{"kind": "APIGroup", "apiVersion": "v1", "name": "llm-d.ai",
			"versions": []any{map[string]any{"groupVersion": "llm-d.ai/v1alpha2", "version": "v1alpha2"}}})
	})
	a.mux.HandleFunc("GET "+group+"/v1alpha2", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]any{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "llm-d.ai/v1alpha2", "resources": []any{
			map[string]any{"name": "inferenceobjectives", "kind": "InferenceObjective", "namespaced": true},
			map[string]any{"name": "inferencemodelrewrites", "kind": "InferenceModelRewrite", "namespaced": true}}})
	})
	a.mux.HandleFunc("GET "+group+"/v1alpha2/namespaces/models/inferenceobjectives", list("InferenceObjective", "llm-d.ai/v1alpha2", objectiveManifest))
	a.mux.HandleFunc("GET "+group+"/v1alpha2/namespaces/models/inferencemodelrewrites", list("InferenceModelRewrite", "llm-d.ai/v1alpha2", rewriteManifest))
}

// prepareEPP makes the parts of a picker and runs, until the end of the test, those that read objects.
func prepareEPP(t *testing.T, manifests string, args ...string) *pickerProcess {
	t.Helper()
	p := &pickerProcess{flags: &pickerFlags{manifests: manifests}, log: discard, registry: prometheus.NewRegistry()}
	set := pflag.NewFlagSet("epp", pflag.ContinueOnError)
	p.flags.register(set)
	if err := set.Parse(args); err != nil {
		t.Fatal(err)
	}
	if err := p.flags.validate(set); err != nil {
		t.Fatal(err)
	}
	var err error
	if p.config, err = p.flags.config.load(); err != nil {
		t.Fatal(err)
	}
	if err := p.prepare(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	run := func(of func(context.Context) error) {
		running.Go(func() {
			if err := of(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	run(func(ctx context.Context) error { return p.objects.Run(ctx, p.store) })
	if p.loop != nil {
		run(p.loop.Run)
	} else {
		run(p.selectPods)
	}
	return p
}

// waitFor waits until the picker knows its endpoints, which is after it knows its rules.
func (p *pickerProcess) waitFor(t *testing.T, pool string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		if _, known := p.pools.Get(pool); known {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("pool %s did not come", pool)
		}
		<-time.After(time.Millisecond)
	}
}

func TestRulesOfAStandalonePicker(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T) *pickerProcess{
		"of a folder": func(t *testing.T) *pickerProcess {
			dir := t.TempDir()
			writeFile(t, filepath.Join(dir, "m.yaml"), strings.Join([]string{pool, objectiveManifest, rewriteManifest}, "---\n"))
			return prepareEPP(t, dir)
		},
		"of a cluster": func(t *testing.T) *pickerProcess {
			api := newClusterAPI(t)
			api.withRules()
			return prepareEPP(t, "", "--kubeconfig", api.kubeconfig(t), "--pool-name", "llama", "--pool-namespace", "models")
		},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			p := prepare(t)
			p.waitFor(t, "models/llama")
			rules := p.pickerOptions().Rules()
			priority, known := rules.Priority("models/llama", "chat")
			rewrite, target, ok := rules.Rewrite("models/llama", "m")
			if got := fmt.Sprint(priority, known, rewrite, target, ok); got != fmt.Sprint(7, true, "canary", "m-2", true) {
				t.Errorf("the rules say %s", got)
			}
		})
	}
}

func TestNoRulesWithoutCRDsOrPool(t *testing.T) {
	for name, c := range map[string]struct {
		pool string
		args []string
	}{
		"without CRDs":    {"models/llama", []string{"--pool-name", "llama"}},
		"with a selector": {"models/epp", []string{"--endpoint-selector", "app=llama", "--endpoint-target-ports", "1"}},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			t.Setenv("POD_NAME", "epp-1a2b3c-4d5e")
			api := newClusterAPI(t)
			if name == "with a selector" {
				api.withRules() // that they are there changes nothing
			}
			p := prepareEPP(t, "", append(c.args, "--kubeconfig", api.kubeconfig(t), "--pool-namespace", "models")...)
			p.waitFor(t, c.pool)
			rules := p.pickerOptions().Rules()
			if _, known := rules.Priority("models/llama", "chat"); known {
				t.Error("an objective is known")
			}
			if _, _, ok := rules.Rewrite("models/llama", "m"); ok {
				t.Error("a model is rewritten")
			}
		})
	}
}
