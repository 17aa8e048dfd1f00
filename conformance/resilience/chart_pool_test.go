package resilience

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// requestsTaken is the picker's count of requests.
const requestsTaken = "llm_d_epp_request_total"

// TestStandalonePool has an InferencePool made, and what refers to it: an objective of the release, and a rewrite of ours. Both are seen
// in what the picker counts.
func TestStandalonePool(t *testing.T) {
	t.Parallel()
	in := connect(t)
	r := in.newRelease(t, "pooled", flags.standaloneChart, smallProxies("service"), `router:
  inferenceObjectives: [{name: high, priority: 10}]
  monitoring: {prometheus: {auth: {enabled: false}}}
  epp: {flags: {drain-timeout: 20s}}
`)
	epp, proxy := r.name+"-epp", r.name+"-proxy"
	r.waitServed(proxy)
	r.expectPicked(proxy)
	url := r.options(proxy).URL
	if status, _, err := askFor(t.Context(), url, "nickname", nil); err != nil || status != http.StatusNotFound {
		t.Errorf("a model that there is not: status %d, %v", status, err)
	}
	rewrite := newRewrite(r.namespace, r.name, "nickname", model)
	if err := in.Create(t.Context(), rewrite); err != nil {
		t.Fatal(err)
	}
	eventually(t, pickerBack, "the model is rewritten", func(ctx context.Context) error {
		status, _, err := askFor(ctx, url, "nickname", nil)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d", status)
		}
		return err
	})
	r.waitTold("InferenceModelRewrite", rewrite.GetName())
	r.waitTold("InferenceObjective", "high")
	const important = 7
	for range important {
		if status, _, err := askFor(t.Context(), url, "nickname", map[string]string{"x-llm-d-inference-objective": "high"}); err != nil || status != http.StatusOK {
			t.Fatalf("status %d, %v", status, err)
		}
	}
	if n := r.metric(epp, requestsTaken, map[string]string{"model_name": "nickname", "target_model_name": model, "priority": "10"}); n != important {
		t.Errorf("%g requests of the objective's priority are counted, whose model was rewritten, want %d", n, important)
	}
	if n := r.metric(epp, requestsTaken, map[string]string{"priority": "0"}); n == 0 {
		t.Error("no request without an objective is counted")
	}

	run := startLoad(t, r.options(proxy, chartLoad...))
	r.addValues(`router:
  inferenceObjectives: [{name: high, priority: 20}]
  proxy: {failOpen: false}
`)
	r.helm("upgrade")
	r.expectTold(epp, proxy)
	r.waitDeployments()
	if status, _, err := askFor(t.Context(), url, "nickname", map[string]string{"x-llm-d-inference-objective": "high"}); err != nil || status != http.StatusOK {
		t.Fatalf("status %d, %v", status, err)
	}
	r.expectPicked(proxy)
	if n := r.metric(epp, requestsTaken, map[string]string{"priority": "20"}); n != 1 {
		t.Errorf("%g requests of the new priority are counted, want 1", n)
	}
	more(t, run, 1)
	expectNoErrors(t, run)
	r.expectCleanLogs(epp)
	if err := in.Delete(t.Context(), rewrite); err != nil {
		t.Fatal(err)
	}
	r.uninstall(0)
}

// waitTold waits until an object's status says that it is accepted.
func (r *release) waitTold(kind, name string) {
	r.t.Helper()
	took := eventually(r.t, settled, kind+" "+name+" is accepted", func(ctx context.Context) error {
		o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "llm-d.ai/v1alpha2", "kind": kind}}
		if err := r.Get(ctx, client.ObjectKey{Namespace: r.namespace, Name: name}, o); err != nil {
			return err
		}
		conditions, _, err := unstructured.NestedSlice(o.Object, "status", "conditions")
		for _, c := range conditions {
			if c := c.(map[string]any); c["type"] == "Accepted" && c["status"] == "True" {
				return nil
			}
		}
		return fmt.Errorf("its status is %v, %v", o.Object["status"], err)
	})
	r.t.Logf("%s %s is accepted after %s", kind, name, took.Round(time.Millisecond))
}

// newRewrite sends the requests of a pool for one model to another.
func newRewrite(namespace, pool, from, to string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "llm-d.ai/v1alpha2", "kind": "InferenceModelRewrite",
		"spec": map[string]any{
			"poolRef": map[string]any{"name": pool},
			"rules": []any{map[string]any{
				"matches": []any{map[string]any{"model": map[string]any{"value": from}}},
				"targets": []any{map[string]any{"modelRewrite": to}},
			}},
		},
	}}
	o.SetNamespace(namespace)
	o.SetName("nickname")
	return o
}
