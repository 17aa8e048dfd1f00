package resilience

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// This file's test takes longest. Tests begin in the order of their files' names, so it runs beside the others instead of after them.

// TestFleetRestarted replaces every proxy under load, in the two ways that operators have.
func TestFleetRestarted(t *testing.T) {
	t.Parallel()
	in := connect(t)
	w := newWorld(t, in, setup{sims: 4, simArgs: slowStreams, pools: openPool})
	w.waitAnswers("open", http.StatusOK)
	for _, c := range []struct {
		name    string
		replace func(*testing.T)
	}{
		{"rollout restart", func(t *testing.T) {
			in.restart(t, w.namespace, w.fleet)
			in.waitRolledOut(t, w.namespace, w.fleet)
		}},
		{"evicted one by one", func(t *testing.T) {
			for _, pod := range w.proxies() {
				in.evict(t, &pod)
				in.waitReplaced(t, w, &pod)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := uids(w.proxies())
			run := startLoad(t, w.options("open", longStreams...))
			began := time.Now()
			c.replace(t)
			t.Logf("every proxy is replaced after %s", time.Since(began).Round(time.Millisecond))
			more(t, run, 1)
			expectNoErrors(t, run)
			for _, uid := range uids(w.proxies()) {
				if slices.Contains(before, uid) {
					t.Errorf("pod %s is still there, so that nothing was tried", uid)
				}
			}
		})
	}
}

// evict asks for the end of a pod, as the drain of a node does, for as long as a PodDisruptionBudget refuses it.
func (in *installation) evict(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	eventually(t, settled, "pod "+pod.Name+" may be evicted", func(ctx context.Context) error {
		return in.pods.PolicyV1().Evictions(pod.Namespace).Evict(ctx, &policyv1.Eviction{
			ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name},
		})
	})
}

// waitReplaced waits until a pod of the fleet is gone and another one serves in its place.
func (in *installation) waitReplaced(t *testing.T, w *world, pod *corev1.Pod) {
	t.Helper()
	eventually(t, settled, "pod "+pod.Name+" is gone", func(ctx context.Context) error {
		var p corev1.Pod
		err := in.Get(ctx, client.ObjectKeyFromObject(pod), &p)
		if err == nil && p.UID == pod.UID {
			return fmt.Errorf("it is %s", p.Status.Phase)
		}
		return client.IgnoreNotFound(err)
	})
	in.waitRolledOut(t, w.namespace, w.fleet)
}
