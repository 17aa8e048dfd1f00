package source

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	infv1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"
)

func readyPod(name, ip string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, Labels: map[string]string{"app": "llama", "x": "y"}},
		Status: corev1.PodStatus{
			PodIP: ip,
			Conditions: []corev1.PodCondition{
				{Type: corev1.PodInitialized, Status: corev1.ConditionTrue},
				{Type: corev1.PodReady, Status: corev1.ConditionTrue},
			},
		},
	}
	for _, c := range change {
		c(p)
	}
	return p
}

func pool(ports ...int32) *infv1.InferencePool {
	p := &infv1.InferencePool{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "pool"}}
	p.Spec.Selector.MatchLabels = map[infv1.LabelKey]infv1.LabelValue{"app": "llama"}
	for _, n := range ports {
		p.Spec.TargetPorts = append(p.Spec.TargetPorts, infv1.Port{Number: infv1.PortNumber(n)})
	}
	return p
}

func endpoints(p *infv1.InferencePool, pods ...*corev1.Pod) []string {
	o := &Objects{Pods: NewSet(pods...)}
	var out []string
	for _, e := range o.PoolEndpoints(p) {
		out = append(out, fmt.Sprintf("%s %s", e.Name(), e.Address))
	}
	return out
}

func expectEndpoints(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("endpoints are %q, want %q", got, want)
	}
}

func TestPoolEndpointsAreOrderedByAddress(t *testing.T) {
	got := endpoints(pool(8001, 8000), readyPod("a", "10.0.0.9"), readyPod("b", "10.0.0.10"), readyPod("c", "fd00::1"))
	expectEndpoints(t, got,
		"a-rank-1 10.0.0.9:8000", "a-rank-0 10.0.0.9:8001",
		"b-rank-1 10.0.0.10:8000", "b-rank-0 10.0.0.10:8001",
		"c-rank-1 [fd00::1]:8000", "c-rank-0 [fd00::1]:8001")
}

func TestPoolEndpointsLeaveOutPodsThatCannotServe(t *testing.T) {
	cases := map[string]func(*corev1.Pod){
		"other namespace":    func(p *corev1.Pod) { p.Namespace = "other" },
		"other label":        func(p *corev1.Pod) { p.Labels = map[string]string{"app": "qwen"} },
		"no labels":          func(p *corev1.Pod) { p.Labels = nil },
		"no address":         func(p *corev1.Pod) { p.Status.PodIP = "" },
		"address is no IP":   func(p *corev1.Pod) { p.Status.PodIP = "localhost" },
		"not ready":          func(p *corev1.Pod) { p.Status.Conditions[1].Status = corev1.ConditionFalse },
		"readiness unknown":  func(p *corev1.Pod) { p.Status.Conditions[1].Status = corev1.ConditionUnknown },
		"no ready condition": func(p *corev1.Pod) { p.Status.Conditions = p.Status.Conditions[:1] },
		"being deleted":      func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{} },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			got := endpoints(pool(8000), readyPod("bad", "10.0.0.1", change), readyPod("good", "10.0.0.2"))
			expectEndpoints(t, got, "good-rank-0 10.0.0.2:8000")
		})
	}
}

func TestPoolSelector(t *testing.T) {
	p := pool(8000)
	p.Spec.Selector.MatchLabels["x"] = "y"
	expectEndpoints(t, endpoints(p, readyPod("a", "10.0.0.1")), "a-rank-0 10.0.0.1:8000")
	p.Spec.Selector.MatchLabels["x"] = "z"
	expectEndpoints(t, endpoints(p, readyPod("a", "10.0.0.1")))
	p.Spec.Selector.MatchLabels = nil
	expectEndpoints(t, endpoints(p, readyPod("a", "10.0.0.1")))
}

func TestPoolActivePorts(t *testing.T) {
	annotated := func(annotations map[string]string) *corev1.Pod {
		return readyPod("a", "10.0.0.1", func(p *corev1.Pod) { p.Annotations = annotations })
	}
	cases := map[string]struct {
		annotations map[string]string
		want        []string
	}{
		"none":          {nil, []string{"a-rank-0 10.0.0.1:8000", "a-rank-1 10.0.0.1:8001"}},
		"one":           {map[string]string{ActivePortsAnnotation: "8001"}, []string{"a-rank-1 10.0.0.1:8001"}},
		"with spaces":   {map[string]string{ActivePortsAnnotation: " 8001 , 8000 "}, []string{"a-rank-0 10.0.0.1:8000", "a-rank-1 10.0.0.1:8001"}},
		"older name":    {map[string]string{LegacyActivePortsAnnotation: "8000"}, []string{"a-rank-0 10.0.0.1:8000"}},
		"newer wins":    {map[string]string{ActivePortsAnnotation: "8001", LegacyActivePortsAnnotation: "8000"}, []string{"a-rank-1 10.0.0.1:8001"}},
		"not in pool":   {map[string]string{ActivePortsAnnotation: "9000"}, nil},
		"empty":         {map[string]string{ActivePortsAnnotation: ""}, nil},
		"words ignored": {map[string]string{ActivePortsAnnotation: "x,8000,70000,-1,0"}, []string{"a-rank-0 10.0.0.1:8000"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			expectEndpoints(t, endpoints(pool(8000, 8001), annotated(c.annotations)), c.want...)
		})
	}
}

// Two pods with one address (host network, a stale pod) are one endpoint.
func TestPoolEndpointsAreUniqueByAddress(t *testing.T) {
	got := endpoints(pool(8000), readyPod("a", "10.0.0.1"), readyPod("b", "10.0.0.1"))
	if len(got) != 1 {
		t.Errorf("endpoints are %q, want one", got)
	}
	for range 20 {
		if again := endpoints(pool(8000), readyPod("b", "10.0.0.1"), readyPod("a", "10.0.0.1")); !slices.Equal(again, got) {
			t.Fatalf("another order of pods gave %q instead of %q", again, got)
		}
	}
}
